package provision

import (
	"fmt"
	"slices"

	"station/ledger"
	"station/recipes"
)

// Resume begins the open runs whose chips are in slots. open are the runs that the ledger has open now.
func (l *Line) Resume(open []ledger.Run) []Decision {
	l.open = open
	left := 0
	for i := range open {
		r := &open[i]
		s, unit := l.seat(r), l.holder(r.Serial)
		if unit != nil && unit.state == Running {
			continue
		}
		left++
		again := fmt.Sprintf("station run RECIPE --slot NAME=%s", r.Serial)
		switch ran := r.Start.Recipe; {
		case r.Stuck != nil:
			l.told(s, WordOpenPerson, r.Serial, fmt.Sprintf("%s waits for a person's decision: %s", r.Serial, r.Stuck.Message), r.Stuck.Next, "why", r.Stuck.Message, "do", r.Stuck.Next)
		case ran.Digest != l.recipe.Digest():
			l.told(s, WordOpenRecipe, r.Serial, fmt.Sprintf("the run of %s was begun with recipe %s version %d, which is not this one", r.Serial, ran.ID, ran.Version), fmt.Sprintf("Finish it with that recipe: `%s`.", again),
				"recipe", ran.ID, "version", fmt.Sprint(ran.Version))
		case unit != nil:
			l.told(unit, WordOpenScanned, r.Serial, r.Serial+" was scanned for this slot", "Put its board in.")
		case s == nil:
			l.told(nil, WordOpenNowhere, r.Serial, fmt.Sprintf("the board of %s, whose run broke off in slot %s, is in no slot, or does not tell its UID", r.Serial, r.Slot),
				fmt.Sprintf("Take it out, scan it and put it in, or `%s`.", again), "other", r.Slot)
		case s.stopped:
			l.told(s, WordOpenStopped, r.Serial, "it is stopped, and has the board of "+r.Serial, "Scan "+CardRelease+s.name+" first.")
		case l.holds(s):
			l.told(s, WordOpenHeld, r.Serial, "its FAIL is not acknowledged, and it has the board of "+r.Serial, "Acknowledge the FAIL first.")
		case s.state != Occupied:
			l.told(s, WordOpenWaits, r.Serial, "the board of "+r.Serial+" is in it, and it waits for another", "Take it out.")
		default:
			s.serial, s.values = r.Serial, l.valuesOf(r)
			l.begin(s)
		}
	}
	switch {
	case len(open) == 0:
		l.told(nil, WordNoOpen, "", "no run is open", "")
	case left == 0:
		l.told(nil, WordAllRunning, "", "every open run is under way", "")
	}
	return l.decided()
}

// resumable is the open run that Resume would finish in s, nil for none.
func (l *Line) resumable(s *lineSlot) *ledger.Run {
	for i := range l.open {
		if r := &l.open[i]; r.Stuck == nil && r.Start.Recipe.Digest == l.recipe.Digest() && l.seat(r) == s {
			return r
		}
	}
	return nil
}

// running is the slot whose run has the chip of a UID, nil for none.
func (l *Line) running(uid string) *lineSlot {
	for _, s := range l.slots {
		if s.state == Running && s.uid == uid && uid != "" {
			return s
		}
	}
	return nil
}

// seat is the slot that has the chip of r, and that does not run, nil for none. What was seen somewhere may be elsewhere by now: a chip that runs is in no other slot.
func (l *Line) seat(r *ledger.Run) *lineSlot {
	if l.running(r.Start.Chip.UID) != nil {
		return nil
	}
	for _, s := range l.slots {
		if s.there && s.state != Running && s.uid == r.Start.Chip.UID {
			return s
		}
	}
	return nil
}

// valuesOf is what the unit of an open run brought, but for what the recipe brings.
func (l *Line) valuesOf(r *ledger.Run) map[string]string {
	values := map[string]string{}
	for _, f := range r.Start.Values {
		if slices.ContainsFunc(l.recipe.Values(), func(v recipes.Value) bool { return v.Name == f.Name && v.Hex == "" }) {
			values[f.Name] = f.Value
		}
	}
	return values
}
