package conformance_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"station/conformance"
	"station/sim/nor"
)

// refusedPrograms are the statements that tell Part.ProgramRefused.
func refusedPrograms() (names []string) {
	for _, by := range []string{"a nonvolatile lock bit", "a volatile lock bit", "block protection"} {
		names = append(names, "02 is refused by "+by, "12 is refused by "+by)
	}
	return names
}

// TestDiffers turns over what the profile says, one fact at a time, and the statements that tell it, and no others, say that the chip differs.
// An assumption that is wrong is no fault of the chip: nothing fails.
func TestDiffers(t *testing.T) {
	crc := func(turn func(*conformance.CRC)) func(*conformance.Part) {
		return func(p *conformance.Part) { c := *p.CRC; turn(&c); p.CRC = &c }
	}
	for _, row := range []struct {
		name   string
		turn   func(*conformance.Part)
		differ []string
	}{
		{"nothing", func(*conformance.Part) {}, nil},
		{"VLB4K", func(p *conformance.Part) { p.VLB4K = false }, []string{firstCells, lastCells}},
		{"NVLBMask, where both tell the same", func(p *conformance.Part) { p.NVLBMask = 0xFE }, nil},
		{"ProgramRefused", func(p *conformance.Part) { p.ProgramRefused = 0x10 }, refusedPrograms()},
		{"EraseRefused", func(p *conformance.Part) { p.EraseRefused = 0x20 },
			[]string{"what an erase does over one locked 4 KiB of its sector", "C7 is refused where one sector is locked"}},
		{"LockRefused", func(p *conformance.Part) { p.LockRefused = 0 }, []string{frozenE3}},
		{"LockEraseRefused", func(p *conformance.Part) { p.LockEraseRefused = 0 }, []string{frozenE4}},
		{"VolatileRefused", func(p *conformance.Part) { p.VolatileRefused = 0x12 }, []string{lockedDown}},
		{"OTPSize, smaller", func(p *conformance.Part) { p.OTPSize = 32 }, []string{behindOTP}},
		{"Rescue, one byte not", func(p *conformance.Part) { p.Rescue = []int{5} }, []string{rescue}},
		{"Rescue, none", func(p *conformance.Part) { p.Rescue = nil }, []string{rescue}},
		{"CRC.Reflected", crc(func(c *conformance.CRC) { c.Reflected = false }), []string{rangeCRC}},
		{"CRC.AddressBytes", crc(func(c *conformance.CRC) { c.AddressBytes = 0 }), []string{rangeCRC}},
		{"CRC.StopIncluded", crc(func(c *conformance.CRC) { c.StopIncluded = false }), []string{rangeCRC}},
		{"CRC.WriteEnable", crc(func(c *conformance.CRC) { c.WriteEnable = true }), []string{rangeCRC}},
		{"CRC.ReadDummy", crc(func(c *conformance.CRC) { c.ReadDummy = 0 }), []string{rangeCRC}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newChip(t, "MT25QL256ABA", nor.Options{}), parts["MT25QL256ABA"]
				row.turn(&p)
				results, err := try(t, c, p, free(c))
				differ(t, results, err, row.differ)
			})
		})
	}
}

// differ fails where others than these differ, or one fails.
func differ(t *testing.T, results []conformance.Result, err error, want []string) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	for _, r := range results {
		if r.Status == conformance.Fail {
			t.Errorf("%v", r)
		}
		if r.Differs != slices.Contains(want, r.Case.Name) {
			t.Errorf("%v: differs %v", r, r.Differs)
		}
	}
}

// TestOtherSides: the other sides of the simulator's switches are what the profile says then, or differ.
func TestOtherSides(t *testing.T) {
	for _, row := range []struct {
		name    string
		options nor.Options
		turn    func(*conformance.Part)
		differ  []string // of the profile as it is
	}{
		{"OTPWraps", nor.Options{OTPWraps: true}, nil, nil},
		{"OTPWraps, and the profile has another size", nor.Options{OTPWraps: true}, func(p *conformance.Part) { p.OTPSize = 63 }, []string{behindOTP}},
		{"NoRescue", nor.Options{NoRescue: true}, nil, []string{rescue}},
		{"NoRescue, as the profile says", nor.Options{NoRescue: true}, func(p *conformance.Part) { p.Rescue = nil }, nil},
		{"FrozenSilent", nor.Options{FrozenSilent: true}, nil, []string{frozenE3, frozenE4}},
		{"FrozenSilent, as the profile says", nor.Options{FrozenSilent: true}, func(p *conformance.Part) { p.LockRefused, p.LockEraseRefused = 0, 0 }, nil},
		{"CRC.NoDummy", nor.Options{CRC: nor.CRC{NoDummy: true}}, nil, []string{rangeCRC}},
		{"CRC.NoDummy, as the profile says", nor.Options{CRC: nor.CRC{NoDummy: true}},
			func(p *conformance.Part) {
				p.CRC = &conformance.CRC{Reflected: true, AddressBytes: 4, StopIncluded: true}
			}, nil},
		{"CRC.ModeAddresses", nor.Options{CRC: nor.CRC{ModeAddresses: true}}, nil, []string{rangeCRC}},
		{"CRC.ModeAddresses, as the profile says", nor.Options{CRC: nor.CRC{ModeAddresses: true}},
			func(p *conformance.Part) { p.CRC = &conformance.CRC{Reflected: true, StopIncluded: true, ReadDummy: 1} }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newChip(t, "MT25QL256ABA", row.options), parts["MT25QL256ABA"]
				if row.turn != nil {
					row.turn(&p)
				}
				results, err := try(t, c, p, free(c))
				differ(t, results, err, row.differ)
			})
		})
	}
}

// TestOtherCRC: where the range ends, and whether 06 is needed, is observed, and held against the profile.
func TestOtherCRC(t *testing.T) {
	for _, row := range []struct {
		crc  nor.CRC
		said string
	}{
		{nor.CRC{}, "the stop address is the last, 1 dummy bytes behind 96, no 06 before it"},
		{nor.CRC{StopExcluded: true}, "the stop address is one behind, 1 dummy bytes behind 96, no 06 before it"},
		{nor.CRC{NeedsWEL: true}, "the stop address is the last, 1 dummy bytes behind 96, 06 before it"},
	} {
		for _, told := range []bool{false, true} { // the profile says so
			synctest.Test(t, func(t *testing.T) {
				c, p := newChip(t, "MT25QL256ABA", nor.Options{CRC: row.crc}), parts["MT25QL256ABA"]
				if told {
					crc := *p.CRC
					crc.StopIncluded, crc.WriteEnable = !row.crc.StopExcluded, row.crc.NeedsWEL
					p.CRC = &crc
				}
				results, err := conformance.Run(t.Context(), pins{t: t, chip: c, wait: true, n: new(int)}, p, free(c))
				var want []string
				if !told && row.crc != (nor.CRC{}) {
					want = []string{rangeCRC}
				}
				differ(t, results, err, want)
				if r := results[find(results, rangeCRC)]; !strings.HasSuffix(r.Detail, row.said) {
					t.Errorf("%v, want %q", r, row.said)
				}
			})
		}
	}
}
