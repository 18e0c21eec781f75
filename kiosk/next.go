package kiosk

import (
	"fmt"
	"strconv"
	"strings"

	"station/ledger"
	"station/provision"
)

// Words of State.Next, and what their sentences name.
const (
	NextRestart   = "next-restart"    // the ledger takes nothing
	NextReseat    = "next-reseat"     // slot, serial
	NextDecide    = "next-decide"     // slot, serial
	NextResume    = "next-resume"     // slot, serial, card
	NextResumeAll = "next-resume-all" // count, slots, card
	NextOther     = "next-other"      // slot, serial, recipe: its run broke off with another recipe than the job's
	NextBroken    = "next-broken-off" // serial, slot: where it was; recipe: there is no job
	NextBin       = "next-bin"        // slot, serial, card: its board is out
	NextTakeFail  = "next-take-fail"  // slot, serial, card: its board is in the slot
	NextTakeBin   = "next-take-bin"   // slot, serial: its FAIL is acknowledged, and its board is in the slot
	NextPutIn     = "next-put-in"     // slot, serial
	NextValue     = "next-value"      // slot, serial, value
	NextTakeOut   = "next-take-out"   // slot, serial, outcome
	NextEmpty     = "next-empty"      // slot: nobody knows what is in it
	NextScan      = "next-scan"       // slot
	NextStopped   = "next-stopped"    // slot, card
	NextProblem   = "next-problem"    // slot
	NextWait      = "next-wait"       // count
	NextLook      = "next-look"       // the slots are looked at
	NextJobWaits  = "next-job-waits"  // file, card: what it lacks is said elsewhere
	NextJobFull   = "next-job-full"   // count
	NextLeft      = "next-left"       // slot: a board was left in it, and there is no job
	NextNoJob     = "next-no-job"     //
	NextNoShift   = "next-no-shift"   // card
	NextNoSlot    = "next-no-slot"    // none is used
)

// NextWords are all of them.
var NextWords = []string{NextRestart, NextReseat, NextDecide, NextResume, NextResumeAll, NextOther, NextBroken, NextBin, NextTakeFail, NextTakeBin, NextPutIn, NextValue, NextTakeOut, NextEmpty, NextScan, NextStopped, NextProblem,
	NextWait, NextLook, NextJobWaits, NextJobFull, NextLeft, NextNoJob, NextNoShift, NextNoSlot}

// nextOf is the one thing to be done now, what is most urgent first: that nothing can be written down any more; what a person's hands are waited for in a run; boards here that a person decides about, or whose runs broke off;
// FAILs, those already out first, and until their boards are out, acknowledged or not; boards that nobody knows, of which one may be that which was scanned; what was scanned; what is done; the next board. What only another person mends (a slot that is stopped, or that cannot be looked at)
// comes up where no slot takes a board: the tiles show it anyway. order is that in which slots are named: those first whose FAILs are
// out, in the order in which they came out, then the one that a board was asked for, then the others as free ones are taken.
func nextOf(s *State, order []string) Said {
	var tiles []Tile
	for _, name := range order {
		if t, ok := s.Tile(name); ok && name != "" && !t.Excluded {
			tiles = append(tiles, t)
		}
	}
	rules := []func(*State, []Tile) *Said{nextRestart, nextReseat, nextOpen, nextFail, nextUnknown, nextScanned, nextDone, nextJob, nextFree, nextOther, nextNone}
	for _, rule := range rules {
		if said := rule(s, tiles); said != nil {
			return *said
		}
	}
	return *next(NextNoSlot, "no slot is used")
}

// next is a sentence. facts are names and values in turn.
func next(word, text string, facts ...string) *Said {
	s := &Said{Word: word, Text: text}
	if len(facts) > 0 {
		s.Facts = map[string]string{}
	}
	for i := 0; i < len(facts); i += 2 {
		s.Facts[facts[i]] = facts[i+1]
	}
	return s
}

// first is the first tile that is so, nil for none.
func first(tiles []Tile, is func(Tile) bool) *Tile {
	for i := range tiles {
		if is(tiles[i]) {
			return &tiles[i]
		}
	}
	return nil
}

func nextRestart(s *State, _ []Tile) *Said {
	if !s.Said.is(WordLedgerBroken) {
		return nil
	}
	return next(NextRestart, "nothing can be written down: call the person who looks after the station, and have it started again")
}

func nextReseat(_ *State, tiles []Tile) *Said {
	t := first(tiles, func(t Tile) bool { return t.Run != nil && t.Run.Phase == string(provision.Reseat) })
	if t == nil {
		return nil
	}
	return next(NextReseat, fmt.Sprintf("take the board of %s out of slot %s and put the same board back", t.Serial, t.Slot), "slot", t.Slot, "serial", t.Serial)
}

func nextOpen(s *State, tiles []Tile) *Said {
	var here []Open
	for _, o := range s.Open {
		t, ok := s.Tile(o.Here)
		if o.Here == "" || !ok || t.State == provision.Running {
			continue
		}
		if o.Person != nil {
			return next(NextDecide, fmt.Sprintf("a person has to decide about %s: take its board out of slot %s, put it aside, and call the supervisor", o.Serial, o.Here), "slot", o.Here, "serial", o.Serial)
		}
		if s.Job != nil && o.Digest == s.Job.Recipe.Digest {
			here = append(here, o)
		}
	}
	if len(here) == 0 || s.Job.Quantity > 0 && s.Job.Passed+underWay(tiles) >= s.Job.Quantity {
		return nil
	}
	var slots []string
	for _, o := range here {
		slots = append(slots, o.Here)
	}
	if len(here) == 1 {
		return next(NextResume, fmt.Sprintf("the run of %s in slot %s broke off: scan %s to finish it", here[0].Serial, here[0].Here, provision.CardResume), "slot", here[0].Here, "serial", here[0].Serial, "card", provision.CardResume)
	}
	list := strings.Join(slots, ", ")
	return next(NextResumeAll, fmt.Sprintf("%d runs broke off, in slots %s: scan %s to finish them", len(here), list, provision.CardResume), "count", strconv.Itoa(len(here)), "slots", list, "card", provision.CardResume)
}

func nextFail(s *State, tiles []Tile) *Said {
	out := func(slot, serial string) *Said {
		return next(NextBin, fmt.Sprintf("put the board of %s, which failed in slot %s, into the reject bin, and scan the bin's card %s", serial, slot, provision.CardReject), "slot", slot, "serial", serial, "card", provision.CardReject)
	}
	if len(s.Held) > 0 {
		return out(s.Held[0].Slot, s.Held[0].Serial)
	}
	if t := first(tiles, func(t Tile) bool { return t.Held && !t.There }); t != nil {
		return out(t.Slot, t.Serial)
	}
	if t := first(tiles, func(t Tile) bool { return t.Held }); t != nil {
		return next(NextTakeFail, fmt.Sprintf("take the board of %s, which failed, out of slot %s, put it into the reject bin, and scan the bin's card %s", t.Serial, t.Slot, provision.CardReject), "slot", t.Slot, "serial", t.Serial, "card", provision.CardReject)
	}
	if t := first(tiles, func(t Tile) bool {
		return t.State == provision.Occupied && t.There && t.Result != nil && t.Result.Outcome == ledger.Fail
	}); t != nil {
		return next(NextTakeBin, fmt.Sprintf("take the board of %s, which failed, out of slot %s, and put it into the reject bin", t.Serial, t.Slot), "slot", t.Slot, "serial", t.Serial)
	}
	return nil
}

func nextUnknown(s *State, tiles []Tile) *Said {
	if t := first(tiles, func(t Tile) bool {
		return t.State == provision.Occupied && t.Result == nil && t.Problem == nil && s.other(t.Slot) == nil
	}); t != nil {
		return next(NextEmpty, fmt.Sprintf("take the board out of slot %s", t.Slot), "slot", t.Slot)
	}
	return nil
}

func nextScanned(_ *State, tiles []Tile) *Said {
	if t := first(tiles, func(t Tile) bool { return t.State == provision.Armed }); t != nil {
		return next(NextPutIn, fmt.Sprintf("put the board of %s into slot %s", t.Serial, t.Slot), "slot", t.Slot, "serial", t.Serial)
	}
	if t := first(tiles, func(t Tile) bool { return t.State == provision.Scanned }); t != nil {
		value := "value"
		if t.Said != nil {
			value = t.Said.Facts["value"]
		}
		return next(NextValue, fmt.Sprintf("scan the %s of %s, for slot %s", value, t.Serial, t.Slot), "slot", t.Slot, "serial", t.Serial, "value", value)
	}
	return nil
}

func nextDone(_ *State, tiles []Tile) *Said {
	if t := first(tiles, func(t Tile) bool { return t.State == provision.Occupied && t.Result != nil }); t != nil {
		return next(NextTakeOut, fmt.Sprintf("take the board of %s (%s) out of slot %s", t.Serial, t.Result.Outcome, t.Slot), "slot", t.Slot, "serial", t.Serial, "outcome", string(t.Result.Outcome))
	}
	return nil
}

// nextJob is where there is none, or where it needs no more boards.
func nextJob(s *State, tiles []Tile) *Said {
	busy := underWay(tiles)
	switch {
	case busy > 0 && (s.Job == nil || s.Job.Quantity > 0 && s.Job.Passed+busy >= s.Job.Quantity):
		return waiting(busy)
	case s.Job == nil && s.Shift == nil:
		return noShift()
	case s.Job == nil && brokenOff(s) != nil:
		o := brokenOff(s)
		return next(NextBroken, fmt.Sprintf("the run of %s broke off in slot %s: begin a job of recipe %s to finish it", o.Serial, o.Slot, o.Recipe), "slot", o.Slot, "serial", o.Serial, "recipe", o.Recipe)
	case s.Job == nil && first(tiles, leftIn) != nil:
		t := first(tiles, leftIn)
		return next(NextLeft, fmt.Sprintf("take the board out of slot %s, then choose what is made: scan a job's card, or have a supervisor begin one", t.Slot), "slot", t.Slot)
	case s.Job == nil:
		return next(NextNoJob, "choose what is made: scan a job's card, or have a supervisor begin one")
	case s.Job.Waits:
		return next(NextJobWaits, fmt.Sprintf("the job of %s cannot go on: put right what it lacks and scan the next board, or scan %s", s.Job.File, CardCloseJob), "file", s.Job.File, "card", CardCloseJob)
	case s.Job.Quantity > 0 && s.Job.Passed >= s.Job.Quantity:
		return next(NextJobFull, fmt.Sprintf("all %d are made: close the job", s.Job.Quantity), "count", strconv.Itoa(s.Job.Quantity))
	}
	return nil
}

// leftIn tells whether a board was in a slot when it was looked at last, and nobody looks now.
func leftIn(t Tile) bool { return t.State == Unwatched && t.There }

// brokenOff is the oldest open run that no person has to decide about, nil for none.
func brokenOff(s *State) *Open {
	for i := range s.Open {
		if s.Open[i].Person == nil {
			return &s.Open[i]
		}
	}
	return nil
}

// underWay is how many slots run.
func underWay(tiles []Tile) int {
	n := 0
	for _, t := range tiles {
		if t.Run != nil || t.State == provision.Running && t.Result == nil {
			n++
		}
	}
	return n
}

func waiting(busy int) *Said {
	return next(NextWait, fmt.Sprintf("wait: %d under way", busy), "count", strconv.Itoa(busy))
}

func noShift() *Said {
	return next(NextNoShift, "begin the shift: scan "+CardBeginShift, "card", CardBeginShift)
}

// nextFree is the next board, or, where nothing is under way, the shift that nobody began.
func nextFree(s *State, tiles []Tile) *Said {
	takes := func(t Tile) bool { return t.State == provision.Free && !t.Stopped && !t.Held && t.Problem == nil }
	t := first(tiles, takes)
	if t == nil {
		return nil
	}
	if s.Shift == nil && underWay(tiles) == 0 {
		return noShift()
	}
	return next(NextScan, fmt.Sprintf("scan the next board, for slot %s", t.Slot), "slot", t.Slot)
}

// other is the open run of a board in a slot that was begun with another recipe than the job's, nil for none.
func (s *State) other(slot string) *Open {
	for i := range s.Open {
		if o := &s.Open[i]; s.Job != nil && o.Here == slot && o.Person == nil && o.Digest != s.Job.Recipe.Digest {
			return o
		}
	}
	return nil
}

// nextOther is where no slot takes a board, and one has a board that only another job finishes.
func nextOther(s *State, tiles []Tile) *Said {
	t := first(tiles, func(t Tile) bool { return t.State == provision.Occupied && s.other(t.Slot) != nil })
	if t == nil || underWay(tiles) > 0 {
		return nil
	}
	o := s.other(t.Slot)
	return next(NextOther, fmt.Sprintf("the run of %s in slot %s broke off with recipe %s: take its board out, or close this job and begin one of that", o.Serial, t.Slot, o.Recipe), "slot", t.Slot, "serial", o.Serial, "recipe", o.Recipe)
}

// nextNone is where no slot takes a board.
func nextNone(_ *State, tiles []Tile) *Said {
	if t := first(tiles, func(t Tile) bool { return t.Stopped }); t != nil {
		return next(NextStopped, fmt.Sprintf("slot %s is stopped: have it looked after, and a supervisor scan %s%s", t.Slot, provision.CardRelease, t.Slot), "slot", t.Slot, "card", provision.CardRelease+t.Slot)
	}
	if busy := underWay(tiles); busy > 0 {
		return waiting(busy)
	}
	if t := first(tiles, func(t Tile) bool { return t.Problem != nil }); t != nil {
		return next(NextProblem, fmt.Sprintf("slot %s cannot be looked at: see to its programmer", t.Slot), "slot", t.Slot)
	}
	if len(tiles) > 0 {
		return next(NextLook, "wait: the slots are looked at")
	}
	return nil
}
