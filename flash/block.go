package flash

import (
	"context"
	"fmt"

	"station/spi"
)

const opWriteStatus = 0x01 // one byte

// Block protection in the status register (spec 3).
const (
	statusTB    = 1 << 5 // the protected sectors are at the bottom
	statusBlock = 1<<6 | statusTB | 7<<2
)

// BlockProtection is the value of status register bits 6, 5 and 4..2 that protects exactly r; Size 0: nothing. ok is false where there is
// none: only 2^n sectors at the top or at the bottom, or all, can be protected so.
func (p *Part) BlockProtection(r Range) (sr byte, ok bool) {
	if r.Size == 0 {
		return 0, true
	}
	for n := byte(1); n < 16; n++ {
		sr = n&7<<2 | n>>3<<6
		for _, sr := range []byte{sr, sr | statusTB} {
			if (Protection{SR: sr, part: p}).BlockRange() == r {
				return sr, true
			}
		}
	}
	return 0, false
}

// ProtectBlock makes the block protection bits of the status register (01) protect exactly r, Size 0 for nothing, and reads them back. Bit 7 stays as it
// is. Ranges that BlockProtection has no value for, and stacked parts (ErrStacked), are refused before anything is sent. Errors: those of Apply;
// ErrNotExecuted where the register reads otherwise, as it does where bit 7 is set and the board holds W# low.
func (c *Chip) ProtectBlock(ctx context.Context, r Range) error {
	const op = "protect block"
	want, ok := c.part.BlockProtection(r)
	if !ok {
		return fmt.Errorf("%s: no block protection of %s covers exactly %s", op, c.part.Name, r)
	}
	if err := c.part.CanProtect(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	old, err := c.statusRegister(ctx)
	if err != nil {
		return err
	}
	want |= old &^ (statusBlock | statusWEL | statusWIP)
	if err := c.execute(ctx, command{op, -1, []byte{opWriteStatus, want}, c.part.StatusWrite}); err != nil {
		return err
	}
	got, err := c.statusRegister(ctx)
	if err == nil && got&^(statusWEL|statusWIP) != want {
		err = fmt.Errorf("%s: the status register reads 0x%02X, want 0x%02X: %w", op, got, want, ErrNotExecuted)
	}
	return err
}

// statusRegister reads the status register (05), twice between good ID reads.
func (c *Chip) statusRegister(ctx context.Context) (byte, error) {
	got, err := c.twice(ctx, "read status", 1, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: []byte{opReadStatus}, In: in}}
	})
	if err != nil {
		return 0, err
	}
	return got[0], nil
}
