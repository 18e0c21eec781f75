package nor_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// otp is what 4B tells: 64 bytes and the control byte.
func otp(c *nor.Chip) []byte { return do(c, 65, 0x4B, 0, 0, 0, 0) }

func TestOTP(t *testing.T) {
	for _, part := range nor.Parts() {
		c := newChip(t, part, nor.Options{})
		want := filled(65, 0xFF)
		expect(t, part+" factory", otp(c), want)
		write(c, 0x42, 0, 0, 0x10, 0xF0, 0x0F)
		write(c, 0x42, 0, 0, 0x10, 0x3C, 0xFF)
		want[0x10], want[0x11] = 0x30, 0x0F
		expect(t, part+" bits only clear, silently", append(otp(c), status(c), flags(c)), append(slices.Clone(want), 0x00, 0x80))
		expect(t, part+" 4B from 0F", do(c, 3, 0x4B, 0, 0, 0x0F, 0), []byte{0xFF, 0x30, 0x0F})
		write(c, 0xB7)
		expect(t, part+" 4B in 4-byte mode", do(c, 3, 0x4B, 0, 0, 0, 0x0F, 0), []byte{0xFF, 0x30, 0x0F})
		write(c, 0x42, 0, 0, 0, 0x3E, 1, 2, 0xF1, 4, 5) // bit 0 of the control byte stays 1; what comes behind it is dropped
		want[0x3E], want[0x3F], want[0x40] = 1, 2, 0xF1
		expect(t, part+" to the control byte", do(c, 65, 0x4B, 0, 0, 0, 0, 0), want)
		write(c, 0x42, 0, 0, 0, 0x00, 0x55)
		want[0] = 0x55
		write(c, 0x42, 0, 0, 0, 0x40, 0xFE)
		want[0x40] = 0xF0
		if got := c.OTP(); !bytes.Equal(got[:], want) {
			t.Errorf("%s: OTP % X, want % X", part, got, want)
		}
		write(c, 0xE9)
		for what, restart := range map[string]func(*nor.Chip){"at once": func(*nor.Chip) {}, "after reset": reset, "after power-up": cycle} {
			restart(c)
			write(c, 0x42, 0, 0, 0x20, 0x00)
			expect(t, part+" locked "+what, append(otp(c), status(c), flags(c)), append(slices.Clone(want), 0x02, 0x92))
			do(c, 0, 0x50)
		}
		if n := c.Counters(); n[nor.CountOTP] != 5 || n[nor.CountProgram] != 0 {
			t.Errorf("%s: counters %v", part, n)
		}
	}
}

func TestOTPRefusals(t *testing.T) {
	blank := filled(65, 0xFF)
	for _, row := range []struct {
		what    string
		options nor.Options
		attempt func(*nor.Chip)
		sr, fsr byte
	}{
		{"without WREN", nor.Options{}, func(c *nor.Chip) { do(c, 0, 0x42, 0, 0, 0, 0) }, 0x00, 0x80},
		{"without data", nor.Options{}, func(c *nor.Chip) { write(c, 0x42, 0, 0, 0) }, 0x02, 0x80},
		{"off a byte boundary", nor.Options{}, func(c *nor.Chip) {
			do(c, 0, 0x06)
			c.Select()
			c.Shift([]byte{0x42, 0, 0, 0, 0}, nil)
			c.ShiftBits(0, 1)
			c.Deselect()
		}, 0x02, 0x80},
		{"times out", nor.Options{Faults: nor.Faults{FailProgram: true}}, func(c *nor.Chip) { write(c, 0x42, 0, 0, 0, 0) }, 0x00, 0x90},
	} {
		c := newChip(t, "MT25QL256ABA", row.options)
		row.attempt(c)
		expect(t, row.what, append(otp(c), status(c), flags(c)), append(slices.Clone(blank), row.sr, row.fsr))
		if n := c.Counters()[nor.CountOTP]; n != 0 {
			t.Errorf("%s: counted %d times", row.what, n)
		}
	}
	// locked, both readings; and where reading goes on
	for _, other := range []bool{false, true} {
		c := newChip(t, "MT25QL256ABA", nor.Options{LockedOTPSilent: other, OTPWraps: other})
		write(c, 0x42, 0, 0, 0, 0xAA)
		write(c, 0x42, 0, 0, 0x40, 0xFE)
		write(c, 0x42, 0, 0, 0x01, 0)
		want, behind := byte(0x92), []byte{0xFF, 0xFE, 0xFE, 0xFE}
		if other {
			want, behind = 0x80, []byte{0xFF, 0xFE, 0xAA, 0xFF}
		}
		expect(t, fmt.Sprint("locked, silent ", other), append(otp(c)[:2], status(c), flags(c)), []byte{0xAA, 0xFF, 0x02, want})
		expect(t, fmt.Sprint("behind the control byte, wraps ", other), do(c, 4, 0x4B, 0, 0, 0x3F, 0), behind)
	}
}

// 42 is busy for its time, cannot be suspended, and does not begin while an erase is suspended.
func TestOTPTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		write(c, 0x42, 0, 0, 0, 0)
		do(c, 0, 0x75)
		time.Sleep(120*time.Microsecond - 1)
		expect(t, "busy", append(otp(c)[:1], status(c), flags(c)), []byte{0xFF, 0x03, 0x00})
		time.Sleep(time.Nanosecond)
		expect(t, "done", append(otp(c)[:1], status(c), flags(c)), []byte{0x00, 0x00, 0x80})
		write(c, 0xD8, 0, 0, 0)
		do(c, 0, 0x75)
		do(c, 0, 0x42, 0, 0, 1, 0)
		expect(t, "while an erase is suspended", append(otp(c)[:2], status(c), flags(c)), []byte{0x00, 0xFF, 0x02, 0xC0})
	})
}

// The board file holds it, busy or not.
func TestOTPReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := nor.Options{Pace: nor.Real}
		path := filepath.Join(t.TempDir(), "chip")
		c := create(t, path, "MT25QL128ABA", o)
		defer func() { c.Close() }()
		write(c, 0x42, 0, 0, 0x3F, 0x12, 0xFE)
		c = reopen(t, c, path, o)
		expect(t, "busy", []byte{status(c)}, []byte{0x03})
		time.Sleep(time.Millisecond)
		c = reopen(t, c, path, o)
		expect(t, "held", otp(c)[0x3E:], []byte{0xFF, 0x12, 0xFE})
		if n := c.Counters()[nor.CountOTP]; n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}
