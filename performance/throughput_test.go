package performance

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestThroughput is a shift: one operator, who has two hands, takes a finished board out of its slot, puts the next one in and scans it, 5 s
// each time; meanwhile the other slots go on. T is what a run takes alone.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	unraced(t)
	const (
		slots    = 8
		handling = 5 * time.Second
		warm     = 1 // boards of each slot before it is measured
		measured = 2 // boards of each slot
	)
	content := image(1, 64<<10)
	for _, c := range []struct {
		n     int
		what  string
		clock string // that makes a run longer or shorter than the operator's round
	}{
		{40, "runs longer than the operator's round", "30kHz"},
		{41, "runs shorter than the operator's round", "60kHz"},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := recipe(t, content)
			var alone, took time.Duration
			synctest.Test(t, func(t *testing.T) {
				bench := rack(slots)
				for i := range bench {
					bench[i].clock = c.clock
				}
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
						for k := range warm + measured + 1 {
							operator <- struct{}{}
							time.Sleep(handling)
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
				took = done[slots*(warm+measured)].Sub(done[slots*warm])
			})
			rate := slots * measured / took.Seconds()
			limit := slots / max(alone+handling, slots*handling).Seconds()
			if longer := alone+handling > slots*handling; longer != (c.n == 40) {
				t.Fatalf("a run of %v is no example of it", alone)
			}
			hold(t, rate >= 0.98*limit, row{n: c.n, what: "throughput, 8 slots, one operator with 5 s handling, " + c.what,
				limit: fmt.Sprintf("n / max(T+h, n*h), T %v: %.1f boards an hour", alone.Round(time.Millisecond), limit*3600), reach: "98 %",
				measured: fmt.Sprintf("%.1f boards an hour, %.2f %%", rate*3600, 100*rate/limit)})
		})
	}
}
