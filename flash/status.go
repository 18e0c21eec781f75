package flash

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"station/spi"
)

// Opcodes (DS, LLD). Erases are data of the part profile.
const (
	opWriteEnable       = 0x06
	opWriteDisable      = 0x04
	opReadStatus        = 0x05
	opReadFlags         = 0x70
	opClearFlags        = 0x50
	opReadID            = 0x9F
	opReadSFDP          = 0x5A // 3 address bytes and 8 dummy clocks in every mode
	opRead              = 0x03
	opRead4             = 0x13
	opProgram           = 0x02
	opProgram4          = 0x12
	opEnter4Byte        = 0xB7
	opExit4Byte         = 0xE9
	opResetEnable       = 0x66
	opReset             = 0x99
	opReadProtection    = 0x2D
	opProgramProtection = 0x2C
	opReadPassword      = 0x27
	opProgramPassword   = 0x28
	opUnlockPassword    = 0x29
	opReadVolatile      = 0xE8
	opReadVolatile4     = 0xE0
	opWriteVolatile     = 0xE5
	opWriteVolatile4    = 0xE1
	opReadLock          = 0xE2 // always 4 address bytes (LLD)
	opWriteLock         = 0xE3 // always 4 address bytes (LLD)
	opEraseLocks        = 0xE4
	opReadFreeze        = 0xA7
	opWriteFreeze       = 0xA6
	volatileLock        = 1 << 0 // of the byte of E8 and E5
	volatileDown        = 1 << 1
	statusWIP           = 1 << 0 // DS p.23
	statusWEL           = 1 << 1
	fsrReady            = 1 << 7 // LLD; bit 3 is reserved and 0
	fsrEraseError       = 1 << 5
	fsrProgramError     = 1 << 4
	fsrProtection       = 1 << 1
	fsrFourByte         = 1 << 0
	fsrErrors           = fsrEraseError | fsrProgramError | fsrProtection
	samples             = 4                      // of each register in one poll
	longestIdle         = 5 * time.Millisecond   // longer times are slept here, not under chip select's Idle
	linkLimit           = 10 * time.Second       // beyond a chip's own limit, for all transfers of one operation
	shortestPoll        = 200 * time.Microsecond // between two polls
	mostStatusSamples   = 256                    // behind a speculative operation
)

// status is the status register (05) and the flag status register (70), read in this order.
type status struct{ sr, fsr byte }

// ready: the chip is idle by both registers (LLD polls both).
func (s status) ready() bool { return s.sr&statusWIP == 0 && s.fsr&fsrReady != 0 }

// floating: no chip answers like this. FSR bit 3 is always 0; and busy is told by both registers or by none.
func (s status) floating() bool {
	return s == status{0, 0} || s == status{0xFF, 0xFF}
}

// look is one reading of both registers: a frame for each, and once for every die. A stacked part answers for another die at each frame, and is ready only
// when as many in a row as it has dies say so (spec 8).
type look struct{ sr, fsr [][]byte }

// looking is a look and its frames. The first frame of each register reads first bytes, the others samples at most.
func looking(dies, sr, fsr int) (look, []spi.Frame) {
	var l look
	var frames []spi.Frame
	for range dies {
		l.sr, l.fsr = append(l.sr, make([]byte, sr)), append(l.fsr, make([]byte, fsr))
		frames = append(frames,
			spi.Frame{Out: []byte{opReadStatus}, In: l.sr[len(l.sr)-1]},
			spi.Frame{Out: []byte{opReadFlags}, In: l.fsr[len(l.fsr)-1]})
		sr = min(sr, samples)
	}
	return l, frames
}

// status is what all dies say together, by the last byte of each frame: bits that say busy, failed, or suspended, of any of them.
// steady tells that the bytes of each frame were alike, and that all dies are in the same address mode.
func (l look) status() (s status, steady bool) {
	s.fsr, steady = fsrReady, true
	for i, sr := range l.sr {
		fsr := l.fsr[i]
		a, b := sr[len(sr)-1], fsr[len(fsr)-1]
		steady = steady && bytes.Count(sr, sr[:1]) == len(sr) && bytes.Count(fsr, fsr[:1]) == len(fsr) && (b^l.fsr[0][len(fsr)-1])&fsrFourByte == 0
		s.sr |= a
		s.fsr = s.fsr&b&fsrReady | (s.fsr|b)&^fsrReady
	}
	return s, steady
}

// poll reads both registers, several times in one batch. steady tells that all readings were alike.
func (c *Chip) poll(ctx context.Context) (s status, steady bool, err error) {
	l, frames := looking(c.dies, samples, samples)
	if err = c.conn.Do(ctx, frames...); err != nil {
		return status{}, false, fmt.Errorf("read status: %w", err)
	}
	s, steady = l.status()
	return s, steady, nil
}

// wait polls until the chip is ready, for at most limit from start on. At the limit it reads once more, and a chip that still is busy is
// a *BusyError.
func (c *Chip) wait(ctx context.Context, op string, addr int64, start time.Time, limit, step time.Duration) (status, error) {
	var before status
	for first := true; ; first = false {
		late := time.Since(start) >= limit
		s, steady, err := c.poll(ctx)
		if err != nil {
			return s, fmt.Errorf("%s: %w", at(op, addr), err)
		}
		if s.ready() {
			return s, nil
		}
		if late {
			e := &BusyError{Op: op, Addr: addr, Limit: limit, SR: s.sr, FSR: s.fsr}
			switch {
			case s.floating():
				e.contact = ErrAbsent
			case !steady || !first && before != s:
				e.contact = &UnstableError{"read status", -1, []byte{before.sr, before.fsr}, []byte{s.sr, s.fsr}}
			default:
				e.StuckBusy = true
			}
			return s, e
		}
		before = s
		if err := c.sleep(ctx, min(step, limit-time.Since(start))); err != nil {
			return s, fmt.Errorf("%s: %w", at(op, addr), err)
		}
	}
}

func (c *Chip) sleep(ctx context.Context, d time.Duration) error {
	began := time.Now()
	defer func() { c.slept += time.Since(began) }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// ready waits until the chip is idle, however long its longest operation may take (a crash can have left one running), and notes
// the address mode, which decides how long addresses are: so one sample is not enough. It changes nothing.
func (c *Chip) ready(ctx context.Context, longest time.Duration) (status, error) {
	s, steady, err := c.poll(ctx)
	if err != nil {
		return s, err
	}
	if s.floating() {
		return s, fmt.Errorf("read status: %w", ErrAbsent)
	}
	if !s.ready() {
		if s, err = c.wait(ctx, "wait for ready", -1, time.Now(), longest, 10*time.Millisecond); err != nil {
			return s, err
		}
		steady = false // it may have become ready between two samples
	}
	if !steady {
		if s, err = c.confirm(ctx, s); err != nil {
			return s, err
		}
	}
	c.wide = s.fsr&fsrFourByte != 0
	return s, nil
}

// Busy tells whether the chip says at this moment that it is not idle. It waits for nothing and changes nothing. Errors: ErrAbsent, *UnstableError, and those of spi.
func (c *Chip) Busy(ctx context.Context) (bool, error) {
	s, steady, err := c.poll(ctx)
	if err == nil && s.floating() {
		err = fmt.Errorf("read status: %w", ErrAbsent)
	}
	if err == nil && s.ready() && !steady { // it may have become ready between two samples
		s, err = c.confirm(ctx, s)
	}
	return !s.ready(), err
}

// confirm reads the registers of an idle chip again. They do not change by themselves: a difference to s is a bad contact. On a stacked part s may hold what one die told before
// another one was ready; so there two readings are made and compared.
func (c *Chip) confirm(ctx context.Context, s status) (_ status, err error) {
	if c.dies > 1 {
		if s, _, err = c.poll(ctx); err != nil {
			return s, err
		}
	}
	again, steady, err := c.poll(ctx)
	if err != nil {
		return again, err
	}
	if !steady || again != s {
		return again, &UnstableError{"read status", -1, []byte{s.sr, s.fsr}, []byte{again.sr, again.fsr}}
	}
	return again, nil
}

// begin is ready, and clears error flags that somebody left, before a write-type command.
func (c *Chip) begin(ctx context.Context) error {
	s, err := c.ready(ctx, c.part.Longest())
	if err != nil {
		return err
	}
	if s.fsr&fsrErrors != 0 {
		return c.clean(ctx)
	}
	return nil
}

// clean clears the error flags and the write enable latch, which a refusal leaves set (DS p.66).
func (c *Chip) clean(ctx context.Context) error {
	if err := c.conn.Do(ctx, spi.Frame{Out: []byte{opClearFlags}}, spi.Frame{Out: []byte{opWriteDisable}}); err != nil {
		return fmt.Errorf("clear flag status: %w", err)
	}
	s, _, err := c.poll(ctx)
	if err != nil {
		return err
	}
	if s.fsr&fsrErrors != 0 || s.sr&statusWEL != 0 {
		return fmt.Errorf("clear flag status (status 0x%02X, flag status 0x%02X): %w", s.sr, s.fsr, ErrNotExecuted)
	}
	return nil
}

// command is one write-type command.
type command struct {
	op   string
	addr int64 // -1 where there is none
	out  []byte
	time Timing
}

// execute sends a command behind its write enable, waits for its end, and looks at the flag status. Errors: *ProtectedError,
// *OperationError, *BusyError, ErrNotExecuted (the write enable was not accepted, or not used up), contact and link errors.
// After a refusal the flags are clean again.
//
// The end of ctx acts before the command, never during it: what was started is awaited.
func (c *Chip) execute(ctx context.Context, cmd command) error {
	s, err := c.send(ctx, cmd)
	if err != nil {
		return err
	}
	return c.judge(ctx, cmd, s)
}

// judge is the verdict on a command after whose end the registers were s; after a refusal the flags are clean again.
func (c *Chip) judge(ctx context.Context, cmd command, s status) (err error) {
	if s.fsr&fsrErrors == 0 && s.sr&statusWEL == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkLimit)
	defer cancel()
	if s, err = c.confirm(bounded, s); err != nil {
		return c.cleanAfter(ctx, fmt.Errorf("%s: %w", at(cmd.op, cmd.addr), err))
	}
	if s.fsr&fsrErrors == 0 && s.sr&statusWEL == 0 {
		return nil // that was only the look of a die before all were ready
	}
	if s.fsr&fsrErrors == 0 {
		// What the chip carries out clears the write enable latch (DS p.66); whether register writes do so too
		// is not told everywhere, so there it is only cleared.
		if cmd.time == c.part.Register {
			return c.clean(bounded)
		}
		return c.cleanAfter(ctx, fmt.Errorf("%s: write enable is still set: %w", at(cmd.op, cmd.addr), ErrNotExecuted))
	}
	err = &OperationError{cmd.op, cmd.addr, s.fsr}
	if s.fsr&fsrProtection != 0 {
		err = &ProtectedError{cmd.op, cmd.addr, s.fsr}
	}
	return c.cleanAfter(ctx, err)
}

// cleanAfter cleans the flags and returns err, whatever becomes of the cleaning: the first failure is the one that tells.
func (c *Chip) cleanAfter(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkLimit)
	defer cancel()
	if cleaning := c.clean(ctx); cleaning != nil {
		return fmt.Errorf("%w (then %w)", err, cleaning)
	}
	return err
}

// send sends a command behind its write enable and waits for its end. It judges no error flags and cleans none.
func (c *Chip) send(ctx context.Context, cmd command) (status, error) {
	if err := ctx.Err(); err != nil {
		return status{}, err
	}
	limit := c.part.Limit(cmd.time.Max)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+linkLimit)
	defer cancel()

	// The write enable counts only where it is seen before the command: afterwards nobody can tell a command that was not
	// accepted from one that is over.
	enabled := make([]byte, 1)
	quick, first := cmd.time.Typ <= longestIdle, samples
	if quick {
		first = c.statusSamples(cmd.time.Typ)
	}
	after, looks := looking(c.dies, first, 2)
	frames := append([]spi.Frame{{Out: []byte{opWriteEnable}}, {Out: []byte{opReadStatus}, In: enabled}, {Out: cmd.out}}, looks...)
	if quick {
		frames[2].Idle = cmd.time.Typ
	}
	start := time.Now()
	if err := c.conn.Do(ctx, frames...); err != nil {
		return status{}, fmt.Errorf("%s: %w", at(cmd.op, cmd.addr), err)
	}
	accepted := enabled[0]&(statusWEL|statusWIP) == statusWEL
	if !accepted {
		if err := c.Contact(ctx); err != nil {
			return status{}, fmt.Errorf("%s: write enable: %w", at(cmd.op, cmd.addr), err)
		}
	}
	s, _ := after.status()
	early := !quick && s.sr&statusWEL != 0 // perhaps it has not even begun
	if !quick && (early || !s.ready()) {
		// Half of what is typical, since a chip may be faster than that.
		if err := c.sleep(ctx, cmd.time.Typ/2); err != nil {
			return s, err
		}
	}
	if early || !s.ready() {
		var err error
		if s, err = c.wait(ctx, cmd.op, cmd.addr, start, limit, max(cmd.time.Typ/64, shortestPoll)); err != nil {
			return s, err
		}
	}
	if !accepted {
		return s, c.cleanAfter(ctx, fmt.Errorf("%s: write enable: %w", at(cmd.op, cmd.addr), ErrNotExecuted))
	}
	return s, nil
}

// statusSamples is how many status bytes behind an Idle of typ reach to half as much again, so that most operations are seen to end in
// the same round trip.
func (c *Chip) statusSamples(typ time.Duration) int {
	n, limits := samples, c.conn.Limits()
	if t := limits.ByteTime; t > 0 {
		n += int(min(typ/2/t, mostStatusSamples))
	}
	if limits.MaxAnswer > 0 {
		n = min(n, limits.MaxAnswer)
	}
	return n
}

// address appends an address of n bytes, most significant first.
func address(op byte, addr int64, n int) []byte {
	if n == 4 {
		return []byte{op, byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}
	}
	return []byte{op, byte(addr >> 16), byte(addr >> 8), byte(addr)}
}

// moded is a command's opcode and address, as long as the address mode wants it.
func (c *Chip) moded(op byte, addr int64) []byte {
	if c.wide {
		return address(op, addr, 4)
	}
	return address(op, addr, 3)
}

// addressed is a command's opcode and address: op4 with 4 bytes where the part needs them, else op with as many as
// the address mode wants.
func (c *Chip) addressed(op, op4 byte, addr int64) []byte {
	return c.appendAddressed(make([]byte, 0, headerLen), op, op4, addr)
}

func (c *Chip) appendAddressed(b []byte, op, op4 byte, addr int64) []byte {
	if c.part.AddressBytes == 4 {
		return append(b, op4, byte(addr>>24), byte(addr>>16), byte(addr>>8), byte(addr))
	}
	return append(b, c.moded(op, addr)...)
}
