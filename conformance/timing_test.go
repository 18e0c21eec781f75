package conformance_test

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/conformance"
	"station/sim/nor"
)

// TestLongestWaits: a chip at the data sheet's typical pace takes longer than a maximum that lies by two polls below it, and no longer than itself. Without a
// pace nothing is seen to take time.
func TestLongestWaits(t *testing.T) {
	type kind struct {
		name        string
		op          byte
		takes, poll time.Duration
	}
	common := []kind{
		{"02, a page program", 0x02, 120 * time.Microsecond, 50 * time.Microsecond},
		{"01, a status register write", 0x01, 1300 * time.Microsecond, 50 * time.Microsecond},
	}
	single := append([]kind{
		{"20, an erase of 4 KiB", 0x20, 48 * time.Millisecond, 2500 * time.Microsecond},
		{"52, an erase of 32 KiB", 0x52, 112 * time.Millisecond, 2500 * time.Microsecond},
		{"D8, an erase of 64 KiB", 0xD8, 160 * time.Millisecond, 2500 * time.Microsecond},
		{"C7, an erase of all", 0xC7, 84 * time.Second, 20 * time.Millisecond},
		{"B1, a write of NVCR", 0xB1, 200 * time.Millisecond, 1500 * time.Microsecond},
		{"E3, setting a lock bit", 0xE3, 100 * time.Microsecond, 50 * time.Microsecond},
		{"E4, clearing all lock bits", 0xE4, 160 * time.Millisecond, 2500 * time.Microsecond},
		{"9B 27, a CRC check", 0x9B, 15 * 32 * mib * time.Nanosecond, 20 * time.Millisecond},
	}, common...)
	stacked := append([]kind{{"C4, an erase of a die", 0xC4, 128 * time.Second, 20 * time.Millisecond}}, common...)
	for _, row := range []struct {
		part  string
		kinds []kind
	}{{"MT25QL256ABA", single}, {"MT25QL01GBBB", stacked}} {
		for _, side := range []struct {
			below   time.Duration // polls below what it takes
			pace    nor.Pace
			differs bool
		}{{0, nor.Real, false}, {2, nor.Real, true}, {2, nor.None, false}} {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, row.part, nor.Options{Pace: side.pace})
				p := parts[row.part]
				p.Longest = maps.Clone(p.Longest)
				for _, k := range row.kinds {
					p.Longest[k.op] = max(1, k.takes-side.below*k.poll)
				}
				results, err := try(t, c, p, free(c))
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range row.kinds {
					r := results[find(results, longest+k.name)]
					if r.Status != conformance.Observed || r.Differs != side.differs {
						t.Errorf("%s, %d polls below: %v, differs %v", row.part, side.below, r, r.Differs)
					}
					if never := strings.HasPrefix(r.Detail, "ready within "); never != (side.pace == nor.None) {
						t.Errorf("%s: %v", row.part, r)
					}
				}
			})
		}
	}
}
