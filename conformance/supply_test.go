package conformance_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"station/conformance"
	"station/sim/nor"
)

// byPower are the statements that have the supply switched.
var byPower = []string{
	"power-up brings back the volatile state", "what power-up does to error bits", "lock bits, block protection and data survive power-off",
	"power-off wakes from deep power-down", rescue, "power-off in an erase harms its unit only",
}

// TestSupplyThatStaysOn: somebody who presses Enter and reseats nothing makes no FAIL. Once is asked again, and the results are those of a good run;
// always is a skip of these statements.
func TestSupplyThatStaysOn(t *testing.T) {
	for _, row := range []struct {
		name    string
		pace    nor.Pace
		cuts    func(n int) bool // whether the n-th time of asking, from 0 on, switches the supply
		full    bool
		off     time.Duration // that a person takes
		skipped int
		kept    int // at least; 0: never
	}{
		{"each time", nor.Real, func(int) bool { return true }, true, 0, 0, 0},
		{"each time, of a chip without pace", nor.None, func(int) bool { return true }, true, 0, 1, 0},
		{"every second time", nor.Real, func(n int) bool { return n%2 == 1 }, true, 0, 0, 6},
		{"every second time, by a person", nor.Real, func(n int) bool { return n%2 == 1 }, true, 2 * time.Hour, 1, 6},
		{"never", nor.Real, func(int) bool { return false }, false, 0, 5, 10},
		{"never, by a person", nor.Real, func(int) bool { return false }, false, 2 * time.Hour, 5, 10},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, "MT25QL256ABA", nor.Options{Pace: row.pace})
				o, n, kept, cut := free(c), 0, 0, false
				if !row.full {
					o.Area, o.Full = conformance.Range{Size: 4 << 16}, false
				}
				o.Power = func(ctx context.Context, on bool) error {
					if !on {
						time.Sleep(row.off)
						cut = row.cuts(n)
						n++
					}
					if cut {
						c.Power(on)
					}
					return ctx.Err()
				}
				o.Kept = func() { kept++ }
				results, err := try(t, c, parts[c.Part()], o)
				if judge(t, results, err, nil); err != nil {
					return
				}
				registers(t, c)
				skipped := 0
				for _, name := range byPower {
					r := results[find(results, name)]
					if r.Status == conformance.Skipped && (row.full || name != rescue) {
						skipped++
					}
				}
				if skipped != row.skipped || kept < row.kept || (kept > 0) != (row.kept > 0) {
					t.Errorf("%d skipped, want %d; %d times told, want %d or more", skipped, row.skipped, kept, row.kept)
				}
			})
		})
	}
}

// TestSupplyThatStaysOnInQuad: no way but power-off leads out of quad protocol, where the rescue does not: that is the contact's fault, and no FAIL.
func TestSupplyThatStaysOnInQuad(t *testing.T) {
	for _, until := range []int{1, 100} {
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, "MT25QL128ABA", nor.Options{Pace: nor.Real, NoRescue: true})
			o, n := free(c), map[bool]int{}
			quad := false
			o.Begin = func(now conformance.Case) { quad = now.Name == rescue }
			o.Power = func(_ context.Context, on bool) error {
				if n[on]++; !quad || n[on] > 5+until { // four cases go before it
					c.Power(on)
				}
				return nil
			}
			results, err := try(t, c, parts[c.Part()], o)
			for _, r := range results {
				if r.Status == conformance.Fail {
					t.Errorf("%v", r)
				}
			}
			if until == 1 && err != nil || until > 1 && !errors.Is(err, conformance.ErrContact) {
				t.Errorf("switched at the time %d: the error is %v", until+2, err)
			}
		})
	}
}

// TestPowerCycles: what is told up front is what is asked of a person.
func TestPowerCycles(t *testing.T) {
	for _, row := range []struct {
		part   string
		full   bool
		honest bool
		want   int
	}{{"MT25QL256ABA", false, false, 5}, {"MT25QL256ABA", true, false, 6}, {"MT25QL01GBBB", false, true, 4}} {
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, row.part, nor.Options{Pace: nor.Real})
			o, n, p := free(c), 0, parts[row.part]
			p.StackedProtection = !row.honest
			if !row.full {
				o.Area, o.Full = conformance.Range{Size: 4 << 16}, false
			}
			o.Power = func(_ context.Context, on bool) error {
				if !on {
					n++
				}
				c.Power(on)
				return nil
			}
			results, err := try(t, c, p, o)
			judge(t, results, err, nil)
			if said := conformance.PowerCycles(p, o); said != row.want || n != row.want {
				t.Errorf("%s: %d were told, %d were asked for, want %d", row.part, said, n, row.want)
			}
		})
	}
}
