package nor_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

var (
	secret = []byte{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}
	blank8 = bytes.Repeat([]byte{0xFF}, 8)
)

// inPasswordMode is a chip with the password secret, password mode on, restarted.
func inPasswordMode(t *testing.T, o nor.Options, restart func(*nor.Chip)) *nor.Chip {
	c := newChip(t, "MT25QL256ABA", o)
	write(c, with(secret, 0x28)...)
	write(c, 0x2C, 0xFB, 0xFF)
	restart(c)
	return c
}

func TestPassword(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	expect(t, "factory", do(c, 8, 0x27), blank8)
	write(c, with(secret, 0x28)...)
	expect(t, "27, FF behind it", do(c, 10, 0x27), append(slices.Clone(secret), 0xFF, 0xFF))
	expect(t, "status", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
	if c.Password() != [8]byte(secret) || c.SPR() != 0xFFFF {
		t.Errorf("Password % X, SPR %04X", c.Password(), c.SPR())
	}
	for what, restart := range map[string]func(*nor.Chip){"reset": reset, "power cycle": cycle} {
		restart(c)
		expect(t, "27 after "+what, do(c, 8, 0x27), secret)
	}
	// the same again, and one that clears more bits: no flag
	write(c, with(secret, 0x28)...)
	write(c, 0x28, 0x80, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11)
	expect(t, "cleared more", append(do(c, 8, 0x27), flags(c), status(c)), []byte{0x80, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x80, 0x00})
	// one that would set bits: those that it clears are cleared, the flag tells, WEL ends
	write(c, with(blank8, 0x28)...)
	write(c, 0x28, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F)
	expect(t, "ANDed", append(do(c, 8, 0x27), flags(c), status(c)), []byte{0x00, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x90, 0x00})
	if n := c.Counters()[nor.CountPassword]; n != 5 {
		t.Errorf("28 counted %d times of 5", n)
	}

	z := newChip(t, "MT25QL256ABA", nor.Options{BlankPassword00: true})
	expect(t, "factory of zeros", do(z, 8, 0x27), make([]byte, 8))
	write(z, with(secret, 0x28)...)
	expect(t, "set", append(do(z, 8, 0x27), flags(z)), append(slices.Clone(secret), 0x80))
	write(z, 0x28, 0, 0, 0, 0, 0, 0, 0, 0)
	expect(t, "not cleared", append(do(z, 8, 0x27), flags(z)), append(slices.Clone(secret), 0x90))

	o := newChip(t, "MT25QL256ABA", nor.Options{SecondPassword: nor.Overwrites})
	write(o, with(secret, 0x28)...)
	write(o, 0x28, 1, 2, 3, 4, 5, 6, 7, 8)
	expect(t, "overwritten", append(do(o, 8, 0x27), flags(o)), []byte{1, 2, 3, 4, 5, 6, 7, 8, 0x80})
}

// Section 6.5 and 6.6: in password mode the chip wakes up frozen, tells and takes no password, and only 29 opens it.
func TestPasswordMode(t *testing.T) {
	for what, restart := range map[string]func(*nor.Chip){"reset": reset, "power cycle": cycle} {
		c := newChip(t, "MT25QL256ABA", nor.Options{})
		write(c, with(secret, 0x28)...)
		write(c, 0xE3, 0, 1, 0, 0)
		write(c, 0x2C, 0xFB, 0xFF)
		expect(t, what+": at once", slices.Concat(do(c, 2, 0x2D), do(c, 8, 0x27), do(c, 1, 0xA7), []byte{status(c), flags(c)}),
			slices.Concat([]byte{0xFB, 0xFF}, blank8, []byte{0x01, 0x00, 0x80}))
		if c.SPR() != 0xFFFB || c.Password() != [8]byte(secret) {
			t.Errorf("%s: SPR %04X, password % X", what, c.SPR(), c.Password())
		}
		restart(c)
		expect(t, what+": wakes up frozen", slices.Concat(do(c, 1, 0xA7), do(c, 2, 0x2D), do(c, 8, 0x27)), slices.Concat([]byte{0x00, 0xFB, 0xFF}, blank8))
		write(c, 0xE4)
		expect(t, what+": frozen", []byte{flags(c), status(c)}, []byte{0xA2, 0x02})
		do(c, 0, 0x50)
		do(c, 0, 0x04)

		do(c, 0, with(blank8, 0x29)...)
		expect(t, what+": wrong password", append(do(c, 1, 0xA7), flags(c), status(c)), []byte{0x00, 0x90, 0x00})
		do(c, 0, 0x50)
		do(c, 0, with(secret, 0x29)...)
		expect(t, what+": right password", append(do(c, 1, 0xA7), flags(c), status(c)), []byte{0x01, 0x80, 0x00})
		expect(t, what+": 27 tells no more", do(c, 8, 0x27), blank8)
		do(c, 0, with(blank8, 0x29)...)
		expect(t, what+": a wrong one closes nothing", append(do(c, 1, 0xA7), flags(c)), []byte{0x01, 0x90})
		do(c, 0, 0x50)
		write(c, 0xE4)
		if c.LockedNonvolatile(1) {
			t.Errorf("%s: E4 after 29 had no effect", what)
		}
		write(c, 0xA6)
		expect(t, what+": A6 closes", do(c, 1, 0xA7), []byte{0x00})
		do(c, 0, 0x06)
		do(c, 0, with(secret, 0x29)...)
		expect(t, what+": 29 leaves WEL alone", append(do(c, 1, 0xA7), status(c)), []byte{0x01, 0x02})
		restart(c)
		expect(t, what+": frozen again", do(c, 1, 0xA7), []byte{0x00})
		if n := c.Counters(); n[nor.CountPassword] != 1 || n[nor.CountSectorProtection] != 1 {
			t.Errorf("%s: counters %v", what, n)
		}
	}
	c := inPasswordMode(t, nor.Options{UndrivenReads00: true}, reset)
	expect(t, "27 in password mode, bus low", do(c, 8, 0x27), make([]byte, 8))
}

// The other one-time bit: the password stays readable and writable, and password mode never comes.
func TestPersistentProtectionMode(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	write(c, with(secret, 0x28)...)
	write(c, 0x2C, 0xFD, 0xFF)
	write(c, 0xA6)
	cycle(c)
	expect(t, "afterwards", slices.Concat(do(c, 2, 0x2D), do(c, 8, 0x27), do(c, 1, 0xA7)), slices.Concat([]byte{0xFD, 0xFF}, secret, []byte{0x01}))
	write(c, 0x2C, 0xFB, 0xFF)
	if c.SPR() != 0xFFFD || c.Counters()[nor.CountSectorProtection] != 1 {
		t.Errorf("SPR %04X, counters %v", c.SPR(), c.Counters())
	}
}

// Chips that lie: what the pins tell is not what took effect.
func TestStuckReads(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{Faults: nor.Faults{PasswordReadsFF: true, SPRReadsFFFF: true}})
	write(c, with(secret, 0x28)...)
	expect(t, "27", do(c, 8, 0x27), blank8)
	if c.Password() != [8]byte(secret) {
		t.Errorf("28 did not hold: % X", c.Password())
	}
	write(c, 0x2C, 0xFB, 0xFF)
	expect(t, "2D", do(c, 2, 0x2D), []byte{0xFF, 0xFF})
	reset(c)
	if c.SPR() != 0xFFFB || !c.Frozen() {
		t.Errorf("2C did not hold: %04X", c.SPR())
	}
	c.SetFaults(nor.Faults{})
	expect(t, "without the fault", do(c, 2, 0x2D), []byte{0xFB, 0xFF})
}

func TestPasswordTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		for _, row := range []struct {
			what   string
			out    []byte
			wel    byte
			time   time.Duration
			before func() bool // still as it was
		}{
			{"28", with(secret, 0x28), 2, 200 * time.Microsecond, func() bool { return c.Password() == [8]byte(blank8) }},
			{"2C", []byte{0x2C, 0xFB, 0xFF}, 2, 100 * time.Microsecond, func() bool { return c.SPR() == 0xFFFF }},
			{"29", with(secret, 0x29), 0, 100 * time.Microsecond, func() bool { return c.Frozen() }},
		} {
			if row.out[0] == 0x29 {
				reset(c)
			} else {
				do(c, 0, 0x06)
			}
			do(c, 0, row.out...)
			time.Sleep(row.time - 1)
			do(c, 0, 0x75) // cannot be suspended
			if !row.before() {
				t.Errorf("%s took effect too early", row.what)
			}
			expect(t, row.what+" busy", append(do(c, 8, 0x27), status(c), flags(c)), append(slices.Clone(blank8), row.wel|1, 0x00))
			time.Sleep(time.Nanosecond)
			expect(t, row.what+" ready", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
			if row.before() {
				t.Errorf("%s had no effect", row.what)
			}
		}
	})
}
