package flash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"station/spi"
)

const (
	opWriteNVCR   = 0xB1   // 2 bytes, low byte first
	nvcrThreeByte = 1 << 0 // the chip comes up with 3 address bytes
)

// NVCR describes the nonvolatile configuration register. A wrong value makes a chip come up in a protocol that one wire cannot talk to.
type NVCR struct {
	Write  Timing `yaml:"write" json:"write"`   // B1
	Change uint16 `yaml:"change" json:"change"` // bits that may differ from the factory's
}

// ErrNoNVCR: the part profile does not say how the nonvolatile configuration register may be written. Nothing was sent.
var ErrNoNVCR = errors.New("the nonvolatile configuration register is not written on this part")

// nvcrFields are the register's fields, high bits first, and codes that are reserved (spec 5).
var nvcrFields = []struct {
	name     string
	low, n   int
	reserved []uint16
}{
	{"dummy cycles", 12, 4, nil},
	{"XIP at power-on", 9, 3, []uint16{0b101, 0b110}},
	{"output drive", 6, 3, []uint16{0b000, 0b100}},
	{"DTR protocol", 5, 1, nil},
	{"RESET#/HOLD#", 4, 1, nil},
	{"quad protocol", 3, 1, nil},
	{"dual protocol", 2, 1, nil},
	{"128 Mb segment at boot", 1, 1, nil},
	{"address bytes", 0, 1, nil},
}

// CheckNVCR refuses a value that differs from FFFF in other bits than those of NVCR.Change, or has a reserved code. The error names the
// field. It is pure.
func (p *Part) CheckNVCR(v uint16) error {
	if p.NVCR == nil {
		return fmt.Errorf("%s: %w", p.Name, ErrNoNVCR)
	}
	return p.checkNVCR(v, 0xFFFF)
}

// checkNVCR refuses the change of a register from old to v.
func (p *Part) checkNVCR(v, old uint16) error {
	for _, f := range nvcrFields {
		mask := uint16(1<<f.n-1) << f.low
		code := v & mask >> f.low
		if (v^old)&mask&^p.NVCR.Change != 0 {
			return fmt.Errorf("nonvolatile configuration 0x%04X changes %s from %0*b to %0*b, which the profile of %s does not allow",
				v, f.name, f.n, old&mask>>f.low, f.n, code, p.Name)
		}
		for _, r := range f.reserved {
			if code == r {
				return fmt.Errorf("nonvolatile configuration 0x%04X: code %0*b of %s is reserved", v, f.n, code, f.name)
			}
		}
	}
	return nil
}

// WriteNVCR writes the nonvolatile configuration register (B1) and reads it back (B5). It takes effect at the next power-up or reset. Values that
// CheckNVCR refuses, and ones that would change other bits of what the chip holds now, are refused before anything is written; so are stacked
// parts (ErrStacked). A register that holds v is left alone. Errors: those of Apply; ErrNotExecuted where it reads otherwise.
func (c *Chip) WriteNVCR(ctx context.Context, v uint16) error {
	const op = "write nonvolatile configuration"
	err := c.part.CheckNVCR(v)
	if err == nil {
		err = c.part.CanProtect()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	old, err := c.nvcr(ctx)
	if err != nil || old == v {
		return err
	}
	if err := c.part.checkNVCR(v, old); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := c.execute(ctx, command{op, -1, []byte{opWriteNVCR, byte(v), byte(v >> 8)}, c.part.NVCR.Write}); err != nil {
		return err
	}
	got, err := c.nvcr(ctx)
	if err == nil && got != v {
		err = fmt.Errorf("%s: it reads 0x%04X, want 0x%04X: %w", op, got, v, ErrNotExecuted)
	}
	return err
}

// nvcr reads the nonvolatile configuration register (B5), twice between good ID reads.
func (c *Chip) nvcr(ctx context.Context) (uint16, error) {
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return 0, err
	}
	got, err := c.twice(ctx, "read nonvolatile configuration", 2, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: []byte{opReadNVCR}, In: in}}
	})
	if err != nil {
		return 0, err
	}
	return uint16(got[0]) | uint16(got[1])<<8, nil
}

// longest NVCR write that a crash can have left running.
func (n *NVCR) max() time.Duration {
	if n == nil {
		return 0
	}
	return n.Write.Max
}
