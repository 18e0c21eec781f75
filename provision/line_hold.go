package provision

import (
	"fmt"
	"slices"

	"station/ledger"
)

// Held is a FAIL that a person has not acknowledged.
type Held struct {
	Slot, Serial, Run string

	uid string // of its chip, "" where it is not known
	out bool   // another board is in the slot
}

// HoldFails has a slot whose unit ended in FAIL take no board from now on before that was acknowledged. before are the FAILs of earlier that nobody acknowledged, those whose
// boards came out first ahead. Boards of slots that the line does not have count as out.
func (l *Line) HoldFails(before ...Held) {
	l.hold = true
	l.held = append(l.held, before...)
}

// Acknowledge says that a person saw the FAIL of a slot, wherever its board is.
func (l *Line) Acknowledge(slot string) []Decision {
	i := slices.IndexFunc(l.held, func(h Held) bool { return h.Slot == slot })
	if i < 0 {
		if s := l.named(slot); s != nil {
			l.told(s, WordSlotNoFail, "", "no FAIL waits in it", "")
		}
		return l.decided()
	}
	l.acknowledge(i, "button")
	return l.decided()
}

// reject is the card of the reject bin: the board that came out first of those whose FAIL nobody acknowledged is in the bin now. It has a slot that is empty.
func (l *Line) reject() {
	if len(l.held) == 0 {
		l.told(nil, WordNoFail, "", "no FAIL waits to be acknowledged", "")
		return
	}
	for i, h := range l.held {
		if s := l.slot(h.Slot); s == nil || h.out || !s.mayHold() {
			l.acknowledge(i, "card")
			return
		}
	}
	h := l.held[0]
	l.told(l.slot(h.Slot), WordTakeOutFirst, h.Serial, "the board of "+h.Serial+" is still in it, or another is", fmt.Sprintf("Take it out, put it into the reject bin, and scan %s.", CardReject))
}

func (l *Line) acknowledge(i int, how string) {
	h := l.held[i]
	l.held = slices.Delete(l.held, i, i+1)
	l.do(Decision{Do: Acknowledged, Word: WordAcknowledged, Slot: h.Slot, Serial: h.Serial, Facts: factsOf([]string{"run", h.Run, "how", how}),
		Message: "the FAIL of " + h.Serial + " is acknowledged", Next: "Its board belongs in the reject bin."})
}

// holdFail has what ended in FAIL wait.
func (l *Line) holdFail(s *lineSlot, r Result) {
	if l.hold && r.Outcome == ledger.Fail {
		l.held = append(l.held, Held{Slot: s.name, Serial: s.serial, Run: r.Run, uid: s.board})
	}
}

// emptied puts the FAILs of a slot behind those whose boards came out before: theirs do now.
func (l *Line) emptied(s *lineSlot) {
	of := func(h Held) bool { return h.Slot == s.name }
	var out []Held
	for i, h := range l.held {
		if of(h) && !h.out {
			out = append(out, h)
		}
		l.held[i].out = h.out && !of(h) // what is put in after this may be its board
	}
	if len(out) > 0 {
		l.held = append(slices.DeleteFunc(l.held, of), out...)
	}
}

// exchanged has the FAILs of a slot count as out: another board is in it. Where it is theirs again, they do not.
func (l *Line) exchanged(s *lineSlot) {
	l.emptied(s)
	for i, h := range l.held {
		if h.Slot == s.name {
			l.held[i].out = h.uid != s.board
		}
	}
}

func (l *Line) holds(s *lineSlot) bool {
	return slices.ContainsFunc(l.held, func(h Held) bool { return h.Slot == s.name })
}

// mayHold tells whether a board is in a slot, or may be.
func (s *lineSlot) mayHold() bool { return s.there || s.state == Unseen }
