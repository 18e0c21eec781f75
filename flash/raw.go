package flash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"station/spi"
)

// ErrRaw: a raw command that is refused, wrapped with its reason. Nothing was sent.
var ErrRaw = errors.New("raw command refused")

// rawRefused are opcodes that no raw command may have, by the reason for it. What the part profile adds is in CheckRaw.
var rawRefused = []struct {
	opcodes []byte
	reason  string
}{
	{[]byte{opProgramPassword, opProgramProtection, opProgramOTP, 0x68, opInterface}, "it cannot be undone"},
	{[]byte{opReadPassword, opUnlockPassword}, "it carries the password"},
	{[]byte{opProgram, opProgram4, 0xA2, 0xD2, 0x32, 0x34, 0x38, 0x3E}, "it programs the array"},
	{[]byte{0x20, 0x21, 0x52, 0x5C, 0xD8, 0xDC, 0xC7, 0x60, 0xC4}, "it erases the array"},
	{[]byte{opWriteVolatile, opWriteVolatile4, opWriteLock, opEraseLocks, opWriteFreeze, opWriteStatus}, "it changes what is locked"},
	{[]byte{opWriteNVCR, 0x81, 0x61, 0xC5, opEnter4Byte, opExit4Byte, 0x35, 0xF5}, "it changes how the chip understands what follows"},
	{[]byte{opResetEnable, opReset, 0xB9, opWake}, "it resets the chip or puts it to sleep"},
	{[]byte{0x75, opResume}, "it suspends or resumes an operation"},
	{[]byte{opWriteEnable, opWriteDisable}, "the write enable latch is set by write_enable alone"},
	{[]byte{opRescue}, "it is the interface rescue"},
	{[]byte{0x3B, 0x3C, 0xBB, 0xBC, 0x6B, 0x6C, 0xEB, 0xEC, 0xE7, 0xAF, 0x0D, 0x0E, 0x3D, 0xBD, 0xBE, 0x6D, 0xED, 0xEE},
		"it transfers on several wires or on both clock edges, and this station has one wire"},
}

// CheckRaw refuses bytes that no raw command may send: permanent, secret, changing the array, locks or modes. Every error
// wraps ErrRaw and says why. It is pure.
func (p *Part) CheckRaw(out []byte) error {
	if len(out) == 0 {
		return fmt.Errorf("%w: it has no opcode", ErrRaw)
	}
	op := out[0]
	refuse := func(reason string) error { return fmt.Errorf("%w: %02X: %s", ErrRaw, op, reason) }
	for _, r := range rawRefused {
		if slices.Contains(r.opcodes, op) {
			return refuse(r.reason)
		}
	}
	if p.RPMC != nil && op == p.RPMC.Op1 {
		return refuse("it cannot be undone")
	}
	return nil
}

// Raw sends out, behind a write enable where writeEnable says so, reads in bytes, and waits until the chip is ready. What CheckRaw refuses is
// not sent. Errors: ErrRaw; *ProtectedError and *OperationError where the flag status tells of one; *BusyError, contact and link errors. The flags and the
// write enable latch are clean afterwards. Nothing is read twice, and what the command did is for the caller to look at.
func (c *Chip) Raw(ctx context.Context, writeEnable bool, out []byte, in int) ([]byte, error) {
	if err := c.part.CheckRaw(out); err != nil {
		return nil, err
	}
	if in < 0 || in > leastChunk {
		return nil, fmt.Errorf("%w: %d bytes of answer are not within 0 to %d", ErrRaw, in, leastChunk)
	}
	op := fmt.Sprintf("raw command %02X", out[0])
	if err := c.begin(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit := c.part.Longest()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+linkLimit)
	defer cancel()
	answer := make([]byte, in)
	frames := []spi.Frame{{Out: out, In: answer}}
	if writeEnable {
		frames = append([]spi.Frame{{Out: []byte{opWriteEnable}}}, frames...)
	}
	start := time.Now()
	if err := c.conn.Do(ctx, frames...); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	s, err := c.finished(ctx, command{op: op, addr: -1}, start, limit)
	switch {
	case err != nil:
		return nil, err
	case s.fsr&fsrProtection != 0:
		return answer, c.cleanAfter(ctx, &ProtectedError{op, -1, s.fsr})
	case s.fsr&fsrErrors != 0:
		return answer, c.cleanAfter(ctx, &OperationError{op, -1, s.fsr})
	case s.sr&statusWEL != 0:
		return answer, c.clean(ctx)
	}
	return answer, nil
}
