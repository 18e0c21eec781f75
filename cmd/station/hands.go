package main

import (
	"context"
	"slices"
	"strings"

	"station/provision"
)

// hands are those of the operator of a simulated station. They do what the line asks for at once, and tell it, so that nothing needs to be looked for;
// or, where they are told, what lines between the scanned ones say, and nothing else: `in SLOT=SERIAL`, `out SLOT`, and `wait SLOT` for the end of its run.
type hands struct {
	told   bool
	quiet  bool     // they take boards out at once, so that nobody needs to be told to, but for those whose runs broke off and may be resumed; otherwise all boards are left in
	left   []string // slots with boards that are left in until their slots are needed
	awaits string   // the slot whose end is awaited, "" for none
}

// quick tells whether the hands do what the line asks for.
func (h *hands) quick() bool { return h != nil && !h.told }

// silent tells whether the hands empty slots before anybody needs to be told.
func (h *hands) silent() bool { return h != nil && h.quiet }

// busyHands tells whether hands do not scan the next code yet: they wait for a free slot, or for what they were told to.
func (s *scanning) busyHands(ctx context.Context) bool {
	switch h := s.hands; {
	case h == nil:
		return false
	case h.told:
		if h.awaits != "" && s.line.State(h.awaits) != provision.Running {
			h.awaits = ""
		}
		return h.awaits != ""
	case h.quiet && !s.line.Takes() && s.running == 0 && len(h.left) > 0:
		slot := h.left[0]
		h.left = h.left[1:]
		s.do(ctx, s.line.Seen(slot, false, ""))
		return false
	}
	return !s.line.Takes() && s.running > 0
}

// makeWay takes boards out that stand in the way of a code, those first that were left in first: those that failed for the card of the reject bin, what is in the slot of a
// label, and, where no slot takes the board of a serial, one.
func (s *scanning) makeWay(ctx context.Context, code string) {
	if !s.hands.quick() || s.hands.quiet {
		return
	}
	for _, name := range slices.Clone(s.hands.left) {
		all := s.line.Slots()
		slot := all[slices.IndexFunc(all, func(o provision.SlotStatus) bool { return o.Slot == name })]
		needed := s.job.recipe.MatchSerial(code) && !slot.Held && !slot.Stopped && !s.line.Takes()
		if slot.State == provision.Occupied && (needed || code == provision.LabelSlot+name || code == provision.CardReject && slot.Held) {
			s.hands.left = slices.DeleteFunc(s.hands.left, func(left string) bool { return left == name })
			s.do(ctx, s.line.Seen(name, false, ""))
		}
	}
}

// move does with simulated boards what the line wants done. A board that is done is said to be out, and stays where it is until the next one comes, as it does with
// `run --slot`: that of the same serial keeps its power.
func (s *scanning) move(ctx context.Context, d provision.Decision) []provision.Decision {
	h := s.hands
	switch {
	case !h.quick():
	case d.Do == provision.Arm:
		if err := s.bench.insert(s.job.recipe, []pair{{d.Slot, d.Serial}}, nil); err != nil {
			return s.line.Failed(d.Slot, strings.TrimPrefix(err.Error(), "slot "+d.Slot+": ")) // the line says itself which slot it is
		}
		done := s.inserted(ctx, d.Slot)
		return append(s.moved(d), done...)
	case d.Do == provision.Empty && (!h.quiet || d.Cause == "open-run"):
		h.left = append(slices.DeleteFunc(h.left, func(slot string) bool { return slot == d.Slot }), d.Slot)
	case d.Do == provision.Empty:
		return s.line.Seen(d.Slot, false, "")
	}
	return nil
}

// moved tells the line of slots with boards that were left in, where the one that was just put into the slot of d was in them.
func (s *scanning) moved(d provision.Decision) (done []provision.Decision) {
	all := s.line.Slots()
	for _, name := range slices.Clone(s.hands.left) {
		slot := all[slices.IndexFunc(all, func(o provision.SlotStatus) bool { return o.Slot == name })]
		if name != d.Slot && slot.State == provision.Occupied && slot.Serial == d.Serial {
			s.hands.left = slices.DeleteFunc(s.hands.left, func(left string) bool { return left == name })
			done = append(done, s.line.Seen(name, false, "")...)
		}
	}
	return done
}

// inserted tells the line that a board was put into a slot.
func (s *scanning) inserted(ctx context.Context, slot string) []provision.Decision {
	uid := ""
	if s.line.State(slot) != provision.Running {
		e := eye{slot: slot}
		_, uid, _ = e.glance(ctx, s.bench.rack, s.job.recipe.Parts()) // a chip that does not answer is there nevertheless
		s.close(&e)
	}
	return s.line.Seen(slot, true, uid)
}

// handle does what a line tells the hands to. is tells whether it is one for them.
func (s *scanning) handle(ctx context.Context, line string) (done []provision.Decision, is bool, err error) {
	word, rest, _ := strings.Cut(line, " ")
	slot, serial, _ := strings.Cut(rest, "=")
	if !slices.Contains(s.slots(), slot) {
		return nil, false, nil
	}
	switch word {
	case "in":
		if err := s.bench.insert(s.job.recipe, []pair{{slot, serial}}, nil); err != nil {
			return nil, true, err
		}
		return s.inserted(ctx, slot), true, nil
	case "out":
		if err := s.bench.boards.Remove(slot); err != nil {
			return nil, true, err
		}
		return s.line.Seen(slot, false, ""), true, nil
	case "wait":
		s.hands.awaits = slot
		return nil, true, nil
	}
	return nil, false, nil
}
