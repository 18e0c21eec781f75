package nor_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// TestRefusals is section 4.1, row by row: what the array and the registers look like afterwards, WEL and WIP, the
// flag status.
func TestRefusals(t *testing.T) {
	program := func(c *nor.Chip) { write(c, 0x02, 0, 0, 0, 0x00) }
	lock := func(c *nor.Chip) { write(c, 0xE3, 0, 0, 0, 0) }
	freeze := func(c *nor.Chip) { write(c, 0xA6) }
	blank := func(c *nor.Chip) bool { return c.Bytes(0, 1)[0] == 0xFF }
	free := func(c *nor.Chip) bool { return !c.LockedNonvolatile(0) }
	held := func(c *nor.Chip) bool { return c.LockedNonvolatile(0) }
	spr := func(lo byte) func(*nor.Chip) bool {
		return func(c *nor.Chip) bool { return slices.Equal(do(c, 2, 0x2D), []byte{lo, 0xFF}) }
	}
	// offByte sends the frame and one more bit
	offByte := func(out ...byte) func(c *nor.Chip) {
		return func(c *nor.Chip) {
			do(c, 0, 0x06)
			c.Select()
			c.Shift(out, nil)
			c.ShiftBits(0xFF, 1)
			c.Deselect()
		}
	}
	// P, in the order of the wire, and password mode with it
	p := []byte{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}
	password := func(c *nor.Chip) { write(c, with(p, 0x28)...) }
	mode := func(c *nor.Chip) { write(c, 0x2C, 0xFB, 0xFF) }
	none := func(c *nor.Chip) bool {
		return c.Password() == [8]byte(bytes.Repeat([]byte{0xFF}, 8)) && c.Counters()[nor.CountPassword] == 0
	}
	isP := func(c *nor.Chip) bool { return c.Password() == [8]byte(p) && c.Counters()[nor.CountPassword] == 1 }
	frozen := (*nor.Chip).Frozen
	bare := func(out ...byte) func(*nor.Chip) { return func(c *nor.Chip) { do(c, 0, out...) } }
	enabled := func(out ...byte) func(*nor.Chip) { return func(c *nor.Chip) { write(c, out...) } }

	for _, row := range []struct {
		what     string
		options  nor.Options
		before   []func(*nor.Chip)
		attempt  func(*nor.Chip)
		unharmed func(*nor.Chip) bool
		sr, fsr  byte
	}{
		{"02 without WREN", nor.Options{}, nil, bare(0x02, 0, 0, 0, 0), blank, 0x00, 0x80},
		{"20 without WREN", nor.Options{}, []func(*nor.Chip){program}, bare(0x20, 0, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x00, 0x80},
		{"C7 without WREN", nor.Options{}, []func(*nor.Chip){program}, bare(0xC7), func(c *nor.Chip) bool { return !blank(c) }, 0x00, 0x80},
		{"01 without WREN", nor.Options{}, nil, bare(0x01, 0x1C), func(c *nor.Chip) bool { return true }, 0x00, 0x80},
		{"B1 without WREN", nor.Options{}, nil, bare(0xB1, 0xFE, 0xFF), func(c *nor.Chip) bool { return do(c, 1, 0xB5)[0] == 0xFF }, 0x00, 0x80},
		{"81 without WREN", nor.Options{}, nil, bare(0x81, 0x0B), func(c *nor.Chip) bool { return do(c, 1, 0x85)[0] == 0xFB }, 0x00, 0x80},
		{"61 without WREN", nor.Options{}, nil, bare(0x61, 0xEF), func(c *nor.Chip) bool { return do(c, 1, 0x65)[0] == 0xFF }, 0x00, 0x80},
		{"C5 without WREN", nor.Options{}, nil, bare(0xC5, 0x01), func(c *nor.Chip) bool { return do(c, 1, 0xC8)[0] == 0x00 }, 0x00, 0x80},
		{"E3 without WREN", nor.Options{}, nil, bare(0xE3, 0, 0, 0, 0), free, 0x00, 0x80},
		{"E4 without WREN", nor.Options{}, []func(*nor.Chip){lock}, bare(0xE4), held, 0x00, 0x80},
		{"E5 without WREN", nor.Options{}, nil, bare(0xE5, 0, 0, 0, 1), func(c *nor.Chip) bool { return do(c, 1, 0xE8, 0, 0, 0)[0] == 0 }, 0x00, 0x80},
		{"A6 without WREN", nor.Options{}, nil, bare(0xA6), func(c *nor.Chip) bool { return !c.Frozen() }, 0x00, 0x80},
		{"2C without WREN", nor.Options{}, nil, bare(0x2C, 0xFB, 0xFF), spr(0xFF), 0x00, 0x80},

		{"28 without WREN", nor.Options{}, nil, bare(with(p, 0x28)...), none, 0x00, 0x80},

		{"02 off a byte boundary", nor.Options{}, nil, offByte(0x02, 0, 0, 0, 0), blank, 0x02, 0x80},
		{"20 off a byte boundary", nor.Options{}, []func(*nor.Chip){program}, offByte(0x20, 0, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0x80},
		{"E3 off a byte boundary", nor.Options{}, nil, offByte(0xE3, 0, 0, 0, 0), free, 0x02, 0x80},
		{"2C off a byte boundary", nor.Options{}, nil, offByte(0x2C, 0xFB, 0xFF), spr(0xFF), 0x02, 0x80},
		{"28 off a byte boundary", nor.Options{}, nil, offByte(with(p, 0x28)...), none, 0x02, 0x80},
		{"29 off a byte boundary", nor.Options{}, []func(*nor.Chip){password, mode, reset}, offByte(with(p, 0x29)...), frozen, 0x02, 0x80},
		{"04 off a byte boundary", nor.Options{}, nil, offByte(0x04), blank, 0x02, 0x80},
		{"20 too short", nor.Options{}, []func(*nor.Chip){program}, enabled(0x20, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0x80},
		{"01 with two bytes", nor.Options{}, nil, enabled(0x01, 0x1C, 0x00), blank, 0x02, 0x80},
		{"28 of 7 bytes", nor.Options{}, nil, enabled(with(p[:7], 0x28)...), none, 0x02, 0x80},
		{"28 of 9 bytes", nor.Options{}, nil, enabled(with(append(slices.Clone(p), 0), 0x28)...), none, 0x02, 0x80},
		{"29 of 7 bytes", nor.Options{}, []func(*nor.Chip){password, mode, reset}, bare(with(p[:7], 0x29)...), frozen, 0x00, 0x80},
		{"29 of 9 bytes", nor.Options{}, []func(*nor.Chip){password, mode, reset}, bare(with(append(slices.Clone(p), 0), 0x29)...), frozen, 0x00, 0x80},
		{"2C of one byte", nor.Options{}, nil, enabled(0x2C, 0xFB), spr(0xFF), 0x02, 0x80},
		{"A6 with a byte", nor.Options{}, nil, enabled(0xA6, 0), func(c *nor.Chip) bool { return !c.Frozen() }, 0x02, 0x80},

		{"4 KiB erase in a locked sector", nor.Options{}, []func(*nor.Chip){program, lock}, enabled(0x20, 0, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0xA2},
		{"64 KiB erase of a locked sector", nor.Options{}, []func(*nor.Chip){program, lock}, enabled(0xD8, 0, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0xA2},
		{"bulk erase with a locked sector", nor.Options{}, []func(*nor.Chip){program, lock}, enabled(0xC7), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0xA2},
		{"bulk erase with a locked 4 KiB", nor.Options{}, []func(*nor.Chip){program, enabled(0xE5, 0xFF, 0xF0, 0, 1)}, enabled(0x60), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0xA2},
		{"bulk erase with a BP bit", nor.Options{}, []func(*nor.Chip){program, enabled(0x01, 0x04)}, enabled(0xC7), func(c *nor.Chip) bool { return !blank(c) }, 0x06, 0xA2},
		{"32 KiB erase over a locked 4 KiB", nor.Options{}, []func(*nor.Chip){program, enabled(0xE5, 0, 0x70, 0, 1)}, enabled(0x52, 0, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x02, 0xA2},
		{"program in a locked sector", nor.Options{}, []func(*nor.Chip){lock}, enabled(0x02, 0, 0, 0, 0), blank, 0x02, 0x92},
		{"program in a volatile lock", nor.Options{}, []func(*nor.Chip){enabled(0xE5, 0, 0, 0, 1)}, enabled(0x02, 0, 0, 0, 0), blank, 0x02, 0x92},
		{"program in a locked sector, bit 1 alone", nor.Options{RefusedProgramBit1: true}, []func(*nor.Chip){lock}, enabled(0x02, 0, 0, 0, 0), blank, 0x02, 0x82},
		{"E5 to a cell that is locked down", nor.Options{}, []func(*nor.Chip){enabled(0xE5, 0, 0, 0, 3)}, enabled(0xE5, 0, 0, 0, 0), func(c *nor.Chip) bool { return do(c, 1, 0xE8, 0, 0, 0)[0] == 3 }, 0x02, 0x80},
		{"E5 to a cell that is locked down, with bits", nor.Options{LockedDownRaises: true}, []func(*nor.Chip){enabled(0xE5, 0, 0, 0, 3)}, enabled(0xE5, 0, 0, 0, 0), func(c *nor.Chip) bool { return do(c, 1, 0xE8, 0, 0, 0)[0] == 3 }, 0x02, 0x92},
		{"program of identical data in a locked sector", nor.Options{}, []func(*nor.Chip){lock}, enabled(0x02, 0, 0, 0, 0xFF), blank, 0x02, 0x92},
		{"program under block protection", nor.Options{}, []func(*nor.Chip){enabled(0x01, 0x24)}, enabled(0x02, 0, 0, 0, 0), blank, 0x26, 0x92},

		{"erase times out", nor.Options{Faults: nor.Faults{FailErase: true}}, []func(*nor.Chip){program}, enabled(0x20, 0, 0, 0), func(c *nor.Chip) bool { return !blank(c) }, 0x00, 0xA0},
		{"program times out", nor.Options{Faults: nor.Faults{FailProgram: true}}, nil, program, blank, 0x00, 0x90},
		{"28 times out", nor.Options{Faults: nor.Faults{FailProgram: true}}, nil, password, none, 0x00, 0x90},
		{"2C times out", nor.Options{Faults: nor.Faults{FailProgram: true}}, nil, mode, spr(0xFF), 0x00, 0x90},
		{"NVLB program times out", nor.Options{Faults: nor.Faults{FailProgram: true}}, nil, lock, free, 0x00, 0x90},
		{"NVLB erase times out", nor.Options{Faults: nor.Faults{FailErase: true}}, []func(*nor.Chip){lock}, enabled(0xE4), held, 0x00, 0xA0},

		{"E3 on a locked sector", nor.Options{}, []func(*nor.Chip){lock}, lock, func(c *nor.Chip) bool { return held(c) && c.Counters()[nor.CountLock] == 1 }, 0x00, 0x80},
		{"E3 while frozen", nor.Options{}, []func(*nor.Chip){freeze}, lock, free, 0x02, 0x92},
		{"E4 while frozen", nor.Options{}, []func(*nor.Chip){lock, freeze}, enabled(0xE4), held, 0x02, 0xA2},
		{"E3 while frozen, silent part", nor.Options{FrozenSilent: true}, []func(*nor.Chip){freeze}, lock, free, 0x02, 0x80},
		{"E4 while frozen, silent part", nor.Options{FrozenSilent: true}, []func(*nor.Chip){lock, freeze}, enabled(0xE4), held, 0x02, 0x80},
		{"E3 above the array", nor.Options{}, nil, enabled(0xE3, 0x01, 0, 0, 0), free, 0x02, 0x80},
		{"E5 on a locked-down sector", nor.Options{}, []func(*nor.Chip){enabled(0xE5, 0, 0, 0, 2)}, enabled(0xE5, 0, 0, 0, 1), func(c *nor.Chip) bool { return do(c, 1, 0xE8, 0, 0, 0)[0] == 2 }, 0x02, 0x80},
		{"2C of both bits", nor.Options{}, nil, enabled(0x2C, 0xF9, 0xFF), spr(0xFF), 0x02, 0x90},
		{"2C a second time, the other bit", nor.Options{}, []func(*nor.Chip){enabled(0x2C, 0xFD, 0xFF)}, enabled(0x2C, 0xFB, 0xFF), spr(0xFD), 0x02, 0x90},
		{"2C a second time, the same bit", nor.Options{}, []func(*nor.Chip){enabled(0x2C, 0xFB, 0xFF)}, enabled(0x2C, 0xFB, 0xFF), func(c *nor.Chip) bool {
			return spr(0xFB)(c) && c.Counters()[nor.CountSectorProtection] == 1
		}, 0x02, 0x90},
		{"28 in password mode", nor.Options{}, []func(*nor.Chip){password, mode}, enabled(0x28, 0, 0, 0, 0, 0, 0, 0, 0), isP, 0x02, 0x80},
		{"28 of a second password, refusing part", nor.Options{SecondPassword: nor.Refuses}, []func(*nor.Chip){password},
			enabled(0x28, 0, 0, 0, 0, 0, 0, 0, 0), isP, 0x02, 0x90},
		{"29 with a wrong password", nor.Options{}, []func(*nor.Chip){password, mode, reset}, bare(0x29, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88), frozen, 0x00, 0x90},
		{"29 with a wrong password after WREN", nor.Options{}, []func(*nor.Chip){password, mode, reset}, enabled(0x29, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x10), frozen, 0x02, 0x90},
		{"29 with a wrong password outside password mode", nor.Options{}, []func(*nor.Chip){password, freeze}, bare(0x29, 0, 0, 0, 0, 0, 0, 0, 0), frozen, 0x00, 0x90},
		{"29 with the right password outside password mode", nor.Options{}, []func(*nor.Chip){password, freeze}, bare(with(p, 0x29)...), frozen, 0x00, 0x80},
		{"29 with the right password, the other mode chosen", nor.Options{}, []func(*nor.Chip){password, enabled(0x2C, 0xFD, 0xFF), freeze}, bare(with(p, 0x29)...), frozen, 0x00, 0x80},
		{"2C of both bits after one", nor.Options{}, []func(*nor.Chip){mode}, enabled(0x2C, 0xF9, 0xFF), spr(0xFB), 0x02, 0x90},
		{"2C of reserved bits only", nor.Options{}, nil, enabled(0x2C, 0x06, 0x00), spr(0xFF), 0x00, 0x80},
		{"2C of no bit", nor.Options{}, nil, enabled(0x2C, 0xFF, 0xFF), func(c *nor.Chip) bool { return spr(0xFF)(c) && c.Counters()[nor.CountSectorProtection] == 0 }, 0x00, 0x80},
	} {
		t.Run(row.what, func(t *testing.T) {
			o := row.options
			faults := o.Faults
			o.Faults = nor.Faults{}
			c := newChip(t, "MT25QL128ABA", o)
			for _, f := range row.before {
				f(c)
			}
			if got := flags(c); got != 0x80 {
				t.Fatalf("flag status before: %02X", got)
			}
			c.SetFaults(faults)
			row.attempt(c)
			if !row.unharmed(c) {
				t.Error("took effect")
			}
			if sr, fsr := status(c), flags(c); sr != row.sr || fsr != row.fsr {
				t.Errorf("status %02X, flag status %02X; want %02X, %02X", sr, fsr, row.sr, row.fsr)
			}
			do(c, 0, 0x50)
			do(c, 0, 0x04)
			if sr, fsr := status(c), flags(c); sr&3 != 0 || fsr != 0x80 {
				t.Errorf("after 50 and 04: status %02X, flag status %02X", sr, fsr)
			}
		})
	}
}

// While the chip is busy everything but 05, 70 and 75 is ignored, and nothing tells.
func TestBusyIgnores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL128ABA", nor.Options{Pace: nor.Real})
		write(c, 0xD8, 0, 0, 0)
		for op := range 256 {
			if op == 0x05 || op == 0x70 || op == 0x75 {
				continue
			}
			if got := do(c, 2, byte(op), 0, 0, 0, 0); got[0] != 0xFF || got[1] != 0xFF {
				t.Errorf("opcode %02X answers % X while busy", op, got)
			}
		}
		expect(t, "busy", []byte{status(c), flags(c)}, []byte{0x03, 0x00})
		time.Sleep(160 * time.Millisecond)
		expect(t, "done", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
		if got := c.Counters(); got[nor.CountErase] != 1 || got[nor.CountProgram] != 0 || got[nor.CountLock] != 0 {
			t.Errorf("counters %v", got)
		}
	})
}

func TestFlagsAreSticky(t *testing.T) {
	c := newChip(t, "MT25QL128ABA", nor.Options{})
	write(c, 0xE3, 0, 0, 0, 0)
	write(c, 0x02, 0, 0, 0, 0)
	write(c, 0x02, 1, 0, 0, 0) // a success does not clear it
	expect(t, "program error stays", append(c.Bytes(0x10000, 1), flags(c)), []byte{0x00, 0x92})
	write(c, 0x20, 0, 0, 0)
	expect(t, "erase error joins", []byte{flags(c)}, []byte{0xB2})
	do(c, 0, 0x50)
	expect(t, "50 needs no write enable and clears", []byte{flags(c), status(c)}, []byte{0x80, 0x02})
}

func TestBlockProtection(t *testing.T) {
	const sector = 64 << 10
	for _, row := range []struct {
		sr          byte
		first, last int // protected sectors; none where last < first
	}{
		{0x00, 0, -1},
		{0x04, 255, 255}, {0x08, 254, 255}, {0x1C, 192, 255}, {0x40, 128, 255}, {0x44, 0, 255}, {0x5C, 0, 255},
		{0x24, 0, 0}, {0x28, 0, 1}, {0x3C, 0, 63}, {0x60, 0, 127}, {0x64, 0, 255}, {0x7C, 0, 255},
	} {
		c := newChip(t, "MT25QL128ABA", nor.Options{})
		write(c, 0x01, row.sr|0x80|0x03)
		expect(t, "SR", []byte{status(c)}, []byte{row.sr | 0x80})
		for _, s := range []int{0, 1, 2, 63, 64, 127, 128, 191, 192, 253, 254, 255} {
			at := s * sector
			do(c, 0, 0x50)
			write(c, 0x02, byte(at>>16), 0xFF, 0xFF, 0)
			want := byte(0x80)
			if s >= row.first && s <= row.last {
				want = 0x92
			}
			if got := flags(c); got != want {
				t.Errorf("SR %02X: program in sector %d: flag status %02X, want %02X", row.sr, s, got, want)
			}
		}
	}
}

func TestLockBits(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	write(c, 0xE3, 0x01, 0xFF, 0, 0)
	write(c, 0xE3, 0x00, 0x02, 0x12, 0x34) // any address in the sector
	expect(t, "E2", slices.Concat(do(c, 2, 0xE2, 0x01, 0xFF, 0, 0), do(c, 1, 0xE2, 0, 2, 0, 0), do(c, 1, 0xE2, 0, 1, 0, 0)), []byte{0, 0, 0, 0xFF})
	if !c.LockedNonvolatile(511) || !c.LockedNonvolatile(2) || c.LockedNonvolatile(0) || c.LockedNonvolatile(512) || c.LockedNonvolatile(-1) {
		t.Error("LockedNonvolatile disagrees with E2")
	}
	write(c, 0xA6)
	if !c.Frozen() || do(c, 1, 0xA7)[0] != 0 {
		t.Error("A6 did not freeze")
	}
	write(c, 0xE5, 5, 0, 0, 0xFD) // frozen or not; upper bits are 0
	expect(t, "E8", do(c, 2, 0xE8, 5, 0, 0), []byte{1, 1})
	expect(t, "E0", do(c, 1, 0xE0, 0, 5, 0xFF, 0), []byte{1})
	c.Power(false)
	c.Power(true)
	if c.Frozen() || !c.LockedNonvolatile(2) {
		t.Error("power-up did not open the freeze, or lost a lock")
	}
	expect(t, "volatile locks after power-up", do(c, 1, 0xE8, 5, 0, 0), []byte{0})
	write(c, 0xE4)
	if c.LockedNonvolatile(2) || c.LockedNonvolatile(511) {
		t.Error("E4 left a lock")
	}
	got := c.Counters()
	if got[nor.CountLock] != 2 || got[nor.CountUnlockAll] != 1 {
		t.Errorf("counters %v", got)
	}
	quirk := newChip(t, "MT25QL256ABA", nor.Options{UnlockedReads01: true})
	write(quirk, 0xE3, 0, 0, 0, 0)
	expect(t, "00 and 01", append(do(quirk, 1, 0xE2, 0, 0, 0, 0), do(quirk, 1, 0xE2, 0, 1, 0, 0)...), []byte{0, 1})
}

// The first and the last sector have a volatile lock for each 4 KiB, those between one each.
func TestVolatileCells(t *testing.T) {
	for _, whole := range []bool{false, true} {
		c := newChip(t, "MT25QL128ABA", nor.Options{WholeSectorVLB: whole})
		for _, sector := range []byte{0, 1, 254, 255} {
			write(c, 0xE5, sector, 0x30, 0, 1)
			for cell := range 16 {
				want := byte(1)
				if !whole && (sector == 0 || sector == 255) && cell != 3 {
					want = 0
				}
				if got := do(c, 1, 0xE8, sector, byte(cell<<4), 0)[0]; got != want {
					t.Errorf("whole %v: sector %d, 4 KiB %d: %d, want %d", whole, sector, cell, got, want)
				}
				do(c, 0, 0x50)
				write(c, 0x02, sector, byte(cell<<4), 0, 0)
				if refused := flags(c) == 0x92; refused != (want == 1) {
					t.Errorf("whole %v: sector %d, 4 KiB %d: program refused %v", whole, sector, cell, refused)
				}
			}
			write(c, 0xE5, sector, 0x30, 0, 0)
		}
	}
}
