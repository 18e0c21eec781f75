package provision

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"station/ledger"
	"station/recipes"
)

// The small world: two slots and three boards, S1 to S3; S3 has an open run. An operator, the engine and the clock do in it whatever they like, in
// any order; the slots are looked at when it pleases, so that what happened between two looks is not seen.
const (
	worldSlots = 2
	openBoard  = 2 // S3
	nowhere    = -1
)

func serialOf(board int) string { return fmt.Sprintf("S%d", board+1) }
func uidOf(board int) string    { return fmt.Sprintf("U%d", board+1) }
func slotName(slot int) string  { return fmt.Sprint(slot + 1) }

// world is the line, what is true, and what a witness remembers who hears every event and decision, and knows nothing of the line's states.
type world struct {
	line  *Line
	now   time.Time
	twice bool          // each code is scanned twice
	spoil func(l *Line) // what a line with a fault does after each event
	begun int           // runs

	in   [worldSlots]int // the board that is in a slot
	open bool            // the run of S3 is open

	running [worldSlots]string // serial
	chip    [worldSlots]string // UID of the chip that the run was begun on, as far as it was told
	empty   [worldSlots]bool   // the last that was told of the slot is that nothing is in it
	saw     [worldSlots]string // the UID that was told of the slot last
	last    [worldSlots]string // the same, but of the looks that told one, and of runs; "" since it was told to be empty
	armed   [worldSlots]string // the serial that a scan armed it for
	bad     [worldSlots]int    // in a row
	stopped [worldSlots]bool
	held    [worldSlots]bool   // its FAIL is not acknowledged
	failed  [worldSlots]string // the UID of its board
	gone    [worldSlots]bool   // another board is in the slot
	bin     string             // slots that are held, and were told to be empty since, each a digit: that of the board that came out first ahead
	pressed int                // the slot that somebody acknowledges just now
}

// newWorld is one in which FAILs wait to be acknowledged, where hold says so: one of slot 2 from the start.
func newWorld(recipe *recipes.Recipe, hold bool) *world {
	w := &world{now: time.Unix(1e9, 0), in: [worldSlots]int{nowhere, nowhere}, open: true, pressed: nowhere}
	names := []string{slotName(0), slotName(1)}
	w.line = NewLine(recipe, names, nil)
	w.line.open = w.opened()
	if hold {
		w.line.HoldFails(Held{Slot: slotName(1), Serial: "S0"})
		w.held[1] = true
	}
	return w
}

// opened is what the ledger has open.
func (w *world) opened() []ledger.Run {
	if !w.open {
		return nil
	}
	start := &ledger.RunStart{Recipe: ledger.Recipe{Digest: w.line.recipe.Digest()}, Chip: ledger.Chip{UID: uidOf(openBoard)}}
	return []ledger.Run{{Serial: serialOf(openBoard), Slot: slotName(0), Start: start}}
}

func (w *world) clone() *world {
	c := *w
	l := *w.line
	l.held = slices.Clone(l.held)
	l.slots = nil
	for _, s := range w.line.slots {
		t := *s
		t.bad = slices.Clone(s.bad)
		l.slots = append(l.slots, &t)
		if w.line.chosen == s {
			l.chosen = &t
		}
	}
	c.line = &l
	return &c
}

// key is all that what comes next depends on: words that are only said are left out.
func (w *world) key() string {
	l := w.line
	var b strings.Builder
	for i, s := range l.slots {
		serial, uid := s.serial, s.uid
		if s.state == Free || s.state == Unseen || s.state == Occupied {
			serial = ""
		}
		if !s.there && s.state != Running {
			uid = ""
		}
		saw := ""
		if s.state == Running {
			saw = w.saw[i] // otherwise the line has it, too
		}
		for _, text := range []string{string(s.state)[:2], serial, uid, saw, s.board, w.last[i], w.running[i], w.chip[i], w.armed[i]} {
			b.WriteString(text)
			b.WriteByte(' ')
		}
		for _, v := range []bool{s.there, s.lost, s.stopped, l.chosen == s, w.empty[i], w.stopped[i], w.held[i], w.gone[i]} {
			b.WriteByte("-+"[btoi(v)])
		}
		for _, n := range []int{len(s.bad), w.bad[i], w.in[i]} {
			b.WriteByte('1' + byte(n))
		}
	}
	for _, h := range l.held {
		b.WriteString(h.Slot + h.uid)
		b.WriteByte("-+"[btoi(h.out)])
	}
	b.WriteString(" " + w.bin)
	b.WriteByte("-+"[btoi(w.open)])
	b.WriteByte("-+"[btoi(w.now.After(l.until))])
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// event is one thing that may happen.
type event struct {
	name string
	do   func(w *world) bool // false where it cannot happen now
	heal bool                // an operator who wants to begin anew would do it, and nothing fails
}

// worldEvents are those of a world with these boards. In one that fails contacts are bad, runs do not only pass, boards are moved in mid-run with a word, and
// slots have labels. In one that holds there is a reject bin, and FAILs are acknowledged.
func worldEvents(fails, holds bool, boards ...int) []event {
	var all []event
	scan := func(code string, heal bool) {
		all = append(all, event{"scan " + code, func(w *world) bool { return w.scan(code) }, heal})
	}
	for _, b := range boards {
		scan(serialOf(b), true)
	}
	for _, code := range []string{"S1S2", "S2SLOT:1", "XX", "SLOT:9"} {
		scan(code, false)
	}
	scan(CardCancel, true)
	scan(CardResume, true)
	if holds {
		scan(CardReject, true)
	}
	for i := range worldSlots {
		for _, b := range boards {
			all = append(all, event{fmt.Sprintf("S%d is in %s instead, swapped unseen", b+1, slotName(i)), func(w *world) bool { return w.swap(i, b) }, false})
		}
		if holds {
			all = append(all, event{"acknowledge the FAIL in " + slotName(i), func(w *world) bool { return w.acknowledge(i) }, true})
		}
		if fails {
			scan(LabelSlot+slotName(i), true)
		}
		scan(CardRelease+slotName(i), true)
		for _, b := range boards {
			all = append(all, event{fmt.Sprintf("put S%d into %s", b+1, slotName(i)), func(w *world) bool { return w.put(i, b, false) }, false})
			if fails {
				all = append(all, event{fmt.Sprintf("say that S%d is put into %s", b+1, slotName(i)), func(w *world) bool { return w.put(i, b, true) }, false})
			}
		}
		all = append(all,
			event{"take out of " + slotName(i), func(w *world) bool { return w.take(i, false) }, true},
			event{"look into " + slotName(i), func(w *world) bool { return w.look(i, true) }, true},
			event{"PASS in " + slotName(i), func(w *world) bool { return w.end(i, ledger.Pass, "") }, true})
		if fails || holds {
			all = append(all, event{"FAIL in " + slotName(i), func(w *world) bool { return w.end(i, ledger.Fail, "verify-mismatch") }, false})
		}
		if !fails {
			continue
		}
		all = append(all,
			event{"say that it is taken out of " + slotName(i), func(w *world) bool { return w.take(i, true) }, false},
			event{"look into " + slotName(i) + " over a bad contact", func(w *world) bool { return w.look(i, false) }, false},
			event{"lost in " + slotName(i), func(w *world) bool { return w.end(i, ledger.Error, "contact-lost") }, false},
			event{"ABORTED in " + slotName(i), func(w *world) bool { return w.end(i, ledger.Aborted, "aborted") }, false})
	}
	return append(all, event{"three minutes pass", func(w *world) bool {
		w.now = w.now.Add(3 * time.Minute)
		w.armed = [worldSlots]string{}
		w.hear("", nowhere, w.line.Tick(w.now))
		return true
	}, true})
}

func (w *world) scan(code string) bool {
	w.line.read, w.line.armed = nil, time.Time{} // more than 3 s ago
	before, bin := w.line.Takes(), w.bin
	out := w.line.Scan(w.now, code)
	if code == CardCancel {
		w.armed = [worldSlots]string{}
	}
	for i := range worldSlots {
		if code == CardRelease+slotName(i) && w.stopped[i] {
			w.bad[i], w.stopped[i] = 0, false
		}
	}
	w.hear(code, nowhere, out)
	if code == CardReject && bin != "" && w.bin != bin[1:] {
		panic("the card of the bin was scanned for a board that is out, and its FAIL waits")
	}
	if code != CardResume && !before && slices.ContainsFunc(out, func(d Decision) bool { return d.Do == Arm || d.Do == Begin }) {
		panic("a scan was taken where none was")
	}
	if !w.twice {
		return true
	}
	again := w.clone()
	for _, d := range again.line.Scan(w.now, code) {
		if d.Do != Tell {
			panic(fmt.Sprintf("the same code at once again: %+v", d))
		}
	}
	if again.key() != w.key() {
		panic("the same code at once again changed something")
	}
	return true
}

func (w *world) put(slot, board int, said bool) bool {
	if w.in[slot] != nowhere || slices.Contains(w.in[:], board) || said && w.line.State(slotName(slot)) != Running {
		return false
	}
	w.in[slot] = board
	if said {
		w.hear("", slot, w.line.Seen(slotName(slot), true, ""))
		w.tell(slot, false)
	}
	return true
}

func (w *world) take(slot int, said bool) bool {
	if w.in[slot] == nowhere || said && w.line.State(slotName(slot)) != Running {
		return false
	}
	w.in[slot] = nowhere
	if said {
		w.tell(slot, true)
		w.hear("", slot, w.line.Seen(slotName(slot), false, ""))
	}
	return true
}

// swap is a board that is exchanged for another between two looks.
func (w *world) swap(slot, board int) bool {
	if w.in[slot] == nowhere || slices.Contains(w.in[:], board) {
		return false
	}
	w.in[slot] = board
	return true
}

// tell keeps what was told of a slot: that nothing is in it, or something.
func (w *world) tell(slot int, empty bool) {
	switch name := slotName(slot); {
	case !empty && !w.gone[slot]:
		w.bin = strings.ReplaceAll(w.bin, name, "")
	case empty:
		w.last[slot], w.gone[slot] = "", false
		if w.held[slot] && !w.empty[slot] {
			w.binned(name)
		}
	}
	w.empty[slot] = empty
}

// binned has the board of a FAIL be out.
func (w *world) binned(name string) {
	if !strings.Contains(w.bin, name) {
		w.bin += name
	}
}

// swapped is what a look that found another chip than before must say, and what it tells of a FAIL's board.
func (w *world) swapped(slot int, uid string, out []Decision) {
	is := uid != "" && w.last[slot] != "" && uid != w.last[slot]
	if said := slices.ContainsFunc(out, func(d Decision) bool { return d.Do == Empty && d.Word == WordSwapped }); said != is {
		panic(fmt.Sprintf("%s was seen where %q was, and the words that its board was swapped: %v", uid, w.last[slot], said))
	}
	if uid != "" {
		w.last[slot] = uid
	}
	if is && w.held[slot] {
		if w.gone[slot] = uid != w.failed[slot]; w.gone[slot] {
			w.binned(slotName(slot))
		}
	}
}

// acknowledge is somebody who presses the button of a slot.
func (w *world) acknowledge(slot int) bool {
	w.pressed = slot
	w.hear("", nowhere, w.line.Acknowledge(slotName(slot)))
	w.pressed = nowhere
	if w.held[slot] {
		panic("the FAIL in " + slotName(slot) + " was acknowledged, and waits")
	}
	return true
}

func (w *world) look(slot int, clear bool) bool {
	there := w.in[slot] != nowhere
	if w.line.State(slotName(slot)) == Running || !clear && !there {
		return false
	}
	uid := ""
	if there && clear {
		uid = uidOf(w.in[slot])
	}
	w.saw[slot] = uid
	out := w.line.Seen(slotName(slot), there, uid)
	w.swapped(slot, uid, out)
	w.hear(uid, slot, out)
	w.tell(slot, !there)
	return true
}

func (w *world) end(slot int, o ledger.Outcome, cause string) bool {
	if w.running[slot] == "" {
		return false
	}
	r := Result{Serial: w.running[slot], Slot: slotName(slot), Outcome: o, Cause: cause, UID: w.chip[slot]}
	if w.last[slot] = r.UID; w.empty[slot] {
		w.last[slot] = ""
	}
	w.open = w.open && !(r.Serial == serialOf(openBoard) && (o == ledger.Pass || o == ledger.Fail))
	w.running[slot], w.chip[slot] = "", ""
	switch o {
	case ledger.Pass:
		w.bad[slot] = 0
	case ledger.Aborted:
	default:
		w.bad[slot]++
	}
	w.stopped[slot] = w.stopped[slot] || w.bad[slot] >= tooMany
	if w.line.hold && o == ledger.Fail {
		w.held[slot], w.failed[slot], w.gone[slot] = true, w.last[slot], false
		if w.empty[slot] {
			w.bin += slotName(slot)
		}
	}
	w.hear("", nowhere, w.line.Ended(slotName(slot), r))
	return true
}

// hear is the witness. told is the code that was scanned, or the UID that was told of slot at.
func (w *world) hear(told string, at int, out []Decision) {
	for _, d := range out {
		slot := nowhere
		for i := range worldSlots {
			if slotName(i) == d.Slot {
				slot = i
			}
		}
		if d.Message == "" || d.Do != Tell && d.Do != Recall && slot == nowhere && d.Do != Ask {
			if d.Do != Begin && d.Do != Recall {
				panic(fmt.Sprintf("no sentence, or of no slot: %+v", d))
			}
		}
		if wordless := d.Do == Begin || d.Do == Recall; !wordless && !slices.Contains(Words, d.Word) || wordless && d.Word != "" {
			panic(fmt.Sprintf("the word of a sentence: %+v", d))
		}
		switch d.Do {
		case Arm:
			switch {
			case told != d.Serial || at != nowhere:
				panic(d.Slot + " was armed, and nobody scanned " + d.Serial)
			case !w.empty[slot]:
				panic(d.Slot + " was armed with something in it")
			case w.stopped[slot]:
				panic(d.Slot + " was armed, and is stopped")
			case w.held[slot]:
				panic(d.Slot + " was armed, and its FAIL waits")
			case slices.ContainsFunc(w.armed[:], func(s string) bool { return s != "" }):
				panic("two slots were armed")
			}
			w.armed[slot] = d.Serial
		case Refuse:
			if at != nowhere { // of what is in the slot
				w.bad[at]++
				w.stopped[at] = w.stopped[at] || w.bad[at] >= tooMany
				w.armed[at] = ""
			}
		case Acknowledged:
			switch how := d.Facts["how"]; {
			case !w.held[slot]:
				panic("a FAIL in " + d.Slot + " was acknowledged, and none waited")
			case how == "card" && (told != CardReject || !strings.HasPrefix(w.bin, d.Slot)):
				panic(fmt.Sprintf("the card was for the FAIL in %s, and the boards came out in the order %q", d.Slot, w.bin))
			case how != "card" && (how != "button" || w.pressed != slot):
				panic("nobody acknowledged the FAIL in " + d.Slot)
			}
			w.held[slot], w.bin = false, strings.ReplaceAll(w.bin, d.Slot, "")
		case Recall:
			w.hear("", nowhere, w.line.Resume(w.opened()))
		case Begin:
			w.begin(slot, d.Serial, told, at)
		}
	}
}

func (w *world) begin(slot int, serial, told string, at int) {
	resumed := told == "" && at == nowhere
	uid := ""
	if at != nowhere {
		uid = told
	}
	switch {
	case w.running[slot] != "" || slices.Contains(w.running[:], serial):
		panic(serial + " was begun twice, or a slot that runs was")
	case w.stopped[slot]:
		panic(serial + " was begun in a stopped slot")
	case w.held[slot]:
		panic(serial + " was begun in a slot whose FAIL waits")
	case resumed && (!w.open || serial != serialOf(openBoard)):
		panic(serial + " was resumed, and has no open run")
	case resumed && w.saw[slot] != uidOf(openBoard):
		panic(serial + " was resumed where its chip was not seen")
	case resumed:
		uid = uidOf(openBoard)
	case w.armed[slot] != serial:
		panic(fmt.Sprintf("%s was begun in slot %s, which a scan armed for %q", serial, slotName(slot), w.armed[slot]))
	case at == nowhere && told != serial:
		panic(serial + " was begun, and nobody put it in or scanned it again")
	}
	if uid != "" && slices.Contains(w.chip[:], uid) {
		panic("chip " + uid + " runs in two slots")
	}
	w.begun++
	w.running[slot], w.chip[slot], w.armed[slot], w.empty[slot] = serial, uid, "", false
}

// fresh tells that both slots can take the next board.
func (w *world) fresh() bool {
	return w.line.waiting() == nil && !slices.ContainsFunc(w.line.slots, func(s *lineSlot) bool { return !w.line.takes(s) })
}

// step lets one thing happen. A panic of the witness names the way to it.
func (w *world) step(ev event, way func() string) (happened bool) {
	defer func() {
		if r := recover(); r != nil {
			panic(fmt.Sprintf("%v\nafter: %s; %s", r, way(), ev.name))
		}
	}()
	happened = ev.do(w)
	if w.spoil != nil {
		w.spoil(w.line)
		return happened
	}
	for i, s := range w.line.slots {
		if s.stopped != w.stopped[i] {
			panic(fmt.Sprintf("slot %s is stopped: %v, after %d in a row", s.name, s.stopped, w.bad[i]))
		}
		if now := w.line.Slots()[i]; now.Held != w.held[i] || now.State != s.state || now.Stopped != s.stopped || now.There != s.there {
			panic(fmt.Sprintf("a FAIL waits: %v, and the slots are %+v", w.held, w.line.Slots()))
		}
	}
	return happened
}
