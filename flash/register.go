package flash

import (
	"context"
	"fmt"

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
	s, err := c.ready(ctx, c.part.Longest())
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

// RegisterText is one register as people read it.
type RegisterText struct {
	Name  string   `json:"name"`
	Value string   `json:"value"` // hexadecimal digits, most significant first
	Words []string `json:"words"` // what its bits mean, most significant first
}

// Text says in words what the registers hold (DS p.23, p.27; LLD; OBDH for the configuration registers).
func (r Registers) Text() []RegisterText {
	var sr, fsr, nvcr, vcr, evcr []string
	say := func(to *[]string, when bool, yes, no string) {
		if !when {
			yes = no
		}
		if yes != "" {
			*to = append(*to, yes)
		}
	}
	say(&sr, r.SR&0x80 != 0, "writes of this register are off while W# is low", "")
	block := r.SR>>2&7 | r.SR>>6&1<<3
	say(&sr, block == 0, "no block protection", fmt.Sprintf("block protection %d from the %s", block, map[bool]string{true: "bottom", false: "top"}[r.SR&statusTB != 0]))
	say(&sr, r.SR&statusWEL != 0, "write enabled", "")
	say(&sr, r.SR&statusWIP != 0, "busy", "idle")
	say(&fsr, r.FSR&fsrReady != 0, "ready", "busy")
	say(&fsr, r.FSR&fsrEraseSuspend != 0, "an erase is suspended", "")
	say(&fsr, r.FSR&fsrEraseError != 0, "an erase failed", "")
	say(&fsr, r.FSR&fsrProgramError != 0, "a program, password or CRC failed", "")
	say(&fsr, r.FSR&fsrProgramSuspend != 0, "a program is suspended", "")
	say(&fsr, r.FSR&fsrProtection != 0, "something was refused, protected", "")
	say(&fsr, r.FSR&fsrFourByte != 0, "4-byte addresses", "3-byte addresses")
	say(&nvcr, r.NVCR == 0xFFFF, "as it left the factory", "changed")
	if r.NVCR != 0xFFFF {
		nvcr = append(nvcr, dummies(byte(r.NVCR>>12)))
		say(&nvcr, r.NVCR>>9&7 == 7, "", fmt.Sprintf("execute in place, code %d", r.NVCR>>9&7))
		say(&nvcr, r.NVCR>>6&7 == 7, "", fmt.Sprintf("output drive code %d", r.NVCR>>6&7))
		say(&nvcr, r.NVCR&0x20 == 0, "double transfer rate", "")
		say(&nvcr, r.NVCR&0x10 == 0, "RESET#/HOLD# off", "")
		say(&nvcr, r.NVCR&0x08 == 0, "quad protocol", "")
		say(&nvcr, r.NVCR&0x04 == 0, "dual protocol", "")
		say(&nvcr, r.NVCR&0x02 == 0, "the upper 128 Mb segment", "")
		say(&nvcr, r.NVCR&nvcrThreeByte == 0, "4-byte addresses", "3-byte addresses")
	}
	vcr = append(vcr, dummies(r.VCR>>4))
	say(&vcr, r.VCR&0x08 == 0, "execute in place", "")
	say(&vcr, r.VCR&3 == 3, "reads go on without wrapping", fmt.Sprintf("reads wrap at %d bytes", 16<<(r.VCR&3)))
	say(&evcr, r.EVCR&0x80 == 0, "quad protocol", "")
	say(&evcr, r.EVCR&0x40 == 0, "dual protocol", "")
	say(&evcr, r.EVCR&0xC0 == 0xC0, "single-bit protocol", "")
	say(&evcr, r.EVCR&0x20 == 0, "double transfer rate", "")
	say(&evcr, r.EVCR&0x10 == 0, "RESET#/HOLD# off", "RESET#/HOLD# on")
	say(&evcr, r.EVCR&7 == 7, "", fmt.Sprintf("output drive code %d", r.EVCR&7))
	octet := func(b byte) string { return fmt.Sprintf("%02X", b) }
	return []RegisterText{
		{"SR", octet(r.SR), sr}, {"FSR", octet(r.FSR), fsr}, {"NVCR", fmt.Sprintf("%04X", r.NVCR), nvcr},
		{"VCR", octet(r.VCR), vcr}, {"EVCR", octet(r.EVCR), evcr},
		{"EAR", octet(r.EAR), []string{fmt.Sprintf("3-byte addresses reach 0x%02X000000..0x%02XFFFFFF", r.EAR, r.EAR)}},
	}
}

// dummies says how many dummy clocks fast reads have; 0 and 15 stand for each command's own number.
func dummies(code byte) string {
	if code == 0 || code == 15 {
		return "dummy clocks by command"
	}
	return fmt.Sprintf("%d dummy clocks", code)
}
