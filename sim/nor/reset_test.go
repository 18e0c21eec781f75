package nor_test

import (
	"fmt"
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

// The volatile locks of the secure part come up set where the switch says so, those of other parts never.
func TestLockedAtBoot(t *testing.T) {
	for _, part := range []string{"MT25QU256ABA", "MT25QU256ABA-1SIT"} {
		for _, on := range []bool{false, true} {
			want := byte(0)
			if on && part != "MT25QU256ABA" {
				want = 1
			}
			for what, restart := range map[string]func(*nor.Chip){"factory": func(*nor.Chip) {}, "reset": reset, "power cycle": cycle} {
				c := newChip(t, part, nor.Options{LockedAtBoot: on})
				restart(c)
				for _, at := range []int{0, 0xF000, 0x10000, 0x1FE0000, 0x1FF0000, 0x1FFF000} {
					expect(t, fmt.Sprintf("%s, %s: cell of 0x%x", part, what, at), do(c, 1, at4(0xE0, at)...), []byte{want})
				}
				write(c, 0x02, 1, 0, 0, 0)
				expect(t, part+", "+what+": program", []byte{flags(c)}, []byte{0x80 | want*0x12})
				do(c, 0, 0x50)
				write(c, 0xE5, 1, 0, 0, 0)
				write(c, 0x20, 1, 0, 0)
				expect(t, part+", "+what+": unlocked", append(c.Bytes(0x10000, 1), flags(c)), []byte{0xFF, 0x80})
			}
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
