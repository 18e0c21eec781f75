package flash

import (
	"strings"
	"testing"
)

// TestRegisterText holds the words of every bit against the registers' tables (spec 3 to 5).
func TestRegisterText(t *testing.T) {
	idle := Registers{SR: 0, FSR: 0x80, NVCR: 0xFFFF, VCR: 0xFB, EVCR: 0xFF}
	for _, c := range []struct {
		change func(r *Registers)
		want   string // of all registers, "NAME value: words"
	}{
		{func(*Registers) {}, "SR 00: no block protection, idle; FSR 80: ready, 3-byte addresses; NVCR FFFF: as it left the factory; " +
			"VCR FB: dummy clocks by command, reads go on without wrapping; EVCR FF: single-bit protocol, RESET#/HOLD# on; " +
			"EAR 00: 3-byte addresses reach 0x00000000..0x00FFFFFF"},
		{func(r *Registers) { r.SR = 0xE3 }, "SR E3: writes of this register are off while W# is low, block protection 8 from the bottom, write enabled, busy;"},
		{func(r *Registers) { r.SR = 0x1C }, "SR 1C: block protection 7 from the top, idle;"},
		{func(r *Registers) { r.FSR = 0x77 }, "FSR 77: busy, an erase is suspended, an erase failed, a program, password or CRC failed, a program is suspended, something was refused, protected, 4-byte addresses;"},
		{func(r *Registers) { r.NVCR = 0x8EFE }, "NVCR 8EFE: changed, 8 dummy clocks, output drive code 3, 4-byte addresses;"},
		{func(r *Registers) { r.NVCR = 0xF1C1 }, "NVCR F1C1: changed, dummy clocks by command, execute in place, code 0, double transfer rate, RESET#/HOLD# off, quad protocol, dual protocol, the upper 128 Mb segment, 3-byte addresses;"},
		{func(r *Registers) { r.VCR = 0x62 }, "VCR 62: 6 dummy clocks, execute in place, reads wrap at 64 bytes;"},
		{func(r *Registers) { r.EVCR = 0x0A }, "EVCR 0A: quad protocol, dual protocol, double transfer rate, RESET#/HOLD# off, output drive code 2;"},
		{func(r *Registers) { r.EAR = 1 }, "EAR 01: 3-byte addresses reach 0x01000000..0x01FFFFFF"},
	} {
		r := idle
		c.change(&r)
		var all []string
		for _, x := range r.Text() {
			all = append(all, x.Name+" "+x.Value+": "+strings.Join(x.Words, ", "))
		}
		if got := strings.Join(all, "; ") + ";"; !strings.Contains(got, c.want) {
			t.Errorf("%+v says\n%s\nwant\n%s", r, got, c.want)
		}
	}
}
