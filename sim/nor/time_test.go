package nor_test

import (
	"testing"
	"time"

	"station/sim/nor"
)

// wireClock drives a chip as a programmer that runs ahead of the time: it tells the chip what time the wire has.
type wireClock struct {
	c  *nor.Chip
	at time.Time
}

const tick = 100 * time.Nanosecond // of a byte

func (w *wireClock) do(n int, out ...byte) []byte {
	in := make([]byte, n)
	w.c.At(w.at, tick)
	w.c.Select()
	for _, p := range [][2][]byte{{out, nil}, {nil, in}} {
		w.c.At(w.at, tick)
		w.c.Shift(p[0], p[1])
		w.at = w.at.Add(time.Duration(max(len(p[0]), len(p[1]))) * tick)
	}
	w.c.At(w.at, tick)
	w.c.Deselect()
	return in
}

// takes is how long an operation keeps the chip busy, by samples of its status in one frame.
func (w *wireClock) takes(t *testing.T, limit time.Duration, out ...byte) time.Duration {
	t.Helper()
	w.do(0, 0x06)
	w.do(0, out...)
	start := w.at
	w.at = w.at.Add(limit / 1000) // most of it without samples
	for !w.at.After(start.Add(limit)) {
		before := w.at
		samples := w.do(1000, 0x05)
		for i, s := range samples {
			if s&1 == 0 {
				return before.Add(time.Duration(1+i) * tick).Sub(start)
			}
		}
	}
	t.Fatalf("busy for more than %v", limit)
	return 0
}

// The wire's time holds, wherever time.Now is: a program seems to take its time to the sample.
func TestTimeOnTheWire(t *testing.T) {
	for _, scale := range []float64{0, 1, 0.5, 4} {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real, Scale: scale})
		w := &wireClock{c, time.Now().Add(time.Hour)}
		want := 120 * time.Microsecond
		if scale > 0 {
			want = time.Duration(scale * float64(want))
		}
		for range 10 {
			got := w.takes(t, time.Millisecond, 0x02, 0, 0, 0, 0x55)
			if got < want || got > want+tick {
				t.Errorf("scale %v: a page program took %v, want %v", scale, got, want)
			}
		}
		if c.Counters()[nor.CountProgram] != 10 || status(c) != 0 {
			t.Errorf("%d programs, status %02x", c.Counters()[nor.CountProgram], status(c))
		}
	}
}

// Spread gives each page its own time: even, with some slow ones, and by the seed alone.
func TestSpread(t *testing.T) {
	const pages, typical, spread = 8192, 120 * time.Microsecond, 0.5
	times := func(seed uint64) (all []time.Duration) {
		w := &wireClock{newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real, Seed: seed, Spread: spread}), time.Now().Add(time.Hour)}
		for i := range pages {
			all = append(all, w.takes(t, time.Millisecond, 0x02, byte(i>>8), byte(i), 0, 0x55))
		}
		return all
	}
	all := times(1)
	var sum time.Duration
	slow, third := 0, [3]int{}
	for _, d := range all {
		switch f := float64(d) / float64(typical); {
		case f < 0.5 || f > 4.51:
			t.Fatalf("a page took %v, %v times the typical time", d, f)
		case f > 1.51:
			slow++
		default:
			sum += d
			third[min(int((f-0.5)*3), 2)]++
		}
	}
	if slow < pages/512 || slow > pages/128 {
		t.Errorf("%d slow pages of %d, want about one in 256", slow, pages)
	}
	if mean := sum / time.Duration(pages-slow); (mean - typical).Abs() > typical/50 {
		t.Errorf("the others took %v in the mean, want %v", mean, typical)
	}
	for i, n := range third {
		if n < pages*30/100 || n > pages*36/100 {
			t.Errorf("%d of %d pages are in third %d of the spread", n, pages, i)
		}
	}
	again, other := times(1), times(2)
	same := 0
	for i := range all {
		if again[i] != all[i] {
			t.Fatalf("page %d took %v, and with the same seed %v", i, all[i], again[i])
		}
		if other[i] == all[i] {
			same++
		}
	}
	if same > pages/100 {
		t.Errorf("%d of %d pages take the same with another seed", same, pages)
	}
	// The same page takes another time when it is programmed again; so do erases.
	w := &wireClock{newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real, Spread: spread}), time.Now().Add(time.Hour)}
	distinct := map[time.Duration]bool{}
	for range 20 {
		distinct[w.takes(t, time.Millisecond, 0x02, 0, 0, 0, 0x55)] = true
	}
	if len(distinct) < 10 {
		t.Errorf("%d times for 20 programs of one page", len(distinct))
	}
	clear(distinct)
	for range 4 {
		d := w.takes(t, 300*time.Millisecond, 0x20, 0, 0, 0)
		if distinct[d] = true; d < 24*time.Millisecond || d > 216*time.Millisecond {
			t.Errorf("an erase took %v, want about 48ms", d)
		}
	}
	if len(distinct) < 4 {
		t.Errorf("%d times for 4 erases", len(distinct))
	}
}
