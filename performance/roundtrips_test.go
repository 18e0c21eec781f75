package performance

import (
	"fmt"
	"testing"
	"testing/synctest"

	"station/flash"
)

// TestRoundTrips counts what the host had to wait for before it could send on, over USB with its frames and a chip that takes its time.
func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		n          int
		name       string
		p          programmer
		page       float64 // the most for a page
		read       int64   // the most for a MiB
		page1, mib string  // the rival's
	}{
		{10, "FTDI", fast("1", "1-1"), 0.1, 1, "flashrom 2", "flashrom 16"},
		{11, "CH341A", programmer{slot: "1", port: "1-1", ch341a: true}, 1, 16, "flashrom 4", "flashrom 256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const pages = mebibyte / page
			var written, read int64
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, true, c.p)
				defer l.close()
				l.seat("1", l.chip(0))
				conn, release, err := l.bench.Lease(t.Context(), "1")
				must(t, err)
				defer release()
				chip, err := flash.Identify(t.Context(), conn)
				must(t, err)
				want := []flash.Extent{{Size: mebibyte, Data: image(1, mebibyte)}}
				plan, err := flash.NewPlan(chip.Part(), want, func(int) flash.Knowledge { return flash.Knowledge{Blank: true} })
				must(t, err)
				before := l.sim.Count(c.p.port)
				must(t, chip.Apply(t.Context(), plan, nil))
				after := l.sim.Count(c.p.port)
				written = after.Sub(before).RoundTrips
				back := make([]byte, mebibyte)
				must(t, chip.Read(t.Context(), 0, back))
				read = l.sim.Count(c.p.port).Sub(after).RoundTrips
				if string(back) != string(want[0].Data) {
					t.Error("the chip does not hold what was written")
				}
			})
			each := float64(written) / pages
			hold(t, each <= c.page, row{n: c.n, what: "round trips per 256-byte page, " + c.name, limit: c.page1, reach: fmt.Sprintf("%v or fewer", c.page),
				measured: fmt.Sprintf("%.4f (%d for %d pages)", each, written, pages)})
			hold(t, read <= c.read, row{n: c.n + 3, what: "round trips to read 1 MiB, " + c.name, limit: c.mib, reach: fmt.Sprintf("%d or fewer", c.read),
				measured: fmt.Sprint(read)})
		})
	}
}
