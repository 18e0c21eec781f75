package performance

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/recipes"
)

// rack is n FT232H, eight on each of as many USB controllers as that takes.
func rack(n int) (out []programmer) {
	for i := range n {
		out = append(out, fast(fmt.Sprint(i+1), fmt.Sprintf("%d-%d", i/8+1, i%8+1)))
	}
	return out
}

// atOnce is how long n slots take that begin at the same time, by the slowest of them.
func atOnce(t *testing.T, r *recipes.Recipe, n int) (slowest time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		slots := rack(n)
		l := newLine(t, true, slots...)
		defer l.close()
		took := make([]time.Duration, n)
		var all sync.WaitGroup
		for i, p := range slots {
			l.seat(p.slot, l.chip(i))
			all.Go(func() { took[i] = l.run(r, p.slot, i) })
		}
		all.Wait()
		slowest = slices.Max(took)
	})
	return slowest
}

// TestSlotsAtOnce: slots do not slow each other down.
func TestSlotsAtOnce(t *testing.T) {
	r := recipe(t, image(1, size(4*mebibyte, mebibyte/2)))
	alone := atOnce(t, r, 1)
	for _, c := range []struct {
		n, slots    int
		limit, what string
		most        float64
	}{
		{33, 8, "snagfactory 1.08", "8 slots against 1, one USB controller", 1.02},
		{34, 32, "1", "32 slots against 1, four USB controllers", 1.05},
	} {
		all := atOnce(t, r, c.slots)
		ratio := all.Seconds() / alone.Seconds()
		hold(t, ratio <= c.most, row{n: c.n, what: "modelled time, " + c.what, limit: c.limit, reach: fmt.Sprint(c.most),
			measured: fmt.Sprintf("%.4f (%v against %v)", ratio, all.Round(time.Microsecond), alone.Round(time.Microsecond))})
	}
}
