package nor_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// registers reads everything that power-up and reset touch.
func registers(c *nor.Chip) []byte {
	return slices.Concat(do(c, 1, 0x05), do(c, 1, 0x70), do(c, 2, 0xB5), do(c, 1, 0x85), do(c, 1, 0x65), do(c, 1, 0xC8), do(c, 1, 0xA7),
		do(c, 1, 0xE0, 0, 1, 0, 0), do(c, 1, 0xE2, 0, 1, 0, 0))
}

func reset(c *nor.Chip) {
	do(c, 0, 0x66)
	do(c, 0, 0x99)
}

func cycle(c *nor.Chip) {
	c.Power(false)
	c.Power(true)
}

// Power-up and reset load the volatile state from the nonvolatile, and clear the flags.
func TestVolatileState(t *testing.T) {
	for what, restart := range map[string]func(*nor.Chip){"reset": reset, "power cycle": cycle} {
		c := newChip(t, "MT25QL256ABA", nor.Options{})
		factory := []byte{0x00, 0x80, 0xFF, 0xFF, 0xFB, 0xFF, 0x00, 0x01, 0x00, 0xFF}
		expect(t, what+": factory", registers(c), factory)
		write(c, 0x01, 0x18)
		write(c, 0xE3, 0, 1, 0, 0)
		write(c, 0xE1, 0, 1, 0, 0, 0x03)
		write(c, 0xC5, 0x01)
		write(c, 0x81, 0x3B)
		write(c, 0x61, 0xFA)
		write(c, 0xA6)
		write(c, 0xB7)
		write(c, 0x02, 0, 1, 0, 0, 0) // refused: locked
		changed := []byte{0x1A, 0x93, 0xFF, 0xFF, 0x3B, 0xFA, 0x01, 0x00, 0x03, 0x00}
		expect(t, what+": changed", registers(c), changed)
		restart(c)
		want := slices.Clone(factory)
		want[0], want[9] = 0x18, 0x00 // what is nonvolatile stays
		expect(t, what+": afterwards", registers(c), want)

		// NVCR: 4-byte addresses, upper segment, 3 dummy clocks, another drive, no HOLD#
		write(c, 0xB1, 0xAC, 0x3F)
		expect(t, what+": NVCR acts later", do(c, 4, 0xB5), []byte{0xAC, 0x3F, 0xAC, 0x3F})
		expect(t, what+": NVCR acts later", []byte{flags(c), do(c, 1, 0x85)[0]}, []byte{0x80, 0xFB})
		restart(c)
		expect(t, what+": NVCR acts now", []byte{flags(c), do(c, 1, 0x85)[0], do(c, 1, 0x65)[0], do(c, 1, 0xC8)[0]}, []byte{0x81, 0x3B, 0xEE, 0x01})
	}
}

func TestResetNeedsItsEnable(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	freeze := func() { write(c, 0xA6) }
	freeze()
	do(c, 0, 0x99)
	if !c.Frozen() {
		t.Error("99 alone resets")
	}
	do(c, 0, 0x66)
	do(c, 1, 0x05)
	do(c, 0, 0x99)
	if !c.Frozen() {
		t.Error("66, 05, 99 resets")
	}
	do(c, 0, 0x66, 0x99)
	if !c.Frozen() {
		t.Error("66 and 99 in one frame reset")
	}
	do(c, 0, 0x66)
	do(c, 0, 0x66)
	do(c, 0, 0x99)
	if c.Frozen() {
		t.Error("66, 66, 99 does not reset")
	}
}

// Password mode: freeze is what the chip wakes up with, and nothing opens it here.
func TestPasswordModeStartsFrozen(t *testing.T) {
	for _, restart := range []func(*nor.Chip){reset, cycle} {
		c := newChip(t, "MT25QL256ABA", nor.Options{})
		write(c, 0x2C, 0xFB, 0xFF)
		if c.Frozen() {
			t.Error("2C froze at once")
		}
		restart(c)
		if !c.Frozen() {
			t.Error("password mode came up open")
		}
		if n := c.Counters()[nor.CountSectorProtection]; n != 1 {
			t.Errorf("2C counted %d times", n)
		}
		c = newChip(t, "MT25QL256ABA", nor.Options{})
		write(c, 0x2C, 0xFD, 0xFF)
		restart(c)
		if c.Frozen() {
			t.Error("the other mode came up frozen")
		}
	}
}

func TestDeepPowerDown(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	do(c, 0, 0xB9)
	expect(t, "asleep", slices.Concat(do(c, 1, 0x9F), do(c, 1, 0x05), do(c, 1, 0x70)), []byte{0xFF, 0xFF, 0xFF})
	reset(c)
	expect(t, "reset does not wake it", do(c, 1, 0x9F), []byte{0xFF})
	do(c, 0, 0xAB)
	expect(t, "awake", do(c, 1, 0x9F), []byte{0x20})
	do(c, 0, 0xB9)
	cycle(c)
	expect(t, "power wakes it", do(c, 1, 0x9F), []byte{0x20})
}

// A chip configured away from one wire is silent there; a volatile mistake ends with the power, the other stays.
func TestOtherProtocols(t *testing.T) {
	for _, row := range []struct {
		what    string
		out     []byte
		forever bool
	}{
		{"EVCR quad", []byte{0x61, 0x7F}, false},
		{"VCR XIP", []byte{0x81, 0xF3}, false},
		{"NVCR quad", []byte{0xB1, 0xF7, 0xFF}, true},
		{"NVCR dual", []byte{0xB1, 0xFB, 0xFF}, true},
		{"NVCR DTR", []byte{0xB1, 0xDF, 0xFF}, true},
		{"NVCR XIP", []byte{0xB1, 0xFF, 0xF1}, true},
	} {
		c := newChip(t, "MT25QL256ABA", nor.Options{})
		write(c, row.out...)
		if !row.forever {
			expect(t, row.what, do(c, 1, 0x9F), []byte{0xFF})
		}
		cycle(c)
		if silent := do(c, 1, 0x9F)[0] == 0xFF; silent != row.forever {
			t.Errorf("%s: silent after power-up %v, want %v", row.what, silent, row.forever)
		}
	}
}

// After power-up and wake-up the chip listens only after a while.
func TestDeafTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		for what, row := range map[string]struct {
			do   func()
			time time.Duration
		}{
			"power-up": {func() { cycle(c) }, 150 * time.Microsecond},
			"wake-up":  {func() { do(c, 0, 0xB9); do(c, 0, 0xAB) }, 30 * time.Microsecond},
		} {
			row.do()
			time.Sleep(row.time - 1)
			expect(t, what+" too early", do(c, 1, 0x9F), []byte{0xFF})
			time.Sleep(time.Nanosecond)
			expect(t, what, do(c, 1, 0x9F), []byte{0x20})
		}
	})
}
