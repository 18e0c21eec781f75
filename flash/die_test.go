package flash

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"station/sim/nor"
	"station/spi"
)

// What all dies say together.
func TestLookMerges(t *testing.T) {
	const r = 0x80
	for name, x := range map[string]struct {
		sr, fsr []byte // the last byte of each die
		want    status
		ready   bool
	}{
		"one, ready":          {[]byte{0}, []byte{r}, status{0, r}, true},
		"one, busy":           {[]byte{1}, []byte{0}, status{1, 0}, false},
		"all ready":           {[]byte{0, 0, 0, 0}, []byte{r, r, r, r}, status{0, r}, true},
		"last busy":           {[]byte{0, 0, 0, 1}, []byte{r, r, r, 0}, status{1, 0}, false},
		"first busy by FSR":   {[]byte{0, 0}, []byte{0, r}, status{0, 0}, false},
		"second busy by SR":   {[]byte{0, 1}, []byte{r, r}, status{1, r}, false},
		"errors of all":       {[]byte{0, 2, 0, 0}, []byte{r | 0x20, r, r | 0x12, r}, status{2, r | 0x32}, true},
		"suspended in one":    {[]byte{0, 0}, []byte{r, r | 0x40}, status{0, r | 0x40}, true},
		"4-byte mode in both": {[]byte{0, 0}, []byte{r | 1, r | 1}, status{0, r | 1}, true},
		"absent":              {[]byte{0xFF, 0xFF}, []byte{0xFF, 0xFF}, status{0xFF, 0xFF}, false},
		"absent, low":         {[]byte{0, 0}, []byte{0, 0}, status{0, 0}, false},
	} {
		l, frames := looking(len(x.sr), 6, 2)
		if len(frames) != 2*len(x.sr) {
			t.Fatalf("%s: %d frames", name, len(frames))
		}
		for i := range x.sr {
			if op, flags := frames[2*i], frames[2*i+1]; op.Out[0] != 0x05 || flags.Out[0] != 0x70 || len(op.In) > 6 || len(flags.In) != 2 {
				t.Errorf("%s: %+v", name, frames)
			}
			for j := range frames[2*i].In {
				frames[2*i].In[j] = x.sr[i]
			}
			frames[2*i+1].In[0], frames[2*i+1].In[1] = x.fsr[i], x.fsr[i]
		}
		got, steady := l.status()
		if got != x.want || got.ready() != x.ready || !steady {
			t.Errorf("%s: %+v, ready %v, steady %v", name, got, got.ready(), steady)
		}
		frames[len(frames)-1].In[0] ^= 0x10
		if again, steady := l.status(); again != got || steady {
			t.Errorf("%s: an unsteady die was not noticed", name)
		}
	}
	l, frames := looking(2, 1, 1)
	frames[1].In[0], frames[3].In[0] = r, r|1
	if _, steady := l.status(); steady {
		t.Error("dies in different address modes are taken for steady")
	}
}

// stackedParts are the shipped ones.
func stackedParts() []*Part {
	return slices.DeleteFunc(Parts(), func(p *Part) bool { return p.Dies == 1 })
}

// Whichever die is at work: no operation is over before it is, wherever the count of readings happens to stand, and whether or not SR tells of one die only.
func TestStackedReady(t *testing.T) {
	for _, p := range stackedParts() {
		for _, dieWIP := range []bool{false, true} {
			for die := range p.Dies {
				synctest.Test(t, func(t *testing.T) {
					c, w := identified(t, p.Name, nor.Options{Pace: nor.Real, DieWIP: dieWIP})
					w.byteTime = time.Microsecond
					addr := int64(die)*p.dieSize() + 0x20000
					for skew := range p.Dies {
						for range skew {
							w.raw([]byte{0x70}, []byte{0x05})
						}
						at := addr + int64(skew)*0x1000
						start := time.Now()
						must(t, c.erase(t.Context(), Op{Addr: at, Size: 4096}))
						if took := time.Since(start); took < 48*time.Millisecond {
							t.Errorf("%s, die %d: an erase was over after %v", p.Name, die, took)
						}
						must(t, c.program(t.Context(), at, []byte{1, 2, 3}))
						if !bytes.Equal(w.chip.Bytes(uint32(at), 3), []byte{1, 2, 3}) {
							t.Errorf("%s, die %d: the program was not over", p.Name, die)
						}
						// Contact and presence of a chip whose one die is busy.
						w.raw([]byte{0x06}, address(0xDC, at+0x10000, 4))
						must(t, c.Contact(t.Context()))
						if is, err := Present(t.Context(), w, p); err != nil || !is {
							t.Errorf("present: %v, %v", is, err)
						}
						// Identify waits for all dies.
						if _, err := Identify(t.Context(), w, p); err != nil {
							t.Errorf("%s, die %d busy: %v", p.Name, die, err)
						}
						w.idle(t)
					}
				})
			}
		}
	}
}

// The test above can fail: read as a single die, a chip is taken for ready while another die is busy.
func TestStackedReadAsOneIsReadyTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL02GCBB", nor.Options{Pace: nor.Real, DieWIP: true})
		w.raw([]byte{0x06}, address(0xDC, 3<<26, 4))
		soon := func() (n int) {
			for range 8 {
				s, _, err := c.poll(t.Context())
				must(t, err)
				if s.ready() {
					n++
				}
			}
			return n
		}
		if n := soon(); n != 0 {
			t.Errorf("ready %d times while a die was busy", n)
		}
		c.dies = 1
		if n := soon(); n != 6 {
			t.Errorf("read as one die it was ready %d times of 8", n)
		}
	})
}

// Errors of any die are errors, and cleaned.
func TestStackedErrors(t *testing.T) {
	for _, p := range stackedParts() {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, p.Name, nor.Options{Pace: nor.Real})
			w.chip.SetFaults(nor.Faults{FailErase: true})
			for die := range p.Dies {
				as[*OperationError](t, c.erase(t.Context(), Op{Addr: int64(die) * p.dieSize(), Size: 65536}))
				w.idle(t)
			}
			w.chip.SetFaults(nor.Faults{FailProgram: true})
			for die := range p.Dies {
				as[*OperationError](t, c.program(t.Context(), int64(die)*p.dieSize(), []byte{1}))
				w.idle(t)
			}
			w.chip.SetFaults(nor.Faults{StuckBusy: true})
			e := as[*BusyError](t, c.erase(t.Context(), Op{Addr: p.Size - 65536, Size: 65536}))
			if !e.StuckBusy || e.Limit != 3*time.Second {
				t.Errorf("%+v", e)
			}
		})
	}
}

// A die is erased by C4 in 4-byte mode, alone, and within its own time.
func TestApplyErasesDies(t *testing.T) {
	for _, p := range stackedParts() {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, p.Name, nor.Options{Pace: nor.Real})
			size := p.dieSize()
			for die := range int64(p.Dies) {
				must(t, c.program(t.Context(), die*size, []byte{0}))
				must(t, c.program(t.Context(), (die+1)*size-1, []byte{0}))
			}
			last := int64(p.Dies - 1)
			want := Extent{last * size, size, noise(1, 300)}
			plan := mustPlan(t, c, nil, want)
			if plan.Erases[size] != 1 || len(plan.Erases) != 1 {
				t.Fatalf("erases %v", plan.Erases)
			}
			w.sent = nil
			start := time.Now()
			must(t, c.Apply(t.Context(), plan, nil))
			if took := time.Since(start); took < 120*time.Second || took > 460*time.Second {
				t.Errorf("took %v", took)
			}
			if w.count(0xC4) != 1 || w.count(0xB7) != 1 || w.count(0xE9) != 1 || w.count(0xDC) != 0 {
				t.Errorf("C4 %d times, B7 %d, E9 %d", w.count(0xC4), w.count(0xB7), w.count(0xE9))
			}
			for die := range last {
				if w.chip.Bytes(uint32(die*size), 1)[0] != 0 || w.chip.Bytes(uint32((die+1)*size-1), 1)[0] != 0 {
					t.Errorf("die %d was touched", die)
				}
			}
			if !bytes.Equal(w.chip.Bytes(uint32(last*size), 300), noise(1, 300)) || w.chip.Bytes(uint32(p.Size-1), 1)[0] != 0xFF {
				t.Error("the die is not as wanted")
			}
			w.idle(t)
			if _, fsr := w.status(); fsr != 0x80 {
				t.Errorf("flag status 0x%02X", fsr)
			}
			// A lost C4 is noticed.
			w.drop = dropping(0xC4)
			is(t, c.Apply(t.Context(), plan, nil), ErrNotExecuted)
		})
	}
}

// C7, where the profile of a single-die part has it.
func TestApplyBulkErase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := partNamed("MT25QL128ABA")
		must(t, err)
		p.DieErase = &Erase{Size: p.Size, Opcode: 0xC7, Typ: 38 * time.Second, Max: 114 * time.Second}
		must(t, p.Validate())
		c, w := identified(t, p.Name, nor.Options{Pace: nor.Real}, p)
		must(t, c.program(t.Context(), 0, []byte{0}))
		must(t, c.program(t.Context(), p.Size-1, []byte{0}))
		plan := mustPlan(t, c, nil, Extent{0, p.Size, []byte{0x77}})
		w.sent = nil
		must(t, c.Apply(t.Context(), plan, nil))
		if w.count(0xC7) != 1 || w.count(0xB7) != 0 || w.chip.Bytes(0, 1)[0] != 0x77 || w.chip.Bytes(uint32(p.Size-1), 1)[0] != 0xFF {
			t.Errorf("erases %v, sent % X", plan.Erases, w.sent[:8])
		}
	})
}

// What nobody knows of stacked parts is refused before anything is sent; a profile that was settled on silicon lets it through.
func TestStackedProtection(t *testing.T) {
	for _, p := range stackedParts() {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, p.Name, nor.Options{})
			ctx := t.Context()
			pw := testPassword
			calls := map[string]func() error{
				"E3":       func() error { return c.LockNonvolatile(ctx, 1) },
				"E4":       func() error { return c.EraseNonvolatileLocks(ctx) },
				"E1":       func() error { return c.LockVolatile(ctx, false, Range{0x10000, 0x10000}) },
				"A6":       func() error { return c.Freeze(ctx) },
				"28":       func() error { return c.ProgramPassword(ctx, &pw) },
				"2C":       func() error { return c.ProgramSectorProtection(ctx, PasswordMode) },
				"29":       func() error { _, err := c.UnlockPassword(ctx, &pw); return err },
				"01":       func() error { return c.ProtectBlock(ctx, Range{0, 0x10000}) },
				"B1":       func() error { return c.WriteNVCR(ctx, 0xFFFE) },
				"OTP":      func() error { return c.ProgramOTP(ctx, 0, []byte{1}) },
				"OTP lock": func() error { return c.LockOTP(ctx) },
			}
			refusals := map[string]error{"B1": ErrNoNVCR, "OTP": ErrNoOTP, "OTP lock": ErrNoOTP}
			for name, call := range calls {
				want := ErrStacked
				if refusals[name] != nil {
					want = refusals[name]
				}
				err := call()
				is(t, err, want)
				if (name == "28" || name == "2C") && !notSent(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if w.trips != 0 {
				t.Errorf("something was sent: % X", w.sent)
			}
			// A profile of somebody's own that says what the others leave out says nothing of the dies by it.
			unsettled := *p
			unsettled.OTP, unsettled.NVCR = &OTP{64, p.Program}, &NVCR{Timing{200 * time.Millisecond, time.Second}, 1}
			c.part = &unsettled
			for name := range refusals {
				err := calls[name]()
				is(t, err, ErrStacked)
				if name != "B1" && !notSent(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if w.trips != 0 {
				t.Errorf("something was sent: % X", w.sent)
			}
			c.part = p
			// It can be read, though.
			got, err := c.Protection(ctx)
			must(t, err)
			if len(got.Nonvolatile) != p.Sectors() || got.LockedRanges() != nil {
				t.Errorf("locked %v", got.LockedRanges())
			}
			settled := *p
			settled.StackedProtection, settled.NVCR = true, &NVCR{Timing{200 * time.Millisecond, time.Second}, 1}
			c.part = &settled
			must(t, c.LockNonvolatile(ctx, 1, p.Sectors()-1))
			must(t, c.LockVolatile(ctx, true, Range{0x20000, 0x10000}))
			must(t, c.ProtectBlock(ctx, Range{p.Size / 2, p.Size / 2}))
			must(t, c.ProtectBlock(ctx, Range{}))
			must(t, c.EraseNonvolatileLocks(ctx))
			must(t, c.Freeze(ctx))
		})
	}
}

// Where E4 and A6 reach the first die only, a profile that claims otherwise is found out by reading back.
func TestStackedProtectionOfOneDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := partNamed("MT25QL01GBBB")
		must(t, err)
		p.StackedProtection = true
		c, _ := identified(t, p.Name, nor.Options{FirstDieProtection: true}, p)
		must(t, c.LockNonvolatile(t.Context(), 1))
		must(t, c.EraseNonvolatileLocks(t.Context()))
		must(t, c.LockNonvolatile(t.Context(), p.Sectors()-1))
		is(t, c.EraseNonvolatileLocks(t.Context()), ErrNotExecuted)
	})
}

// The end of ctx waits for all dies.
func TestStackedCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL02GCBB", nor.Options{Pace: nor.Real, DieWIP: true})
		ctx, cancel := context.WithCancel(t.Context())
		w.onDo = func(frames ...spi.Frame) {
			if len(frames) > 2 && frames[2].Out[0] == 0xDC {
				time.AfterFunc(time.Millisecond, cancel)
			}
		}
		is(t, c.Apply(ctx, mustPlan(t, c, nil, Extent{2 << 26, 0x20000, nil}), nil), context.Canceled)
		for range 4 {
			w.idle(t)
		}
	})
}

// Random plans on whole chips, sparse in content, with one die and with two, carried out through the driver: the chip then holds the wanted image, a byte outside of the
// plan's ranges is as it was, and no program asked for a 1 where a 0 was.
func TestApplyMakesTheImage(t *testing.T) {
	one, err := partNamed("MT25QL128ABA")
	must(t, err)
	one.DieErase = &Erase{Size: one.Size, Opcode: 0xC7, Typ: 38 * time.Second, Max: 114 * time.Second}
	two, err := partNamed("MT25QL01GBBB")
	must(t, err)
	for _, p := range []*Part{one, two} { // a thousandth of the times: rapid runs in no bubble
		p.DieErase.Typ /= 1000
		for i := range p.Erases {
			p.Erases[i].Typ /= 1000
		}
	}
	dies, applied := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.SampledFrom([]*Part{one, two}).Draw(rt, "part")
		w := newWire(t, part.Name, nor.Options{})
		c, err := Identify(t.Context(), w, part)
		if err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "4-byte mode") {
			if err := c.mode(t.Context(), true); err != nil {
				rt.Fatal(err)
			}
		}
		size := part.dieSize()
		border := rapid.SampledFrom([]int64{0, 0x8000, size / 2, size - 0x20000, part.Size - 0x30000}).Draw(rt, "border")
		model := map[int64][]byte{} // by sector, what is not blank
		put := func(addr int64, data []byte) {
			for i, b := range data {
				s := (addr + int64(i)) / part.Sector
				if model[s] == nil {
					model[s] = bytes.Repeat([]byte{0xFF}, int(part.Sector))
				}
				model[s][(addr+int64(i))%part.Sector] = b
			}
		}
		for range rapid.IntRange(0, 4).Draw(rt, "old") {
			addr := min(border+rapid.Int64Range(0, 0x30000).Draw(rt, "at")/256*256, part.Size-256)
			data := noise(uint64(addr), 256)
			if s := model[addr/part.Sector]; s != nil && !blank(s[addr%part.Sector:][:256]) {
				continue
			}
			if err := c.program(t.Context(), addr, data); err != nil {
				rt.Fatal(err)
			}
			put(addr, data)
		}
		var want []Extent
		if rapid.IntRange(0, 3).Draw(rt, "whole") == 0 {
			die := rapid.Int64Range(0, int64(part.Dies)-1).Draw(rt, "die")
			want = append(want, Extent{die * size, size, noise(9, rapid.IntRange(0, 3000).Draw(rt, "data"))})
		} else {
			lo := border
			for range rapid.IntRange(1, 3).Draw(rt, "extents") {
				lo += rapid.SampledFrom([]int64{0, 5, 4096, 40000}).Draw(rt, "gap")
				n := rapid.SampledFrom([]int64{1, 300, 4096, 33000, 65536}).Draw(rt, "size")
				if lo+n > part.Size {
					break
				}
				want = append(want, Extent{lo, n, noise(uint64(lo), rapid.IntRange(0, int(n)).Draw(rt, "data"))})
				lo = (lo + n + 4095) / 4096 * 4096
			}
		}
		unknown := rapid.Bool().Draw(rt, "unknown")
		known := func(s int) Knowledge {
			data := model[int64(s)]
			switch {
			case unknown:
				return Knowledge{}
			case data == nil:
				return Knowledge{Blank: true}
			}
			return Knowledge{Data: data}
		}
		plan, err := NewPlan(part, want, known)
		if err != nil {
			rt.Fatal(err)
		}
		dies += plan.Erases[size]
		w.onDo = func(frames ...spi.Frame) {
			for _, f := range frames {
				if n := len(f.Out); f.Out[0] == 0x12 || f.Out[0] == 0x02 {
					head := 4
					if f.Out[0] == 0x12 || c.wide {
						head = 5
					}
					var addr uint32
					for _, b := range f.Out[1:head] {
						addr = addr<<8 | uint32(b)
					}
					for i, old := range w.chip.Bytes(addr, n-head) {
						if f.Out[head+i]&^old != 0 {
							rt.Fatalf("0 to 1 at 0x%X", addr+uint32(i))
						}
					}
				}
			}
		}
		if err := c.Apply(t.Context(), plan, nil); err != nil {
			rt.Fatal(err)
		}
		applied++
		touched := map[int64]bool{}
		for s := range model {
			touched[s] = true
		}
		for _, r := range plan.Ranges {
			for s := r.Addr / part.Sector; s <= (r.Addr+r.Size-1)/part.Sector; s++ {
				if r.Size < size || model[s] != nil {
					touched[s] = true
				}
			}
			for s, data := range model {
				lo, hi := max(r.Addr, s*part.Sector), min(r.Addr+r.Size, (s+1)*part.Sector)
				for a := lo; a < hi; a++ {
					data[a-s*part.Sector] = 0xFF
				}
			}
		}
		for _, e := range want {
			put(e.Addr, e.Data)
		}
		for s := range model {
			touched[s] = true
		}
		for s := range touched {
			goal := model[s]
			if goal == nil {
				goal = bytes.Repeat([]byte{0xFF}, int(part.Sector))
			}
			if !bytes.Equal(w.chip.Bytes(uint32(s*part.Sector), int(part.Sector)), goal) {
				rt.Fatalf("sector %d is not as wanted", s)
			}
		}
	})
	if dies == 0 && !testing.Short() {
		t.Error("no die was erased whole")
	}
	t.Logf("%d plans, %d dies erased", applied, dies)
}

// Dies whose operations end at any moment between the frames that ask for them, on parts that tell of one die at a time: a good chip is written and erased, and nobody blames its contact.
func TestStackedUneven(t *testing.T) {
	for _, part := range []string{"MT25QL02GCBB", "MT25QL01GBBB"} {
		for _, clock := range []time.Duration{30_000_000, 1_500_000} {
			for seed := range uint64(8) {
				synctest.Test(t, func(t *testing.T) {
					o := nor.Options{Pace: nor.Real, DieWIP: seed%4 != 0, Scale: float64(1 + seed%2), Spread: 0.3 * float64(seed/4), Seed: seed}
					c, w := identified(t, part, o)
					w.byteTime = 8 * time.Second / clock
					data := noise(seed, 512*256)
					at := int64(seed) % int64(c.part.Dies) * c.part.dieSize()
					plan := mustPlan(t, c, nil, Extent{at, int64(len(data)), data})
					if err := c.Apply(t.Context(), plan, nil); err != nil {
						t.Errorf("%s at %d Hz, %+v: %v", part, clock, o, err)
					}
					if !bytes.Equal(w.chip.Bytes(uint32(at), len(data)), data) {
						t.Errorf("%s at %d Hz, seed %d: wrong bytes", part, clock, seed)
					}
					for i := range int64(8) {
						if err := c.erase(t.Context(), Op{Addr: at + i<<16, Size: 1 << 16}); err != nil {
							t.Errorf("%s at %d Hz, seed %d: %v", part, clock, seed, err)
						}
					}
				})
			}
		}
	}
}
