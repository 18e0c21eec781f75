package kiosk

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"station/ledger"
	"station/provision"
)

// world is a line of which every event that may come is drawn, and what a person in front of its wall must see and hear of it, kept in the words of the operator's rules and not of tile.go.
type world struct {
	t     *rapid.T
	w     *Wall
	slots []*place
	fast  *reader // reads behind every call
	slow  *reader // reads now and then
	runs  int
}

// place is a slot of it.
type place struct {
	provision.SlotStatus
	step, of int
	done     int64
	shows    *Result // what must be on the tile
	unit     string  // whose
	wasIn    bool    // since then the board was in the slot, or waited to be acknowledged
	other    bool    // another board is in the slot than the one whose FAIL shows
	quiet    bool    // its chip may be there although it is not seen
}

// reader is somebody who watches as a page does: they keep what they were told, and of a State take only what the change names.
type reader struct {
	changes <-chan Change
	version uint64
	tiles   map[string]Tile
	rest    State
	due     []Toned // since they read last
}

func newReader(w *Wall) *reader {
	r := &reader{tiles: map[string]Tile{}}
	r.changes, _ = w.Watch()
	return r
}

// read takes what there is.
func (x *world) read(r *reader) (c Change, told bool) {
	select {
	case c = <-r.changes:
	default:
		if len(r.due) > 0 {
			x.t.Fatalf("%v was not heard", r.due)
		}
		return c, false
	}
	if c.From != r.version || c.State.Version <= r.version {
		x.t.Fatalf("a change from %d to %d, and the reader is at %d", c.From, c.State.Version, r.version)
	}
	r.version = c.State.Version
	for _, slot := range c.Tiles {
		r.tiles[slot], _ = c.State.Tile(slot)
	}
	if c.All {
		r.rest = c.State
	}
	var want []Toned
	for _, tone := range r.due {
		if !slices.Contains(want, tone) {
			want = append(want, tone)
		}
	}
	if !slices.Equal(c.Tones, want) {
		x.t.Fatalf("heard %v, want %v", c.Tones, want)
	}
	r.due = nil
	return c, true
}

// do calls the wall, and says what is to be heard of it.
func (x *world) do(slot string, call func(), tones ...Tone) {
	for _, tone := range tones {
		x.fast.due = append(x.fast.due, Toned{slot, tone})
		x.slow.due = append(x.slow.due, Toned{slot, tone})
	}
	call()
	x.read(x.fast)
	if x.fast.version != x.w.State().Version {
		x.t.Fatalf("told of %d, and the wall is at %d", x.fast.version, x.w.State().Version)
	}
}

func (x *world) status() {
	var all []provision.SlotStatus
	for _, p := range x.slots {
		all = append(all, p.SlotStatus)
	}
	x.w.Slots(all)
}

func (x *world) event(p *place, ev provision.Event, tones ...Tone) {
	ev.Slot, ev.Serial, ev.Step, ev.Of = p.Slot, p.Serial, p.step, p.of
	x.do(p.Slot, func() { x.w.Event(ev) }, tones...)
}

// odds tells yes once in n.
func (x *world) odds(n int, what string) bool { return rapid.IntRange(1, n).Draw(x.t, what) == 1 }

// act is the next thing that happens in a slot.
func (x *world) act(p *place) {
	switch p.State {
	case provision.Free:
		if p.Held {
			p.Held = false
			p.leave()
			x.do(p.Slot, x.status)
			return
		}
		if x.odds(4, "refused") { // the same serial elsewhere: the slot stays as it is
			x.runs++
			r := Result{Outcome: ledger.Refused, Cause: "in-two-slots", Run: fmt.Sprintf("%016x", x.runs)}
			p.shows, p.unit, p.wasIn, p.quiet = &r, "S-0", false, false
			x.do(p.Slot, func() { x.w.Result(p.Slot, "S-0", &r, false) }, "refused")
			return
		}
		if x.odds(6, "not scanned") {
			p.State, p.There = provision.Occupied, true
			p.wasIn = true
			x.do(p.Slot, x.status)
			return
		}
		x.runs++
		p.State, p.Serial, p.shows = provision.Armed, fmt.Sprintf("S-%d", x.runs), nil
		x.do(p.Slot, x.status)
	case provision.Armed:
		if x.odds(5, "given up") {
			p.State = provision.Free
			x.do(p.Slot, x.status)
			return
		}
		if x.odds(5, "chip elsewhere") { // refused before the line is looked at
			x.runs++
			r := Result{Outcome: ledger.Refused, Cause: "in-two-slots", Run: fmt.Sprintf("%016x", x.runs)}
			x.do(p.Slot, func() { x.w.Result(p.Slot, p.Serial, &r, true) }, "refused")
			p.State, p.There, p.shows, p.unit, p.wasIn, p.quiet = provision.Occupied, true, &r, p.Serial, true, false
			x.do(p.Slot, x.status)
			return
		}
		p.UID = rapid.SampledFrom([]string{"", "U-" + p.Serial}).Draw(x.t, "uid")
		p.State, p.There, p.step, p.of, p.done = provision.Running, true, 0, rapid.IntRange(1, 4).Draw(x.t, "of"), 0
		phase := ""
		if x.odds(2, "engine first") {
			phase = string(provision.Identified)
			x.event(p, provision.Event{Kind: provision.Identified})
		}
		x.do(p.Slot, x.status)
		if r := x.w.mustTile(p.Slot).Run; r == nil || r.Phase != phase {
			x.t.Fatalf("slot %s has begun, and shows %+v, want the phase %q", p.Slot, r, phase)
		}
	case provision.Running:
		switch rapid.SampledFrom([]string{"step", "progress", "progress", "progress", "reseat", "out", "end", "end"}).Draw(x.t, "event") {
		case "step":
			if p.step < p.of {
				p.step, p.done = p.step+1, 0
				x.event(p, provision.Event{Kind: provision.StepBegan, Title: fmt.Sprint("step ", p.step)})
			}
		case "progress":
			p.done += 10
			x.event(p, provision.Event{Kind: provision.Progress, Move: "writing", Done: p.done, Total: 1000})
		case "reseat":
			x.event(p, provision.Event{Kind: provision.Reseat}, Attention)
		case "out":
			p.There = false
			x.do(p.Slot, x.status)
		case "end":
			x.end(p)
		}
	case provision.Occupied:
		if p.Held && x.odds(2, "acknowledged first") {
			p.Held = false
			p.leave()
			x.do(p.Slot, x.status)
			return
		}
		if x.odds(3, "swapped unseen") {
			p.swap(rapid.SampledFrom([]string{"", "U-S-" + fmt.Sprint(x.runs), "U-other", "U-third"}).Draw(x.t, "uid"))
			x.do(p.Slot, x.status)
			return
		}
		p.State, p.There, p.UID, p.other = provision.Free, false, "", false
		p.leave()
		x.do(p.Slot, x.status)
	}
}

// end is that of a run, as engine, line and whoever runs it tell of it, in that order.
func (x *world) end(p *place) {
	outcome := rapid.SampledFrom([]ledger.Outcome{ledger.Pass, ledger.Fail, ledger.Error, ledger.Refused, ledger.Aborted, ledger.Interrupted, ledger.Trial}).Draw(x.t, "outcome")
	cause := ""
	if outcome == ledger.Error {
		cause = rapid.SampledFrom([]string{"contact-lost", "disk-full"}).Draw(x.t, "cause")
	}
	x.runs++
	end := provision.Result{Run: fmt.Sprintf("%016x", x.runs), Serial: p.Serial, Slot: p.Slot, Outcome: outcome, Cause: cause, UID: p.UID}
	tone := Tone(strings.ToLower(string(outcome)))
	began := x.w.mustTile(p.Slot).Run != nil
	r := ResultOf(end)
	p.shows, p.unit, p.wasIn, p.quiet = &r, p.Serial, p.There, cause == "contact-lost"
	if !began {
		x.t.Fatalf("slot %s runs, and shows no run", p.Slot)
	}
	x.event(p, provision.Event{Kind: provision.Ended, Result: &end}, tone)
	if x.odds(2, "looked at before") {
		x.do(p.Slot, x.status) // for another slot: this one still runs, as far as the line knows
		x.check()
	}
	p.State, p.Held = provision.Free, outcome == ledger.Fail
	if p.There {
		p.State = provision.Occupied
	}
	p.wasIn = p.wasIn || p.Held
	x.do(p.Slot, x.status)
	x.check()
	r.Report = outcome != ledger.Refused
	x.do(p.Slot, func() { x.w.Result(p.Slot, p.Serial, &r, p.There) })
}

// leave is what becomes of what shows when the board is out, or the FAIL acknowledged.
func (p *place) leave() {
	if (!p.There && p.wasIn && !p.quiet || p.other) && !p.Held {
		p.shows, p.other = nil, false
	}
}

// swap is what becomes of what shows when a chip of this UID is seen: that of another board, which nobody saw come, has no result.
func (p *place) swap(uid string) {
	if p.UID = uid; p.shows != nil && p.shows.UID != "" && uid != "" {
		p.other = uid != p.shows.UID
	}
	p.leave()
}

func (w *Wall) mustTile(slot string) Tile {
	s := w.State()
	t, _ := s.Tile(slot)
	return t
}

// check holds every tile against what must be on it.
func (x *world) check() {
	for _, p := range x.slots {
		t := x.w.mustTile(p.Slot)
		switch {
		case (t.Result != nil) != (p.shows != nil), p.shows != nil && (t.Result.Run != p.shows.Run || t.Result.Outcome != p.shows.Outcome || t.Serial != p.unit):
			x.t.Fatalf("slot %s (%+v) shows %+v of %s, want %+v of %s", p.Slot, p.SlotStatus, t.Result, t.Serial, p.shows, p.unit)
		case t.State != p.State, t.Held != p.Held, t.There != (p.There && !p.other):
			x.t.Fatalf("slot %s is %+v, and shows %+v", p.Slot, p.SlotStatus, t)
		case t.Run != nil && (p.State != provision.Running || t.Run.Percent > 100 || t.Run.Percent < -1 || t.Run.Overall > 99 || t.Run.Remaining < -1):
			x.t.Fatalf("slot %s is %+v, and shows the run %+v", p.Slot, p.SlotStatus, *t.Run)
		}
	}
}

// bubble is a test without the deadline, which nobody may ask for in a bubble.
type bubble struct{ *testing.T }

// still is a tile without what goes on by itself.
func still(t Tile) Tile {
	if t.Run != nil {
		r := *t.Run
		r.Elapsed, r.Remaining, r.Overall = 0, 0, 0
		t.Run = &r
	}
	return t
}

// TestWorld: whatever happens in whatever order, a result shows until its board is out and, of a FAIL, a person acknowledged it, or until another board is in the slot, or it is for the next unit; every tone
// is heard once by everybody; and who reads slowly has in the end what who reads at once has, which is what the wall has.
func TestWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubble{t}, func(t *rapid.T) {
			w := NewWall(WallOptions{Rows: [][]string{{"1", "2"}, {"3", ""}}})
			x := &world{t: t, w: w, fast: newReader(w), slow: newReader(w)}
			for _, name := range []string{"1", "2", "3"} {
				x.slots = append(x.slots, &place{SlotStatus: provision.SlotStatus{Slot: name, State: provision.Free}})
			}
			x.read(x.fast)
			x.do("", x.status)
			for range rapid.IntRange(1, 80).Draw(t, "events") {
				x.act(rapid.SampledFrom(x.slots).Draw(t, "slot"))
				x.check()
				if x.odds(4, "reads") {
					x.read(x.slow)
				}
				time.Sleep(time.Duration(rapid.IntRange(0, 3).Draw(t, "pause")) * 70 * time.Millisecond)
				synctest.Wait()
				x.read(x.fast) // progress that waited
			}
			time.Sleep(time.Second)
			synctest.Wait()
			state := w.State()
			for _, r := range []*reader{x.fast, x.slow} {
				x.read(r)
				for _, p := range x.slots {
					if one, _ := state.Tile(p.Slot); !reflect.DeepEqual(still(r.tiles[p.Slot]), still(one)) {
						t.Fatalf("slot %s is %+v, and who watches has %+v", p.Slot, one, r.tiles[p.Slot])
					}
				}
				if !r.rest.Next.equal(state.Next) {
					t.Fatalf("next is %+v, and who watches has %+v", state.Next, r.rest.Next)
				}
			}
			w.Close()
			for _, r := range []*reader{x.fast, x.slow} {
				if _, more := <-r.changes; more {
					t.Fatal("something was left to be told")
				}
			}
		})
	})
}
