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
// behind each run of pages. Bytes of a page that are not to be written are sent as FF, which programs nothing.
func (c *Chip) programsInFirmware(ctx context.Context, firmware spi.PageProgrammer, ops []Op, step func(n int64)) error {
	source := pages{ops: ops, size: firmwarePage, most: firmwarePage}
	next, ok := source.next()
	for ok {
		run := append(c.batch.pages[:0], next)
		for next, ok = source.next(); ok && len(run) < firmwareRun && next.addr/firmwarePage == run[len(run)-1].addr/firmwarePage+1; next, ok = source.next() {
			run = append(run, next)
		}
		c.batch.pages = run
		if err := c.runInFirmware(ctx, firmware, run); err != nil {
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

// runInFirmware has pages that follow each other programmed, and judges them all together, because the registers do not tell of which page they speak. A
// page that failed is told at its address where the array shows it, and else as the range of the run; so is a chip that hangs, whose array cannot be read. A page that the
// chip passes over without a word raises no flag, and the write enable of the next one hides it: only the readback finds that.
//
// A programmer that takes no more pages may have a chip under it that hangs. So the registers are asked for then, too: the error is a *BusyError where the link still
// carries that and the chip is busy, and otherwise the link's, also for a chip that hangs under firmware which answers nothing while it waits.
func (c *Chip) runInFirmware(ctx context.Context, firmware spi.PageProgrammer, run []page) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limit := c.part.Limit(c.part.Program.Max)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(len(run))*limit+linkLimit)
	defer cancel()
	c.batch.out = c.batch.out[:0]
	for _, p := range run {
		at := len(c.batch.out)
		for range firmwarePage {
			c.batch.out = append(c.batch.out, 0xFF)
		}
		copy(c.batch.out[at+int(p.addr%firmwarePage):], p.data)
	}
	link := firmware.ProgramPages(bounded, c.addressed(opProgram, opProgram4, run[0].addr&^(firmwarePage-1)), c.batch.out)
	if f, ok := errors.AsType[*spi.FrameError](link); ok && f.Index < len(run) {
		run = run[:f.Index+1] // the others were not begun
	}
	bounded, cancel = context.WithTimeout(context.WithoutCancel(ctx), limit+linkLimit)
	defer cancel()
	cmd := c.together(run)
	s, err := c.wait(bounded, cmd.op, cmd.addr, time.Now(), limit, shortestPoll)
	if _, hangs := errors.AsType[*BusyError](err); link != nil && !hangs {
		return fmt.Errorf("%s: %w", at("program", run[len(run)-1].addr), link)
	}
	if err != nil {
		return err
	}
	if s.fsr&fsrErrors != 0 || s.sr&statusWEL != 0 {
		cmd = c.together(c.lacking(bounded, run))
	}
	return c.judge(bounded, cmd, s)
}

// together is the program of all pages of run as one command to be judged.
func (c *Chip) together(run []page) command {
	first, last := run[0], run[len(run)-1]
	if len(run) == 1 {
		return command{"program", first.addr, nil, c.part.Program}
	}
	return command{fmt.Sprintf("%s to 0x%06X", at("program", first.addr), last.addr+int64(len(last.data))-1), -1, nil, c.part.Program}
}

// lacking is the first page of run in which a bit stayed 1 that was to become 0, read twice; the whole run where there is none, or the array cannot be read.
func (c *Chip) lacking(ctx context.Context, run []page) []page {
	first, last := run[0].addr, run[len(run)-1]
	n := last.addr + int64(len(last.data)) - first
	held, again := make([]byte, n), make([]byte, n)
	if c.read(ctx, first, held) != nil || c.read(ctx, first, again) != nil {
		return run
	}
	for i, p := range run {
		for j, want := range p.data {
			if k := p.addr - first + int64(j); held[k]&again[k]&^want != 0 {
				return run[i : i+1]
			}
		}
	}
	return run
}
