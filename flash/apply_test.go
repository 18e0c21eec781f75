package flash

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func mustPlan(t *testing.T, c *Chip, known Known, want ...Extent) *Plan {
	t.Helper()
	var f func(int) Knowledge
	if known != nil {
		f = known.Sector
	}
	plan, err := NewPlan(c.Part(), want, f)
	must(t, err)
	return plan
}

// write does what a write step does: survey, plan, apply, verify.
func write(t *testing.T, c *Chip, want ...Extent) *Plan {
	t.Helper()
	known, err := c.Survey(t.Context(), want, nil)
	must(t, err)
	plan := mustPlan(t, c, known, want...)
	must(t, c.Apply(t.Context(), plan, nil))
	must(t, c.Verify(t.Context(), want, nil))
	return plan
}

// Every part, in both address modes, at both ends of the array, over old content, with each erase size.
func TestWriteEveryPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range Parts() {
			for _, wide := range []bool{false, true} {
				w := newWire(t, p.Name, nor.Options{})
				if wide {
					// One that comes up in 4-byte mode is meant to stay in it.
					w.raw([]byte{0x06}, []byte{0xB1, 0xFE, 0xFF}, []byte{0x66}, []byte{0x99})
				}
				_, mode := w.status()
				c, err := Identify(t.Context(), w)
				must(t, err)
				end := p.Size - 0x18000
				write(t, c, Extent{0, 0x3000, noise(1, 0x2345)}, Extent{end, 0x18000, noise(2, 0x18000)})
				plan := write(t, c, Extent{0x1000, 0x1000, noise(3, 0x1000)}, Extent{end, 0x8000, noise(4, 0x7000)}, Extent{end + 0x8000, 0x10000, nil})
				for _, size := range []int64{4096, 32768, 65536} {
					if plan.Erases[size] != 1 {
						t.Fatalf("%s: the second plan erases %v", p.Name, plan.Erases)
					}
				}
				if again := write(t, c, Extent{0x1000, 0x1000, noise(3, 0x1000)}); len(again.Ops) != 0 {
					t.Errorf("%s: writing the same again has %d ops", p.Name, len(again.Ops))
				}
				want := append(append(noise(1, 0x2345)[:0x1000:0x1000], noise(3, 0x1000)...), noise(1, 0x2345)[0x2000:]...)
				if !bytes.Equal(w.chip.Bytes(0, 0x2345), want) {
					t.Errorf("%s: wrong bytes at the bottom", p.Name)
				}
				if got := w.chip.Bytes(uint32(end), 0x18000); !bytes.Equal(got[:0x7000], noise(4, 0x7000)) || !blank(got[0x7000:]) {
					t.Errorf("%s: wrong bytes at the top", p.Name)
				}
				w.idle(t)
				if _, now := w.status(); now != mode {
					t.Errorf("%s: address mode 0x%02X became 0x%02X", p.Name, mode, now)
				}
			}
		}
	})
}

// Many pages cost one round trip where the chip keeps its typical time.
func TestApplyRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		w.byteTime = 8 * time.Second / 30_000_000
		plan := mustPlan(t, c, Known{0: {Blank: true}}, Extent{0, 0x10000, noise(1, 0x10000)})
		var last int64
		steps := 0
		start := time.Now()
		must(t, c.Apply(t.Context(), plan, func(done, total int64) {
			if steps++; done <= last || total != 0x10000 {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}))
		if w.trips != 6 { // 16, 32, 64, 128 and 16 pages, and the status before them
			t.Errorf("256 pages took %d round trips", w.trips)
		}
		if took, typical := time.Since(start), plan.Typical(w.byteTime); took > typical*3/2 {
			t.Errorf("took %v, typical is %v", took, typical)
		}
		if steps != 5 || last != 0x10000 {
			t.Errorf("%d steps to %d", steps, last)
		}
	})
}

// Links with short frames, no known speed, or both.
func TestApplyShortFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QU512ABB", nor.Options{})
		w.maxFrame = 64
		write(t, c, Extent{0x1FFF000, 0x1000, noise(7, 0x1000)})
		if !bytes.Equal(w.chip.Bytes(0x1FFF000, 0x1000), noise(7, 0x1000)) {
			t.Error("wrong bytes")
		}
		w.maxFrame = 5
		if err := c.Read(t.Context(), 0, make([]byte, 1)); err == nil {
			t.Error("read through frames of five bytes")
		}
		if err := c.program(t.Context(), 0, []byte{1}); err == nil {
			t.Error("programmed through frames of five bytes")
		}
	})
}

// Cancelling lets the running operation end: the chip is ready, the link in step, nothing after it begun.
func TestApplyCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		ctx, cancel := context.WithCancel(t.Context())
		w.onDo = func(frames ...spi.Frame) {
			if len(frames) > 2 && frames[2].Out[0] == 0xDC {
				time.AfterFunc(time.Millisecond, cancel)
			}
		}
		plan := mustPlan(t, c, nil, Extent{0, 0x20000, noise(1, 0x20000)})
		is(t, c.Apply(ctx, plan, nil), context.Canceled)
		w.idle(t)
		if n := w.count(0xDC) + w.count(0x12); n != 1 {
			t.Errorf("%d operations were begun", n)
		}
		if w.chip.Counters()[nor.CountErase] != 1 {
			t.Error("the erase that had begun did not end")
		}
		// Before anything: nothing is sent at all.
		trips := w.trips
		is(t, c.Apply(ctx, plan, nil), context.Canceled)
		if w.trips != trips {
			t.Error("a cancelled context reached the chip")
		}
	})
}

func TestApplyProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		must(t, c.LockNonvolatile(t.Context(), 2))
		plan := mustPlan(t, c, nil, Extent{0x20000, 0x10000, nil})
		if e := as[*ProtectedError](t, c.Apply(t.Context(), plan, nil)); e.Op != "erase" || e.Addr != 0x20000 || e.FSR&0x22 != 0x22 {
			t.Errorf("%+v", e)
		}
		w.idle(t)
		plan = mustPlan(t, c, Known{2: {Blank: true}}, Extent{0x21000, 0x1000, []byte{1}})
		if e := as[*ProtectedError](t, c.Apply(t.Context(), plan, nil)); e.Op != "program" || e.Addr != 0x21000 || e.FSR&0x12 != 0x12 {
			t.Errorf("%+v", e)
		}
		w.idle(t)
		// Its neighbour takes the same.
		must(t, c.Apply(t.Context(), mustPlan(t, c, nil, Extent{0x31000, 0x1000, []byte{1}}), nil))
	})
}

func TestApplyFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		plan := mustPlan(t, c, nil, Extent{0x40000, 0x10000, []byte{1}})
		w.chip.SetFaults(nor.Faults{FailErase: true})
		if e := as[*OperationError](t, c.Apply(t.Context(), plan, nil)); e.Op != "erase" || e.Addr != 0x40000 || e.FSR&0x20 == 0 {
			t.Errorf("%+v", e)
		}
		w.idle(t)
		w.chip.SetFaults(nor.Faults{FailProgram: true})
		if e := as[*OperationError](t, c.Apply(t.Context(), plan, nil)); e.Op != "program" || e.FSR&0x10 == 0 {
			t.Errorf("%+v", e)
		}
		w.idle(t)
		// Flags that somebody else left do not count against the next operation.
		w.raw([]byte{0x06}, []byte{0x12, 0, 0, 0, 0, 1})
		w.chip.SetFaults(nor.Faults{})
		if _, fsr := w.status(); fsr&0x10 == 0 {
			t.Fatal("no flag was left")
		}
		must(t, c.Apply(t.Context(), plan, nil))
	})
}

// A write enable that is lost, or a command that is lost behind it, raises no flag.
func TestApplyLostFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		want := Extent{0x40000, 0x10000, []byte{1}}
		plan := mustPlan(t, c, nil, want)
		w.drop = dropping(0x06)
		is(t, c.Apply(t.Context(), plan, nil), ErrNotExecuted)
		w.drop = dropping(0x12)
		is(t, c.Apply(t.Context(), plan, nil), ErrNotExecuted)
		w.idle(t)
		// Not even a trace of the write enable: reading back tells.
		w.drop = func(out []byte) bool {
			if out[0] == 0x12 {
				w.raw([]byte{0x04})
			}
			return out[0] == 0x12
		}
		must(t, c.Apply(t.Context(), plan, nil))
		if e := as[*MismatchError](t, c.Verify(t.Context(), []Extent{want}, nil)); e.Addr != 0x40000 || e.Want != 1 || e.Got != 0xFF {
			t.Errorf("%+v", e)
		}
		// The board is taken away: contact, and soon.
		w.drop = func(out []byte) bool { return out[0] != 0x05 && out[0] != 0x70 }
		is(t, c.Apply(t.Context(), plan, nil), ErrAbsent)
		w.drop = func([]byte) bool { return true }
		is(t, c.Apply(t.Context(), plan, nil), ErrAbsent)
	})
}

func TestApplyLinkError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		gone := errors.New("gone")
		plan := mustPlan(t, c, nil, Extent{0x40000, 0x10000, []byte{1}})
		for _, op := range []byte{0x05, 0x06, 0xDC, 0x12} {
			w.fail = func(out []byte) error {
				if out[0] == op {
					return gone
				}
				return nil
			}
			err := c.Apply(t.Context(), plan, nil)
			is(t, err, gone)
			as[*spi.FrameError](t, err)
		}
	})
}

func TestApplyOtherPart(t *testing.T) {
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	p, err := partNamed("MT25QL256ABA")
	must(t, err)
	p.Erases[2].Max *= 2
	plan, err := NewPlan(p, []Extent{{0, 4096, nil}}, nil)
	must(t, err)
	if c.Apply(t.Context(), plan, nil) == nil || w.trips != 0 {
		t.Error("a plan for another profile was applied")
	}
	odd := &Plan{Part: c.Part(), Ops: []Op{{0, 5000, nil}}}
	if c.Apply(t.Context(), odd, nil) == nil || w.count(0x06) != 0 {
		t.Error("an erase that the part does not have was sent")
	}
}

// 52 has no 4-byte twin: it is sent in 4-byte mode, and the mode is left again whatever happens.
func TestApplyMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL512ABB", nor.Options{})
		high := int64(0x3008000)
		write(t, c, Extent{high, 0x8000, noise(1, 0x8000)})
		plan := mustPlan(t, c, nil, Extent{high, 0x8000, nil})
		if plan.Erases[32768] != 1 {
			t.Fatalf("%v", plan.Erases)
		}
		must(t, c.LockNonvolatile(t.Context(), int(high>>16)))
		w.sent = nil
		as[*ProtectedError](t, c.Apply(t.Context(), plan, nil))
		if w.count(0xB7) != 1 || w.count(0xE9) != 1 {
			t.Errorf("sent % X", w.sent)
		}
		if _, fsr := w.status(); fsr != 0x80 {
			t.Errorf("flag status 0x%02X", fsr)
		}
		must(t, c.EraseNonvolatileLocks(t.Context()))
		// The mode does not come on: no erase goes to a wrong address.
		w.sent, w.drop = nil, dropping(0xB7)
		is(t, c.Apply(t.Context(), plan, nil), ErrNotExecuted)
		if w.count(0x52) != 0 {
			t.Error("52 was sent in the wrong mode")
		}
		// It does not go off: said, not hidden.
		w.drop = dropping(0xE9)
		is(t, c.Apply(t.Context(), plan, nil), ErrNotExecuted)
		w.drop = nil
		must(t, c.Apply(t.Context(), plan, nil))
		if w.count(0x52) != 2 {
			t.Errorf("sent % X", w.sent)
		}
	})
}

// Every wait ends exactly at the part's limit.
func TestLimits(t *testing.T) {
	addr := []Extent{{0, 0x10000, []byte{1}}}
	for name, x := range map[string]struct {
		limit time.Duration
		op    string
		do    func(context.Context, *Chip) error
	}{
		"erase 64K": {3 * time.Second, "erase", func(ctx context.Context, c *Chip) error {
			plan, _ := NewPlan(c.Part(), addr, nil)
			return c.Apply(ctx, plan, nil)
		}},
		"erase 4K": {1200 * time.Millisecond, "erase", func(ctx context.Context, c *Chip) error {
			plan, _ := NewPlan(c.Part(), []Extent{{0x1000, 1, nil}}, nil)
			return c.Apply(ctx, plan, nil)
		}},
		"program": {100 * time.Millisecond, "program", func(ctx context.Context, c *Chip) error {
			plan, _ := NewPlan(c.Part(), addr, func(int) Knowledge { return Knowledge{Blank: true} })
			return c.Apply(ctx, plan, nil)
		}},
		"E3":    {100 * time.Millisecond, "lock", func(ctx context.Context, c *Chip) error { return c.LockNonvolatile(ctx, 3) }},
		"E4":    {3 * time.Second, "erase nonvolatile locks", func(ctx context.Context, c *Chip) error { return c.EraseNonvolatileLocks(ctx) }},
		"probe": {100 * time.Millisecond, "probe", func(ctx context.Context, c *Chip) error { return c.ProbeLocked(ctx, 0) }},
	} {
		for _, contact := range []string{"steady", "absent", "unstable"} {
			synctest.Test(t, func(t *testing.T) {
				c, w := identified(t, "MT25QL256ABA", nor.Options{})
				if name == "E4" {
					must(t, c.LockNonvolatile(t.Context(), 3))
				}
				w.chip.SetFaults(nor.Faults{StuckBusy: true})
				var began time.Time
				w.onDo = func(frames ...spi.Frame) {
					if frames[0].Out[0] == 0x06 && began.IsZero() {
						began = time.Now()
					}
				}
				flicker := byte(0)
				w.forge = func(out, in []byte) {
					if began.IsZero() || time.Since(began) == 0 || out[0] != 0x05 && out[0] != 0x70 {
						return
					}
					for i := range in {
						switch flicker += 0x10; contact {
						case "absent":
							in[i] = 0xFF
						case "unstable":
							in[i] ^= flicker &^ 0x80
						}
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w.onDo(spi.Frame{Out: []byte{0}})
				if name == "E3" {
					time.AfterFunc(50*time.Millisecond, cancel) // does not cut the wait short
				}
				e := as[*BusyError](t, x.do(ctx, c))
				if e.Limit != x.limit || e.Op != x.op || time.Since(began) != x.limit {
					t.Errorf("%s, %s: %v after %v", name, contact, e, time.Since(began))
				}
				if e.StuckBusy != (contact == "steady") || errors.Is(e, ErrAbsent) != (contact == "absent") {
					t.Errorf("%s, %s: stuck %v: %v", name, contact, e.StuckBusy, e)
				}
				if _, unstable := errors.AsType[*UnstableError](error(e)); unstable != (contact == "unstable") {
					t.Errorf("%s, %s: %v", name, contact, e)
				}
			})
		}
	}
}

// Register writes are over at once on a good chip; here its answers claim otherwise.
func TestRegisterLimits(t *testing.T) {
	for name, x := range map[string]struct {
		op byte
		do func(context.Context, *Chip) error
	}{
		"freeze":        {0xA6, func(ctx context.Context, c *Chip) error { return c.Freeze(ctx) }},
		"volatile lock": {0xE1, func(ctx context.Context, c *Chip) error { return c.LockVolatile(ctx, false, Range{0x10000, 0x10000}) }},
		"reset":         {0x99, func(ctx context.Context, c *Chip) error { return c.Reset(ctx) }},
		"enter 4-byte mode": {0xB7, func(ctx context.Context, c *Chip) error {
			plan, _ := NewPlan(c.Part(), []Extent{{0, 0x8000, nil}}, nil)
			return c.Apply(ctx, plan, nil)
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, "MT25QL256ABA", nor.Options{})
			var began time.Time
			w.onDo = func(frames ...spi.Frame) {
				if began.IsZero() && slices.ContainsFunc(frames, func(f spi.Frame) bool { return f.Out[0] == x.op }) {
					began = time.Now()
				}
			}
			hung := false
			w.forge = func(out, in []byte) {
				hung = hung || out[0] == x.op
				for i := range in {
					if hung && out[0] == 0x05 {
						in[i] = 0x03
					} else if hung && out[0] == 0x70 {
						in[i] = 0
					}
				}
			}
			e := as[*BusyError](t, x.do(t.Context(), c))
			if e.Op != name || !e.StuckBusy || e.Limit != 100*time.Millisecond || time.Since(began) != e.Limit {
				t.Errorf("%s: %v after %v", name, e, time.Since(began))
			}
		})
	}
}
