package provision

import (
	"fmt"
	"slices"
	"time"

	"station/ledger"
	"station/recipes"
)

// Line is the interlock between an operator's hands and the slots of a station: what was scanned, what was put in and taken out, and what runs have come
// to go in as events, and what is to be done comes out as decisions. It is pure: no I/O, no goroutines, the time is passed in. Not safe for concurrent use.
//
// A slot goes through these states (SlotState):
//
//		unseen -> free -> scanned -> armed -> running -> occupied -> free
//
//	  - A slot is looked at before anything is done with it. What is in it already must come out, unless Resume knows it.
//	  - One scan arms one slot: the one whose label was scanned before, or else the first that is free. Only one is scanned or armed at a time, so no two
//	    boards can be put into each other's slots. It is scanned until the values that the recipe asks for are there, then armed.
//	  - A chip that appears in the armed slot begins the run. What appears in any other is turned away, and must come out.
//	  - A chip that does not show itself, such as one that is asleep, is begun by scanning its serial again.
//	  - A serial or a chip that runs in another slot is refused.
//	  - After a run the slot is not free before nothing is there any more: a part that was left in is never taken for the next one.
//	  - A board that is taken out while it runs is told. Its run ends by itself.
//	  - A board that was exchanged for another between two looks is told: the one that is in has the result of nothing, and must come out.
//	  - The same code twice within 3 s is one, also with others between; and so is a serial within 3 s of the arming of its slot. Of one that was not taken it is
//	    told again why, and it is in the ledger once; one that only came at the wrong moment is taken where that is over.
//	  - What is no code, or two without a line end between them, is told.
//	  - Three REFUSED, FAIL or ERROR in a row of what was in a slot stop it, until a person scans its release card. PASS and TRIAL begin the count
//	    anew; ABORTED, INTERRUPTED and what is the station's own fault (ofSlot) leave it. A new Line begins with no slot stopped.
//	  - What was scanned is given up where its board or its values do not come within 2 min, at a cancel card, and at the end of input.
//	  - Resume begins, without a scan, the open runs of this recipe whose chips are in slots, and names all others.
//	  - Where HoldFails says so, a slot whose unit ended in FAIL takes no board, and resumes none, until a person acknowledges that: for the slot (Acknowledge), or
//	    by the card of the reject bin, which is for the board that came out first.
//
// What is refused is in the ledger (Engine.Refuse). What is only told is not: a code that was scanned twice or that no slot is free for, and a code or a board without
// a serial of the recipe, which have none to be refused under.
type Line struct {
	recipe *recipes.Recipe
	open   []ledger.Run
	slots  []*lineSlot
	chosen *lineSlot // by its label, for the next serial
	until  time.Time // when the choice, or what was scanned, is given up
	armed  time.Time // when a slot was armed last
	read   []reading // of the last 3 s, each code once, the last one last
	asked  string    // the slot for which a serial was asked for, "" for none
	hold   bool      // FAILs wait to be acknowledged
	held   []Held    // those that do; of those whose boards are out, the one that came out first ahead
	out    []Decision
}

const (
	repeatTime = 3 * time.Second
	armTime    = 2 * time.Minute
	tooMany    = 3
)

// SlotState is where a slot stands.
type SlotState string

const (
	Unseen   SlotState = "unseen"   // nobody has looked yet
	Free     SlotState = "free"     // nothing is in it
	Scanned  SlotState = "scanned"  // a serial was scanned for it, and its values are missing
	Armed    SlotState = "armed"    // it waits for its board
	Running  SlotState = "running"  // the engine has it
	Occupied SlotState = "occupied" // what is in it must come out
)

type lineSlot struct {
	name    string
	state   SlotState
	serial  string            // of the unit that it is scanned, armed or running for, or was at last
	values  map[string]string // of that unit
	there   bool              // a chip is in it, or may be
	uid     string            // of that chip, "" where it could not be told
	board   string            // the last UID of what is in it that anybody told, "" where nobody did since it was empty
	lost    bool              // the run ended because the chip did not answer any more, and nobody has looked since
	stopped bool
	bad     []Result // REFUSED, FAIL and ERROR in a row that may be the fault of the slot or of its boards
}

// Decision is one thing to be done next.
type Decision struct {
	Do     Deed
	Slot   string // "" with some Tell
	Serial string
	Values map[string]string // with Begin
	Cause  string            // with Refuse; with Empty "open-run" where Resume would finish what is in Slot
	Word   string            // what is said: one of Words, "" with Begin and Recall
	Facts  map[string]string // what that names besides slot and serial
	// Message says it to the person, and Next what to do. With Ask, Message is what to scan.
	Message, Next string
}

// Deed is what a Decision wants.
type Deed string

const (
	Tell   Deed = "tell"   // nothing but to say it
	Ask    Deed = "ask"    // something to be scanned
	Arm    Deed = "arm"    // the board of Serial to be put into Slot
	Empty  Deed = "empty"  // what is in Slot to be taken out
	Begin  Deed = "begin"  // the run of Serial in Slot
	Refuse Deed = "refuse" // Serial in Slot: Engine.Refuse
	Recall Deed = "recall" // Resume to be called

	Acknowledged Deed = "acknowledged" // that a person saw the FAIL of Serial in Slot, in Facts["run"], to be written down; Facts["how"]: "button" or "card"
)

// NewLine returns the line of these slots, in the order in which free ones are taken. open are the runs that the ledger has open.
func NewLine(recipe *recipes.Recipe, slots []string, open []ledger.Run) *Line {
	l := &Line{recipe: recipe, open: open}
	for _, name := range slots {
		l.slots = append(l.slots, &lineSlot{name: name, state: Unseen})
	}
	return l
}

// State is where a slot stands.
func (l *Line) State(slot string) SlotState { return l.slot(slot).state }

// SlotStatus is what a line knows of a slot.
type SlotStatus struct {
	Slot    string
	State   SlotState
	Serial  string // of the unit that it is scanned, armed or running for, or was at last
	UID     string // of the chip that is in it, "" where it is not known
	There   bool   // a board is in it, or may be
	Stopped bool   // after three in a row
	Held    bool   // its FAIL waits to be acknowledged
}

// Slots is all of them, in the order of the configuration.
func (l *Line) Slots() []SlotStatus {
	var all []SlotStatus
	for _, s := range l.slots {
		all = append(all, SlotStatus{Slot: s.name, State: s.state, Serial: s.serial, UID: s.uid, There: s.there, Stopped: s.stopped, Held: l.holds(s)})
	}
	return all
}

// Takes tells whether a serial, or a value that was asked for, would be taken now.
func (l *Line) Takes() bool { return l.waiting() != nil || l.next() != nil }

// Seen says that a look at a slot that does not run found a chip there, or none. uid is "" where the chip does not tell it. Of a slot that runs only
// somebody's hands can say it.
func (l *Line) Seen(slot string, present bool, uid string) []Decision {
	s := l.slot(slot)
	lost := s.lost
	s.lost = false
	if s.state == Running {
		if s.there && !present {
			l.told(s, WordOutRunning, s.serial, fmt.Sprintf("the board of %s was taken out while its run is under way", s.serial), "Put it back, and scan it again when the run has ended.")
		}
		s.there = present // the chip that the run has stays its own
		return l.decided()
	}
	if s.mayHold() && !present {
		l.emptied(s)
	}
	swapped := s.state == Occupied && s.there && present && uid != "" && s.board != "" && uid != s.board
	s.there, s.uid = present, uid
	s.nowIn(uid)
	switch {
	case swapped:
		l.exchanged(s)
		l.do(Decision{Do: Empty, Word: WordSwapped, Slot: s.name, Message: "another board is in it than before, and nobody scanned it", Next: "Take it out, scan its serial, and put it into the slot that is named then."})
	case s.state == Armed && present:
		l.meet(s)
	case s.state == Occupied && !present:
		s.state = Free
		if lost {
			l.told(s, WordOutLost, s.serial, fmt.Sprintf("the board of %s was taken out while its run was under way", s.serial), "Put it back when it is scanned again: "+s.serial+".")
		}
	case s.state == Unseen && !present:
		s.state = Free
	case s.state == Unseen:
		s.state = Occupied
		if r := l.resumable(s); r != nil {
			l.do(Decision{Do: Empty, Word: WordOpenHere, Slot: s.name, Serial: r.Serial, Cause: "open-run", Message: fmt.Sprintf("the board of %s is in it, whose run broke off", r.Serial),
				Next: "Scan " + CardResume + " to finish it, or take it out."})
			break
		}
		l.do(Decision{Do: Empty, Word: WordFound, Slot: s.name, Message: "a board is in it", Next: "Take it out."})
	case s.state == Free && present && s.stopped:
		s.state = Occupied
	case s.state == Free && present:
		s.state = Occupied
		l.do(Decision{Do: Empty, Word: WordNotScanned, Slot: s.name, Message: "a board was put in that nobody scanned", Next: "Take it out, scan its serial, and put it into the slot that is named then."})
	}
	return l.decided()
}

// Ended says that the run of a slot has ended.
func (l *Line) Ended(slot string, r Result) []Decision {
	s := l.slot(slot)
	if s.state != Running {
		return nil
	}
	s.state = Free
	s.nowIn(r.UID)
	s.lost = s.there && s.uid != "" && (r.Cause == "contact-absent" || r.Cause == "contact-lost")
	if s.there {
		s.state = Occupied
		l.do(Decision{Do: Empty, Word: WordDone, Slot: s.name, Serial: s.serial, Facts: factsOf([]string{"outcome", string(r.Outcome)}), Message: fmt.Sprintf("%s is done (%s)", s.serial, r.Outcome), Next: "Take the board out."})
	}
	l.holdFail(s, r)
	l.count(s, r)
	return l.decided()
}

// Failed says that the board that slot is armed for could not be put in.
func (l *Line) Failed(slot, message string) []Decision {
	s := l.slot(slot)
	if s.state == Armed {
		s.state = Free
		l.refuse(s, WordNoBoard, s.serial, "no-board", message, "Nothing was touched. Scan the board again.", "why", message)
	}
	return l.decided()
}

// Tick gives up what has waited for too long. It is to be called about every second.
func (l *Line) Tick(now time.Time) []Decision {
	l.expire(now)
	return l.decided()
}

// End says that nothing is scanned any more.
func (l *Line) End() []Decision {
	l.giveUp()
	l.chosen = nil
	out := l.out
	l.out = nil
	return out
}

// nowIn keeps the UID of what is in a slot, where it is told.
func (s *lineSlot) nowIn(uid string) {
	switch {
	case !s.there:
		s.board = ""
	case uid != "":
		s.board = uid
	}
}

// meet is what happens when a chip is in the armed slot.
func (l *Line) meet(s *lineSlot) {
	if other := l.running(s.uid); other != nil {
		s.state = Occupied
		l.count(s, l.refuse(s, WordChipElsewhere, s.serial, "in-two-slots", fmt.Sprintf("chip %s is being provisioned in slot %s right now", s.uid, other.name), "Take the board out, and put it back into slot "+other.name+".", "uid", s.uid, "other", other.name))
		return
	}
	l.begin(s)
}

func (l *Line) begin(s *lineSlot) {
	s.state, s.lost = Running, false
	s.there = true // or so it is said, until somebody looks
	l.do(Decision{Do: Begin, Slot: s.name, Serial: s.serial, Values: s.values})
}

// count stops a slot that does nothing right any more.
func (l *Line) count(s *lineSlot, r Result) {
	switch {
	case r.Outcome == ledger.Pass, r.Outcome == ledger.Trial:
		s.bad = nil
	case ofSlot(r):
		s.bad = append(s.bad, r)
	}
	if s.stopped || len(s.bad) < tooMany {
		return
	}
	s.stopped = true
	words, word := "", WordStoppedBoards
	advice := "Three boards in a row are seldom bad: call the person who looks after the station."
	for _, r := range s.bad {
		words += fmt.Sprintf(", %s %s (%s)", r.Serial, r.Outcome, r.Cause)
		switch r.Cause {
		case "contact-absent", "contact-unstable", "contact-lost":
			word = WordStoppedContacts
			advice = "Clean the contacts of this slot; if that does not help, call the person who looks after the station."
		case "fixture":
			word = WordStoppedFixture
			advice = "Try another cable, then another programmer; if that does not help, call the person who looks after the station."
		}
	}
	l.told(s, word, "", fmt.Sprintf("it is stopped, after %d in a row: %s", len(s.bad), words[2:]), fmt.Sprintf("%s Then scan %s%s, or start the program again.", advice, CardRelease, s.name),
		"count", fmt.Sprint(len(s.bad)), "results", words[2:])
}

// Causes of an ERROR that the slot or the board in it may be at fault for, and of a REFUSED that neither is: how the station is set up, or what it was told.
var (
	errorsOfSlot      = []string{"fixture", "contact-absent", "contact-unstable", "contact-lost", "chip-swapped", "frozen", "not-reseated", "power-not-lost"}
	refusalsElsewhere = []string{"fixture-config", "volts-unknown", "wrong-voltage", "programmer-cannot", "raw-not-allowed", "no-key-server", "invented-map", "values", "no-board",
		"quarantined", "permission-in-doubt", "rework-no-trial", "password-needed", "unlock-file", "unlock-not-needed"}
)

// ofSlot tells whether a result may be the fault of its slot, or of the board that was in it.
func ofSlot(r Result) bool {
	switch r.Outcome {
	case ledger.Fail:
		return true
	case ledger.Error:
		return slices.Contains(errorsOfSlot, r.Cause)
	case ledger.Refused:
		return !slices.Contains(refusalsElsewhere, r.Cause)
	}
	return false
}

// giveUp ends the waiting of what was scanned.
func (l *Line) giveUp() {
	s := l.waiting()
	if s == nil {
		return
	}
	missing, word, facts := "board", WordGivenUp, []string(nil)
	if s.state == Scanned {
		missing = l.missing(s)
		word, facts = WordNoValue, []string{"value", missing}
	}
	s.state = Free
	l.told(nil, word, s.serial, fmt.Sprintf("%s was not begun: its %s is missing", s.serial, missing), "", facts...)
	if s.there {
		s.state = Occupied
		l.do(Decision{Do: Empty, Word: WordLeftIn, Slot: s.name, Serial: s.serial, Message: "the board of " + s.serial + " is in it", Next: "Take it out."})
	}
}

func (l *Line) expire(now time.Time) {
	if now.After(l.until) {
		l.giveUp()
		l.chosen = nil
	}
}

// holder is the slot that is scanned, armed or running for a serial.
func (l *Line) holder(serial string) *lineSlot {
	for _, s := range l.slots {
		if s.serial == serial && (s.state == Scanned || s.state == Armed || s.state == Running) {
			return s
		}
	}
	return nil
}

// waiting is the slot that is scanned or armed.
func (l *Line) waiting() *lineSlot {
	for _, s := range l.slots {
		if s.state == Scanned || s.state == Armed {
			return s
		}
	}
	return nil
}

// next is the slot that the next serial is for, nil where none is free.
func (l *Line) next() *lineSlot {
	if l.chosen != nil && l.takes(l.chosen) {
		return l.chosen
	}
	for _, s := range l.slots {
		if l.takes(s) {
			return s
		}
	}
	return nil
}

func (l *Line) takes(s *lineSlot) bool { return s.state == Free && !s.stopped && !l.holds(s) }

func (l *Line) slot(name string) *lineSlot {
	for _, s := range l.slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (l *Line) do(d Decision) { l.out = append(l.out, d) }

// named is the slot of a name; where there is none that is told.
func (l *Line) named(name string) *lineSlot {
	s := l.slot(name)
	if s == nil {
		l.told(nil, WordNoSuchSlot, "", fmt.Sprintf("there is no slot %q", name), "`station slot list` shows them.", "other", name)
	}
	return s
}

// told says something, of a slot or, where s is nil, of none; of the unit of a serial or, where it is "", of none. facts are names and values in turn.
func (l *Line) told(s *lineSlot, word, serial, message, next string, facts ...string) {
	d := Decision{Do: Tell, Word: word, Serial: serial, Facts: factsOf(facts), Message: message, Next: next}
	if s != nil {
		d.Slot = s.name
	}
	l.do(d)
}

func (l *Line) refuse(s *lineSlot, word, serial, cause, message, next string, facts ...string) Result {
	l.do(Decision{Do: Refuse, Word: word, Slot: s.name, Serial: serial, Cause: cause, Facts: factsOf(facts), Message: message, Next: next})
	l.asked = ""
	return Result{Slot: s.name, Serial: serial, Outcome: ledger.Refused, Cause: cause}
}

// decided ends an event: whoever may scan a serial now is asked for it, once.
func (l *Line) decided() []Decision {
	switch s := l.next(); {
	case l.waiting() != nil || s == nil:
		l.asked = ""
	case l.asked != s.name:
		l.asked = s.name
		l.do(Decision{Do: Ask, Word: WordScanSerial, Slot: s.name, Message: "serial"})
	}
	out := l.out
	l.out = nil
	return out
}
