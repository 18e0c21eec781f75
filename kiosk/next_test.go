package kiosk

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"station/ledger"
	"station/provision"
)

// TestNext is one state for each word, and for each case of two at once that the more urgent is said.
func TestNext(t *testing.T) {
	var (
		job     = &Job{}
		shift   = &Shift{By: "op-1"}
		pass    = &Result{Outcome: ledger.Pass}
		free    = Tile{State: provision.Free}
		armed   = Tile{State: provision.Armed, Serial: "S-1"}
		scanned = Tile{State: provision.Scanned, Serial: "S-1", Said: &Said{Facts: map[string]string{"value": "mac"}}}
		runs    = Tile{State: provision.Running, Serial: "S-2", There: true, Run: &Running{}}
		reseat  = Tile{State: provision.Running, Serial: "S-2", There: true, Run: &Running{Phase: "reseat"}}
		done    = Tile{State: provision.Occupied, Serial: "S-3", There: true, Result: pass}
		unknown = Tile{State: provision.Occupied, There: true}
		failed  = Tile{State: provision.Occupied, Serial: "S-4", There: true, Held: true, Result: &Result{Outcome: ledger.Fail}}
		out     = Tile{State: provision.Free, Serial: "S-5", Held: true, Result: &Result{Outcome: ledger.Fail}}
		seen    = Tile{State: provision.Occupied, Serial: "S-6", There: true, Result: &Result{Outcome: ledger.Fail}}
		stopped = Tile{State: provision.Free, Stopped: true}
		broken  = Tile{State: provision.Unseen, Problem: &Said{Word: "no-programmer"}}
		unseen  = Tile{State: provision.Unseen}
		left    = Tile{State: Unwatched, There: true}
		not     = Tile{Excluded: true, State: provision.Unseen}
		person  = &Said{Word: "open-person"}
	)
	for _, c := range []struct {
		name  string
		job   *Job
		open  []Open
		tiles []Tile
		want  string // word, and facts in the order of their names
	}{
		{"a board to reseat, before all else", job, []Open{{Serial: "S-9", Here: "2", Person: person}}, []Tile{reseat, failed, armed}, "next-reseat serial=S-2 slot=1"},
		{"a person decides about a board here", job, []Open{{Serial: "S-8", Here: "1"}, {Serial: "S-9", Here: "2", Person: person}}, []Tile{unknown, unknown, failed}, "next-decide serial=S-9 slot=2"},
		{"a person decides about a board that is elsewhere: no hands are waited for", job, []Open{{Serial: "S-9", Slot: "1", Person: person}}, []Tile{free}, "next-scan slot=1"},
		{"a run that broke off", job, []Open{{Serial: "S-8", Here: "1"}}, []Tile{unknown, failed}, "next-resume card=RESUME serial=S-8 slot=1"},
		{"two of them", job, []Open{{Serial: "S-8", Here: "1"}, {Serial: "S-9", Here: "3"}}, []Tile{unknown, free, unknown}, "next-resume-all card=RESUME count=2 slots=1, 3"},
		{"one more than the job is for", &Job{Quantity: 2, Passed: 2}, []Open{{Serial: "S-8", Here: "1"}}, []Tile{unknown, free}, "next-empty slot=1"},
		{"one that goes on already", job, []Open{{Serial: "S-2", Here: "1"}}, []Tile{runs}, "next-wait count=1"},
		{"one whose board is elsewhere", job, []Open{{Serial: "S-8", Slot: "1"}}, []Tile{free}, "next-scan slot=1"},
		{"one of another recipe: the next board goes before", job, []Open{{Serial: "S-8", Here: "1", Digest: "d", Recipe: "r"}}, []Tile{unknown, free}, "next-scan slot=2"},
		{"one of another recipe, where no slot is free", job, []Open{{Serial: "S-8", Here: "1", Digest: "d", Recipe: "r"}}, []Tile{unknown, stopped}, "next-other recipe=r serial=S-8 slot=1"},
		{"one of another recipe, while others run", job, []Open{{Serial: "S-8", Here: "1", Digest: "d", Recipe: "r"}}, []Tile{unknown, runs}, "next-wait count=1"},
		{"one whose board is nobody knows where, without a job", nil, []Open{{Serial: "S-9", Person: person}, {Serial: "S-8", Slot: "1", Recipe: "r"}}, []Tile{free}, "next-broken-off recipe=r serial=S-8 slot=1"},
		{"one without a job", nil, []Open{{Serial: "S-8", Here: "1"}}, []Tile{unknown}, "next-empty slot=1"},
		{"FAILs: what is out is in somebody's hand", job, nil, []Tile{failed, out, armed}, "next-bin card=REJECT serial=S-5 slot=2"},
		{"a FAIL in its slot, before what was scanned", job, nil, []Tile{armed, failed}, "next-take-fail card=REJECT serial=S-4 slot=2"},
		{"a FAIL without a job", nil, nil, []Tile{failed}, "next-take-fail card=REJECT serial=S-4 slot=1"},
		{"a FAIL that was acknowledged, and is in its slot still", job, nil, []Tile{done, seen, armed}, "next-take-bin serial=S-6 slot=2"},
		{"one of several that nobody acknowledged, first", job, nil, []Tile{seen, failed}, "next-take-fail card=REJECT serial=S-4 slot=2"},
		{"armed, before what is done, and whatever is stopped", job, nil, []Tile{stopped, done, armed, free}, "next-put-in serial=S-1 slot=3"},
		{"a board that nobody scanned, before one that was: it may be that very board", job, nil, []Tile{armed, unknown, done}, "next-empty slot=2"},
		{"likewise, where a value is missing", job, nil, []Tile{scanned, unknown}, "next-empty slot=2"},
		{"a value", job, nil, []Tile{done, scanned}, "next-value serial=S-1 slot=2 value=mac"},
		{"done, before the next", job, nil, []Tile{free, done}, "next-take-out outcome=PASS serial=S-3 slot=2"},
		{"what nobody knows", job, nil, []Tile{free, unknown}, "next-empty slot=2"},
		{"done, without a job", nil, nil, []Tile{done}, "next-take-out outcome=PASS serial=S-3 slot=1"},
		{"free, before what is stopped or broken", job, nil, []Tile{stopped, broken, unseen, runs, free}, "next-scan slot=5"},
		{"stopped, before waiting", job, nil, []Tile{runs, stopped}, "next-stopped card=RELEASE:2 slot=2"},
		{"nothing is free", job, nil, []Tile{runs, runs, broken}, "next-wait count=2"},
		{"no slot works", job, nil, []Tile{unseen, broken}, "next-problem slot=2"},
		{"nobody looked yet", job, nil, []Tile{unseen}, "next-look"},
		{"as many as are needed", &Job{Quantity: 2, Passed: 2}, nil, []Tile{free}, "next-job-full count=2"},
		{"as many as are needed are under way", &Job{Quantity: 2, Passed: 1}, nil, []Tile{free, runs}, "next-wait count=1"},
		{"one more is needed", &Job{Quantity: 3, Passed: 1}, nil, []Tile{free, runs}, "next-scan slot=1"},
		{"a run of no job", nil, nil, []Tile{free, runs}, "next-wait count=1"},
		{"no job", nil, nil, []Tile{free, stopped}, "next-no-job"},
		{"no job, and a board was left in", nil, nil, []Tile{{State: Unwatched}, left}, "next-left slot=2"},
		{"a run that broke off, before a board that was left in", nil, []Open{{Serial: "S-8", Slot: "1", Recipe: "r"}}, []Tile{left}, "next-broken-off recipe=r serial=S-8 slot=1"},
		{"a job that cannot go on", &Job{File: "a.yaml", Waits: true, Quantity: 1}, nil, []Tile{unseen}, "next-job-waits card=CLOSE-JOB file=a.yaml"},
		{"excluded slots only", job, nil, []Tile{not}, "next-no-slot"},
		{"no slot at all", job, nil, nil, "next-no-slot"},
	} {
		s := stateOf(c.tiles)
		s.Job, s.Shift, s.Open = c.job, shift, c.open
		if got := told(nextOf(&s, namesOf(&s))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	s := stateOf([]Tile{free})
	if got := told(nextOf(&s, namesOf(&s))); got != "next-no-shift card=BEGIN-SHIFT" {
		t.Errorf("neither shift nor job: %s", got)
	}
	s.Job = job
	for want, tiles := range map[string][]Tile{"next-no-shift card=BEGIN-SHIFT": {free}, "next-scan slot=1": {free, runs}, "next-take-out outcome=PASS serial=S-3 slot=2": {free, done}} {
		if s.Rows = stateOf(tiles).Rows; told(nextOf(&s, namesOf(&s))) != want {
			t.Errorf("a job and no shift: %s, want %s", told(nextOf(&s, namesOf(&s))), want)
		}
	}
	s = stateOf([]Tile{free, free, free})
	s.Job, s.Shift = job, shift
	if got := told(nextOf(&s, []string{"3", "1", "2"})); got != "next-scan slot=3" {
		t.Errorf("a line that takes slot 3 first: %s", got)
	}
}

// stateOf is a wall of tiles in one row, named by their place.
func stateOf(tiles []Tile) State {
	s := State{Rows: [][]Tile{nil}}
	for i, one := range tiles {
		one.Slot = string(rune('1' + i))
		s.Rows[0] = append(s.Rows[0], one)
	}
	return s
}

func namesOf(s *State) (names []string) {
	for _, one := range s.Rows[0] {
		names = append(names, one.Slot)
	}
	return names
}

// told is a sentence as its word and facts.
func told(s Said) string {
	var facts []string
	for name, value := range s.Facts {
		facts = append(facts, name+"="+value)
	}
	slices.Sort(facts)
	return strings.Join(append([]string{s.Word}, facts...), " ")
}

// TestNextAlways: whatever the wall shows, there is something to be said, by a word of the list, and its sentence names what it is about and nothing that is not there.
func TestNextAlways(t *testing.T) {
	seen := map[string]bool{}
	hole := regexp.MustCompile(`  |^ | $| [:,]|\(\)|%!`)
	rapid.Check(t, func(t *rapid.T) {
		tile := rapid.Custom(func(t *rapid.T) Tile {
			one := Tile{State: rapid.SampledFrom([]provision.SlotState{provision.Unseen, provision.Free, provision.Scanned, provision.Armed, provision.Running, provision.Occupied, Unwatched}).Draw(t, "state"),
				Stopped: rapid.Bool().Draw(t, "stopped"), Held: rapid.IntRange(0, 4).Draw(t, "held") == 0, There: rapid.Bool().Draw(t, "there"), Excluded: rapid.IntRange(0, 4).Draw(t, "excluded") == 0, Serial: "S-1"}
			if one.State == provision.Scanned {
				one.Said = &Said{Facts: map[string]string{"value": "mac"}}
			}
			if one.State == provision.Running {
				one.Run = &Running{Phase: rapid.SampledFrom([]string{"writing", "reseat"}).Draw(t, "phase")}
			}
			if rapid.Bool().Draw(t, "result") {
				one.Result = &Result{Outcome: ledger.Pass}
			}
			if rapid.IntRange(0, 3).Draw(t, "problem") == 0 {
				one.Problem = &Said{}
			}
			return one
		})
		s := stateOf(rapid.SliceOfN(tile, 0, 3).Draw(t, "tiles"))
		if rapid.Bool().Draw(t, "job") {
			s.Job = &Job{File: "a.yaml", Waits: rapid.IntRange(0, 4).Draw(t, "waits") == 0, Quantity: rapid.IntRange(0, 3).Draw(t, "quantity"), Passed: rapid.IntRange(0, 3).Draw(t, "passed")}
		}
		if rapid.Bool().Draw(t, "shift") {
			s.Shift = &Shift{}
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "open") {
			o := Open{Serial: "S-2", Slot: "7", Recipe: "r", Digest: rapid.SampledFrom([]string{"", "d"}).Draw(t, "digest"), Here: rapid.SampledFrom([]string{"", "1", "2", "7"}).Draw(t, "here")}
			if i == 0 && rapid.Bool().Draw(t, "person") {
				o.Person = &Said{}
			}
			s.Open = append(s.Open, o)
		}
		said := nextOf(&s, namesOf(&s))
		seen[said.Word] = true
		if !slices.Contains(NextWords, said.Word) || said.Text == "" || hole.MatchString(said.Text) {
			t.Fatalf("%+v", said)
		}
		for name, value := range said.Facts {
			if value == "" || !strings.Contains(said.Text, value) {
				t.Fatalf("%s is %q, and the sentence is %q", name, value, said.Text)
			}
		}
	})
	if len(seen) < len(NextWords)/2 && !testing.Short() { // which draws a fifth
		t.Errorf("only %v were said", seen)
	}
}
