package flash

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// links are the kinds of programmer that batches are fitted to.
var links = map[string]func(*wire){
	"idles":          func(w *wire) { w.byteTime = 8 * time.Second / 30_000_000 },
	"slow, by grain": func(w *wire) { w.byteTime, w.grain = 8*time.Second/1_500_000, 31 },
	"no idles":       func(w *wire) { w.byteTime, w.hostIdle = 8*time.Second/30_000_000, true },
	"unknown speed":  func(w *wire) {},
	"host waits":     func(w *wire) { w.hostIdle = true },
}

// withTypical is the part with another typical time of a page than its chips have, which is 120 us.
func withTypical(t *testing.T, name string, typ time.Duration) *Part {
	p, err := partNamed(name)
	must(t, err)
	p.Program.Typ = typ
	return p
}

// floor is how long pages of the simulated chip take at the least.
func (w *wire) floor(pages int) time.Duration {
	return time.Duration(pages) * (120*time.Microsecond + 261*w.byteTime)
}

// Chips as fast as typical, much faster and much slower, on every kind of link: all pages arrive, hardly any twice, and the pace is soon the chip's own.
func TestProgramFitsTheChip(t *testing.T) {
	for link, set := range links {
		for _, typ := range []time.Duration{120 * time.Microsecond, 400 * time.Microsecond, 40 * time.Microsecond} {
			synctest.Test(t, func(t *testing.T) {
				c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real}, withTypical(t, "MT25QL256ABA", typ))
				set(w)
				const pages = 2048
				data := noise(1, pages*256)
				blank := func(int) Knowledge { return Knowledge{Blank: true} }
				plan, err := NewPlan(c.Part(), []Extent{{0x10000, pages * 256, data}}, blank)
				must(t, err)
				start := time.Now()
				must(t, c.Apply(t.Context(), plan, nil))
				took := time.Since(start)
				if !bytes.Equal(w.chip.Bytes(0x10000, len(data)), data) {
					t.Fatalf("%s, typical %v: wrong bytes", link, typ)
				}
				w.idle(t)
				more := float64(took) / float64(w.floor(pages))
				programs := w.chip.Counters()[nor.CountProgram]
				most := 1.06
				if w.byteTime == 0 {
					most = float64(max(typ, 150*time.Microsecond)) / float64(120*time.Microsecond) // nobody can measure the chip
				}
				t.Logf("%s, typical %v: %.3f of the floor, %d programs, %d round trips", link, typ, more, programs, w.trips)
				if more > most || programs > pages*102/100 || !w.hostIdle && w.trips > pages/32 {
					t.Errorf("%s, typical %v: %.3f of the floor, %d programs, %d round trips", link, typ, more, programs, w.trips)
				}
			})
		}
	}
}

// Every frame of a batch in turn is lost: the page is programmed after all, or the error names it. What the array holds is never anything but FF and what is wanted.
func TestProgramLosesAFrame(t *testing.T) {
	for lost := range 5 * 6 {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
			w.byteTime = 8 * time.Second / 30_000_000
			data := noise(3, 6*256)
			plan := mustPlan(t, c, Known{0: {Blank: true}}, Extent{0, 4096, data})
			n := -6 // status before
			w.onDo = func(frames ...spi.Frame) {
				if frames[0].Out[0] == 0x06 && n < 0 {
					n = 0
				}
			}
			w.drop = func(out []byte) bool {
				if n >= 0 {
					n++
				}
				return n == lost+1
			}
			err := c.Apply(t.Context(), plan, nil)
			w.drop = nil
			got := w.chip.Bytes(0, len(data))
			for i := range got {
				if got[i] != data[i] && got[i] != 0xFF {
					t.Fatalf("frame %d lost: 0x%X holds %02X, neither FF nor %02X", lost, i, got[i], data[i])
				}
			}
			if err == nil && !bytes.Equal(got, data) {
				t.Errorf("frame %d lost: no error, and a page is missing", lost)
			}
			if lost%5 < 3 && err != nil {
				t.Errorf("frame %d lost: %v", lost, err)
			}
		})
	}
}
