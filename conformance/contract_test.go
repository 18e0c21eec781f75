package conformance_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/conformance"
	"station/sim/nor"
	"station/spi"
)

// pins drive a simulated chip as a programmer would that takes no time but what is asked for as Idle.
type pins struct {
	t      *testing.T
	chip   *nor.Chip
	rpmc   bool
	wait   bool        // Idle passes
	before func(n int) // hears of the n-th frame
	n      *int
}

// permanent are the opcodes that must never come, whatever happens, and those of secrets.
var permanent = []byte{0x28, 0x2C, 0x42, 0x68, 0x27, 0x29}

func (p pins) Do(ctx context.Context, frames ...spi.Frame) error {
	for i, f := range frames {
		if p.before != nil {
			p.before(*p.n)
		}
		*p.n++
		if err := ctx.Err(); err != nil {
			return &spi.FrameError{Index: i, Sent: spi.No, Err: err}
		}
		if len(f.Out) > 0 && (slices.Contains(permanent, f.Out[0]) || f.Out[0] == 0x9B && p.rpmc) {
			p.t.Errorf("%02X was sent", f.Out[0])
		}
		if len(f.Out)+len(f.In) > 0 {
			p.chip.Select()
			p.chip.Shift(f.Out, nil)
			p.chip.Shift(nil, f.In)
			p.chip.Deselect()
		}
		if p.wait {
			time.Sleep(f.Idle)
		}
	}
	return nil
}

func (pins) Limits() spi.Limits {
	return spi.Limits{ByteTime: time.Microsecond, MaxFrame: 1 << 17, Grain: 1}
}

// mib is what the sizes of parts are told in.
const mib = 1 << 20

// parts restates what the suite has to be told of the parts that the simulator knows.
var parts = map[string]conformance.Part{
	"MT25QL128ABA":      part(16*mib, 0xBA, 0x18, 0x00),
	"MT25QL256ABA":      part(32*mib, 0xBA, 0x19, 0x00),
	"MT25QU256ABA":      part(32*mib, 0xBB, 0x19, 0x00),
	"MT25QU256ABA-1SIT": part(32*mib, 0xBB, 0x19, 0x73),
	"MT25QL512ABB":      revisionB(1, part(64*mib, 0xBA, 0x20, 0x00)),
	"MT25QU512ABB":      revisionB(1, part(64*mib, 0xBB, 0x20, 0x00)),
	"MT25QL01GBBB":      revisionB(2, part(128*mib, 0xBA, 0x21, 0x00)),
	"MT25QU01GBBB":      revisionB(2, part(128*mib, 0xBB, 0x21, 0x00)),
	"MT25QL02GCBB":      revisionB(4, part(256*mib, 0xBA, 0x22, 0x00)),
	"MT25QU02GCBB":      revisionB(4, part(256*mib, 0xBB, 0x22, 0x00)),
	"MT25QL128ABB":      authenta(0xBA),
	"MT25QU128ABB":      authenta(0xBB),
}

// maxima are those of section 7.
var maxima = map[byte]time.Duration{0x02: 1800 * time.Microsecond, 0x20: 400 * time.Millisecond, 0x52: time.Second, 0xD8: time.Second,
	0xC7: 460 * time.Second, 0xC4: 460 * time.Second, 0x01: 8 * time.Millisecond, 0xB1: time.Second, 0xE3: 500 * time.Microsecond, 0xE4: time.Second, 0x9B: 30 * time.Second}

func part(size int, kind, density, security byte) conformance.Part {
	p := conformance.Part{Size: size, Dies: 1, ID: [6]byte{0x20, kind, density, 0x10, 0x44, security}, AddressBytes: 3,
		StackedProtection: true, VLB4K: true, NVLBMask: 0x01, OTPSize: 64, Rescue: []int{1, 5},
		CRC:            &conformance.CRC{Reflected: true, AddressBytes: 4, StopIncluded: true, ReadDummy: 1},
		ProgramRefused: 0x12, EraseRefused: 0x22, LockRefused: 0x12, LockEraseRefused: 0x22, Longest: maxima}
	if size > 16*mib {
		p.AddressBytes = 4
	}
	return p
}

func revisionB(dies int, p conformance.Part) conformance.Part {
	p.Dies, p.Erase5C = dies, true
	return p
}

func authenta(kind byte) conformance.Part {
	p := part(16*mib, kind, 0x18, 0x00)
	p.ID, p.RPMC, p.CRC = [6]byte{0x20, kind, 0x18, 0x12, 0x00, 0x8C}, true, nil
	return p
}

var uid = [14]byte{0xD1, 0x7E, 0x33, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B}

// newChip has something in its OTP.
func newChip(t *testing.T, name string, o nor.Options) *nor.Chip {
	t.Helper()
	c, err := nor.New(name, uid, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range [][]byte{{0x06}, {0x42, 0, 0, 0, 0x10, 0x32, 0x54, 0x76}, {0x06}, {0x42, 0, 0, 0x20, 0x98, 0xBA}} {
		c.Select()
		c.Shift(out, nil)
		c.Deselect()
		if o.Pace == nor.Real {
			time.Sleep(time.Second)
		}
	}
	return c
}

// free is all that a run may do on a chip.
func free(c *nor.Chip) conformance.Options {
	return conformance.Options{
		Power: func(_ context.Context, on bool) error { c.Power(on); return nil },
		Area:  conformance.Range{Size: c.Size()}, Full: true, NVCR: true,
	}
}

// try runs the suite on a chip of the simulator.
func try(t *testing.T, c *nor.Chip, p conformance.Part, o conformance.Options) ([]conformance.Result, error) {
	t.Helper()
	if p.Size == 0 {
		t.Fatalf("the test knows no part %s", c.Part())
	}
	return conformance.Run(t.Context(), pins{t: t, chip: c, rpmc: p.RPMC, wait: true, n: new(int)}, p, o)
}

// judge fails for each failed result, and for each observation that is not in observed.
func judge(t *testing.T, results []conformance.Result, err error, observed map[string]string) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	for _, r := range results {
		switch r.Status {
		case conformance.Fail:
			t.Errorf("%v\n\t%s", r, strings.Join(r.Evidence, "\n\t"))
		case conformance.Observed:
			if strings.HasPrefix(r.Case.Name, longest) { // TestLongestWaits
				if r.Differs {
					t.Error(r)
				}
				continue
			}
			want, ok := observed[r.Case.Name]
			if !ok {
				want, ok = sides[r.Case.Name]
			}
			if !ok || r.Detail != want {
				t.Errorf("%v: want %q", r, want)
			}
		}
	}
}

// TestContract runs the suite on each part of the simulator and on the other side of each of its switches at the datasheet's pace,
// and at none: nothing fails, and what is observed is what the chip was made to do. Afterwards the chip is blank and free.
func TestContract(t *testing.T) {
	for _, name := range nor.Parts() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, name, nor.Options{Pace: nor.Real})
				results, err := try(t, c, parts[name], free(c))
				judge(t, results, err, nil)
				clean(t, c)
				if n := tried(results); n < 110 {
					t.Errorf("only %d of %d cases were tried", n, len(results))
				}
			})
		})
	}
	for _, s := range switches {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.options.Pace = nor.Real
				c := newChip(t, s.part, s.options)
				results, err := try(t, c, parts[s.part], free(c))
				judge(t, results, err, s.observed)
				clean(t, c)
				for name := range s.observed {
					if i := find(results, name); i < 0 || results[i].Status != conformance.Observed {
						t.Errorf("%q was not observed", name)
					}
				}
			})
		})
	}
	t.Run("no pace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, "MT25QU256ABA", nor.Options{})
			results, err := try(t, c, parts[c.Part()], free(c))
			judge(t, results, err, nil)
			clean(t, c)
		})
	})
}

// clean looks behind the pins for what a run left.
func clean(t *testing.T, c *nor.Chip) {
	t.Helper()
	registers(t, c)
	const piece = 1 << 20
	for at := 0; at < c.Size(); at += piece {
		if !bytes.Equal(c.Bytes(uint32(at), piece), blank) {
			t.Errorf("the MiB at %08X is not blank", at)
		}
	}
}

var blank = bytes.Repeat([]byte{0xFF}, 1<<20)

// registers looks for what a run left beside the array.
func registers(t *testing.T, c *nor.Chip) {
	t.Helper()
	ask := func(n int, out ...byte) []byte {
		in := make([]byte, n)
		c.Select()
		c.Shift(out, nil)
		c.Shift(nil, in)
		c.Deselect()
		return in
	}
	if sr, fsr, nvcr, ear := ask(1, 0x05)[0], ask(1, 0x70)[0], ask(2, 0xB5), ask(1, 0xC8)[0]; sr != 0 || fsr != 0x80 || nvcr[0] != 0xFF || nvcr[1] != 0xFF || ear != 0 {
		t.Errorf("left with SR %02X, FSR %02X, NVCR % X, EAR %02X", sr, fsr, nvcr, ear)
	}
	for i := range c.Size() >> 16 {
		if c.LockedNonvolatile(i) {
			t.Errorf("sector %d is left locked", i)
		}
	}
	if c.Frozen() || c.SPR() != 0xFFFF {
		t.Errorf("left frozen %v, SPR %04X", c.Frozen(), c.SPR())
	}
}

// tried counts what was not skipped.
func tried(results []conformance.Result) (n int) {
	for _, r := range results {
		if r.Status != conformance.Skipped {
			n++
		}
	}
	return n
}

func find(results []conformance.Result, name string) int {
	return slices.IndexFunc(results, func(r conformance.Result) bool { return r.Case.Name == name })
}
