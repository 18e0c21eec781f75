package provision

import (
	"fmt"
	"slices"

	"station/ledger"
)

// Held is a FAIL that a person has not acknowledged.
type Held struct {
	Slot, Serial, Run string
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
		if s := l.slot(h.Slot); s == nil || !s.mayHold() {
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
		l.held = append(l.held, Held{Slot: s.name, Serial: s.serial, Run: r.Run})
	}
}

// emptied puts the FAILs of a slot behind those whose boards came out before.
func (l *Line) emptied(s *lineSlot) {
	of := func(h Held) bool { return h.Slot == s.name }
	var out []Held
	for _, h := range l.held {
		if of(h) {
			out = append(out, h)
		}
	}
	l.held = append(slices.DeleteFunc(l.held, of), out...)
}

func (l *Line) holds(s *lineSlot) bool {
	return slices.ContainsFunc(l.held, func(h Held) bool { return h.Slot == s.name })
}

// mayHold tells whether a board is in a slot, or may be.
func (s *lineSlot) mayHold() bool { return s.there || s.state == Unseen }
