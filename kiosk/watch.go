package kiosk

import (
	"maps"
	"slices"
	"time"
)

// Change is what became of a State since whoever watches had one.
type Change struct {
	State State
	From  uint64   // the version that they had; 0 for none. From and State.Version together tell Tiles and All, so that two who get the same may share what is made of it
	Tiles []string // slots whose tiles are others, and those that the next thing to do was about or is
	All   bool     // so may be job, shift, open, held, next, mirror, and what was said of no slot
	Tones []Toned  // what is to be heard
}

// Toned is a tone, and the slot that it is of, "" for none.
type Toned struct {
	Slot string `json:"slot"`
	Tone Tone   `json:"tone"`
}

const (
	progressEvery    = 200 * time.Millisecond // between two tellings of a slot's progress
	progressTogether = 20 * time.Millisecond  // that progress of several slots waits for each other
)

// watcher is somebody who watches. The channel has room for one change; what comes before it was taken is added to it.
type watcher struct {
	who     string
	changes chan Change
}

// Watch tells of every change from now on, the whole State first, until stop is called or the wall is closed; then changes is closed. Whoever reads slowly gets the newest State and
// all that changed since they read last; of equal tones of a slot that they did not hear yet, one.
func (w *Wall) Watch() (changes <-chan Change, stop func()) {
	changes, stop, _ = w.watch("", 0, 0)
	return changes, stop
}

// watch is Watch where fewer than limit are watching, and less than own of them are the same one; 0 for any number.
func (w *Wall) watch(who string, own, limit int) (changes <-chan Change, stop func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	theirs := 0
	for x := range w.watchers {
		if x.who == who {
			theirs++
		}
	}
	if limit > 0 && len(w.watchers) >= limit || own > 0 && theirs >= own {
		return nil, nil, false
	}
	x := &watcher{who, make(chan Change, 1)}
	if w.closed {
		close(x.changes)
		return x.changes, func() {}, true
	}
	w.watchers[x] = struct{}{}
	x.changes <- Change{State: w.state(), Tiles: slices.Sorted(maps.Keys(w.tiles)), All: true}
	return x.changes, func() { w.leave(x) }, true
}

func (w *Wall) leave(x *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, is := w.watchers[x]; is {
		delete(w.watchers, x)
		close(x.changes)
	}
}

// Close ends everybody's watching, so that a server can come to its end.
func (w *Wall) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for x := range w.watchers {
		delete(w.watchers, x)
		close(x.changes)
	}
}

// tell ends a change with mu held: all tells whether more than the tiles of slots is another.
func (w *Wall) tell(all bool, tones []Toned, slots ...string) {
	now := time.Now()
	for _, name := range slots {
		t := w.tiles[name]
		t.told, t.waits = now, false
	}
	w.version++
	s := w.state()
	if !s.Next.equal(w.next) {
		for _, slot := range []string{w.next.Facts["slot"], s.Next.Facts["slot"]} { // where it was to be done, and where it is now
			if w.tiles[slot] != nil {
				slots = union(slots, []string{slot})
			}
		}
		w.next, all = s.Next, true
	}
	for x := range w.watchers {
		x.offer(Change{State: s, From: w.version - 1, Tiles: slots, All: all, Tones: tones})
	}
}

// offer gives a change to a watcher, and never waits: nobody else sends, and mu is held.
func (x *watcher) offer(c Change) {
	select {
	case old := <-x.changes:
		c.From = old.From
		c.Tiles = union(old.Tiles, c.Tiles)
		c.All = c.All || old.All
		c.Tones = union(old.Tones, c.Tones)
	default:
	}
	x.changes <- c
}

// union is a, and what of b is not in it.
func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func (s Said) equal(t Said) bool {
	return s.Word == t.Word && s.Text == t.Text && s.Next == t.Next && maps.Equal(s.Facts, t.Facts)
}

// toned are tones of a slot.
func toned(slot string, tones []Tone) []Toned {
	var all []Toned
	for _, t := range tones {
		all = append(all, Toned{slot, t})
	}
	return all
}

// later has the progress of a tile told when it may be.
func (w *Wall) later(t *tile) {
	t.waits = true
	now := time.Now()
	due := t.told.Add(progressEvery)
	if soon := now.Add(progressTogether); due.Before(soon) {
		due = soon
	}
	if w.timer != nil && !due.Before(w.flushAt) {
		return
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.flushAt = due
	w.timer = time.AfterFunc(due.Sub(now), w.flush)
}

// flush tells the progress that may be told now.
func (w *Wall) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = nil
	now := time.Now()
	var due []string
	for name, t := range w.tiles {
		if t.waits && now.Sub(t.told) >= progressEvery {
			due = append(due, name)
		}
	}
	if len(due) > 0 {
		slices.Sort(due)
		w.tell(false, nil, due...)
	}
	for _, t := range w.tiles {
		if t.waits {
			w.later(t)
		}
	}
}
