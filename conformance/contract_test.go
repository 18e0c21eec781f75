package conformance_test

import (
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
	chip *nor.Chip
	wait bool // Idle passes
}

func (p pins) Do(ctx context.Context, frames ...spi.Frame) error {
	for i, f := range frames {
		if err := ctx.Err(); err != nil {
			return &spi.FrameError{Index: i, Sent: spi.No, Err: err}
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
	return spi.Limits{ByteTime: time.Microsecond, MaxFrame: 1 << 17, MaxBatch: 1 << 17}
}

// mib is what the sizes of parts are told in.
const mib = 1 << 20

// parts restates what the suite has to be told of the parts that the simulator knows.
var parts = map[string]conformance.Part{
	"MT25QL128ABA": part(16*mib, 0xBA, 0x18),
	"MT25QL256ABA": part(32*mib, 0xBA, 0x19),
	"MT25QU256ABA": part(32*mib, 0xBB, 0x19),
	"MT25QL512ABB": revisionB(part(64*mib, 0xBA, 0x20)),
	"MT25QU512ABB": revisionB(part(64*mib, 0xBB, 0x20)),
	"MT25QL128ABB": authenta(0xBA),
	"MT25QU128ABB": authenta(0xBB),
}

func part(size int, kind, density byte) conformance.Part {
	p := conformance.Part{Size: size, Dies: 1, ID: [6]byte{0x20, kind, density, 0x10, 0x44, 0x00}, AddressBytes: 3,
		VLB4K: true, NVLBMask: 0x01, ProgramRefused: 0x12}
	if size > 16*mib {
		p.AddressBytes = 4
	}
	return p
}

func revisionB(p conformance.Part) conformance.Part {
	p.Erase5C = true
	return p
}

func authenta(kind byte) conformance.Part {
	p := part(16*mib, kind, 0x18)
	p.ID, p.RPMC = [6]byte{0x20, kind, 0x18, 0x12, 0x00, 0x8C}, true
	return p
}

var uid = [14]byte{0xD1, 0x7E, 0x33, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B}

func newChip(t *testing.T, name string, o nor.Options) *nor.Chip {
	t.Helper()
	c, err := nor.New(name, uid, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run tries the suite on a chip of the simulator with all that it may do.
func run(t *testing.T, c *nor.Chip, wait bool, change func(*conformance.Options)) ([]conformance.Result, error) {
	t.Helper()
	p, ok := parts[c.Part()]
	if !ok {
		t.Fatalf("the test knows no part %s", c.Part())
	}
	o := conformance.Options{
		Power: func(_ context.Context, on bool) error { c.Power(on); return nil },
		Area:  conformance.Range{Size: p.Size}, Full: true, NVCR: true,
	}
	if change != nil {
		change(&o)
	}
	return conformance.Run(t.Context(), pins{c, wait}, p, o)
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

// sides are what the simulator does with its zero options, where no source is sure.
var sides = map[string]string{
	"reading SFDP wraps at its end": "the area is 256 bytes",
	"81 needs WEL":                  "WEL is cleared by it",
	"61 needs WEL":                  "WEL is cleared by it",
	"C5 needs WEL":                  "WEL is cleared by it",
	"B7 needs WEL":                  "WEL is cleared by it",
	"E9 needs WEL":                  "WEL is cleared by it",
	"E5 needs WEL":                  "WEL is cleared by it",
	"E1 needs WEL":                  "WEL is cleared by it",
	"A6 needs WEL":                  "WEL is cleared by it",
	"what a program of more than 256 bytes keeps":               "the last 256",
	"what 66 and 99 do while busy":                              "they are ignored",
	"what a program elsewhere does while an erase is suspended": "it is not executed",
	"VCR and EVCR behind reset":                                 "VCR FB, EVCR FF",
	"what 01 does with two bytes":                               "nothing",
	"96 answers the general-purpose read register":              strings.TrimSpace(strings.Repeat("FF ", 16)),
	"what the extended address does in 4-byte mode":             "nothing",
	"what E2 answers":                                           "FF free, 00 locked",
	"E5 on bits that are locked down changes nothing":           "silent, WEL stays",
	"what one volatile lock bit governs in the first sector":    "4 KiB",
	"what one volatile lock bit governs in the last sector":     "4 KiB",
	"what an erase does over one locked 4 KiB of its sector":    "it is refused whole: error bits 1 5, WEL stays",
	"what E3 does while frozen":                                 "error bits 1 4, WEL stays",
	"what E4 does while frozen":                                 "error bits 1 5, WEL stays",
	"what a freeze does to volatile lock bits":                  "nothing",
	"02 is refused by a nonvolatile lock bit":                   "error bits 1 4, WEL stays",
	"02 is refused by a volatile lock bit":                      "error bits 1 4, WEL stays",
	"02 is refused by block protection":                         "error bits 1 4, WEL stays",
	"12 is refused by a nonvolatile lock bit":                   "error bits 1 4, WEL stays",
	"12 is refused by a volatile lock bit":                      "error bits 1 4, WEL stays",
	"12 is refused by block protection":                         "error bits 1 4, WEL stays",
	"C7 is refused where one sector is locked":                  "it is: error bits 1 5, WEL stays",
	"what 66 99 does to error bits":                             "silent, WEL clears",
	"in deep power-down only AB is accepted, and AB ends it":    "only AB",
	"what power-up does to error bits":                          "silent, WEL clears",
}

// switches are the options of the simulator that show through frames, and what the suite has to say then.
var switches = []struct {
	name     string
	options  nor.Options
	observed map[string]string
}{
	{"UnlockedReads01", nor.Options{UnlockedReads01: true}, map[string]string{"what E2 answers": "01 free, 00 locked"}},
	{"FrozenSilent", nor.Options{FrozenSilent: true}, map[string]string{
		"what E3 does while frozen": "silent, WEL stays", "what E4 does while frozen": "silent, WEL stays"}},
	{"WholeSectorVLB", nor.Options{WholeSectorVLB: true}, map[string]string{
		"what one volatile lock bit governs in the first sector": "64 KiB", "what one volatile lock bit governs in the last sector": "64 KiB"}},
}

// TestContract runs the suite on each part of the simulator, on both sides of each of its switches, at the datasheet's pace and
// at none: nothing fails, and what is observed is what the chip was made to do.
func TestContract(t *testing.T) {
	for _, name := range nor.Parts() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				results, err := run(t, newChip(t, name, nor.Options{Pace: nor.Real}), true, nil)
				judge(t, results, err, nil)
				if n := tried(results); n < 105 {
					t.Errorf("only %d of %d cases were tried", n, len(results))
				}
			})
		})
	}
	for _, s := range switches {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.options.Pace = nor.Real
				results, err := run(t, newChip(t, "MT25QL256ABA", s.options), true, nil)
				judge(t, results, err, s.observed)
				for name := range s.observed {
					i := slices.IndexFunc(results, func(r conformance.Result) bool { return r.Case.Name == name })
					if i < 0 || results[i].Status != conformance.Observed {
						t.Errorf("%q was not observed", name)
					}
				}
			})
		})
	}
	t.Run("no pace", func(t *testing.T) {
		results, err := run(t, newChip(t, "MT25QU256ABA", nor.Options{}), false, nil)
		judge(t, results, err, nil)
	})
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
