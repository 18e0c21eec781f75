package conformance_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/conformance"
	"station/sim/nor"
)

// bad are chips that no station may pass, and how a run says so: by failed cases, or by one of the errors.
var bad = []struct {
	name   string
	faults nor.Faults
	before func(*nor.Chip) // while the chip is still good
	err    error
	failed string // a case that must fail
}{
	{name: "StuckBusy", faults: nor.Faults{StuckBusy: true}, err: conformance.ErrBusy},
	{name: "FailProgram", faults: nor.Faults{FailProgram: true}, failed: "02 programs one byte and 256"},
	{name: "FailErase", faults: nor.Faults{FailErase: true}, failed: "20 erases the 4 KiB around its address, and no more"},
	{name: "IgnoreLocks", faults: nor.Faults{IgnoreLocks: true}, failed: "E3 takes effect as soon as it completes, on its sector alone"},
	{name: "Flip", faults: nor.Faults{Flip: map[uint32]byte{0x010005: 0x10}}, failed: "02 programs one byte and 256"},
	{name: "ID", faults: nor.Faults{ID: []byte{0x20, 0xBA, 0x20}}, failed: "9F answers the six bytes of the part"},
	{name: "ID", faults: nor.Faults{ID: []byte{0xFF, 0xFF, 0xFF}}, err: conformance.ErrContact},
	{name: "ID", faults: nor.Faults{ID: make([]byte, 20)}, err: conformance.ErrContact},
	{name: "WeakContact", faults: nor.Faults{WeakContact: 20}, err: conformance.ErrContact},
	{name: "WeakContact", faults: nor.Faults{WeakContact: 300}, err: conformance.ErrContact},
	{name: "WeakContact", faults: nor.Faults{WeakContact: 5000}, err: conformance.ErrContact},
	{name: "DropByte", faults: nor.Faults{DropByte: 300}, err: conformance.ErrContact},
	{name: "FlipIn", faults: nor.Faults{FlipIn: 300}, err: conformance.ErrContact},
	{name: "Cut", faults: nor.Faults{Cut: 3}, err: conformance.ErrContact},
	{name: "CutDone", faults: nor.Faults{Cut: 3, CutDone: true}, err: conformance.ErrContact},
	{name: "SPRReadsFFFF", faults: nor.Faults{SPRReadsFFFF: true}, before: func(c *nor.Chip) { write(c, 0x2C, 0xFB, 0xFF) },
		failed: "the freeze bit is 1 again behind 66 99"},
}

// write sends 06 and a frame to a chip that has no pace.
func write(c *nor.Chip, out ...byte) {
	for _, p := range [][]byte{{0x06}, out} {
		c.Select()
		c.Shift(p, nil)
		c.Deselect()
	}
}

func TestBadChipsAreFound(t *testing.T) {
	for _, row := range bad {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, "MT25QL256ABA", nor.Options{})
				if row.before != nil {
					row.before(c)
				}
				c.SetFaults(row.faults)
				results, err := try(t, c, parts[c.Part()], free(c))
				if !errors.Is(err, row.err) {
					t.Fatalf("the error is %v, want %v", err, row.err)
				}
				t.Log(err)
				for _, r := range results {
					if r.Status == conformance.Fail && row.err != nil {
						t.Errorf("%v: but the contact or a busy chip is to blame", r)
					}
					if r.Status == conformance.Fail && len(r.Evidence) == 0 {
						t.Errorf("%v: without evidence", r)
					}
				}
				if row.failed == "" {
					return
				}
				if i := find(results, row.failed); i < 0 || results[i].Status != conformance.Fail {
					t.Errorf("%q did not fail", row.failed)
				}
			})
		})
	}
}

// TestRareLosses: a contact that spoils a byte in thousands is never taken for a fault of the chip, and nearly always noticed.
func TestRareLosses(t *testing.T) {
	for _, f := range []nor.Faults{{DropByte: 5000}, {WeakContact: 5000}, {WeakContact: 100_000}} {
		synctest.Test(t, func(t *testing.T) {
			noticed := 0
			for seed := range uint64(8) {
				c := newChip(t, "MT25QL256ABA", nor.Options{Seed: seed})
				c.SetFaults(f)
				results, err := try(t, c, parts[c.Part()], free(c))
				if errors.Is(err, conformance.ErrContact) {
					noticed++
				} else if err != nil {
					t.Errorf("%+v, seed %d: %v", f, seed, err)
				}
				for _, r := range results {
					if r.Status == conformance.Fail {
						t.Errorf("%+v, seed %d: %v", f, seed, r)
					}
				}
			}

			if noticed < 6 {
				t.Errorf("%+v: noticed %d of 8", f, noticed)
			}
		})
	}
}

func TestEveryFaultIsTried(t *testing.T) {
	tried := map[string]bool{
		"PasswordReadsFF": true, // 27 is a secret, and never sent
		"ACRTM":           true, // of commands that no data sheet has
	}
	for _, row := range bad {
		tried[row.name] = true
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[nor.Faults]()) {
		if !tried[f.Name] {
			t.Errorf("nor.Faults.%s is not tried", f.Name)
		}
	}
}

// TestAreaIsKept marks a chip all around an Area, and behind it nothing has changed, whatever the part.
func TestAreaIsKept(t *testing.T) {
	for _, name := range []string{"MT25QL128ABA", "MT25QL256ABA", "MT25QL512ABB", "MT25QL01GBBB", "MT25QL128ABB"} {
		for _, first := range []int{0, 7, parts[name].Size>>17 - 2, parts[name].Size>>16 - 4} {
			c := newChip(t, name, nor.Options{})
			area := conformance.Range{Addr: first << 16, Size: 4 << 16}
			var marks []uint32
			for s := range c.Size() >> 16 {
				if s < first || s >= first+4 {
					for _, off := range []int{0, 0x3000, 0x8000, 0xFFFF} {
						marks = append(marks, uint32(s<<16+off))
					}
				}
			}
			for _, at := range marks {
				write(c, 0x12, byte(at>>24), byte(at>>16), byte(at>>8), byte(at), 0xA0)
			}
			o := free(c)
			o.Area = area
			synctest.Test(t, func(t *testing.T) {
				results, err := try(t, c, parts[name], o)
				judge(t, results, err, nil)
				if n := tried(results); n < 90 {
					t.Errorf("%s from sector %d on: only %d cases were tried", name, first, n)
				}
			})
			for _, at := range marks {
				if c.Bytes(at, 1)[0] != 0xA0 {
					t.Fatalf("%s, area %08X: %08X has changed", name, area.Addr, at)
				}
			}
		}
	}
}

// TestNothingIsDestroyed runs without an Area: no operation that outlasts the supply takes effect.
func TestNothingIsDestroyed(t *testing.T) {
	for _, name := range nor.Parts() {
		c := newChip(t, name, nor.Options{})
		before := c.Counters()
		synctest.Test(t, func(t *testing.T) {
			o := conformance.Options{Full: true}
			results, err := try(t, c, parts[name], o)
			judge(t, results, err, nil)
			if n := tried(results); n < 25 {
				t.Errorf("only %d cases were tried", n)
			}
			for _, r := range results {
				if r.Case.Destructive && r.Status != conformance.Skipped {
					t.Errorf("%v: without an area", r)
				}
			}
		})
		if after := c.Counters(); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: counted %v, before %v", name, after, before)
		}
	}
}

// TestLockBitsThatStay: where a lock bit could not be taken back, none is set, and none that is there is cleared.
func TestLockBitsThatStay(t *testing.T) {
	for _, row := range []struct {
		name   string
		part   string
		before []byte
		honest bool // the profile does not claim that E4 reaches all dies
		locks  uint64
	}{
		{"a lock bit is set", "MT25QL256ABA", []byte{0xE3, 0x00, 0x50, 0x00, 0x00}, false, 1},
		{"password mode is ruled out", "MT25QL256ABA", []byte{0x2C, 0xFD, 0xFF}, false, 0},
		{"password mode is on", "MT25QL256ABA", []byte{0x2C, 0xFB, 0xFF}, false, 0},
		{"E4 may not reach all dies", "MT25QL01GBBB", nil, true, 0},
		{"E4 may not reach all dies, and a lock bit is set", "MT25QL01GBBB", []byte{0xE3, 0x00, 0x50, 0x00, 0x00}, true, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, row.part, nor.Options{FirstDieProtection: true})
				if row.before != nil {
					write(c, row.before...)
				}
				p := parts[row.part]
				p.StackedProtection = !row.honest
				results, err := try(t, c, p, free(c))
				judge(t, results, err, nil)
				for _, why := range lockedOut(results) {
					if !strings.Contains(why, "a lock bit") {
						t.Errorf("skipped for locks that were found, as it is told, and for %q", why)
					}
				}
				if n := c.Counters(); n[nor.CountLock] != row.locks || n[nor.CountUnlockAll] != 0 {
					t.Errorf("%d lock bits were set, want %d; E4 took effect %d times", n[nor.CountLock], row.locks, n[nor.CountUnlockAll])
				}
			})
		})
	}
}

// TestCancelled ends a run at many a frame: the error is that of ctx, and the chip is as it was but for its array.
func TestCancelled(t *testing.T) {
	cut := 0
	for at, done := 3, false; !done; at += 809 {
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, "MT25QU256ABA", nor.Options{Pace: nor.Real})
			o := free(c)
			o.Area.Size, o.Full = 4<<16, false
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			results, err := conformance.Run(ctx, pins{t: t, chip: c, wait: true, n: &n, before: func(i int) {
				if i == at {
					cancel()
				}
			}}, parts[c.Part()], o)
			// A cancellation amid the last tidying up comes too late.
			if done = err == nil && len(results) == len(conformance.Cases()); !done && !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
			if more := n - at; more > 5000 {
				t.Errorf("%d more frames were sent", more)
			}
			registers(t, c)
		})
		if t.Failed() {
			t.Fatalf("cancelled at frame %d", at)
		}
		if !done {
			cut++
		}
	}
	if cut < 20 {
		t.Errorf("a run was cut short at %d frames only", cut)
	}
}

// TestFound: how a chip may be found, and what a run makes of it.
func TestFound(t *testing.T) {
	for _, row := range []struct {
		name  string
		out   []byte
		err   string // of Run
		tried int    // cases at least
		sr    byte   // then
	}{
		{"as from the factory", []byte{0x04}, "", 120, 0},
		{"asleep", []byte{0xB9}, "", 120, 0},
		{"in 4-byte mode", []byte{0xB7}, "", 120, 0},
		{"frozen, until the next reset", []byte{0xA6}, "", 120, 0},
		{"with block protection", []byte{0x01, 0x08}, "", 40, 0x08},
		{"with SRWD alone", []byte{0x01, 0x80}, "", 40, 0x80},
		{"with TB alone", []byte{0x01, 0x20}, "", 40, 0x20},
		{"with a lock bit in the area", []byte{0xE3, 0x00, 0x02, 0x00, 0x00}, "", 40, 0},
		{"with a lock bit at the end of the area", []byte{0xE3, 0x01, 0xFE, 0x00, 0x00}, "", 40, 0},
		{"with a lock bit beyond the area", []byte{0xE3, 0x01, 0xFF, 0x00, 0x00}, "", 90, 0},
		{"with another drive strength", []byte{0xB1, 0x7F, 0xFF}, "", 110, 0},
		{"in 4-byte mode from power-up on", []byte{0xB1, 0xFE, 0xFF}, "NVCR is FFFE", 0, 0},
		{"in a bulk erase", []byte{0xC7}, "chip stays busy", 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
				write(c, row.out...)
				if row.err != "chip stays busy" {
					time.Sleep(time.Second)
				}
				o := free(c)
				if row.out[0] == 0xE3 {
					o.Area.Size -= 1 << 16
				}
				results, err := try(t, c, parts[c.Part()], o)
				if row.err == "" {
					judge(t, results, err, nil)
				} else if err == nil || !strings.Contains(err.Error(), row.err) {
					t.Errorf("the error is %v, want %s", err, row.err)
				}
				if n := tried(results); n < row.tried {
					t.Errorf("only %d cases were tried", n)
				}
				said := lockedOut(results)
				if (len(said) > 0) != (row.sr != 0 || row.out[0] == 0xE3) {
					t.Errorf("skipped for locks that were found: %q", said)
				}
				for _, why := range said {
					if strings.Contains(why, "block protection") != (row.sr&0x5C != 0) {
						t.Errorf("skipped for %q", why)
					}
				}
				if errors.Is(err, conformance.ErrState) != (row.out[0] == 0xB1 && row.err != "") {
					t.Errorf("the error is %v", err)
				}
				// What such a register brings comes with a reset, and there was none.
				if row.out[0] == 0xB1 {
					in := make([]byte, 1)
					c.Select()
					c.Shift([]byte{0x70}, nil)
					c.Shift(nil, in)
					c.Deselect()
					if in[0] != 0x80 {
						t.Errorf("left with flag status %02X", in[0])
					}
				}
				if row.err != "chip stays busy" {
					in := make([]byte, 1)
					c.Select()
					c.Shift([]byte{0x05}, nil)
					c.Shift(nil, in)
					c.Deselect()
					if in[0] != row.sr {
						t.Errorf("left with status %02X, want %02X", in[0], row.sr)
					}
				}
			})
		})
	}
}

// lockedOut are the reasons of the cases that were skipped for locks.
func lockedOut(results []conformance.Result) (why []string) {
	for _, r := range results {
		if r.Locked {
			why = append(why, r.Detail)
		}
	}
	return why
}

// TestEvidence: what a chip that takes its time was sent is not pushed out of the evidence by polls.
func TestEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real, Faults: nor.Faults{FailErase: true}})
		results, err := try(t, c, parts[c.Part()], free(c))
		if err != nil {
			t.Fatal(err)
		}
		r := results[find(results, "20 needs WEL")]
		if r.Status != conformance.Fail || !slices.Contains(r.Evidence, "D8 01 00 00") || !slices.Contains(r.Evidence, "70 > A0") {
			t.Errorf("%v: evidence %q", r, r.Evidence)
		}
	})
}

// TestBadPartsAndAreas: no frame is sent for what makes no sense.
func TestBadPartsAndAreas(t *testing.T) {
	good := parts["MT25QL128ABA"]
	for _, row := range []struct {
		part func(*conformance.Part)
		area conformance.Range
	}{
		{part: func(p *conformance.Part) { p.Size = 0 }},
		{part: func(p *conformance.Part) { p.Size = 16<<20 + 1 }},
		{part: func(p *conformance.Part) { p.Dies = 0 }},
		{part: func(p *conformance.Part) { p.Dies = 3 }},
		{part: func(p *conformance.Part) { p.AddressBytes = 2 }},
		{area: conformance.Range{Size: 3 << 16}},
		{area: conformance.Range{Size: 4<<16 + 1}},
		{area: conformance.Range{Addr: 0x8000, Size: 4 << 16}},
		{area: conformance.Range{Addr: -1 << 16, Size: 4 << 16}},
		{area: conformance.Range{Addr: 16<<20 - 3<<16, Size: 4 << 16}},
	} {
		p, n := good, 0
		if row.part != nil {
			row.part(&p)
		}
		_, err := conformance.Run(t.Context(), pins{t: t, chip: newChip(t, "MT25QL128ABA", nor.Options{}), n: &n}, p, conformance.Options{Area: row.area})
		if err == nil || n != 0 {
			t.Errorf("%+v, %+v: error %v, and %d frames", p, row.area, err, n)
		}
	}
}

// TestCases: each has a name of its own, a section, and nobody can take two for one.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range conformance.Cases() {
		if c.Name == "" || c.Section == "" || seen[c.Name] {
			t.Errorf("%q (%s): no name, no section, or twice", c.Name, c.Section)
		}
		seen[c.Name] = true
	}
	if len(seen) < 150 {
		t.Errorf("only %d cases", len(seen))
	}
}

// TestWrongProfile: a stacked part whose profile claims that E4 reaches all dies, and does not, is found.
func TestWrongProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL01GBBB", nor.Options{FirstDieProtection: true})
		results, err := try(t, c, parts[c.Part()], free(c))
		if i := find(results, "E4 and the freeze reach all dies"); err != nil || i < 0 || results[i].Status != conformance.Fail {
			t.Errorf("not found; error %v", err)
		}
	})
}
