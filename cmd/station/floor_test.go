package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures"
	"station/keyserver"
	"station/kiosk"
	"station/ledger"
	"station/provision"
	"station/sim"
	"station/sim/nor"
	"station/store"
)

// floored is a simulated station with a floor, which may be ended and opened again.
type floored struct {
	*position
	*floor
	told  bool
	stop  context.CancelFunc
	texts *told
	line  *sim.Line // of a floor that is opened by openLine
	chips []*nor.Chip
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
	b.offerBackups()
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
	for _, chip := range f.chips {
		chip.Close()
	}
	f.floor, f.chips = nil, nil
	return aborted
}

// openLine opens the floor as one whose slots are looked at, and whose boards are the test's.
func (f *floored) openLine() {
	f.t.Helper()
	f.openOver(func(b *bench) {
		bus, err := b.bus(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		f.line = bus.(*sim.Line)
		if b.rack, err = fixtures.NewRack(bus, b.config.rackSlots()); err != nil {
			f.t.Fatal(err)
		}
		b.simulated = false
	})
}

// put puts a board with a fault in, or one that is slow.
func (f *floored) put(slot, serial string, o nor.Options, faults nor.Faults) {
	f.t.Helper()
	chip, err := nor.Create(f.board(serial), "MT25QL256ABA", sim.UID(serial), o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.chips = append(f.chips, chip)
	chip.SetFaults(faults)
	if err := f.line.Insert(f.bench.places[slot], chip); err != nil {
		f.t.Fatal(err)
	}
}

func (f *floored) out(slot string) { f.line.Remove(f.bench.places[slot]) }

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

// wantStopped has the ledger say, once and before the end of that run, who had it stopped, and its end too.
func (f *floored) wantStopped(serial string) {
	f.t.Helper()
	runs, err := f.bench.db.Runs(serial, "")
	if err != nil || len(runs) != 1 || runs[0].End == nil {
		f.t.Fatalf("runs %+v, %v", runs, err)
	}
	want := []ledger.RunStop{{Run: runs[0].ID, Serial: serial, By: sup.ID, Authenticated: sup.Authenticated}}
	if all := entries[ledger.RunStop](f); !slices.Equal(all, want) || runs[0].End.Message != "sup-1 stopped the run." {
		f.t.Errorf("stopped by %+v, %q, want %+v", all, runs[0].End.Message, want)
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

func (f *floored) tile(slot string) kiosk.Tile {
	s := f.wall.State()
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
	for file, text := range map[string]string{"wrong.yaml": "recipe: [\n", "signed.yaml": signedSmall, "imageless.yaml": strings.Replace(signedSmall, "loader.bin", "none.bin", 1)} {
		if err := os.WriteFile(filepath.Join(f.dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var files []string
	for _, r := range f.Recipes() {
		if read := r.Recipe.Digest != "" && r.Steps > 0 && len(r.Parts) > 0; r.Problem == "" && !read {
			t.Errorf("%+v", r)
		}
		files = append(files, fmt.Sprintf("%s %t %t", r.File, r.Problem == "", len(r.Oneway) > 0))
		if why := map[string]string{"secret.yaml": "which this station does not have: `station key create", "signed.yaml": "this station has no key server", "imageless.yaml": "none.bin"}[r.File]; !strings.Contains(r.Problem, why) {
			t.Errorf("%s: %q, want %q", r.File, r.Problem, why)
		}
	}
	if got, want := strings.Join(files, " "), "config.yaml false false imageless.yaml false false secret.yaml false true signed.yaml false true small.yaml true false wrong.yaml false false"; got != want {
		t.Errorf("recipes %q, want %q", got, want)
	}
	if err := f.Health(); err != nil {
		t.Error(err)
	}
	f.want("a scan without a job", f.scan("TB-0001"), "reject "+kiosk.WordNoJob)
	f.want("closing none", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "refused "+kiosk.WordNoJob)
	for file, word := range map[string]string{"../small.yaml": kiosk.WordNoRecipe, "boot.bin": kiosk.WordNoRecipe, "none.yaml": kiosk.WordNoRecipe, "wrong.yaml": kiosk.WordBadRecipe, "imageless.yaml": kiosk.WordBadRecipe, "secret.yaml": kiosk.WordJobNotReady, "signed.yaml": kiosk.WordJobNotReady} {
		f.want("a job with "+file, f.do(sup, kiosk.Deed{Action: kiosk.BeginJob, Recipe: file}), "refused "+word)
	}
	f.texts.await(t, "the job of signed.yaml cannot begin: the recipe has signed commands, and this station has no key server", 1)
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
	if s := f.wall.State(); s.Job == nil || s.Job.Passed != 1 || s.Said == nil || s.Said.Word != kiosk.WordJobChanged || s.Next.Word != kiosk.NextJobWaits {
		t.Errorf("job %+v, said %+v", s.Job, s.Said)
	}
	f.want("another recipe", f.scan("TB-0002"), "reject "+kiosk.WordJobChanged)
	f.want("another job", f.do(sup, beginSmall(0)), "refused "+kiosk.WordJobOpen)
	os.Remove(path)
	f.want("no recipe", f.scan("TB-0002"), "reject "+kiosk.WordJobGone)
	write(string(text))
	f.want("the recipe of before", f.scan("TB-0002"), "accept "+provision.WordPutIn)
	if s := f.wall.State(); s.Next.Word == kiosk.NextJobWaits {
		t.Errorf("next is %+v", s.Next)
	}
	f.want("what was given up", f.do(op, kiosk.Deed{Action: kiosk.Cancel}), "accept "+provision.WordGivenUp)
	f.end()
	os.Remove(path)
	f.open()
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	f.want("the end of the shift", f.do(op, kiosk.Deed{Action: kiosk.EndShift}), "attention "+kiosk.WordShiftLeft)
	if !f.tile("1").There { // it looked, though nothing is made
		t.Errorf("the board in slot 1 is not seen: %+v", f.tile("1"))
	}
	f.want("it has ended", f.do(op, kiosk.Deed{Action: kiosk.EndShift}), "refused "+kiosk.WordNoShift)
	if ends := entries[ledger.JobEnd](f); len(ends) != 1 || ends[0].Passed != 1 {
		t.Errorf("ended %+v", ends)
	}
}

// TestFloorLeft closes a job with a board in a slot and a unit that was scanned: the tile shows its PASS without a job, in the next one, and after a restart in a job that did not make it.
func TestFloorLeft(t *testing.T) {
	t.Parallel()
	f := newFloored(t, true)
	defer f.position.close()
	defer func() { f.end() }()
	if s := f.tile("1").State; s != kiosk.Unwatched {
		t.Errorf("without a job slot 1 is %s", s)
	}
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	f.want("TB-0001", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	f.want("its board", f.scan("in 1=TB-0001"), "accept "+kiosk.WordBegun)
	run := f.untilResult("1", "TB-0001", ledger.Pass).Result.Run
	f.want("TB-0002", f.scan("TB-0002"), "accept "+provision.WordPutIn)
	card := kiosk.Deed{Action: kiosk.CloseJob, Card: true}
	f.want("the card", f.do(op, card), "attention "+kiosk.WordCloseAgainOpen)
	f.want("the card, read twice", f.do(op, card), "attention "+kiosk.WordCloseAgainOpen)
	if s := f.wall.State(); s.Job == nil || s.Rows[0][1].State != provision.Armed {
		t.Errorf("a card that only asked did %+v", s)
	}
	f.again.at = f.again.at.Add(-2 * time.Second)
	f.scan("XX")
	f.want("the card, behind something else", f.do(op, card), "attention "+kiosk.WordCloseAgainOpen)
	f.again.at = f.again.at.Add(-2 * time.Second)
	a, err := f.Do(t.Context(), op, card)
	if err != nil || a.Word != kiosk.WordJobLost || a.Facts["serial"] != "TB-0002" {
		t.Errorf("the close: %+v, %v", a, err)
	}
	if tile := f.tile("1"); tile.State != kiosk.Unwatched || !tile.There || tile.Result == nil || tile.Result.Run != run || tile.Serial != "TB-0001" {
		t.Errorf("after the close slot 1 is %+v", tile)
	}
	if tile := f.tile("2"); tile.State != kiosk.Unwatched || tile.There || tile.Serial != "" {
		t.Errorf("after the close slot 2 is %+v", tile)
	}
	f.want("the shift", f.do(op, kiosk.Deed{Action: kiosk.BeginShift, Card: true}), "accept "+kiosk.WordShiftBegun)
	card.Action = kiosk.EndShift
	f.want("the end of the shift", f.do(op, card), "attention "+kiosk.WordShiftAgain)
	f.want("the next job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	f.again.at = f.again.at.Add(-2 * time.Second)
	a, err = f.Do(t.Context(), op, card)
	if err != nil || a.Word != kiosk.WordShiftLeft || len(a.Facts) != 2 || a.Facts["slots"] != "1" || a.Facts["recipe"] != f.wall.State().Job.Recipe.Title || f.wall.State().Shift != nil {
		t.Errorf("the end of the shift: %+v, %v", a, err)
	}
	if tile := f.untilResult("1", "TB-0001", ledger.Pass); tile.Result.Run != run {
		t.Errorf("in the next job slot 1 is %+v", tile)
	}
	f.end()
	f.open()
	if tile := f.untilResult("1", "TB-0001", ledger.Pass); tile.Result.Run != run || tile.Result.Code == "" || !tile.Result.Report {
		t.Errorf("after the restart slot 1 is %+v", tile)
	}
	f.want("out", f.scan("out 1"), "accept "+provision.WordScanSerial)
	f.until("slot 1 is empty", func(s kiosk.State) bool { t, _ := s.Tile("1"); return t.Result == nil && t.State == provision.Free })
}

// TestFloorFail is a FAIL on a line whose slots are looked at: its slot waits, over a restart of the station too, until the board is in the reject bin; no job is closed before, and a
// shift that ends names it. A programmer that is missing keeps its own slot from being used, and nothing else.
func TestFloorFail(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	f.end()
	f.openLine()
	defer func() { f.end() }()
	if err := f.line.Unplug(f.bench.places["4"].Port); err != nil {
		t.Fatal(err)
	}
	f.want("the shift", f.do(op, kiosk.Deed{Action: kiosk.BeginShift}), "attention "+kiosk.WordShiftFound)
	for _, c := range f.wall.State().Shift.Checks {
		away := f.bench.places["4"].Port == f.bench.places[strings.TrimPrefix(c.Name, "slot ")].Port
		if c.OK == away || c.Text == "" {
			t.Errorf("check %+v", c)
		}
	}
	f.want("the job", f.do(sup, beginSmall(1)), "accept "+kiosk.WordJobBegun)
	f.until("slot 4 cannot be looked at", func(s kiosk.State) bool { t, _ := s.Tile("4"); return t.Problem != nil })
	f.want("TB-0001", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	f.put("1", "TB-0001", nor.Options{}, nor.Faults{FailProgram: true})
	tile := f.untilResult("1", "TB-0001", ledger.Fail)
	if !tile.Held || tile.Result.Cause != "operation-failed" {
		t.Errorf("tile %+v", tile)
	}
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "refused "+kiosk.WordFailsWait)
	f.want("its card", f.do(op, kiosk.Deed{Action: kiosk.CloseJob, Card: true}), "refused "+kiosk.WordFailsWait)
	if f.again.what != "" {
		t.Errorf("a card that was refused counts for the next one: %q", f.again.what)
	}
	f.want("the card too early", f.scan(provision.CardReject), "reject "+provision.WordTakeOutFirst)
	f.want("its slot", f.scan("SLOT:1"), "reject "+provision.WordSlotHeld)
	f.want("the end of the shift", f.do(op, kiosk.Deed{Action: kiosk.EndShift}), "attention "+kiosk.WordShiftLeft)
	if got := f.checkSlots(t.Context())[0]; got.OK || got.Text != slotHeld {
		t.Errorf("slot 1 is found as %+v", got)
	}
	f.out("1")
	f.until("slot 1 is empty", func(s kiosk.State) bool { t, _ := s.Tile("1"); return !t.There })
	f.end()

	f.openLine()
	f.until("the FAIL waits still", func(s kiosk.State) bool {
		t, _ := s.Tile("1")
		return t.Held && t.Result != nil && t.Result.Outcome == ledger.Fail && s.Job.Failed == 1
	})
	f.want("no FAIL there", f.do(op, kiosk.Deed{Action: kiosk.Acknowledge, Slot: "2"}), "refused "+provision.WordSlotNoFail)
	f.want("the card", f.scan(provision.CardReject), "accept "+provision.WordAcknowledged)
	f.until("the FAIL is gone", func(s kiosk.State) bool { t, _ := s.Tile("1"); return !t.Held && t.Result == nil })
	f.end()

	f.openLine()
	f.until("slot 1 is free, the FAIL being acknowledged", func(s kiosk.State) bool {
		t, _ := s.Tile("1")
		return t.State == provision.Free && !t.Held && t.Result == nil && s.Job.Failed == 1
	})
	f.want("TB-0002", f.scan("TB-0002"), "accept "+provision.WordPutIn)
	f.want("what somebody else wants meanwhile", f.do(sup, kiosk.Deed{Action: kiosk.Release, Slot: "2"}), "refused "+provision.WordNotStopped)
	f.put("1", "TB-0002", nor.Options{}, nor.Faults{})
	f.untilResult("1", "TB-0002", ledger.Pass)
	f.want("one too many", f.scan("TB-0003"), "reject "+kiosk.WordJobFull)
	f.want("the close, all being made", f.do(op, kiosk.Deed{Action: kiosk.CloseJob, Card: true}), "accept "+kiosk.WordJobClosed)

	acks, ends, shifts := entries[ledger.FailAcknowledged](f), entries[ledger.JobEnd](f), entries[ledger.ShiftEnd](f)
	if len(acks) != 1 || acks[0].Serial != "TB-0001" || acks[0].Slot != "1" || acks[0].By != "op-1" || acks[0].How != "card" || !acks[0].Authenticated {
		t.Errorf("acknowledged %+v", acks)
	}
	if len(ends) != 1 || ends[0].Passed != 1 || ends[0].Failed != 1 {
		t.Errorf("ended %+v", ends)
	}
	for _, r := range entries[ledger.RunStart](f) {
		if r.Operator != "op-1" {
			t.Errorf("%s is by %s", r.Serial, r.Operator)
		}
	}
	if len(shifts) != 1 || !slices.Equal(shifts[0].Held, []string{"TB-0001"}) || len(shifts[0].Open) != 0 {
		t.Errorf("the shift ended with %+v", shifts)
	}
}

// TestFloorHeldAway has FAILs wait where no line has their slots: the recipe is another, or a slot is excluded. They are shown, acknowledged, and keep the job from being closed.
func TestFloorHeldAway(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	f.end()
	f.openLine()
	defer func() { f.end() }()
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	for slot, serial := range map[string]string{"1": "TB-0001", "2": "TB-0002", "3": "TB-0003"} {
		f.until("slot is free", func(s kiosk.State) bool { t, _ := s.Tile(slot); return t.State == provision.Free })
		f.scan("SLOT:" + slot)
		f.want(serial, f.scan(serial), "accept "+provision.WordPutIn)
		f.put(slot, serial, nor.Options{}, nor.Faults{FailProgram: true})
		f.untilResult(slot, serial, ledger.Fail)
	}
	f.end()

	f.replace("small.yaml", "version: ", "version: 1")
	f.open()
	for slot, serial := range map[string]string{"1": "TB-0001", "2": "TB-0002", "3": "TB-0003"} {
		if tile := f.tile(slot); !tile.Held || tile.Serial != serial || tile.Result == nil || tile.Result.Outcome != ledger.Fail {
			t.Errorf("slot %s is %+v", slot, tile)
		}
	}
	if next := f.wall.State().Next; next.Word != kiosk.NextBin {
		t.Errorf("next is %+v", next)
	}
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "refused "+kiosk.WordFailsWait)
	f.want("the button", f.do(op, kiosk.Deed{Action: kiosk.Acknowledge, Slot: "1"}), "accept "+provision.WordAcknowledged)
	f.want("it once more", f.do(op, kiosk.Deed{Action: kiosk.Acknowledge, Slot: "1"}), "refused "+kiosk.WordJobChanged)
	if tile := f.tile("1"); tile.Held || tile.Result != nil {
		t.Errorf("acknowledged, slot 1 is %+v", tile)
	}
	f.end()

	f.replace("small.yaml", "version: 1", "version: ")
	f.openOver(func(b *bench) {
		for i := range b.config.Slots {
			b.config.Slots[i].Excluded = b.config.Slots[i].Name == "3"
		}
	})
	next := f.until("the slots were looked at", func(s kiosk.State) bool { t, _ := s.Tile("2"); return t.State == provision.Free }).Next
	if next.Word != kiosk.NextBin || next.Facts["slot"] != "3" || next.Facts["serial"] != "TB-0003" {
		t.Errorf("next is %+v", next)
	}
	f.want("the button of a slot that is not used", f.do(op, kiosk.Deed{Action: kiosk.Acknowledge, Slot: "3"}), "accept "+provision.WordAcknowledged)
	if s := f.wall.State(); len(s.Held) != 0 || s.Next.Facts["slot"] != "2" {
		t.Errorf("next is %+v", s.Next)
	}
	f.want("the card", f.scan(provision.CardReject), "accept "+provision.WordAcknowledged)
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	if acks := entries[ledger.FailAcknowledged](f); len(acks) != 3 || acks[0].How != "button" || acks[0].Serial != "TB-0001" || acks[1].Slot != "3" || acks[2].By != "op-1" {
		t.Errorf("acknowledged %+v", acks)
	}
}

// TestFloorLedgerGone takes the ledger's file away: the station is not well, says so for as long as it works, and takes no board that would only be an ERROR.
func TestFloorLedgerGone(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	defer func() { f.end() }()
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	if err := os.Rename(filepath.Join(f.data(), "ledger.db"), filepath.Join(f.dir, "away.db")); err != nil {
		t.Fatal(err)
	}
	f.until("it is on the wall", func(s kiosk.State) bool {
		return s.Said != nil && s.Said.Word == kiosk.WordLedgerBroken && s.Next.Word == kiosk.NextRestart
	})
	if err := f.Health(); !errors.Is(err, store.ErrMoved) {
		t.Errorf("health: %v", err)
	}
	f.want("a serial", f.scan("TB-0001"), "reject "+kiosk.WordLedgerBroken)
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "refused "+kiosk.WordLedgerBroken)
	f.want("a stop", f.do(op, kiosk.Deed{Action: kiosk.Stop, Slot: "1"}), "refused "+kiosk.WordNotRunning)
	if _, err := f.closeJob(t.Context(), op, false); !errors.Is(err, store.ErrMoved) {
		t.Errorf("a close that looks too late: %v", err)
	}
	if s := f.wall.State(); s.Job == nil || !s.Job.Waits {
		t.Errorf("the job whose end nobody wrote down: %+v", s.Job)
	}
	err := f.direct(t.Context(), op, kiosk.DirectOrder{}, nil)
	if no := new(kiosk.Refusal); !errors.As(err, &no) || no.Word != kiosk.WordLedgerBroken {
		t.Errorf("runs without a job: %v", err)
	}
	f.warn("something else")
	f.wall.Scanned()
	f.wall.Said("", nil)
	if s := f.wall.State(); s.Said == nil || s.Said.Word != kiosk.WordLedgerBroken || f.tile("1").Run != nil || f.tile("1").Result != nil {
		t.Errorf("said %+v", s.Said)
	}
	if err := os.Rename(filepath.Join(f.dir, "away.db"), filepath.Join(f.data(), "ledger.db")); err != nil {
		t.Fatal(err)
	}
	f.want("with the file back", f.scan("TB-0001"), "reject "+kiosk.WordLedgerBroken)
	f.stop()
	f.wait()
	if err := f.bench.Close(); !errors.Is(err, store.ErrMoved) {
		t.Errorf("the close of the station: %v", err)
	}
	f.floor = nil
	f.open()
	f.want("after a start", f.scan("TB-0001"), "accept "+provision.WordPutIn)
}

// TestFloorServerHangs has a job go on while the key server takes connections and says nothing: the floor is there at once, and the server is asked once for all who scan.
func TestFloorServerHangs(t *testing.T) {
	t.Parallel()
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	asked := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := hung.Accept()
			if err != nil {
				return
			}
			asked <- c
		}
	}()
	f := newFloored(t, false)
	defer f.position.close()
	defer func() { f.end() }()
	if err := os.WriteFile(filepath.Join(f.dir, "signed.yaml"), []byte(signedSmall), 0o644); err != nil {
		t.Fatal(err)
	}
	r, why := f.recipeAt("signed.yaml")
	if why != nil {
		t.Fatal(why.Text)
	}
	if err := f.floor.append(ledger.JobBegin{Job: newJobID(), By: "sup-1", File: "signed.yaml", Recipe: factsOf(r)}); err != nil {
		t.Fatal(err)
	}
	f.end()
	certFile, keyFile := filepath.Join(f.dir, "cert.pem"), filepath.Join(f.dir, "key.pem")
	if err := makeCertificate("line1", certFile, keyFile, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	const limit = 500 * time.Millisecond
	f.openOver(func(b *bench) {
		if b.server, err = keyserver.NewClient(keyserver.ClientOptions{URL: "https://" + hung.Addr().String(), CA: cert.Leaf, Cert: cert, Limit: limit}); err != nil {
			t.Fatal(err)
		}
	})
	if s := f.wall.State(); s.Job == nil || !s.Job.Waits {
		t.Errorf("the job is %+v", s.Job)
	}
	c := <-asked
	defer c.Close()
	if f.wall.State().Said != nil && time.Since(began) < limit {
		t.Errorf("said %+v before the server could be late", f.wall.State().Said)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if a, err := f.Scan(t.Context(), op, fmt.Sprintf("TB-%04d", i)); err != nil || a.Word != kiosk.WordJobWaits {
				t.Errorf("scanned: %+v, %v", a, err)
			}
		})
	}
	all.Wait()
	if n := len(asked); n > 0 {
		t.Errorf("the key server was asked %d times more", n)
	}
}

// TestFloorAlone: while a person settles a unit, nothing of it begins, and while it runs it is not settled.
func TestFloorAlone(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	f.end()
	f.openLine()
	defer func() { f.end() }()
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	f.until("slot 1 is free", func(s kiosk.State) bool { t, _ := s.Tile("1"); return t.State == provision.Free })
	answered := make(chan string, 1)
	running, err := f.alone(t.Context(), sup, "TB-0001", func() error {
		go func() { answered <- f.scan("TB-0001") }()
		select {
		case a := <-answered:
			t.Errorf("meanwhile: %s", a)
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	})
	if running || err != nil {
		t.Errorf("settled: %t, %v", running, err)
	}
	f.want("afterwards", <-answered, "accept "+provision.WordPutIn)
	f.put("1", "TB-0001", nor.Options{Pace: nor.Real, Scale: 200}, nor.Faults{})
	f.until("it runs", func(s kiosk.State) bool { t, _ := s.Tile("1"); return t.Run != nil })
	closing := f.bench.records(f.alone).CloseUnit(t.Context(), sup, "TB-0001", ledger.Scrapped, "it runs")
	if no := new(kiosk.Refusal); !errors.As(closing, &no) || no.Word != kiosk.WordUnitRunning {
		t.Errorf("closed while it runs: %v", closing)
	}
}

// TestFloorStop stops one run, and then, by ending the station, another.
func TestFloorStop(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	f.end()
	f.openLine()
	defer func() { f.end() }()
	f.want("the job", f.do(sup, beginSmall(3)), "accept "+kiosk.WordJobBegun)
	slow := nor.Options{Pace: nor.Real, Scale: 200} // a write of 10 s
	for slot, serial := range map[string]string{"1": "TB-0001", "2": "TB-0002", "3": "TB-0003"} {
		f.until("slots are free", func(s kiosk.State) bool { t, _ := s.Tile(slot); return t.State == provision.Free })
		f.want("the label", f.scan("SLOT:"+slot), "accept "+provision.WordScanSerial)
		f.want(serial, f.scan(serial), "accept "+provision.WordPutIn)
		if slot == "3" {
			f.put(slot, serial, nor.Options{}, nor.Faults{})
			f.untilResult(slot, serial, ledger.Pass)
			continue
		}
		f.put(slot, serial, slow, nor.Faults{})
		f.until(serial+" is written", func(s kiosk.State) bool { t, _ := s.Tile(slot); return t.Run != nil && t.Run.Step == 1 })
	}
	f.want("one too many, if all pass", f.scan("TB-0004"), "reject "+kiosk.WordJobFull)
	if err := f.look(); err != nil || len(f.wall.State().Open) > 0 {
		t.Errorf("what is under way is open: %+v, %v", f.wall.State().Open, err)
	}
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "refused "+kiosk.WordUnderWay)
	f.do(op, kiosk.Deed{Action: kiosk.Cancel}) // what is scanned again now is meant
	f.want("its serial", f.scan("TB-0002"), "reject "+provision.WordSerialElsewhere)
	f.want("the stop", f.do(sup, kiosk.Deed{Action: kiosk.Stop, Slot: "1"}), "attention "+kiosk.WordStops)
	f.untilResult("1", "TB-0001", ledger.Aborted)
	f.wantStopped("TB-0001")
	if tile := f.tile("2"); tile.Run == nil {
		t.Errorf("slot 2 stopped, too: %+v", tile)
	}
	f.want("one that is not too many now", f.scan("TB-0005"), "accept "+provision.WordPutIn)
	f.stop()
	_, err := f.Scan(t.Context(), op, "TB-0006")
	if no := new(kiosk.Refusal); err != nil && (!errors.As(err, &no) || no.Word != kiosk.WordEnds) {
		t.Errorf("a scan while it ends: %v", err)
	}
	if !f.end() {
		t.Error("nobody says that a run was aborted")
	}
	f.open()
	words := map[string]ledger.Outcome{}
	for _, e := range entries[ledger.RunEnd](f) {
		words[e.Serial] = e.Outcome
	}
	if s := f.wall.State(); words["TB-0001"] != ledger.Aborted || words["TB-0002"] != ledger.Aborted || words["TB-0003"] != ledger.Pass || s.Job.Passed != 1 || s.Job.Other != 2 {
		t.Errorf("outcomes %v, job %+v", words, s.Job)
	}
}

// TestFloorResume kills a station in the midst of runs: what is open is on the wall with the slot that its board is in, before any job and in one, and is finished by one card.
func TestFloorResume(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	f.end()
	r := f.launch("run", "small.yaml", "--slot", "1=TB-0001", "--slot", "2=TB-0002", "--slot", "3=TB-0003")
	r.await("2/4 lock")
	r.cmd.Process.Kill()
	r.wait()
	f.open()
	defer func() { f.end() }()
	open := f.wall.State().Open
	if len(open) == 0 {
		t.Fatal("the kill came too late")
	}
	warned := ""
	order := kiosk.DirectOrder{Recipe: filepath.Join(f.dir, "small.yaml"), Slots: []kiosk.DirectSlot{{Slot: "4", Serial: "TB-0009"}}}
	if err := f.direct(t.Context(), op, order, func(v any) { warned += v.(directLine).Warning }); err != nil || strings.Count(warned, "INTERRUPTED: the run of "+open[0].Serial) != 1 {
		t.Errorf("run beside open runs: %v, %q", err, warned)
	}
	f.want("no job", f.do(op, kiosk.Deed{Action: kiosk.Resume}), "refused "+kiosk.WordNoJob)
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	s := f.until("open runs are here", func(s kiosk.State) bool {
		return len(s.Open) > 0 && !slices.ContainsFunc(s.Open, func(o kiosk.Open) bool { return o.Here != o.Slot })
	})
	if len(s.Open) != len(open) {
		t.Errorf("open %+v", s.Open)
	}
	f.want("the end of a shift", f.do(op, kiosk.Deed{Action: kiosk.EndShift}), "refused "+kiosk.WordNoShift)
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	var serials []string
	for _, o := range open {
		serials = append(serials, o.Serial)
	}
	if ends := entries[ledger.JobEnd](f); len(ends) != 1 || !slices.Equal(ends[0].Open, serials) {
		t.Errorf("ended %+v, want %v open", ends, serials)
	}
	if s := f.wall.State(); s.Open[0].Here != "" || s.Next.Word != kiosk.NextNoShift {
		t.Errorf("without a job %+v is open, and next is %+v", s.Open, s.Next)
	}
	f.want("a job of one", f.do(sup, beginSmall(1)), "accept "+kiosk.WordJobBegun)
	f.want("the card", f.scan(provision.CardResume), "accept "+kiosk.WordBegun)
	f.untilResult(open[0].Slot, open[0].Serial, ledger.Pass)
	f.want("one more than that", f.do(op, kiosk.Deed{Action: kiosk.Resume}), "refused "+kiosk.WordJobFull)
	f.want("its close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	if len(open) > 1 {
		f.want("another job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
		word := kiosk.WordBegun
		if len(open) > 2 {
			word = kiosk.WordGoOn
		}
		f.want("the button", f.do(op, kiosk.Deed{Action: kiosk.Resume}), "accept "+word)
		for _, o := range open[1:] {
			f.untilResult(o.Slot, o.Serial, ledger.Pass)
		}
	}
	f.until("none is open", func(s kiosk.State) bool { return len(s.Open) == 0 })
	for _, e := range entries[ledger.RunResume](f) {
		if e.Operator != "op-1" || !e.Authenticated {
			t.Errorf("%s was resumed by %s, authenticated %v", e.Serial, e.Operator, e.Authenticated)
		}
	}
}

// Runs without a job, or another deed, keep nobody waiting: not for long, not beyond their time, and who is nobody any more by then gets nothing.
func TestFloorTurn(t *testing.T) {
	b := newFloored(t, false).bench // for its ledger
	synctest.Test(t, func(t *testing.T) {
		f := &floor{ctx: t.Context(), bench: b, deeds: make(chan struct{}, 1), job: newFloorJob(ledger.JobBegin{}, time.Now())}
		deeds := map[string]func(context.Context) error{"scan": func(ctx context.Context) error {
			_, err := f.Scan(ctx, op, "TB-0001") // to a job that could not go on
			return err
		}}
		for _, a := range []kiosk.Action{kiosk.BeginJob, kiosk.CloseJob, kiosk.BeginShift, kiosk.EndShift, kiosk.Resume} {
			deeds[string(a)] = func(ctx context.Context) error {
				_, err := f.Do(ctx, sup, kiosk.Deed{Action: a})
				return err
			}
		}
		deeds["settle a unit"] = func(ctx context.Context) error {
			_, err := f.alone(ctx, sup, "TB-0001", func() error { t.Error("settled while runs may begin"); return nil })
			return err
		}
		gone := errors.New("nobody any more")
		for name, do := range deeds {
			f.deeds <- struct{}{} // somebody else
			began := time.Now()
			err := do(t.Context())
			if no := new(kiosk.Refusal); !errors.As(err, &no) || no.Word != kiosk.WordBusy || time.Since(began) != 2*time.Second {
				t.Errorf("%s: %v after %v, want busy after 2 s", name, err, time.Since(began))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began = time.Now()
			if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %v, want the context's end after 1 s", name, err, time.Since(began))
			}
			cancel()
			time.AfterFunc(time.Second, f.pass)
			if err := do(kiosk.WithStill(t.Context(), func() error { return gone })); err != gone {
				t.Errorf("%s: %v, want %v", name, err, gone)
			}
			if len(f.deeds) != 0 {
				t.Fatalf("%s: the floor is still held", name)
			}
		}
	})
}

// TestFloorDirect carries out units without a job, and not beside one.
func TestFloorDirect(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	defer f.end()
	order := kiosk.DirectOrder{Recipe: filepath.Join(f.dir, "small.yaml"), Slots: []kiosk.DirectSlot{{Slot: "1", Serial: "TB-0001"}, {Slot: "3", Serial: "TB-0002"}}}
	events, last := map[string]int{}, directLine{}
	tell := func(v any) {
		if last = v.(directLine); last.Event != nil {
			events[last.Event.Serial+" "+string(last.Event.Kind)]++
			if last.Event.Kind == provision.Started { // as may be at any time
				if err := f.look(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if err := f.direct(t.Context(), kiosk.Who{ID: "cli"}, order, tell); err != nil {
		t.Fatal(err)
	}
	if open := f.wall.State().Open; len(open) > 0 {
		t.Errorf("what has passed is open: %+v", open)
	}
	if len(last.Results) != 2 || last.Results[0].Outcome != ledger.Pass || last.Results[1].Outcome != ledger.Pass || last.Results[0].Report == "" {
		t.Errorf("results %+v", last.Results)
	}
	if events["TB-0001 started"] != 1 || events["TB-0002 ended"] != 1 || events["TB-0001 step-began"] != 4 {
		t.Errorf("events %v", events)
	}
	if s := f.wall.State(); f.tile("1").There || s.Next.Word != kiosk.NextNoShift {
		t.Errorf("nobody looks at slot 1, and its tile is %+v, what is to be done next %+v", f.tile("1"), s.Next)
	}
	if tile := f.tile("3"); tile.Result == nil || tile.Result.Outcome != ledger.Pass || tile.Serial != "TB-0002" {
		t.Errorf("tile %+v", tile)
	}
	for what, o := range map[string]kiosk.DirectOrder{
		"none":         {Recipe: order.Recipe},
		"a slot twice": {Recipe: order.Recipe, Slots: []kiosk.DirectSlot{{Slot: "1", Serial: "TB-0003"}, {Slot: "1", Serial: "TB-0004"}}},
		"no such slot": {Recipe: order.Recipe, Slots: []kiosk.DirectSlot{{Slot: "9", Serial: "TB-0003"}}},
		"no recipe":    {Recipe: filepath.Join(f.dir, "none.yaml"), Slots: order.Slots},
		"a value":      {Recipe: order.Recipe, Slots: order.Slots, Values: map[string]map[string]string{"2": {"mac": "00"}}},
		"a board":      {Recipe: order.Recipe, Slots: order.Slots, Boards: []kiosk.DirectSlot{{Slot: "2", Serial: "x"}}},
	} {
		err := f.direct(t.Context(), kiosk.Who{ID: "cli"}, o, func(any) { t.Errorf("%s: something was told", what) })
		if no := new(kiosk.Refusal); !errors.As(err, &no) || no.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	err := f.direct(t.Context(), kiosk.Who{ID: "cli"}, order, tell)
	if no := new(kiosk.Refusal); !errors.As(err, &no) || no.Word != kiosk.WordJobOpen {
		t.Errorf("beside a job: %v", err)
	}
	f.want("TB-0001", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	s := f.until("it has passed before", func(s kiosk.State) bool {
		t, _ := s.Tile("2")
		return t.Result != nil && t.Result.Already && t.State == provision.Occupied
	})
	if s.Job.Passed+s.Job.Failed+s.Job.Other != 0 {
		t.Errorf("the job counts what was made before: %+v", s.Job)
	}
	for _, r := range entries[ledger.RunStart](f) {
		if r.Operator != "cli" || r.Authenticated {
			t.Errorf("%s is by %s", r.Serial, r.Operator)
		}
	}
}

// TestFloorDirectStop stops one of two runs without a job.
func TestFloorDirectStop(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	f.end()
	f.openLine()
	defer func() { f.end() }()
	f.put("1", "TB-0001", nor.Options{Pace: nor.Real, Scale: 200}, nor.Faults{}) // a write of 10 s
	f.put("2", "TB-0002", nor.Options{}, nor.Faults{})
	order := kiosk.DirectOrder{Recipe: filepath.Join(f.dir, "small.yaml"), Slots: []kiosk.DirectSlot{{Slot: "1", Serial: "TB-0001"}, {Slot: "2", Serial: "TB-0002"}}}
	done := make(chan []runJSON)
	go func() {
		var results []runJSON
		if err := f.direct(t.Context(), op, order, func(v any) { results = v.(directLine).Results }); err != nil {
			t.Error(err)
		}
		done <- results
	}()
	f.until("TB-0001 is written, and TB-0002 done", func(s kiosk.State) bool {
		one, _ := s.Tile("1")
		two, _ := s.Tile("2")
		return one.Run != nil && one.Run.Step == 1 && two.Result != nil
	})
	f.want("the stop", f.do(sup, kiosk.Deed{Action: kiosk.Stop, Slot: "1"}), "attention "+kiosk.WordStops)
	f.want("once more", f.do(op, kiosk.Deed{Action: kiosk.Stop, Slot: "1"}), "attention "+kiosk.WordStops)
	if r := <-done; len(r) != 2 || r[0].Outcome != ledger.Aborted || r[1].Outcome != ledger.Pass {
		t.Errorf("results %+v", r)
	}
	f.wantStopped("TB-0001")
	f.want("one that has ended", f.do(sup, kiosk.Deed{Action: kiosk.Stop, Slot: "2"}), "refused "+kiosk.WordNotRunning)
}

// TestFloorMoves has quick hands put a board that is done, and was left in, into another slot: it is in one slot, and so is its result.
func TestFloorMoves(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	defer f.end()
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	f.scan("TB-0001")
	f.untilResult("1", "TB-0001", ledger.Pass)
	f.do(op, kiosk.Deed{Action: kiosk.Cancel}) // what is scanned again now is meant
	f.want("it again", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	f.untilResult("2", "TB-0001", ledger.Pass)
	if tile := f.tile("1"); tile.State != provision.Free || tile.Result != nil || tile.Serial != "" {
		t.Errorf("slot 1 is empty, and shows %+v", tile)
	}
}

// TestFloorMany has four people scan at once, each their own boards, with as many slots: every scan has its answer, every unit passes once, and each run is by who scanned it.
func TestFloorMany(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer f.position.close()
	defer f.end()
	const people, each = 4, 2
	f.want("the job", f.do(sup, beginSmall(people*each)), "accept "+kiosk.WordJobBegun)
	var all sync.WaitGroup
	for i := range people {
		who := kiosk.Who{ID: fmt.Sprintf("op-%d", i), Authenticated: i%2 == 0}
		all.Go(func() {
			for k := range each {
				serial := fmt.Sprintf("TB-%d%03d", i, k)
				for {
					a, err := f.Scan(t.Context(), who, serial)
					if err != nil {
						t.Error(err)
						return
					}
					if a.Word == provision.WordPutIn {
						break
					}
					if a.Tone != kiosk.Reject {
						t.Errorf("%s: %+v", serial, a)
					}
					f.Do(t.Context(), who, kiosk.Deed{Action: kiosk.Cancel}) // what is scanned again now is meant
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	f.until("all have passed", func(s kiosk.State) bool { return s.Job.Passed == people*each })
	f.until("nothing runs", func(s kiosk.State) bool {
		return !slices.ContainsFunc(slices.Concat(s.Rows...), func(t kiosk.Tile) bool { return t.State == provision.Running })
	})
	f.want("the close", f.do(op, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
	by, signedIn := map[string]int{}, func(serial string) bool { return (serial[3]-'0')%2 == 0 }
	for _, r := range entries[ledger.RunEnd](f) {
		if r.Authenticated != signedIn(r.Serial) {
			t.Errorf("the end of %s by %s is authenticated: %v", r.Serial, r.Operator, r.Authenticated)
		}
	}
	for _, r := range entries[ledger.RunStart](f) {
		if want := "op-" + r.Serial[3:4]; r.Operator != want || r.Authenticated != signedIn(r.Serial) {
			t.Errorf("%s is by %s, authenticated %v", r.Serial, r.Operator, r.Authenticated)
		}
		by[r.Operator]++
	}
	if len(by) != people || by["op-0"] != each || by["op-3"] != each {
		t.Errorf("runs %v", by)
	}
}

// TestCardAgain: a card that was scanned once more counts within its time, and not where a scanner read it twice, nor another's, nor a third time.
func TestCardAgain(t *testing.T) {
	var c cardAgain
	at := time.Unix(1e9, 0)
	for i, s := range []struct {
		after time.Duration
		what  string
		want  bool
	}{
		{0, "a", false}, {300 * time.Millisecond, "a", false}, {time.Second, "b", false}, {2 * time.Second, "b", true}, {2 * time.Second, "b", false}, {11 * time.Second, "b", false}, {10 * time.Second, "b", true},
	} {
		at = at.Add(s.after)
		if got := c.scanned(s.what, at); got != s.want {
			t.Errorf("scan %d: %t", i, got)
		}
	}
}

// TestFloorCount: a unit is counted once, as what it passed or failed as last, and otherwise only where it did neither.
func TestFloorCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trial bool
		ended []ledger.Outcome
		want  string // passed, failed, other
	}{
		{false, []ledger.Outcome{ledger.Pass, ledger.Refused}, "1 0 0"},
		{false, []ledger.Outcome{ledger.Error, ledger.Aborted}, "0 0 1"},
		{false, []ledger.Outcome{ledger.Error, ledger.Pass, ledger.Pass}, "1 0 0"},
		{false, []ledger.Outcome{ledger.Fail, ledger.Refused}, "0 1 0"},
		{false, []ledger.Outcome{ledger.Fail, ledger.Interrupted, ledger.Pass}, "1 0 0"},
		{false, []ledger.Outcome{ledger.Pass, ledger.Fail}, "0 1 0"},
		{false, []ledger.Outcome{ledger.Trial}, "0 0 1"},
		{true, []ledger.Outcome{ledger.Trial, ledger.Refused}, "1 0 0"},
	} {
		j := newFloorJob(ledger.JobBegin{Trial: c.trial}, time.Time{})
		for _, o := range c.ended {
			j.ended("TB-0001", o)
		}
		passed, failed, other := j.count()
		if got := fmt.Sprint(passed, failed, other); got != c.want {
			t.Errorf("trial %t, %v: %s, want %s", c.trial, c.ended, got, c.want)
		}
	}
}

// TestFloorGivenUp has whoever closes the job give up before it is done: it stays open, and its line takes what is scanned.
func TestFloorGivenUp(t *testing.T) {
	f := newFloored(t, false)
	f.want("the job", f.do(sup, kiosk.Deed{Action: kiosk.BeginJob, Recipe: "small.yaml"}), "accept "+kiosk.WordJobBegun)
	f.want("a scan", f.scan("TB-0001"), "accept "+provision.WordPutIn)
	f.untilResult("1", "TB-0001", ledger.Pass)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // each could be handed over by chance
		if _, err := f.Do(over, sup, kiosk.Deed{Action: kiosk.CloseJob}); !errors.Is(err, context.Canceled) {
			t.Fatalf("closing it: %v", err)
		}
	}
	f.want("another", f.scan("TB-0002"), "accept "+provision.WordPutIn)
	f.untilResult("2", "TB-0002", ledger.Pass)
	f.want("closing it", f.do(sup, kiosk.Deed{Action: kiosk.CloseJob}), "accept "+kiosk.WordJobClosed)
}

// TestFloorRoom: a board whose slot begins nothing takes no place from another, where the job has one left.
func TestFloorRoom(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer func() { f.end() }()
	r, why := f.recipeAt("small.yaml")
	if why != nil {
		t.Fatal(why)
	}
	var open []ledger.Run
	line := provision.NewLine(r, []string{"1", "2", "3"}, nil)
	line.HoldFails(provision.Held{Slot: "1", Serial: "TB-0009", Run: "0123456789abcdef"})
	for _, n := range []string{"1", "2", "3"} {
		open = append(open, ledger.Run{Serial: "TB-000" + n, Start: &ledger.RunStart{Recipe: factsOf(r), Chip: ledger.Chip{UID: "UID" + n}}})
		line.Seen(n, true, "UID"+n)
	}
	j := newFloorJob(ledger.JobBegin{Recipe: factsOf(r), Quantity: 1}, time.Now())
	j.line = &scanning{line: line}
	if left := serialsOf(j.room(open)); !slices.Equal(left, []string{"TB-0001", "TB-0002"}) { // slot 1 is told why it does not begin
		t.Errorf("%v go on, want the one of the held slot, and one more", left)
	}
}

// TestFloorEndShiftStill: who is nobody any more when the slots have been looked at ends no shift.
func TestFloorEndShiftStill(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	defer func() { f.end() }()
	f.want("the shift", f.do(op, kiosk.Deed{Action: kiosk.BeginShift}), "accept "+kiosk.WordShiftBegun)
	gone, asked := errors.New("nobody any more"), 0
	ctx := kiosk.WithStill(t.Context(), func() error {
		if asked++; asked > 1 {
			return gone
		}
		return nil
	})
	if _, err := f.Do(ctx, op, kiosk.Deed{Action: kiosk.EndShift}); err != gone || len(entries[ledger.ShiftEnd](f)) != 0 || f.wall.State().Shift == nil {
		t.Errorf("%v, %d shifts have ended", err, len(entries[ledger.ShiftEnd](f)))
	}
}
