package performance

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestThroughput is a shift: one operator, who has two hands, takes a finished board out of its slot, puts the next one in and scans it, h
// each time; meanwhile the other slots go on. T is what a run takes alone.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	unraced(t)
	const (
		slots = 8
		warm  = 1 // boards of each slot before it is measured
	)
	for _, c := range []struct {
		n        int
		size     int // of the image
		handling time.Duration
		longer   bool // a run, and its handling, is longer than the operator's round
		measured int  // boards of each slot
	}{
		{40, mebibyte, 100 * time.Millisecond, true, 2},
		{41, mebibyte, 300 * time.Millisecond, false, 2},
		{42, whole, 5 * time.Second, false, 1},
	} {
		what := fmt.Sprintf("%s at 30 MHz, h %v", sizeText(c.size), c.handling)
		t.Run(what, func(t *testing.T) {
			if c.size == whole && !full() {
				t.Skip("most of a minute")
			}
			r := recipe(t, image(1, c.size))
			var alone, took time.Duration
			synctest.Test(t, func(t *testing.T) {
				bench := rack(slots)
				l := newLine(t, true, bench...)
				defer l.close()
				board := func(slot string, n int) time.Duration {
					l.seat(slot, l.chip(n))
					return l.run(r, slot, n)
				}
				alone = board("1", 0)

				// Not a mutex: time stands still in a bubble while somebody waits for one.
				operator := make(chan struct{}, 1)
				var mu sync.Mutex
				var done []time.Time
				var shift sync.WaitGroup
				for i, p := range bench {
					shift.Go(func() {
						for k := range warm + c.measured + 1 {
							operator <- struct{}{}
							time.Sleep(c.handling)
							<-operator
							board(p.slot, 1+i+slots*k)
							mu.Lock()
							done = append(done, time.Now())
							mu.Unlock()
						}
					})
				}
				shift.Wait()
				slices.SortFunc(done, time.Time.Compare)
				took = done[slots*(warm+c.measured)].Sub(done[slots*warm])
			})
			rate := float64(slots*c.measured) / took.Seconds()
			limit := slots / max(alone+c.handling, slots*c.handling).Seconds()
			if longer := alone+c.handling > slots*c.handling; longer != c.longer {
				t.Fatalf("a run of %v is no example of it", alone)
			}
			hold(t, rate >= 0.98*limit, row{n: c.n, what: "throughput, 8 slots, one operator, " + what,
				limit: fmt.Sprintf("n / max(T+h, n*h), T %v: %.1f boards an hour", alone.Round(time.Millisecond), limit*3600), reach: "98 %",
				measured: fmt.Sprintf("%.1f boards an hour, %.2f %%", rate*3600, 100*rate/limit)})
		})
	}
}
