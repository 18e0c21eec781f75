package flash

import (
	"bytes"
	"slices"
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

// Chips whose pages take a time each of their own, some three times as long as others: what the array holds is right in any case, on a long write, and a late page costs about one page.
func TestProgramUnevenChip(t *testing.T) {
	for link, set := range links {
		for seed := range uint64(4) {
			synctest.Test(t, func(t *testing.T) {
				o := nor.Options{Pace: nor.Real, Seed: seed, Spread: 0.1 * float64(seed+1), Scale: 0.5 + 0.5*float64(seed)}
				c, w := identified(t, "MT25QL256ABA", o)
				set(w)
				const pages = 2048
				data := noise(seed, pages*256)
				plan := mustPlan(t, c, nil, Extent{0, pages * 256, data})
				plan.Ops = slices.DeleteFunc(plan.Ops, func(op Op) bool { return op.Data == nil }) // it is blank
				start := time.Now()
				must(t, c.Apply(t.Context(), plan, nil))
				took := time.Since(start)
				if !bytes.Equal(w.chip.Bytes(0, len(data)), data) {
					t.Fatalf("%s, seed %d: wrong bytes", link, seed)
				}
				w.idle(t)
				programs := w.chip.Counters()[nor.CountProgram]
				floor := w.floor(pages) + time.Duration((o.Scale-1)*pages*120)*time.Microsecond
				more := float64(took) / float64(floor)
				t.Logf("%s, %.1f times typical, spread %.1f: %.3f of wire and mean, %d programs, %d sent", link, o.Scale, o.Spread, more, programs, w.count(0x12))
				timed := w.byteTime > 0
				if programs < pages || programs > pages*105/100 || timed && (more > 1.35 || w.count(0x12) > pages*110/100) {
					t.Errorf("%s, %.1f times typical, spread %.1f: %.3f of wire and mean, %d programs, %d sent", link, o.Scale, o.Spread, more, programs, w.count(0x12))
				}
			})
		}
	}
}

// A chip that fails in the middle of a batch is told at the page where it does, wherever that is, and whether or not the page before was late.
func TestProgramFailsInABatch(t *testing.T) {
	exact := 0
	defer func() {
		if exact < 36 {
			t.Errorf("%d of 40 were told at the first bad page", exact)
		}
	}()
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real, Seed: seed, Spread: 0.5})
			w.byteTime = 8 * time.Second / 30_000_000
			data := noise(seed, 300*256)
			plan := mustPlan(t, c, Known{0: {Blank: true}, 1: {Blank: true}}, Extent{0, 300 * 256, data})
			bad := 1 + int(seed)*7%299
			w.drop = func(out []byte) bool { // the page is the bad one from its first try on
				if out[0] == 0x12 {
					page := int(out[2])<<8 | int(out[3])
					w.chip.SetFaults(nor.Faults{FailProgram: page >= bad})
				}
				return false
			}
			e := as[*OperationError](t, c.Apply(t.Context(), plan, nil))
			w.drop = nil
			w.chip.SetFaults(nor.Faults{})
			// The next one where the first bad one came too early and was ignored.
			if at := int(e.Addr / 256); e.Op != "program" || at != bad && at != bad+1 || e.FSR&0x10 == 0 {
				t.Errorf("seed %d, pages from %d on are bad: %v", seed, bad, e)
			} else if at == bad {
				exact++
			}
			missing := 0 // what was to be sent again
			for p := 0; p < bad*256; p += 256 {
				if got := w.chip.Bytes(uint32(p), 256); blank(got) {
					missing++
				} else if !bytes.Equal(got, data[p:p+256]) {
					t.Errorf("seed %d: the page at 0x%X, before the bad one, is neither there nor blank", seed, p)
				}
			}
			if missing > 8 {
				t.Errorf("seed %d: %d pages before the bad one are not there", seed, missing)
			}
			w.idle(t)
		})
	}
}

// A lock in the middle of a batch is met at its first page.
func TestProgramMeetsALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		w.byteTime = 8 * time.Second / 30_000_000
		must(t, c.LockNonvolatile(t.Context(), 5))
		data := noise(1, 4<<16)
		plan := mustPlan(t, c, nil, Extent{3 << 16, 4 << 16, data})
		plan.Ops = slices.DeleteFunc(plan.Ops, func(op Op) bool { return op.Data == nil })
		if e := as[*ProtectedError](t, c.Apply(t.Context(), plan, nil)); e.Op != "program" || e.Addr != 5<<16 {
			t.Errorf("%v", e)
		}
		w.idle(t)
		if !bytes.Equal(w.chip.Bytes(3<<16, 2<<16), data[:2<<16]) || !blank(w.chip.Bytes(5<<16, 1<<16)) {
			t.Error("what is not locked is not there, or what is locked is not blank")
		}
		// A page shortly before it loses its write enable: it is not the one that is locked.
		n := 0
		w.drop = func(out []byte) bool {
			if out[0] == 0x12 && out[2] == 0x04 && out[3] == 0xEF {
				n = 1 // the next write enable
				return false
			}
			lost := out[0] == 0x06 && n == 1
			if lost {
				n = 2
			}
			return lost
		}
		if e := as[*ProtectedError](t, c.Apply(t.Context(), plan, nil)); e.Op != "program" || e.Addr != 5<<16 || n != 2 {
			t.Errorf("%v", e)
		}
		w.idle(t)
	})
}

// A chip that never ends a page in the middle of a batch is stuck at that page.
func TestProgramStuckInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		w.byteTime = 8 * time.Second / 30_000_000
		plan := mustPlan(t, c, Known{0: {Blank: true}}, Extent{0, 100 * 256, noise(1, 100*256)})
		w.drop = func(out []byte) bool {
			if out[0] == 0x12 && out[3] == 30 {
				w.chip.SetFaults(nor.Faults{StuckBusy: true})
			}
			return false
		}
		start := time.Now()
		if e := as[*BusyError](t, c.Apply(t.Context(), plan, nil)); e.Op != "program" || e.Addr != 30*256 || !e.StuckBusy {
			t.Errorf("%v", e)
		}
		if took := time.Since(start); took > c.Part().Limit(c.Part().Program.Max)+100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}
