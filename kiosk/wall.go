package kiosk

import (
	"maps"
	"slices"
	"sync"
	"time"

	"station/ledger"
	"station/provision"
)

// State is what the wall shows, as it stands: also the document of GET /api/v1/state and of `station status`. Nobody may change what it points to.
type State struct {
	Station   string    `json:"station"`
	Simulated bool      `json:"simulated"`
	Started   time.Time `json:"started"`        // of the program: another one is another start
	Version   uint64    `json:"version"`        // counts the changes since then, from 1
	Rows      [][]Tile  `json:"rows"`           // as the slots stand
	Said      *Said     `json:"said,omitempty"` // what was said last that is of no slot
	Shift     *Shift    `json:"shift"`          // null where none was begun
	Job       *Job      `json:"job"`            // null where there is none
	Open      []Open    `json:"open"`           // INTERRUPTED, oldest first
	Held      []Held    `json:"held"`           // FAILs that nobody acknowledged, of slots that take no boards any more
	Next      Said      `json:"next"`           // what to do now
	Mirror    string    `json:"mirror"`         // one of the Mirror constants of package ledger
}

// Tile is the place of a slot.
func (s *State) Tile(slot string) (Tile, bool) {
	for _, row := range s.Rows {
		for _, t := range row {
			if t.Slot == slot {
				return t, true
			}
		}
	}
	return Tile{}, false
}

// WallOptions are what a wall knows before anything happens.
type WallOptions struct {
	Station   string
	Simulated bool
	Started   time.Time
	Rows      [][]string       // names of the slots, as they stand; "" for a place without one. What is told of other slots is not shown
	Excluded  []string         // names of those that are not used
	Now       func() time.Time // of what is shown; time.Now when nil
}

// Wall keeps the State. Whoever runs the line tells it what happens; pages and API read it and wait for its changes. Safe for concurrent use, and never waits for
// whoever watches. What it is given it keeps a copy of.
type Wall struct {
	o WallOptions

	mu       sync.Mutex
	version  uint64
	tiles    map[string]*tile
	order    []string // in which the line takes free slots
	asked    string   // the slot that the next board was asked for last
	out      []string // slots whose FAILs wait and whose boards are out, the first one first
	said     *Said
	fades    *time.Timer // of said; nil where nothing of it is to go by itself
	shift    *Shift
	job      *Job
	times    stepTimes // of the job
	open     []Open
	held     []Held
	mirror   string
	next     Said // as told last
	watchers map[*watcher]struct{}
	closed   bool
	flushAt  time.Time
	timer    *time.Timer // for progress that waits to be told; nil where none does
}

// NewWall returns a wall of slots that nobody has looked at.
func NewWall(o WallOptions) *Wall {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Wall{o: o, version: 1, mirror: ledger.MirrorNone, held: []Held{}, tiles: map[string]*tile{}, watchers: map[*watcher]struct{}{}}
	for _, row := range o.Rows {
		for _, name := range row {
			if name != "" {
				w.tiles[name] = &tile{Tile: Tile{Slot: name, Excluded: slices.Contains(o.Excluded, name), State: Unwatched}}
				w.order = append(w.order, name)
			}
		}
	}
	w.next = w.state().Next
	return w
}

// Event takes what the engine tells (provision.Options.Watch). The result of a run shows from here on; Result has the rest of it.
func (w *Wall) Event(ev provision.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tiles[ev.Slot]
	if t == nil {
		return
	}
	if ev.Kind == provision.Progress && t.run != nil && t.Serial == ev.Serial {
		t.run.event(ev, w.o.Now())
		w.later(t)
		return
	}
	if ev.Kind == provision.Ended && t.run != nil && t.Serial == ev.Serial && w.job != nil {
		w.times.learn(t.run, ev.Result)
	}
	before := t.seen()
	tones := t.event(ev, w.o.Now())
	if ev.Kind != provision.Ended || t.seen() != before || len(tones) > 0 {
		w.tell(false, toned(ev.Slot, tones), ev.Slot)
	}
}

// Slots takes what the line knows, in the order in which it takes free slots: after each of its events, and before what it said to that (Said).
func (w *Wall) Slots(all []provision.SlotStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var changed, order []string
	var tones []Toned
	for _, s := range all {
		t := w.tiles[s.Slot]
		if t == nil {
			continue
		}
		order = append(order, s.Slot)
		before := t.seen()
		tones = append(tones, toned(s.Slot, t.status(s, w.o.Now()))...)
		if t.seen() != before {
			changed = append(changed, s.Slot)
		}
	}
	w.order = order
	w.binned()
	if len(changed) > 0 {
		w.tell(false, tones, changed...)
	}
}

// binned keeps the order in which FAILs came out, which is that in which the card of the reject bin counts for them.
func (w *Wall) binned() {
	waits := func(name string) bool { t := w.tiles[name]; return t.Held && !t.There }
	w.out = slices.DeleteFunc(w.out, func(name string) bool { return !waits(name) })
	for _, name := range w.order {
		if waits(name) && !slices.Contains(w.out, name) {
			w.out = append(w.out, name)
		}
	}
}

// saidTime is how long what was said of no slot shows.
const saidTime = 20 * time.Second

// saidLasts are the words that are true until what they say is mended: they neither go by themselves nor with a scan.
var saidLasts = []string{WordJobGone, WordJobChanged, WordJobNotReady, WordUnwritten, WordLedgerBroken}

// Said shows what was said of a slot, until its state is another one; of none where slot is "", until something else is said, until Scanned, or for saidTime. nil takes it back.
// That the ledger takes nothing stays whatever else is said.
func (w *Wall) Said(slot string, s *Said) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tiles[slot]; t != nil {
		changed := []string{slot}
		if s != nil && s.Word == provision.WordScanSerial { // one board is asked for at a time
			if other := w.tiles[w.asked]; other != nil && other != t && other.Said != nil && other.Said.Word == s.Word {
				other.Said = nil
				changed = append(changed, w.asked)
			}
			w.asked = slot
		}
		t.Said = copied(s)
		w.tell(false, nil, changed...)
	} else if slot == "" && (s != nil || w.said != nil) && !w.said.is(WordLedgerBroken) {
		w.said = copied(s)
		if w.fades != nil {
			w.fades.Stop()
			w.fades = nil
		}
		if s != nil && !slices.Contains(saidLasts, s.Word) {
			shown := w.said
			w.fades = time.AfterFunc(saidTime, func() { w.unsay(shown) })
		}
		w.tell(true, nil)
	}
}

// Scanned is that somebody scans: what was said of no slot before that goes.
func (w *Wall) Scanned() {
	w.mu.Lock()
	shown := w.said
	w.mu.Unlock()
	if shown != nil && !slices.Contains(saidLasts, shown.Word) {
		w.unsay(shown)
	}
}

// unsay takes back what was said of no slot, where that is still the last that was.
func (w *Wall) unsay(shown *Said) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said == shown {
		w.said = nil
		w.tell(true, nil)
	}
}

// Result shows how the run of a serial in a slot ended, or that it was refused; nil takes it back. It may come more than once, as more becomes known. there tells whether
// its board is in the slot. It stays until the board is out and, if it is a FAIL, acknowledged, or until the slot is for the next one.
func (w *Wall) Result(slot, serial string, r *Result, there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tiles[slot]
	if t == nil {
		return
	}
	before := t.seen()
	var tones []Tone
	if r == nil {
		t.Result = nil
	} else {
		tones = t.result(serial, *r, there)
	}
	if t.seen() != before || len(tones) > 0 {
		w.tell(false, toned(slot, tones), slot)
	}
}

// Problem says why a slot cannot be looked at; nil that it can be again.
func (w *Wall) Problem(slot string, s *Said) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tiles[slot]
	if t == nil || s == nil && t.Problem == nil {
		return
	}
	var tones []Tone
	if t.Problem == nil {
		tones = []Tone{Attention}
	}
	t.Problem = copied(s)
	w.tell(false, toned(slot, tones), slot)
}

// Job says what is made, and how much of it there is; nil for nothing.
func (w *Wall) Job(j *Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times.job(w.job, j)
	w.job = nil
	if j != nil {
		c := *j
		w.job = &c
	}
	w.tell(true, nil)
}

// Shift says who works; nil for nobody.
func (w *Wall) Shift(s *Shift) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shift = nil
	if s != nil {
		c := *s
		w.shift = &c
	}
	w.tell(true, nil)
}

// Open says which runs broke off or wait for a person, oldest first; not those that are under way.
func (w *Wall) Open(open []Open) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = slices.Clone(open)
	w.tell(true, nil)
}

// Elsewhere says which FAILs that nobody acknowledged are of slots that take no boards any more: no tile shows them.
func (w *Wall) Elsewhere(held []provision.Held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []Held{}
	for _, h := range held {
		all = append(all, Held{h.Slot, h.Serial})
	}
	if !slices.Equal(all, w.held) {
		w.held = all
		w.tell(true, nil)
	}
}

// Mirror says where the second copy of the ledger is: one of the Mirror constants of package ledger.
func (w *Wall) Mirror(where string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if where == w.mirror {
		return
	}
	var tones []Toned
	if where == ledger.MirrorAway {
		tones = toned("", []Tone{Attention})
	}
	w.mirror = where
	w.tell(true, tones)
}

// State is how the wall stands.
func (w *Wall) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state()
}

// state makes the State of now. Nothing in it is changed later.
func (w *Wall) state() State {
	now := w.o.Now()
	s := State{Station: w.o.Station, Simulated: w.o.Simulated, Started: w.o.Started, Version: w.version, Rows: make([][]Tile, len(w.o.Rows)),
		Said: w.said, Shift: w.shift, Job: w.job, Open: w.open, Held: w.held, Mirror: w.mirror}
	if s.Open == nil {
		s.Open = []Open{}
	}
	times := w.times.all()
	for i, row := range w.o.Rows {
		s.Rows[i] = make([]Tile, len(row))
		for k, name := range row {
			if name != "" {
				s.Rows[i][k] = w.tiles[name].at(now, times)
			}
		}
	}
	s.Next = nextOf(&s, union(w.out, union([]string{w.asked}, w.order)))
	return s
}

func (s *Said) is(word string) bool { return s != nil && s.Word == word }

func copied(s *Said) *Said {
	if s == nil {
		return nil
	}
	c := *s
	c.Facts = maps.Clone(s.Facts)
	return &c
}
