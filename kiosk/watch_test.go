package kiosk

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/provision"
)

// slotsOf are n slots in one row, and their names.
func slotsOf(n int) (rows [][]string, names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(i+1))
	}
	return [][]string{names}, names
}

func progress(slot string, done int64) provision.Event {
	return provision.Event{Kind: provision.Progress, Slot: slot, Serial: "S-" + slot, Step: 1, Of: 1, Move: "writing", Done: done, Total: 1000}
}

// TestProgressIsThinned: of progress that comes every 10 ms in two slots each is told at most five times a second, the newest there is; what is no progress is told at once.
func TestProgressIsThinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, names := slotsOf(2)
		w := NewWall(WallOptions{Rows: rows})
		changes, stop := w.Watch()
		<-changes
		type sight struct {
			at      time.Time
			percent int
		}
		seen, atOnce := map[string][]sight{}, 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for c := range changes {
				for _, slot := range c.Tiles {
					one, _ := c.State.Tile(slot)
					if one.Run.Phase != "writing" {
						atOnce++
					} else {
						seen[slot] = append(seen[slot], sight{time.Now(), one.Run.Percent})
					}
				}
			}
		}()
		began := time.Now()
		for i := range 300 {
			for k, slot := range names {
				if i == 0 {
					w.Event(provision.Event{Kind: provision.StepBegan, Slot: slot, Serial: "S-" + slot, Step: 1, Of: 1})
					synctest.Wait()
					time.Sleep(30 * time.Millisecond) // so that the two do not keep step
				}
				w.Event(progress(slot, int64(3*i+k)))
			}
			if i == 150 {
				w.Event(provision.Event{Kind: provision.Planned, Slot: "1", Serial: "S-1", Title: "program 3 pages"})
				if synctest.Wait(); atOnce != 3 {
					t.Errorf("%d of 3 events that are no progress were told at once", atOnce)
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(began)
		time.Sleep(progressEvery)
		stop()
		<-done
		for k, slot := range names {
			all := seen[slot]
			if most := int(took/progressEvery) + 1; len(all) > most || len(all) < most-3 {
				t.Errorf("slot %s was told %d times in %v, want at most %d and few less", slot, len(all), took, most)
			}
			for i, s := range all {
				if i > 0 && s.at.Sub(all[i-1].at) < progressEvery {
					t.Errorf("slot %s was told after %v", slot, s.at.Sub(all[i-1].at))
				}
			}
			if want := (3*299 + k) / 10; all[len(all)-1].percent != want {
				t.Errorf("slot %s ended at %d %%, want %d", slot, all[len(all)-1].percent, want)
			}
		}
	})
}

// TestProgressIsNotKept: of a slot of which nothing was told for long, progress is told at once, though another's waits.
func TestProgressIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, names := slotsOf(2)
		w := NewWall(WallOptions{Rows: rows})
		for _, slot := range names {
			w.Event(provision.Event{Kind: provision.StepBegan, Slot: slot, Serial: "S-" + slot, Step: 1, Of: 1})
			time.Sleep(time.Second)
		}
		w.Event(progress("2", 100))
		time.Sleep(progressTogether)
		synctest.Wait()
		changes, stop := w.Watch()
		defer stop()
		<-changes
		progressed := time.Now()
		w.Event(progress("2", 200)) // waits for 200 ms
		w.Event(progress("1", 300))
		for _, want := range []struct {
			slot    string
			after   time.Duration
			percent int
		}{{"1", progressTogether, 30}, {"2", progressEvery, 20}} {
			c := <-changes
			one, _ := c.State.Tile(want.slot)
			if len(c.Tiles) != 1 || c.Tiles[0] != want.slot || one.Run.Percent != want.percent || time.Since(progressed) != want.after {
				t.Errorf("after %v %v at %d %%, want %+v", time.Since(progressed), c.Tiles, one.Run.Percent, want)
			}
		}
	})
}

// TestStuckWatcher: who never reads holds nobody up, and is owed no more after a day than after an hour; nor does the wall grow.
func TestStuckWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, names := slotsOf(8)
		w := NewWall(WallOptions{Rows: rows})
		w.Job(&Job{Begun: time.Now(), Steps: []JobStep{{Title: "write", Expect: time.Minute}}})
		changes, stop := w.Watch()
		defer stop()
		day := func(hours int) uint64 {
			for i := range hours * 6 { // each slot carries out six units an hour, with outcomes in turn
				for k, slot := range names {
					serial := fmt.Sprintf("S-%d-%d", i, k)
					ev := func(kind provision.EventKind) provision.Event {
						return provision.Event{Kind: kind, Slot: slot, Serial: serial, Step: 1, Of: 1, Move: "writing", Done: 1, Total: 2}
					}
					for _, kind := range []provision.EventKind{provision.Identified, provision.StepBegan, provision.Progress, provision.StepEnded} {
						w.Event(ev(kind))
					}
					end := ev(provision.Ended)
					end.Result = &provision.Result{Run: fmt.Sprintf("%016x", i<<8+k), Outcome: []ledger.Outcome{ledger.Pass, ledger.Fail, ledger.Error}[i%3]}
					w.Event(end)
				}
				time.Sleep(10 * time.Minute)
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		hour := day(1)
		if grown := int64(day(24)) - int64(hour); grown > 256<<10 {
			t.Errorf("a day grows the wall by %d KiB", grown>>10)
		}
		c := <-changes
		if c.State.Version != w.State().Version || len(c.Tiles) != len(names) || len(c.Tones) != 3*len(names) || !c.All {
			t.Errorf("after a day there were version %d of %d, %d tiles and %d tones", c.State.Version, w.State().Version, len(c.Tiles), len(c.Tones))
		}
	})
}

// TestMirrorAway is heard, once.
func TestMirrorAway(t *testing.T) {
	w := NewWall(WallOptions{})
	changes, stop := w.Watch()
	defer stop()
	<-changes
	for _, where := range []string{ledger.MirrorSecondDisk, ledger.MirrorAway, ledger.MirrorAway} {
		w.Mirror(where)
	}
	if c := <-changes; !c.All || c.State.Mirror != ledger.MirrorAway || len(c.Tones) != 1 || c.Tones[0] != (Toned{"", Attention}) {
		t.Errorf("%+v", c)
	}
}

// TestCopies: what was given to the wall may be changed afterwards, and nothing shows of it.
func TestCopies(t *testing.T) {
	rows, _ := slotsOf(1)
	w := NewWall(WallOptions{Rows: rows})
	job, shift, said, open := Job{Passed: 1}, Shift{By: "op-1"}, Said{Word: "a", Facts: map[string]string{"slot": "1"}}, []Open{{Serial: "S-1"}}
	result := Result{Outcome: ledger.Pass}
	w.Job(&job)
	w.Shift(&shift)
	w.Said("1", &said)
	w.Said("", &said)
	w.Open(open)
	w.Result("1", "S-1", &result, true)
	job.Passed, shift.By, said.Facts["slot"], open[0].Serial, result.Outcome = 2, "op-2", "2", "S-2", ledger.Fail
	s := w.State()
	one, _ := s.Tile("1")
	if s.Job.Passed != 1 || s.Shift.By != "op-1" || s.Said.Facts["slot"] != "1" || one.Said.Facts["slot"] != "1" || s.Open[0].Serial != "S-1" || one.Result.Outcome != ledger.Pass {
		t.Errorf("%+v %+v", s, one)
	}
}

// TestHeardOnce: a slot that is stopped, and one that cannot be looked at, are heard when it begins; what was said of a slot is gone with its state.
func TestHeardOnce(t *testing.T) {
	rows, _ := slotsOf(1)
	w := NewWall(WallOptions{Rows: rows})
	changes, stop := w.Watch()
	defer stop()
	<-changes
	status := func(s provision.SlotStatus) {
		s.Slot = "1"
		w.Slots([]provision.SlotStatus{s})
	}
	for i, c := range []struct {
		call  func()
		tones int
		said  bool
	}{
		{func() { status(provision.SlotStatus{State: provision.Free}) }, 0, false},
		{func() { w.Said("1", &Said{Word: "left-in"}) }, 0, true},
		{func() { status(provision.SlotStatus{State: provision.Free, Stopped: true}) }, 1, true},
		{func() { status(provision.SlotStatus{State: provision.Free, Stopped: true, There: true}) }, 0, true},
		{func() { status(provision.SlotStatus{State: provision.Occupied, Stopped: true, There: true}) }, 0, false},
		{func() { status(provision.SlotStatus{State: provision.Free}) }, 0, false},
		{func() { status(provision.SlotStatus{State: provision.Free, Stopped: true}) }, 1, false},
		{func() { w.Problem("1", &Said{Word: "no-programmer"}) }, 1, false},
		{func() { w.Problem("1", &Said{Word: "wrong-voltage"}) }, 0, false},
		{func() { w.Problem("1", nil) }, 0, false},
		{func() { w.Problem("1", &Said{Word: "no-programmer"}) }, 1, false},
	} {
		c.call()
		if got := <-changes; len(got.Tones) != c.tones || (w.mustTile("1").Said != nil) != c.said {
			t.Errorf("call %d: heard %v, said %v", i, got.Tones, w.mustTile("1").Said)
		}
	}
}

// TestBinOrder: of two FAILs that are out the one that came out first is named, whose the bin's card counts for; put back and taken out again it is the last.
func TestBinOrder(t *testing.T) {
	rows, names := slotsOf(2)
	w := NewWall(WallOptions{Rows: rows})
	w.Job(&Job{})
	in := map[string]bool{"1": true, "2": true}
	for _, c := range []struct{ slot, next string }{{"", "next-take-fail 1"}, {"2", "next-bin 2"}, {"1", "next-bin 2"}, {"2", "next-bin 1"}, {"2", "next-bin 1"}, {"1", "next-bin 2"}} {
		if c.slot != "" {
			in[c.slot] = !in[c.slot]
		}
		var all []provision.SlotStatus
		for _, name := range names {
			state := provision.Free
			if in[name] {
				state = provision.Occupied
			}
			all = append(all, provision.SlotStatus{Slot: name, State: state, Serial: "S-" + name, There: in[name], Held: true})
		}
		w.Slots(all)
		if got := w.State().Next; got.Word+" "+got.Facts["slot"] != c.next {
			t.Errorf("with %v in: %+v, want %s", in, got, c.next)
		}
	}
}

// TestAsked: one slot at a time asks for the next board, and it is the one that is named.
func TestAsked(t *testing.T) {
	rows, names := slotsOf(2)
	w := NewWall(WallOptions{Rows: rows})
	w.Job(&Job{})
	w.Shift(&Shift{})
	var all []provision.SlotStatus
	for _, name := range names {
		all = append(all, provision.SlotStatus{Slot: name, State: provision.Free})
	}
	w.Slots(all)
	changes, stop := w.Watch()
	defer stop()
	for _, slot := range []string{"1", "2"} {
		<-changes
		w.Said(slot, &Said{Word: provision.WordScanSerial})
		one, two := w.mustTile("1"), w.mustTile("2")
		if next := w.State().Next; next.Word != NextScan || next.Facts["slot"] != slot || (one.Said != nil) == (two.Said != nil) {
			t.Errorf("slot %s asks, and next is %+v", slot, next)
		}
	}
	if c := <-changes; len(c.Tiles) != 2 {
		t.Errorf("what is to be done is elsewhere, and told were %v", c.Tiles)
	}
	w.Said("2", nil)
	<-changes
	w.Slots([]provision.SlotStatus{{Slot: "1", State: provision.Free}, {Slot: "2", State: provision.Running, Serial: "S-1"}})
	if c := <-changes; len(c.Tiles) != 2 || c.State.Next.Facts["slot"] != "1" {
		t.Errorf("what is to be done is elsewhere, and told were %v", c.Tiles)
	}
}

// TestReported: what becomes known of a result later is added, is not heard again, and does not bring back what is gone.
func TestReported(t *testing.T) {
	rows, _ := slotsOf(1)
	w := NewWall(WallOptions{Rows: rows})
	status := func(s provision.SlotStatus) {
		s.Slot = "1"
		w.Slots([]provision.SlotStatus{s})
	}
	status(provision.SlotStatus{State: provision.Armed, Serial: "S-1"})
	status(provision.SlotStatus{State: provision.Running, Serial: "S-1", There: true})
	w.Event(provision.Event{Kind: provision.Warned, Slot: "1", Serial: "S-1", Title: "the supply may be on"})
	end := provision.Result{Run: "0123456789abcdef", Outcome: ledger.Pass, Message: "Good."}
	w.Event(provision.Event{Kind: provision.Ended, Slot: "1", Serial: "S-1", Result: &end})
	changes, stop := w.Watch()
	defer stop()
	<-changes
	r := ResultOf(end)
	r.Report = true
	status(provision.SlotStatus{State: provision.Occupied, Serial: "S-1", There: true})
	w.Result("1", "S-1", &r, true)
	if one := w.mustTile("1"); one.Result == nil || !one.Result.Report || one.Result.Message != "Good. the supply may be on" {
		t.Errorf("%+v", one.Result)
	}
	status(provision.SlotStatus{State: provision.Free})
	w.Result("1", "S-1", &r, true)
	if one := w.mustTile("1"); one.Result != nil {
		t.Errorf("%+v is back", one.Result)
	}
	if c := <-changes; len(c.Tones) > 0 {
		t.Errorf("%v was heard again", c.Tones)
	}
	status(provision.SlotStatus{State: provision.Armed, Serial: "S-2"})
	r.Run, r.Outcome = "1123456789abcdef", ledger.Refused
	w.Result("1", "S-1", &r, false)
	if one := w.mustTile("1"); one.Result != nil || one.Serial != "S-2" {
		t.Errorf("the slot waits for S-2, and shows %+v of %s", one.Result, one.Serial)
	}
	if c := <-changes; len(c.Tones) != 1 || c.Tones[0].Tone != toneOfUnit[ledger.Refused] {
		t.Errorf("heard %v of a refusal that came late", c.Tones)
	}
}
