package kiosk

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/provision"
)

// TestRunOnTheWall is one unit from its scan to its removal.
func TestRunOnTheWall(t *testing.T) {
	w := NewWall(WallOptions{Station: "line-1", Rows: [][]string{{"1", "2"}, {"", "4"}}, Excluded: []string{"4"}})
	slots := func(first provision.SlotStatus) {
		w.Slots([]provision.SlotStatus{first, {Slot: "2", State: provision.Free}})
	}
	tile := func() Tile { s := w.State(); one, _ := s.Tile("1"); return one }
	says := func(word string) {
		t.Helper()
		if got := w.State().Next.Word; got != word {
			t.Errorf("next is %s, want %s", got, word)
		}
	}
	slots(provision.SlotStatus{Slot: "1", State: provision.Free})
	says(NextNoShift)
	w.Shift(&Shift{By: "op-1"})
	says(NextNoJob)
	w.Job(&Job{File: "a.yaml"})
	says(NextScan)
	slots(provision.SlotStatus{Slot: "1", State: provision.Armed, Serial: "GW-1"})
	says(NextPutIn)
	slots(provision.SlotStatus{Slot: "1", State: provision.Running, Serial: "GW-1", There: true})
	says(NextScan)
	w.Event(provision.Event{Kind: provision.StepBegan, Slot: "1", Serial: "GW-1", Step: 1, Of: 2, Title: "password", Permanent: true})
	w.Event(provision.Event{Kind: provision.Progress, Slot: "1", Serial: "GW-1", Step: 1, Of: 2, Move: "writing", Done: 1, Total: 3})
	if r := tile().Run; r == nil || r.Step != 1 || !r.Permanent || r.Percent != 33 || r.Phase != "writing" || r.Remaining != -1 {
		t.Errorf("%+v", r)
	}
	w.Event(provision.Event{Kind: provision.Ended, Slot: "1", Serial: "GW-1", Result: &provision.Result{Run: "0123456789abcdef", Outcome: ledger.Pass}})
	slots(provision.SlotStatus{Slot: "1", State: provision.Occupied, Serial: "GW-1", There: true})
	says(NextTakeOut)
	if r := tile().Result; r == nil || r.Outcome != ledger.Pass || r.Code != "01234567" || tile().Run != nil {
		t.Errorf("%+v", tile())
	}
	slots(provision.SlotStatus{Slot: "1", State: provision.Free, Serial: "GW-1"})
	says(NextScan)
	if one := tile(); one.Result != nil || one.Serial != "" {
		t.Errorf("%+v", one)
	}
}

// A tile is never empty, in whatever order the engine and the line tell of a run: the engine may have ended it before the line says that it runs, and the line knows of its end later.
func TestNoTileIsEmpty(t *testing.T) {
	status := func(state provision.SlotState) func(*Wall) {
		return func(w *Wall) {
			w.Slots([]provision.SlotStatus{{Slot: "1", State: state, Serial: "GW-1", There: state != provision.Armed}})
		}
	}
	event := func(ev provision.Event) func(*Wall) {
		ev.Slot, ev.Serial = "1", "GW-1"
		return func(w *Wall) { w.Event(ev) }
	}
	armed, runs, done := status(provision.Armed), status(provision.Running), status(provision.Occupied)
	began := event(provision.Event{Kind: provision.Started})
	ended := event(provision.Event{Kind: provision.Ended, Result: &provision.Result{Run: "0123456789abcdef", Outcome: ledger.Pass}})
	back := func(w *Wall) { w.Result("1", "GW-1", nil, true) }
	words := regexp.MustCompile(`class="(face-word|run-title|result-word)[ n0-9]*">[^<]`)
	for name, order := range map[string][]func(*Wall){"as it is": {armed, runs, began, ended, done}, "the line late": {armed, began, ended, runs, done}, "taken back": {armed, runs, began, ended, back, done}} {
		w := NewWall(WallOptions{Rows: [][]string{{"1"}}})
		for i, do := range order {
			do(w)
			var b bytes.Buffer
			if err := theLibrary().pages["en"]["wall"].ExecuteTemplate(&b, "tile", (part{State: w.State()}).Looks()[0][0]); err != nil {
				t.Fatal(err)
			}
			face, _, _ := strings.Cut(b.String(), `class="more"`)
			if i > 0 && !words.MatchString(face) {
				t.Errorf("%s, %d: the tile is empty:\n%s", name, i, face)
			}
		}
	}
}

// What was said of no slot goes after its time, and with the next scan; what is said again meanwhile has its own time, and what is true until it is mended stays.
func TestSaidGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWall(WallOptions{Rows: [][]string{{"1"}}})
		said := func() string {
			synctest.Wait()
			if s := w.State().Said; s != nil {
				return s.Word
			}
			return ""
		}
		w.Said("", &Said{Word: "twice"})
		time.Sleep(saidTime / 2)
		w.Said("", &Said{Word: "twice"})
		time.Sleep(saidTime - 1)
		if got := said(); got != "twice" {
			t.Errorf("before its time: %q", got)
		}
		time.Sleep(time.Nanosecond)
		if got := said(); got != "" {
			t.Errorf("after its time: %q", got)
		}
		w.Said("", &Said{Word: "twice"})
		if w.Scanned(); said() != "" {
			t.Errorf("after a scan: %q", said())
		}
		for _, word := range saidLasts {
			w.Said("", &Said{Word: word})
			time.Sleep(time.Hour)
			if w.Scanned(); said() != word {
				t.Errorf("%s is gone", word)
			}
		}
		w.Said("", nil)
	})
}

// TestUnwatched: what a tile shows stays while nobody looks at its slot, and goes where the next look finds the slot empty, or another chip.
func TestUnwatched(t *testing.T) {
	for _, c := range []struct {
		name  string
		found provision.SlotStatus
		stays bool
	}{
		{"the same chip", provision.SlotStatus{Slot: "1", State: provision.Occupied, There: true, UID: "a1"}, true},
		{"another", provision.SlotStatus{Slot: "1", State: provision.Occupied, There: true, UID: "b2"}, false},
		{"none", provision.SlotStatus{Slot: "1", State: provision.Free}, false},
	} {
		w := NewWall(WallOptions{Rows: [][]string{{"1"}}})
		w.Slots([]provision.SlotStatus{{Slot: "1", State: provision.Occupied, There: true, UID: "a1"}})
		w.Result("1", "S-1", &Result{Outcome: ledger.Fail, Run: "r"}, true)
		for _, state := range []provision.SlotState{Unwatched, provision.Unseen} {
			w.Slots([]provision.SlotStatus{{Slot: "1", State: state, There: true}})
			if got := w.mustTile("1"); got.State != state || got.Result == nil || got.Serial != "S-1" || !got.There || faceOf(got) != "result" {
				t.Errorf("%s: %s is shown as %+v", c.name, state, got)
			}
		}
		w.Slots([]provision.SlotStatus{c.found})
		if got := w.mustTile("1"); (got.Result != nil) != c.stays || (got.Serial == "S-1") != c.stays || got.There != c.found.There {
			t.Errorf("%s: shown as %+v", c.name, got)
		}
	}
	if got := NewWall(WallOptions{Rows: [][]string{{"1"}}}).mustTile("1"); faceOf(got) != "unwatched" {
		t.Errorf("at first it is shown as %q", faceOf(got))
	}
	if got := faceOf(Tile{Slot: "1", State: Unwatched, There: true}); got != "left" {
		t.Errorf("with a board in it: %q", got)
	}
}
