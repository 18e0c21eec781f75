package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// floored is a simulated station with a floor, which may be ended and opened again.
type floored struct {
	*position
	*floor
	told  bool
	stop  context.CancelFunc
	texts *told
}

var (
	op  = kiosk.Who{ID: "op-1", Authenticated: true}
	sup = kiosk.Who{ID: "sup-1", Authenticated: true}
)

func newFloored(t *testing.T, told bool) *floored {
	t.Helper()
	f := &floored{position: newPosition(t), told: told}
	f.open()
	return f
}

func (f *floored) open() {
	f.t.Helper()
	f.openOver(func(*bench) {})
}

// openOver opens the station, and its floor over a bench that prepare may change.
func (f *floored) openOver(prepare func(*bench)) {
	f.t.Helper()
	f.texts = &told{}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: f.texts, dataDir: f.data()}
	b, err := a.open(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	prepare(b)
	wall := kiosk.NewWall(kiosk.WallOptions{Station: "line1", Simulated: true, Rows: [][]string{b.config.usable()}})
	ctx, stop := context.WithCancel(f.t.Context())
	f.stop = stop
	if f.floor, err = a.newFloor(ctx, b, wall, f.dir, f.told); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { f.end() })
}

// end ends the floor and its station.
func (f *floored) end() (aborted bool) {
	f.t.Helper()
	if f.floor == nil {
		return false
	}
	f.stop()
	aborted = f.wait()
	if err := f.bench.Close(); err != nil {
		f.t.Error(err)
	}
	f.floor = nil
	return aborted
}

// scan is what a scan is answered with: the tone and the word.
func (f *floored) scan(code string) string {
	f.t.Helper()
	a, err := f.Scan(f.t.Context(), op, code)
	if err != nil {
		f.t.Fatalf("%s: %v", code, err)
	}
	return string(a.Tone) + " " + a.Word
}

// do is what a deed is answered with, or refused with.
func (f *floored) do(who kiosk.Who, d kiosk.Deed) string {
	f.t.Helper()
	a, err := f.Do(f.t.Context(), who, d)
	if no := new(kiosk.Refusal); errors.As(err, &no) {
		if no.Text == "" || !slices.Contains(kiosk.StationWords, no.Word) && !slices.Contains(provision.Words, no.Word) {
			f.t.Errorf("%s: nobody can say %+v", d.Action, no.Said)
		}
		return "refused " + no.Word
	} else if err != nil {
		f.t.Fatalf("%s: %v", d.Action, err)
	}
	return string(a.Tone) + " " + a.Word
}

func (f *floored) want(what, got, want string) {
	f.t.Helper()
	if got != want {
		f.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// until waits until the wall is right.
func (f *floored) until(what string, right func(kiosk.State) bool) kiosk.State {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s := f.wall.State()
		if right(s) {
			return s
		}
		if time.Now().After(end) {
			f.texts.mu.Lock()
			defer f.texts.mu.Unlock()
			f.t.Fatalf("never %s: %+v\n%s", what, s, f.texts.text.String())
		}
	}
}

// untilResult waits for how a run in a slot ended.
func (f *floored) untilResult(slot, serial string, o ledger.Outcome) kiosk.Tile {
	f.t.Helper()
	s := f.until(serial+" "+string(o)+" in slot "+slot, func(s kiosk.State) bool {
		t, _ := s.Tile(slot)
		return t.Result != nil && t.Serial == serial && t.Result.Outcome == o && t.State == provision.Occupied
	})
	t, _ := s.Tile(slot)
	return t
}

// entries are those of a kind, oldest first.
func entries[B ledger.Body](f *floored) (all []B) {
	f.t.Helper()
	size, err := f.bench.db.Size()
	if err != nil {
		f.t.Fatal(err)
	}
	records, err := f.bench.db.Records(0, size)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range records {
		if b, ok := r.Entry.Body.(B); ok {
			all = append(all, b)
		}
	}
	return all
}

func beginSmall(quantity int) kiosk.Deed {
	return kiosk.Deed{Action: kiosk.BeginJob, Recipe: "small.yaml", Quantity: quantity}
}

// TestFloorJob is a job from its begin to its close, with hands that are quick: what may not be is answered, what is made is counted, and each run is by who scanned it.
func TestFloorJob(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	defer f.end()
	f.want("a scan without a job", f.scan("TB-0001"), "reject "+kiosk.WordNoJob)
	f.want("closing none", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "refused "+kiosk.WordNoJob)
	for file, word := range map[string]string{"../small.yaml": kiosk.WordNoRecipe, "boot.bin": kiosk.WordNoRecipe, "none.yaml": kiosk.WordBadRecipe, "secret.yaml": kiosk.WordJobNotReady} {
		f.want("a job with "+file, f.do(sup, kiosk.Deed{Action: kiosk.BeginJob, Recipe: file}), "refused "+word)
	}
	f.want("a job for none", f.do(sup, beginSmall(-1)), "refused "+kiosk.WordBadQuantity)
	f.want("the job", f.do(sup, beginSmall(3)), "accept "+kiosk.WordJobBegun)
	f.want("a second job", f.do(sup, beginSmall(3)), "refused "+kiosk.WordJobOpen)

	f.want("another label", f.scan("XX-1"), "reject "+provision.WordNotSerial)
	f.want("two lines", f.scan("TB-0001\nTB-0002"), "reject "+kiosk.WordUnreadable)
	f.want("nothing to give up", f.do(op, kiosk.Deed{Action: kiosk.Cancel}), "refused "+provision.WordNoCancel)
	f.want("no such slot", f.do(op, kiosk.Deed{Action: kiosk.Stop, Slot: "9"}), "refused "+provision.WordNoSuchSlot)
	f.want("nothing runs", f.do(op, kiosk.Deed{Action: kiosk.Stop, Slot: "1"}), "refused "+kiosk.WordNotRunning)
	f.want("the label of slot 2", f.scan("SLOT:2"), "accept "+provision.WordScanSerial)
	for i, serial := range []string{"TB-0001", "TB-0002", "TB-0003"} {
		f.want(serial, f.scan(serial), "accept "+provision.WordPutIn)
		slot := []string{"2", "1", "3"}[i]
		if tile := f.untilResult(slot, serial, ledger.Pass); !tile.There || !tile.Result.Report || tile.Result.Code == "" {
			t.Errorf("slot %s: %+v", slot, tile)
		}
	}
	f.want("one too many", f.scan("TB-0004"), "reject "+kiosk.WordJobFull)
	s := f.wall.State()
	if s.Job == nil || s.Job.Passed != 3 || s.Job.Failed+s.Job.Other != 0 || s.Job.By != "sup-1" || len(s.Job.Steps) == 0 {
		t.Errorf("job %+v", s.Job)
	}
	// A unit that is scanned again is one, and passed before; its board is taken out of its slot for it.
	f.do(op, kiosk.Deed{Action: kiosk.Cancel}) // what is scanned again now is meant
	f.want("the label of slot 2", f.scan("SLOT:2"), "accept "+provision.WordScanSerial)
	f.want("TB-0001 again", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	f.until("TB-0001 passed before", func(s kiosk.State) bool { t, _ := s.Tile("2"); return t.Result != nil && t.Result.Already })
	f.until("it is done", func(s kiosk.State) bool { t, _ := s.Tile("2"); return t.State == provision.Occupied })
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	if s := f.wall.State(); s.Job != nil {
		t.Errorf("job %+v", s.Job)
	}
	f.want("a scan behind it", f.scan("TB-0004"), "reject "+kiosk.WordNoJob)

	begins, ends, starts := entries[ledger.JobBegin](f), entries[ledger.JobEnd](f), entries[ledger.RunStart](f)
	if len(begins) != 1 || begins[0].By != "sup-1" || !begins[0].Authenticated || begins[0].File != "small.yaml" || begins[0].Quantity != 3 {
		t.Errorf("began %+v", begins)
	}
	if len(ends) != 1 || ends[0].Job != begins[0].Job || ends[0].By != "op-1" || ends[0].Passed != 3 || ends[0].Failed != 0 || len(ends[0].Open) != 0 {
		t.Errorf("ended %+v", ends)
	}
	for _, r := range starts {
		if r.Operator != "op-1" {
			t.Errorf("%s is by %s", r.Serial, r.Operator)
		}
	}
	if len(starts) != 3 {
		t.Errorf("%d runs, want 3", len(starts))
	}
}

// TestFloorRestart is a station that is ended and started again: the job goes on with its counts, but not with another recipe, and what was wrong can be put right.
func TestFloorRestart(t *testing.T) {
	t.Parallel()
	f := newFloored(t, true)
	defer f.position.close()
	defer func() { f.end() }()
	f.want("the shift", f.do(op, kiosk.Deed{Action: kiosk.BeginShift}), "accept "+kiosk.WordShiftBegun)
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	f.want("TB-0001", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	f.want("its board", f.scan("in 1=TB-0001"), "accept "+kiosk.WordBegun)
	f.untilResult("1", "TB-0001", ledger.Pass)
	f.want("hands elsewhere", f.scan("out 2"), "reject "+kiosk.WordHands)
	if f.end() {
		t.Error("something was aborted where nothing ran")
	}
	f.open()
	f.untilResult("1", "TB-0001", ledger.Pass) // its board is still in
	s := f.wall.State()
	if s.Job == nil || s.Job.Passed != 1 || s.Job.By != "sup-1" || s.Shift == nil || s.Shift.By != "op-1" || len(s.Shift.Checks) == 0 {
		t.Errorf("job %+v, shift %+v", s.Job, s.Shift)
	}
	f.want("TB-0002", f.scan("TB-0002"), "accept "+provision.WordPutIn)
	f.end()

	path := filepath.Join(f.dir, "small.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(string(text), "version: ", "version: 1", 1))
	f.open()
	if s := f.wall.State(); s.Job == nil || s.Job.Passed != 1 || s.Said == nil || s.Said.Word != kiosk.WordJobChanged {
		t.Errorf("job %+v, said %+v", s.Job, s.Said)
	}
	f.want("another recipe", f.scan("TB-0002"), "reject "+kiosk.WordJobChanged)
	f.want("another job", f.do(sup, beginSmall(0)), "refused "+kiosk.WordJobOpen)
	os.Remove(path)
	f.want("no recipe", f.scan("TB-0002"), "reject "+kiosk.WordJobGone)
	write(string(text))
	f.want("the recipe of before", f.scan("TB-0002"), "accept "+provision.WordPutIn)
	f.want("what was given up", f.do(op, kiosk.Deed{Action: kiosk.Cancel}), "accept "+provision.WordGivenUp)
	f.end()
	os.Remove(path)
	f.open()
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	f.want("the end of the shift", f.do(op, kiosk.Deed{Action: kiosk.EndShift}), "accept "+kiosk.WordShiftEnded)
	f.want("it has ended", f.do(op, kiosk.Deed{Action: kiosk.EndShift}), "refused "+kiosk.WordNoShift)
	if ends := entries[ledger.JobEnd](f); len(ends) != 1 || ends[0].Passed != 1 {
		t.Errorf("ended %+v", ends)
	}
}
