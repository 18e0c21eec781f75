package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/sim/nor"
	"station/spi"
)

func TestPassIsProven(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	res := l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Pass, "")

	if got := chip.Bytes(0x10000, 128<<10); !bytes.Equal(got[:20<<10], image()) || !bytes.Equal(got[20<<10:], bytes.Repeat([]byte{0xFF}, 108<<10)) {
		t.Error("the chip does not hold the image and a blank rest")
	}
	for sector := range 512 {
		if want := sector == 1 || sector == 2; chip.LockedNonvolatile(sector) != want {
			t.Errorf("sector %d locked is %t", sector, !want)
		}
	}
	if !chip.Frozen() {
		t.Error("not frozen")
	}
	run := l.books.all()[0]
	if run.Start == nil || run.End == nil || len(run.Steps) != 4 || run.ID != res.Run {
		t.Fatalf("account: %+v", run)
	}
	if p := run.End.Proven; len(p) != 1 || p[0].Region != "boot" || p[0].Lock != "nonvolatile" || p[0].SHA256 != regionDigest(image(), 128<<10) {
		t.Errorf("proven: %+v", p)
	}
	if a := run.End.After; a == nil || !a.Frozen || len(a.Nonvolatile) != 1 || a.Nonvolatile[0] != (ledger.Range{At: 0x10000, Size: 128 << 10}) || run.End.Freeze != "until power-off" {
		t.Errorf("after: %+v %s", a, run.End.Freeze)
	}
	for i, want := range []ledger.Result{ledger.Done, ledger.Done, ledger.Done, ledger.Confirmed} {
		if run.Steps[i].Result != want || run.Steps[i].Proof == "" {
			t.Errorf("step %d: %+v", i+1, run.Steps[i])
		}
	}
	if l.socket.leased["1"] != 0 {
		t.Error("the slot was not given back")
	}
}

// The same serial with the same chip and digest is done already: no entry, no command that changes the chip.
func TestAlreadyPassed(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	r := recipe(t, 1, full)
	first := l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	entries, counters := len(l.books.records), chip.Counters()
	again := l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if !again.Already || again.Run != first.Run || again.Index != first.Index || len(l.books.records) != entries {
		t.Errorf("again: %+v, %d entries more", again, len(l.books.records)-entries)
	}
	for k, v := range chip.Counters() {
		if counters[k] != v {
			t.Errorf("%s took effect again", k)
		}
	}
}

func TestInterlocks(t *testing.T) {
	r, other := recipe(t, 1, full), recipe(t, 2, full)
	passed := func(t *testing.T) *line {
		l := newLine(t, Options{})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		return l
	}
	refused := func(t *testing.T, l *line, res Result, cause string) {
		t.Helper()
		l.want(res, ledger.Refused, cause)
		runs := l.books.all()
		if end := runs[len(runs)-1].End; end == nil || end.Touched || end.Outcome != ledger.Refused || runs[len(runs)-1].Start != nil {
			t.Errorf("the refusal is not in the account as one: %+v", end)
		}
	}
	t.Run("serial not of the pattern", func(t *testing.T) {
		l := passed(t)
		refused(t, l, l.run(r, "1", "X1"), "serial-pattern")
	})
	t.Run("chip under another serial", func(t *testing.T) {
		l := passed(t)
		refused(t, l, l.run(r, "1", "S2"), "chip-known")
	})
	t.Run("serial on another chip", func(t *testing.T) {
		l := passed(t)
		l.socket.put("1", fresh(t, 2, nor.Options{}))
		refused(t, l, l.run(r, "1", "S1"), "serial-known")
	})
	t.Run("passed with another digest", func(t *testing.T) {
		l := passed(t)
		refused(t, l, l.run(other, "1", "S1"), "passed-with-other-recipe")
	})
	t.Run("failed before", func(t *testing.T) {
		l := newLine(t, Options{})
		l.socket.put("1", fresh(t, 1, nor.Options{Faults: nor.Faults{FailProgram: true}}))
		l.want(l.run(r, "1", "S1"), ledger.Fail, "operation-failed")
		l.socket.chip("1").SetFaults(nor.Faults{})
		refused(t, l, l.run(r, "1", "S1"), "failed-before")
	})
	t.Run("wrong part", func(t *testing.T) {
		l := newLine(t, Options{})
		c, err := nor.New("MT25QU256ABA", [14]byte{9}, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l.socket.put("1", c)
		refused(t, l, l.run(r, "1", "S1"), "wrong-part")
	})
	t.Run("foreign locks", func(t *testing.T) {
		l := newLine(t, Options{})
		c := fresh(t, 1, nor.Options{})
		for _, f := range [][]byte{{0x06}, {0xE3, 0, 2, 0, 0}} {
			c.Select()
			c.Shift(f, nil)
			c.Deselect()
		}
		l.socket.put("1", c)
		refused(t, l, l.run(r, "1", "S1"), "locked-before")
	})
	t.Run("one serial in two slots", func(t *testing.T) {
		var l *line
		var once sync.Once
		l = newLine(t, Options{Watch: func(ev Event) {
			if ev.Kind == StepBegan && ev.Slot == "1" {
				once.Do(func() { refused(t, l, l.run(r, "2", "S1"), "in-two-slots") })
			}
		}})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		l.socket.put("2", fresh(t, 2, nor.Options{}))
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	})
}

func TestWhoseFault(t *testing.T) {
	for name, c := range map[string]struct {
		faults nor.Faults
		out    ledger.Outcome
		cause  string
	}{
		"cells that read wrong": {nor.Faults{Flip: map[uint32]byte{0x10010: 0xFF}}, ledger.Fail, "verify-mismatch"},
		"program fails":         {nor.Faults{FailProgram: true}, ledger.Fail, "operation-failed"},
		"locks protect nothing": {nor.Faults{IgnoreLocks: true}, ledger.Fail, "lock-not-effective"},
		"stuck busy":            {nor.Faults{StuckBusy: true}, ledger.Fail, "stuck-busy"},
		"weak contact":          {nor.Faults{WeakContact: 40}, ledger.Error, "contact-unstable"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTimedLine(t, Options{})
				l.socket.put("1", fresh(t, 1, nor.Options{Faults: c.faults}))
				l.want(l.run(recipe(t, 1, full), "1", "S1"), c.out, c.cause)
			})
		})
	}
	t.Run("empty socket", func(t *testing.T) {
		l := newLine(t, Options{})
		l.socket.put("1", nil)
		l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Error, "contact-absent")
	})
	t.Run("programmer gone", func(t *testing.T) {
		l := newLine(t, Options{})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		n := 0
		l.socket.before = func(string, spi.Frame) error {
			if n++; n > 60 {
				return errUnplugged
			}
			return nil
		}
		res := l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Error, "fixture")
		if !errors.Is(res.Err, errUnplugged) {
			t.Errorf("the chain is lost: %v", res.Err)
		}
	})
	t.Run("no such slot", func(t *testing.T) {
		l := newLine(t, Options{})
		l.want(l.run(recipe(t, 1, full), "7", "S1"), ledger.Error, "fixture")
	})
	t.Run("ledger cannot be written", func(t *testing.T) {
		l := newLine(t, Options{})
		chip := fresh(t, 1, nor.Options{})
		l.socket.put("1", chip)
		l.books.fail = errors.New("disk full")
		res := l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Error, "ledger")
		if res.Index != -1 || chip.Counters()[nor.CountProgram] != 0 {
			t.Error("the chip was touched without a durable start")
		}
	})
}

// A board that is taken out between the end of a write and its verification does not become a FAIL.
func TestContactLostIsNotTheUnitsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *line
		l = newTimedLine(t, Options{Watch: func(ev Event) {
			if ev.Kind == Progress && ev.Move == "verifying" {
				l.socket.put("1", nil)
			}
		}})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Error, "contact-absent")
	})
}

// Wherever a run breaks off, the same order afterwards finishes it: the frame after which the
// programmer dies goes through the whole run.
func TestBrokenOffAnywhereIsFinished(t *testing.T) {
	r := recipe(t, 1, full)
	for after := 1; ; after += 7 {
		l := newLine(t, Options{})
		chip := fresh(t, 1, nor.Options{})
		l.socket.put("1", chip)
		n := 0
		l.socket.before = func(_ string, f spi.Frame) error {
			if bytes.IndexByte([]byte{0xE0, 0xE2, 0xE8}, f.Out[0]) >= 0 {
				return nil // of the thousands of lock bits that are read, none matters more than another
			}
			if n++; n > after {
				return errUnplugged
			}
			return nil
		}
		res := l.run(r, "1", "S1")
		if res.Outcome == ledger.Pass {
			if after < 300 {
				t.Fatalf("only %d frames in a whole run", after)
			}
			return
		}
		l.want(res, ledger.Error, "fixture")
		l.socket.before = nil
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		if chip.Counters()[nor.CountLock] != 2 {
			t.Errorf("after %d frames: %d lock bits were set, want 2", after, chip.Counters()[nor.CountLock])
		}
	}
}

// Death of the station is an account that stops: the next order of the unit resumes the open run.
func TestOpenRunIsResumed(t *testing.T) {
	r := recipe(t, 1, full)
	for keep := 1; keep <= 5; keep++ {
		l := newLine(t, Options{})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		first := l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		l.books.records = l.books.records[:keep]

		l.socket.put("2", fresh(t, 2, nor.Options{}))
		l.want(l.run(r, "2", "S1"), ledger.Refused, "serial-known")
		l.want(l.run(recipe(t, 2, full), "1", "S1"), ledger.Refused, "open-run")
		res := l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		run := l.books.all()[0]
		if res.Run != first.Run || run.End == nil || len(run.Steps) != keep-1+4 {
			t.Fatalf("%d entries kept: %+v", keep, run)
		}
		for _, s := range run.Steps[keep-1:] {
			if s.Result == ledger.Done {
				t.Errorf("%d entries kept: %s was done twice", keep, s.Title)
			}
		}
	}
}

// A disk that is nearly full begins nothing, and finishes what is begun.
func TestDiskNearlyFull(t *testing.T) {
	r := recipe(t, 1, full)
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	l.books.full = errors.New("5 MiB are free")
	before := chip.Counters()
	if res := l.want(l.run(r, "1", "S1"), ledger.Error, "disk-full"); res.Message != "5 MiB are free" || !maps.Equal(before, chip.Counters()) {
		t.Errorf("%q; the chip: %v, before %v", res.Message, chip.Counters(), before)
	}
	l.books.full = nil
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	l.books.records = slices.DeleteFunc(l.books.records, func(r ledger.Record) bool { // back to where it is begun
		_, ended := r.Entry.Body.(ledger.RunEnd)
		return ended
	})
	l.books.full = errors.New("5 MiB are free")
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if res := l.run(r, "1", "S1"); !res.Already {
		t.Errorf("what has passed is not known: %+v", res)
	}
}

func TestAbortStopsAtASafePoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newTimedLine(t, Options{Watch: func(ev Event) {
			if ev.Kind == Progress && ev.Move == "writing" && ev.Done > 0 {
				cancel()
			}
		}})
		chip := fresh(t, 1, nor.Options{Pace: nor.Real})
		l.socket.put("1", chip)
		r := recipe(t, 1, full)
		l.want(l.engine.Run(ctx, Order{Recipe: r, Serial: "S1", Slot: "1"}), ledger.Aborted, "aborted")
		if fsr := status(chip); fsr&0x80 == 0 {
			t.Error("the chip was left busy")
		}
		if end := l.books.all()[0].End; end == nil || !end.Touched {
			t.Errorf("the abort is not in the account: %+v", end)
		}
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	})
}

func status(c *nor.Chip) byte {
	var in [1]byte
	c.Select()
	c.Shift([]byte{0x70}, nil)
	c.Shift(nil, in[:])
	c.Deselect()
	return in[0]
}

const cycled = `  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: nonvolatile}
  - freeze
  - power_cycle
  - check: {locked: [boot], frozen: false}
`

func TestPowerCycleByHand(t *testing.T) {
	reseat := func(l **line, power bool) func(Event) {
		return func(ev Event) {
			if ev.Kind == Reseat {
				go func() {
					chip := (*l).socket.chip("1")
					(*l).socket.put("1", nil)
					chip.Power(!power)
					time.Sleep(time.Second)
					chip.Power(true)
					(*l).socket.put("1", chip)
				}()
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var l *line
		l = newTimedLine(t, Options{Watch: reseat(&l, true)})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		l.want(l.run(recipe(t, 1, cycled), "1", "S1"), ledger.Pass, "")
		step := l.books.all()[0].Steps[3]
		if len(step.Facts) != 1 || step.Facts[0].Value != "reseated by a person" {
			t.Errorf("%+v", step)
		}
	})
	t.Run("lifted but not unpowered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var l *line
			l = newTimedLine(t, Options{Watch: reseat(&l, false)})
			l.socket.put("1", fresh(t, 1, nor.Options{}))
			l.want(l.run(recipe(t, 1, cycled), "1", "S1"), ledger.Error, "power-not-lost")
		})
	})
	t.Run("between two looks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var l *line
			l = newTimedLine(t, Options{Watch: func(ev Event) {
				if ev.Kind == Reseat {
					chip := l.socket.chip("1")
					chip.Power(false)
					chip.Power(true)
				}
			}})
			l.socket.put("1", fresh(t, 1, nor.Options{}))
			l.want(l.run(recipe(t, 1, cycled), "1", "S1"), ledger.Pass, "")
		})
	})
	t.Run("nobody comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newTimedLine(t, Options{ReseatLimit: time.Minute})
			l.socket.put("1", fresh(t, 1, nor.Options{}))
			began := time.Now()
			l.want(l.run(recipe(t, 1, cycled), "1", "S1"), ledger.Error, "not-reseated")
			if d := time.Since(began); d < time.Minute || d > 2*time.Minute {
				t.Errorf("it took %s", d)
			}
		})
	})
	t.Run("another board", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var l *line
			l = newTimedLine(t, Options{Watch: func(ev Event) {
				if ev.Kind == Reseat {
					go func() {
						l.socket.put("1", nil)
						time.Sleep(time.Second)
						l.socket.put("1", fresh(t, 2, nor.Options{}))
					}()
				}
			}})
			l.socket.put("1", fresh(t, 1, nor.Options{}))
			l.want(l.run(recipe(t, 1, cycled), "1", "S1"), ledger.Error, "chip-swapped")
		})
	})
}

func TestResetEndsFreeze(t *testing.T) {
	l := newLine(t, Options{})
	l.socket.put("1", fresh(t, 1, nor.Options{}))
	l.want(l.run(recipe(t, 1, `  - erase: {regions: [boot]}
  - lock: {regions: [boot], bits: volatile}
  - freeze
  - reset
  - check: {frozen: false}
`), "1", "S1"), ledger.Pass, "")
	end := l.books.all()[0].End
	if end.Freeze != "none" || len(end.After.Volatile) != 0 || end.Proven[0].Lock != "none" {
		t.Errorf("%+v", end)
	}
}

// Promise 8: a bad slot does not disturb its neighbours.
func TestNeighboursOfABadSlot(t *testing.T) {
	l := newLine(t, Options{})
	r := recipe(t, 1, full)
	l.socket.put("1", fresh(t, 1, nor.Options{Faults: nor.Faults{FailProgram: true}}))
	l.socket.put("2", fresh(t, 2, nor.Options{}))
	l.socket.put("3", nil)
	l.socket.put("4", fresh(t, 4, nor.Options{}))
	results := map[string]Result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for slot, serial := range map[string]string{"1": "S1", "2": "S2", "3": "S3", "4": "S4"} {
		wg.Go(func() {
			res := l.run(r, slot, serial)
			mu.Lock()
			results[slot] = res
			mu.Unlock()
		})
	}
	wg.Wait()
	l.want(results["1"], ledger.Fail, "operation-failed")
	l.want(results["2"], ledger.Pass, "")
	l.want(results["3"], ledger.Error, "contact-absent")
	l.want(results["4"], ledger.Pass, "")
}

// TestPanicEndsOneRun: a panic within one run is an ERROR of its slot that keeps its place for the log, the slot is given back, and the neighbour passes. The unit
// is finished by the next run.
func TestPanicEndsOneRun(t *testing.T) {
	l := newLine(t, Options{})
	r := recipe(t, 1, full)
	for i := range 2 {
		l.socket.put(fmt.Sprint(i+1), fresh(t, byte(i+1), nor.Options{}))
	}
	programs := 0
	l.socket.before = func(slot string, f spi.Frame) error {
		if slot == "1" && len(f.Out) > 200 {
			if programs++; programs == 3 {
				panic(fmt.Sprintf("out of range: %d", programs))
			}
		}
		return nil
	}
	var bad, good Result
	var wg sync.WaitGroup
	wg.Go(func() { bad = l.run(r, "1", "S1") })
	wg.Go(func() { good = l.run(r, "2", "S2") })
	wg.Wait()
	l.want(bad, ledger.Error, "program")
	l.want(good, ledger.Pass, "")
	var p *PanicError
	if !errors.As(bad.Err, &p) || !strings.Contains(string(p.Stack), "provision.") || !strings.Contains(bad.Message, "panic: out of range: 3") {
		t.Errorf("%q, %v", bad.Message, bad.Err)
	}
	if l.socket.leased["1"] != 0 {
		t.Error("the slot is still held")
	}
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
}

// TestNotGivenBack: what could not be switched off is told before the end, and the outcome stays.
func TestNotGivenBack(t *testing.T) {
	for _, give := range []func() error{func() error { return errors.New("VCC stays on") }, func() error { panic("VCC stays on") }} {
		var told []Event
		l := newLine(t, Options{Watch: func(ev Event) {
			if ev.Kind == Warned || ev.Kind == Ended {
				told = append(told, ev)
			}
		}})
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		l.socket.given = give
		l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Pass, "")
		if len(told) != 2 || told[0].Kind != Warned || !strings.Contains(told[0].Title, "VCC stays on") || told[1].Kind != Ended {
			t.Errorf("told %+v", told)
		}
	}
}

// What happens in a step comes with the step's kind, and what happens outside of steps with none.
func TestEventsHaveTheStepsKind(t *testing.T) {
	r := recipe(t, 1, full)
	var kinds []string
	l := newLine(t, Options{Watch: func(ev Event) {
		want := ""
		if ev.Step > 0 {
			want = r.Steps()[ev.Step-1].Kind()
		}
		if ev.StepKind != want {
			t.Errorf("%s of step %d: kind %q, want %q", ev.Kind, ev.Step, ev.StepKind, want)
		}
		if ev.Kind == StepBegan {
			kinds = append(kinds, ev.StepKind)
		}
	}})
	l.socket.put("1", fresh(t, 1, nor.Options{}))
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if len(kinds) != len(r.Steps()) || len(kinds) < 3 {
		t.Errorf("%d steps began: %q", len(kinds), kinds)
	}
}
