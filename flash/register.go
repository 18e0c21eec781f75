package flash

import (
	"context"

	"station/spi"
)

// Opcodes of registers that are only read here.
const (
	opReadNVCR     = 0xB5 // 2 bytes, low byte first
	opReadVCR      = 0x85
	opReadEVCR     = 0x65
	opReadExtended = 0xC8
)

// Registers are the chip's status and configuration registers.
type Registers struct {
	SR   byte   // status; on stacked parts the bits of all dies
	FSR  byte   // flag status; likewise
	NVCR uint16 // nonvolatile configuration; FFFF = factory
	VCR  byte   // volatile configuration
	EVCR byte   // enhanced volatile configuration
	EAR  byte   // extended address: A31..A24 of commands with 3 address bytes
}

// Registers reads them all, twice in one batch between two ID reads. Errors are those of Read.
func (c *Chip) Registers(ctx context.Context) (Registers, error) {
	s, err := c.ready(ctx, c.part.longest())
	if err != nil {
		return Registers{}, err
	}
	got, err := c.twice(ctx, "read registers", 7, func(in []byte) []spi.Frame {
		return []spi.Frame{
			{Out: []byte{opReadStatus}, In: in[0:1]},
			{Out: []byte{opReadFlags}, In: in[1:2]},
			{Out: []byte{opReadNVCR}, In: in[2:4]},
			{Out: []byte{opReadVCR}, In: in[4:5]},
			{Out: []byte{opReadEVCR}, In: in[5:6]},
			{Out: []byte{opReadExtended}, In: in[6:7]},
		}
	})
	if err != nil {
		return Registers{}, err
	}
	r := Registers{SR: got[0], FSR: got[1], NVCR: uint16(got[2]) | uint16(got[3])<<8, VCR: got[4], EVCR: got[5], EAR: got[6]}
	if c.dies > 1 {
		r.SR, r.FSR = s.sr, s.fsr
	}
	return r, nil
}
