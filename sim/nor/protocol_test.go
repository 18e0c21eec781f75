package nor_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

var configurations = []struct {
	what     string
	out      []byte
	forever  bool // outlives the power
	rescue   bool // the interface rescue helps
	volatile bool // takes effect at once
}{
	{"35", []byte{0x35}, false, true, true},
	{"EVCR quad", []byte{0x61, 0x7F}, false, true, true},
	{"EVCR dual", []byte{0x61, 0xBF}, false, true, true},
	{"EVCR quad and dual", []byte{0x61, 0x3F}, false, true, true},
	{"EVCR DTR", []byte{0x61, 0xDF}, false, false, true},
	{"EVCR quad and DTR", []byte{0x61, 0x5F}, false, false, true},
	{"VCR XIP", []byte{0x81, 0xF3}, false, false, true},
	{"NVCR quad", []byte{0xB1, 0xF7, 0xFF}, true, true, false},
	{"NVCR dual", []byte{0xB1, 0xFB, 0xFF}, true, true, false},
	{"NVCR DTR", []byte{0xB1, 0xDF, 0xFF}, true, false, false},
	{"NVCR XIP", []byte{0xB1, 0xFF, 0xF1}, true, false, false},
	{"NVCR quad and XIP", []byte{0xB1, 0xF7, 0xF1}, true, false, false},
}

// silent tells whether the chip answers nothing on one wire.
func silent(c *nor.Chip) bool {
	return slices.Equal(slices.Concat(do(c, 3, 0x9F), do(c, 3, 0xAF), do(c, 1, 0x05), do(c, 1, 0x70)), filled(8, 0xFF))
}

// A chip configured away from one wire is silent there; a volatile mistake ends with the power, the other stays.
func TestOtherProtocols(t *testing.T) {
	for _, row := range configurations {
		c := newChip(t, "MT25QL256ABA", nor.Options{})
		write(c, row.out...)
		if silent(c) != row.volatile {
			t.Errorf("%s: silent at once %v, want %v", row.what, silent(c), row.volatile)
		}
		do(c, 0, 0xF5)
		if reset(c); !silent(c) { // is not heard, or loads the nonvolatile configuration
			t.Errorf("%s: not silent after F5, 66 and 99", row.what)
		}
		cycle(c)
		if silent(c) != row.forever {
			t.Errorf("%s: silent after power-up %v, want %v", row.what, silent(c), row.forever)
		}
	}
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	do(c, 0, 0x35) // needs no write enable
	if !silent(c) {
		t.Error("35 without write enable")
	}
}

// The interface rescue brings quad and dual protocol back to one wire until the next boot, and nothing else does.
func TestInterfaceRescue(t *testing.T) {
	for _, no := range []bool{false, true} {
		for _, row := range configurations {
			what := fmt.Sprint(row.what, ", NoRescue ", no)
			c := newChip(t, "MT25QL256ABA", nor.Options{NoRescue: no})
			write(c, row.out...)
			if !row.volatile {
				cycle(c)
			}
			for _, out := range [][]byte{{0xFF, 0xFF}, {0x7F}, {0xFE}, {}} {
				if do(c, 0, out...); !silent(c) {
					t.Errorf("%s: % X ended it", what, out)
				}
			}
			for _, n := range []int{7, 9} { // clocks
				c.Select()
				c.ShiftBits(0xFF, min(n, 8))
				c.ShiftBits(0xFF, n-min(n, 8))
				c.Deselect()
				if !silent(c) {
					t.Errorf("%s: %d clocks ended it", what, n)
				}
			}
			do(c, 0, 0xFF)
			if got := !silent(c); got != (row.rescue && !no) {
				t.Errorf("%s: rescued %v", what, got)
			}
			cycle(c)
			if silent(c) != row.forever {
				t.Errorf("%s: silent after power-up %v, want %v", what, silent(c), row.forever)
			}
			do(c, 0, 0xFF)
			if got := !silent(c); row.forever && got != (row.rescue && !no) {
				t.Errorf("%s: rescued %v after power-up", what, got)
			}
		}
	}
	// what is repaired through a rescue stays repaired
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	write(c, 0xB1, 0xF7, 0xFF)
	cycle(c)
	do(c, 0, 0xFF)
	expect(t, "NVCR after the rescue", append(do(c, 2, 0xB5), do(c, 1, 0x65)...), []byte{0xF7, 0xFF, 0xFF})
	write(c, 0xB1, 0xFF, 0xFF)
	cycle(c)
	expect(t, "after the repair", do(c, 3, 0x9F), []byte{0x20, 0xBA, 0x19})
	do(c, 0, 0xFF) // on one wire FF is nothing
	expect(t, "after FF", append(do(c, 1, 0x65), status(c), flags(c)), []byte{0xFF, 0x00, 0x80})

	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		write(c, 0xB1, 0xF7, 0xFF)
		time.Sleep(time.Second)
		cycle(c)
		do(c, 0, 0xFF) // too early after power-up
		time.Sleep(time.Millisecond)
		if !silent(c) {
			t.Error("the rescue reached a chip that was not up")
		}
	})
}

// 0B and 0C have the dummy clocks of the volatile configuration, to the bit; the other reads have their own.
func TestDummyClocks(t *testing.T) {
	for setting := range 16 {
		c := newChip(t, "MT25QL512ABB", nor.Options{})
		data := []byte{0xA5, 0x3C, 0x01, 0x80, 0x7E, 0x42}
		write(c, with(data, 0x02, 0, 0, 0)...)
		write(c, 0x81, byte(setting)<<4|0xB)
		clocks := setting
		if setting == 0 || setting == 15 {
			clocks = 8
		}
		for _, out := range [][]byte{{0x0B, 0, 0, 0}, {0x0C, 0, 0, 0, 0}} {
			c.Select()
			c.Shift(out, nil)
			for range clocks {
				if c.ShiftBits(0, 1) != 1 {
					t.Errorf("%d clocks: something is driven in them", setting)
				}
			}
			for i, want := range data {
				if got := c.ShiftBits(0, 8); got != want {
					t.Errorf("%02X after %d clocks: byte %d is %02X, want %02X", out[0], clocks, i, got, want)
				}
			}
			c.Deselect()
			// a host that clocks 8 whatever is set sees the data shifted
			if got := do(c, 6, append(out, 0)...); slices.Equal(got, data) != (clocks == 8) {
				t.Errorf("%02X with 8 clocks instead of %d reads % X", out[0], clocks, got)
			}
		}
		expect(t, fmt.Sprint("03 with ", setting), do(c, 6, 0x03, 0, 0, 0), data)
		expect(t, fmt.Sprint("5A with ", setting), do(c, 4, 0x5A, 0, 0, 0, 0), []byte("SFDP"))
		expect(t, fmt.Sprint("4B with ", setting), do(c, 2, 0x4B, 0, 0, 0x3F, 0), []byte{0xFF, 0xFF})
	}
}
