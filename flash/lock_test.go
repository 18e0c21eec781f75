package flash

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

func TestLockNonvolatile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			for _, reads01 := range []bool{false, true} {
				c, w := identified(t, p.Name, nor.Options{UnlockedReads01: reads01})
				before, err := c.Protection(t.Context())
				must(t, err)
				if len(before.LockedRanges()) != 0 || before.SPR != 0xFFFF || before.Frozen {
					t.Fatalf("a factory chip has %+v", before)
				}
				last := p.Sectors() - 1
				must(t, c.LockNonvolatile(t.Context(), 0, 5, 6, last))
				must(t, c.LockNonvolatile(t.Context(), 5)) // again: no error, no effect
				if n := w.chip.Counters()[nor.CountLock]; n != 4 {
					t.Errorf("%s: %d locks took effect", p.Name, n)
				}
				trips := w.trips
				got, err := c.Protection(t.Context())
				must(t, err)
				if w.trips-trips != 2 {
					t.Errorf("%s: protection took %d round trips", p.Name, w.trips-trips)
				}
				want := []Range{{0, 65536}, {0x50000, 0x20000}, {p.Size - 65536, 65536}}
				if !slices.Equal(got.NonvolatileRanges(), want) || !slices.Equal(got.LockedRanges(), want) || got.VolatileRanges() != nil {
					t.Errorf("%s: locked %v", p.Name, got.LockedRanges())
				}
				for s := range p.Sectors() {
					if got.Nonvolatile[s] != w.chip.LockedNonvolatile(s) {
						t.Errorf("%s: sector %d reads %v", p.Name, s, got.Nonvolatile[s])
					}
				}
				must(t, c.EraseNonvolatileLocks(t.Context()))
				after, err := c.Protection(t.Context())
				must(t, err)
				if len(after.LockedRanges()) != 0 {
					t.Errorf("%s: locked %v", p.Name, after.LockedRanges())
				}
				w.idle(t)
			}
		}
	})
}

func TestLockRefuses(t *testing.T) {
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	for _, s := range []int{-1, 512} {
		if c.LockNonvolatile(t.Context(), 1, s) == nil {
			t.Errorf("sector %d was locked", s)
		}
	}
	for _, r := range []Range{{0x10000, 0x1000}, {0x11000, 0x1000}, {0, 0x18000}, {0x20000, 0}, {0x20000, -0x10000}, {c.Part().Size, 0x10000}, {-4096, 4096}} {
		if c.LockVolatile(t.Context(), false, Range{0x10000, 0x10000}, r) == nil {
			t.Errorf("%v was locked", r)
		}
	}
	if w.trips != 0 {
		t.Error("bad input reached the chip")
	}
}

// E3 or E4 that vanish raise no flag; only reading back tells.
func TestLockNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		w.drop = dropping(0xE3)
		err := c.LockNonvolatile(t.Context(), 1, 2)
		is(t, err, ErrNotExecuted)
		if !strings.Contains(err.Error(), "0x010000") {
			t.Errorf("%v does not name the sector", err)
		}
		w.drop = nil
		must(t, c.LockNonvolatile(t.Context(), 1))
		w.drop = dropping(0xE4)
		is(t, c.EraseNonvolatileLocks(t.Context()), ErrNotExecuted)
		w.drop = dropping(0xA6)
		is(t, c.Freeze(t.Context()), ErrNotExecuted)
		w.drop = dropping(0xE1)
		is(t, c.LockVolatile(t.Context(), false, Range{0, 4096}), ErrNotExecuted)
		w.drop = nil
		w.idle(t)
		w.chip.SetFaults(nor.Faults{FailProgram: true, FailErase: true})
		as[*OperationError](t, c.LockNonvolatile(t.Context(), 2))
		as[*OperationError](t, c.EraseNonvolatileLocks(t.Context()))
		w.idle(t)
	})
}

func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, silent := range []bool{false, true} {
			c, w := identified(t, "MT25QU256ABA", nor.Options{FrozenSilent: silent})
			must(t, c.LockNonvolatile(t.Context(), 1))
			if is, err := c.Frozen(t.Context()); is || err != nil {
				t.Errorf("frozen %v, %v", is, err)
			}
			must(t, c.Freeze(t.Context()))
			must(t, c.Freeze(t.Context())) // again: still frozen, no error
			p, err := c.Protection(t.Context())
			must(t, err)
			if !p.Frozen || !w.chip.Frozen() {
				t.Error("not frozen")
			}
			is(t, c.LockNonvolatile(t.Context(), 2), ErrFrozen)
			is(t, c.EraseNonvolatileLocks(t.Context()), ErrFrozen)
			if w.count(0xE4) != 0 || w.count(0xE3) != 1 {
				t.Error("a frozen chip was sent lock commands")
			}
			// A chip that denies being frozen, and is: the refusal or the read-back tells.
			w.forge = func(out, in []byte) {
				for i := range in {
					if out[0] == 0xA7 {
						in[i] = 1
					}
				}
			}
			err = c.LockNonvolatile(t.Context(), 2)
			unlock := c.EraseNonvolatileLocks(t.Context())
			if silent {
				is(t, err, ErrNotExecuted)
				is(t, unlock, ErrNotExecuted)
			} else {
				as[*ProtectedError](t, err)
				as[*ProtectedError](t, unlock)
			}
			w.forge = nil
			w.idle(t)
			// The array itself is as it was: frozen are the lock bits.
			write(t, c, Extent{0x20000, 0x1000, []byte{1}})
			must(t, c.LockVolatile(t.Context(), false, Range{0x30000, 0x10000}))
			w.chip.Power(false)
			w.chip.Power(true)
			if is, err := c.Frozen(t.Context()); is || err != nil {
				t.Errorf("frozen after power-up: %v, %v", is, err)
			}
		}
	})
}

func TestFrozenReadsNonsense(t *testing.T) {
	c, w := identified(t, "MT25QU256ABA", nor.Options{})
	for _, v := range []byte{0xFF, 0x80, 0x02} {
		w.forge = func(out, in []byte) {
			for i := range in {
				if out[0] == 0xA7 {
					in[i] = v
				}
			}
		}
		if _, err := c.Frozen(t.Context()); err == nil {
			t.Errorf("0x%02X was taken for a freeze bit", v)
		}
		if _, err := c.Protection(t.Context()); err == nil {
			t.Errorf("0x%02X was taken for a freeze bit", v)
		}
	}
}

func TestLockVolatile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			for _, whole := range []bool{false, true} {
				w := newWire(t, p.Name, nor.Options{WholeSectorVLB: whole})
				p.VLB4KBoundary = !whole
				c, err := Identify(t.Context(), w, p)
				must(t, err)
				ranges := []Range{{0x20000, 0x20000}, {p.Size - 65536, 65536}}
				if !whole {
					ranges = []Range{{0x1000, 0x2000}, {0xF000, 0x11000}, {p.Size - 0x1000, 0x1000}}
				}
				must(t, c.LockVolatile(t.Context(), false, ranges...))
				got, err := c.Protection(t.Context())
				must(t, err)
				if !slices.Equal(got.VolatileRanges(), ranges) || !slices.Equal(got.LockedRanges(), ranges) || got.NonvolatileRanges() != nil {
					t.Errorf("%s: locked %v, want %v", p.Name, got.LockedRanges(), ranges)
				}
				// What reads locked is locked, what does not is not.
				for _, r := range ranges {
					must(t, c.ProbeLocked(t.Context(), r.Addr))
					must(t, c.ProbeLocked(t.Context(), r.Addr+r.Size-1))
					as[*UnprotectedError](t, c.ProbeLocked(t.Context(), r.Addr-1))
				}
				must(t, c.Reset(t.Context()))
				if got, err = c.Protection(t.Context()); err != nil || len(got.LockedRanges()) != 0 {
					t.Errorf("%s: after reset %v, %v", p.Name, got.LockedRanges(), err)
				}
				w.idle(t)
			}
		}
	})
}

// Locked down, a cell's bits stay as they are until reset; a chip that does not take the second bit is found out.
func TestLockDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			c, w := identified(t, p.Name, nor.Options{})
			down, up := Range{0x1000, 0x1000}, Range{0x20000, 0x10000}
			must(t, c.LockVolatile(t.Context(), true, down))
			must(t, c.LockVolatile(t.Context(), false, down, up)) // what is locked already may be locked again
			must(t, c.LockVolatile(t.Context(), true, down))
			got, err := c.Protection(t.Context())
			must(t, err)
			for i, cell := range p.VolatileCells() {
				want := byte(0)
				switch cell.Addr {
				case down.Addr:
					want = 3
				case up.Addr:
					want = 1
				}
				if got.Volatile[i] != want {
					t.Errorf("%s: cell %v reads %d, want %d", p.Name, cell, got.Volatile[i], want)
				}
			}
			for _, cell := range []Range{down, up} {
				w.raw([]byte{0x06}, append(c.addressed(0xE5, 0xE1, cell.Addr), 0), []byte{0x04})
			}
			got, err = c.Protection(t.Context())
			must(t, err)
			if !slices.Equal(got.LockedRanges(), []Range{down}) {
				t.Errorf("%s: locked %v", p.Name, got.LockedRanges())
			}
			as[*ProtectedError](t, c.program(t.Context(), down.Addr, []byte{0}))
			must(t, c.Reset(t.Context()))
			if got, err = c.Protection(t.Context()); err != nil || len(got.LockedRanges()) != 0 || slices.Max(got.Volatile) != 0 {
				t.Errorf("%s: after reset %v, %v", p.Name, got.LockedRanges(), err)
			}
			w.idle(t)
			w.forge = func(out, in []byte) {
				if out[0] == 0xE8 || out[0] == 0xE0 {
					in[0] &^= 2
				}
			}
			is(t, c.LockVolatile(t.Context(), true, up), ErrNotExecuted)
			must(t, c.LockVolatile(t.Context(), false, up))
		}
	})
}

func TestBlockProtection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := identified(t, "MT25QL256ABA", nor.Options{})
		for sr, want := range map[byte]Range{
			0x00: {},
			0x20: {},
			0x04: {0x1FF0000, 0x10000},
			0x24: {0, 0x10000},
			0x08: {0x1FE0000, 0x20000},
			0x1C: {0x1C00000, 0x400000},
			0x40: {0x1800000, 0x800000},
			0x7C: {0, 0x2000000},
		} {
			must(t, c.execute(t.Context(), command{"write status", -1, []byte{0x01, sr}, c.Part().LockErase}))
			p, err := c.Protection(t.Context())
			must(t, err)
			if p.SR != sr || p.BlockRange() != want {
				t.Errorf("status 0x%02X: %v, want %v", p.SR, p.BlockRange(), want)
			}
			if want.Size > 0 {
				must(t, c.ProbeLocked(t.Context(), want.Addr))
				must(t, c.ProbeLocked(t.Context(), want.Addr+want.Size-1))
			}
			if want.Addr > 0 {
				as[*UnprotectedError](t, c.ProbeLocked(t.Context(), want.Addr-1))
			}
		}
	})
}

func TestProtectionRanges(t *testing.T) {
	part := small(t)
	p := Protection{SR: 0x24, Nonvolatile: []bool{false, false, true, true}, Volatile: make([]byte, len(part.VolatileCells())), part: part}
	p.Volatile[16] = 1 // sector 1
	p.Volatile[17] = 2 // sector 2: locked down, not locked
	if got := p.LockedRanges(); !slices.Equal(got, []Range{{0, 0x40000}}) {
		t.Errorf("%v", got)
	}
	p.SR = 0
	for _, c := range []struct {
		addr, size      int64
		locked, touched bool
	}{
		{0x10000, 0x30000, true, true}, {0, 0x40000, false, true}, {0, 0x10000, false, false},
		{0xFFFF, 1, false, false}, {0xFFFF, 2, false, true}, {0x1FFFF, 2, true, true},
	} {
		if p.Locked(c.addr, c.size) != c.locked || p.Touched(c.addr, c.size) != c.touched {
			t.Errorf("%+v: locked %v, touched %v", c, p.Locked(c.addr, c.size), p.Touched(c.addr, c.size))
		}
	}
	if got := (Range{0x10000, 0x10000}).String(); got != "0x010000..0x01FFFF" {
		t.Error(got)
	}
}

// TestProtectionWithin: what is asked for is told as Protection tells it, and all else unlocked, from as many frames as there are bits.
func TestProtectionWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		for _, sector := range []int{0, 5, 6, 511} {
			must(t, c.LockNonvolatile(t.Context(), sector))
		}
		must(t, c.LockVolatile(t.Context(), false, Range{0x60000, 0x10000}))
		all, err := c.Protection(t.Context())
		must(t, err)
		for _, row := range []struct {
			ranges []Range
			locked []Range
			frames int // that read a bit
		}{
			{nil, nil, 0},
			{[]Range{{0x50000, 0x10000}}, []Range{{0x50000, 0x10000}}, 2 * 2},
			{[]Range{{0x5FFFF, 2}}, []Range{{0x50000, 0x20000}}, 2 * 4},
			{[]Range{{0, 0x1000}, {0x1FFF000, 0x1000}}, []Range{{0, 0x10000}, {0x1FF0000, 0x10000}}, 2 * 4},
			{[]Range{{0x70000, 0x10000}}, nil, 2 * 2},
		} {
			w.sent = nil
			p, err := c.ProtectionWithin(t.Context(), row.ranges...)
			must(t, err)
			n := 0
			for _, op := range w.sent {
				if op == 0xE2 || op == 0xE8 || op == 0xE0 {
					n++
				}
			}
			if got := p.LockedRanges(); !slices.Equal(got, row.locked) || n != row.frames || p.SR != all.SR || p.SPR != all.SPR || p.Frozen != all.Frozen {
				t.Errorf("%v: %v from %d frames, want %v from %d: %+v", row.ranges, got, n, row.locked, row.frames, p)
			}
		}
	})
}

func TestProbeLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		write(t, c, Extent{0x50000, 0x1000, noise(1, 0x1000)})
		must(t, c.LockNonvolatile(t.Context(), 5))
		must(t, c.ProbeLocked(t.Context(), 0x50010))
		must(t, c.ProbeLocked(t.Context(), 0x5FFFF)) // a blank byte
		w.idle(t)
		must(t, c.Verify(t.Context(), []Extent{{0x50000, 0x10000, noise(1, 0x1000)}}, nil))
		if e := as[*UnprotectedError](t, c.ProbeLocked(t.Context(), 0x60000)); e.Addr != 0x60000 || e.Changed || e.FSR&0x32 != 0 {
			t.Errorf("%+v", e)
		}
		w.idle(t)

		// A chip that lies: its lock bits read locked, and protect nothing.
		w.chip.SetFaults(nor.Faults{IgnoreLocks: true})
		p, err := c.Protection(t.Context())
		must(t, err)
		if !p.Locked(0x50000, 0x10000) {
			t.Fatal("the lie is not told")
		}
		as[*UnprotectedError](t, c.ProbeLocked(t.Context(), 0x50010))
		must(t, c.Verify(t.Context(), []Extent{{0x50000, 0x10000, noise(1, 0x1000)}}, nil))
		w.idle(t)

		// A program that fails for another reason is no proof of a lock.
		w.chip.SetFaults(nor.Faults{IgnoreLocks: true, FailProgram: true})
		err = c.ProbeLocked(t.Context(), 0x50010)
		as[*UnprotectedError](t, err)
		as[*OperationError](t, err)
		w.chip.SetFaults(nor.Faults{})

		// A lost write enable is no lie of the chip.
		w.drop = dropping(0x06)
		is(t, c.ProbeLocked(t.Context(), 0x50010), ErrNotExecuted)
		w.drop = nil

		// Flags that claim a refusal while the data changed.
		n := 0
		w.forge = func(out, in []byte) {
			if out[0] == 0x13 {
				if n++; n >= 3 {
					in[0] ^= 1
				}
			}
		}
		if e := as[*UnprotectedError](t, c.ProbeLocked(t.Context(), 0x50010)); !e.Changed || !strings.Contains(e.Error(), "changed") {
			t.Errorf("%+v", e)
		}
		w.forge = nil
		if c.ProbeLocked(t.Context(), c.Part().Size) == nil {
			t.Error("probed outside the part")
		}
	})
}

// A lock command that vanishes together with its write enable leaves no trace but the lock bit itself.
func TestLockReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		swallow := func(op byte) {
			w.drop = func(out []byte) bool {
				if out[0] == op {
					w.raw([]byte{0x04})
				}
				return out[0] == op
			}
		}
		swallow(0xE3)
		is(t, c.LockNonvolatile(t.Context(), 1), ErrNotExecuted)
		w.drop = nil
		must(t, c.LockNonvolatile(t.Context(), 1))
		swallow(0xE4)
		is(t, c.EraseNonvolatileLocks(t.Context()), ErrNotExecuted)
		w.drop = nil

		// One of two readings of a lock bit is wrong: neither counts.
		n := 0
		w.forge = func(out, in []byte) {
			if out[0] == 0xE2 {
				if n++; n == 1 {
					in[0] ^= 0xFF
				}
			}
		}
		_, err := c.Protection(t.Context())
		as[*UnstableError](t, err)
	})
}
