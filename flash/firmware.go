package flash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"station/spi"
)

const (
	firmwarePage = 256 // bytes of an spi.PageProgrammer's page
	// firmwareRun is how many pages a programmer's firmware gets at a time: the step of progress and of cancellation, some 100 ms.
	firmwareRun = 256
)

// programsInFirmware is programs where the programmer's firmware programs the pages. Nobody is told what the chip made of each, so its registers are read
// behind each run of pages. Where they tell of a failure the run is done again page by page, up to the one that fails: what is programmed
// already stays as it is. Bytes of a page that are not to be written are sent as FF, which programs nothing.
func (c *Chip) programsInFirmware(ctx context.Context, firmware spi.PageProgrammer, ops []Op, step func(n int64)) error {
	source := pages{ops: ops, size: firmwarePage, most: firmwarePage}
	next, ok := source.next()
	for ok {
		run := append(c.batch.pages[:0], next)
		for next, ok = source.next(); ok && len(run) < firmwareRun && next.addr/firmwarePage == run[len(run)-1].addr/firmwarePage+1; next, ok = source.next() {
			run = append(run, next)
		}
		c.batch.pages = run
		err := c.runInFirmware(ctx, firmware, run)
		if err != nil && len(run) > 1 && failedByChip(err) {
			for i := range run {
				if alone := c.runInFirmware(ctx, firmware, run[i:i+1]); alone != nil {
					return alone
				}
			}
		}
		if err != nil {
			return err
		}
		var done int64
		for _, p := range run {
			done += int64(len(p.data))
		}
		step(done)
	}
	return nil
}

// failedByChip says that err is the chip's own word on an operation, which it may have again.
func failedByChip(err error) bool {
	_, protected := errors.AsType[*ProtectedError](err)
	_, failed := errors.AsType[*OperationError](err)
	return protected || failed || errors.Is(err, ErrNotExecuted)
}

// runInFirmware has pages that follow each other programmed, and judges them all together, at the address of the first.
func (c *Chip) runInFirmware(ctx context.Context, firmware spi.PageProgrammer, run []page) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limit := c.part.Limit(c.part.Program.Max)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(len(run))*limit+linkLimit)
	defer cancel()
	first := run[0].addr &^ (firmwarePage - 1)
	c.batch.out = c.batch.out[:0]
	for _, p := range run {
		at := len(c.batch.out)
		for range firmwarePage {
			c.batch.out = append(c.batch.out, 0xFF)
		}
		copy(c.batch.out[at+int(p.addr%firmwarePage):], p.data)
	}
	if err := firmware.ProgramPages(bounded, c.addressed(opProgram, opProgram4, first), c.batch.out); err != nil {
		addr := run[0].addr
		if f, ok := errors.AsType[*spi.FrameError](err); ok && f.Index < len(run) {
			addr = run[f.Index].addr
		}
		return fmt.Errorf("%s: %w", at("program", addr), err)
	}
	// What is still under way is the last page.
	s, err := c.wait(bounded, "program", run[len(run)-1].addr, time.Now(), limit, shortestPoll)
	if err != nil {
		return err
	}
	return c.judge(bounded, command{"program", run[0].addr, nil, c.part.Program}, s)
}
