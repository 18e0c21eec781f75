package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// Scan takes a code for the line. What nobody could do about differently is an answer as well: that nothing is made now, that the job has all its units.
func (f *floor) Scan(ctx context.Context, who kiosk.Who, code string) (kiosk.Answer, error) {
	f.again.forget()
	if why := f.unwritable(); why != nil {
		return kiosk.Answer{Tone: kiosk.Reject, Said: *why}, nil
	}
	if code == provision.CardReject {
		if a, is, err := f.acknowledge(ctx, who, func(l *provision.Line) []provision.Decision { return l.Scan(time.Now(), code) }); is {
			return a, err
		}
	}
	j, why, err := f.making(ctx)
	if err != nil {
		return kiosk.Answer{}, err
	}
	if why != nil {
		return kiosk.Answer{Tone: kiosk.Reject, Said: *why}, nil
	}
	var full *kiosk.Said
	var wrong error
	done, err := f.ask(ctx, j, who, func() (all []provision.Decision) {
		if full = j.full(code); full == nil {
			j.line.makeWay(f.ctx, code)
			all, wrong = j.line.scan(f.ctx, code)
		}
		return all
	})
	switch {
	case err != nil:
		return kiosk.Answer{}, err
	case full != nil:
		return kiosk.Answer{Tone: kiosk.Reject, Said: *full}, nil
	case wrong != nil && readable("serial", code, longestName) == nil:
		return kiosk.Answer{Tone: kiosk.Reject, Said: *said(kiosk.WordHands, wrong.Error(), "", "why", wrong.Error())}, nil
	case wrong != nil:
		return kiosk.Answer{Tone: kiosk.Reject, Said: *said(kiosk.WordUnreadable, wrong.Error(), "", "why", wrong.Error())}, nil
	case len(done) == 0:
		return kiosk.Answer{Tone: kiosk.Accept, Said: *said(kiosk.WordTaken, code+" was taken", "", "code", code)}, nil
	}
	return answerOf(done), nil
}

// Do does what is no scan.
func (f *floor) Do(ctx context.Context, who kiosk.Who, d kiosk.Deed) (kiosk.Answer, error) {
	if why := f.unwritable(); why != nil && d.Action != kiosk.Stop {
		return kiosk.Answer{}, conflict(why)
	}
	switch d.Action {
	case kiosk.BeginJob:
		return f.beginJob(ctx, who, d)
	case kiosk.CloseJob:
		return f.closeJob(ctx, who, d.Card)
	case kiosk.BeginShift:
		return f.beginShift(ctx, who)
	case kiosk.EndShift:
		return f.endShift(ctx, who, d.Card)
	}
	f.again.forget()
	held := false
	if j := f.present(); j != nil && d.Action == kiosk.Acknowledge {
		held = j.heldIn(d.Slot) != ""
	}
	if held {
		if a, is, err := f.acknowledge(ctx, who, func(l *provision.Line) []provision.Decision { return l.Acknowledge(d.Slot) }); is {
			return a, err
		}
	}
	if needsSlot := d.Action == kiosk.Acknowledge || d.Action == kiosk.Release || d.Action == kiosk.Stop; needsSlot && !held && !slices.Contains(f.bench.config.usable(), d.Slot) {
		return kiosk.Answer{}, &kiosk.Refusal{Status: http.StatusNotFound, Said: *said(provision.WordNoSuchSlot, fmt.Sprintf("there is no slot %q", d.Slot), "", "other", d.Slot)}
	}
	if d.Action == kiosk.Stop {
		return f.stopRun(ctx, who, d.Slot)
	}
	j, why, err := f.making(ctx)
	if err != nil {
		return kiosk.Answer{}, err
	}
	if why != nil {
		return kiosk.Answer{}, conflict(why)
	}
	var full *kiosk.Said
	done, err := f.ask(ctx, j, who, func() []provision.Decision {
		switch d.Action {
		case kiosk.Resume:
			if full = j.full(provision.CardResume); full == nil {
				return j.line.resume()
			}
		case kiosk.Cancel:
			return j.line.line.Cancel()
		case kiosk.Acknowledge:
			return j.line.line.Acknowledge(d.Slot)
		case kiosk.Release:
			return j.line.line.Release(d.Slot)
		}
		return nil
	})
	switch {
	case err != nil:
		return kiosk.Answer{}, err
	case full != nil:
		return kiosk.Answer{}, conflict(full)
	}
	a := answerOf(done)
	if a.Tone == kiosk.Reject {
		return kiosk.Answer{}, conflict(&a.Said)
	}
	return a, nil
}

// stopRun has what is under way in a slot stopped, of a job or without one.
func (f *floor) stopRun(ctx context.Context, who kiosk.Who, slot string) (kiosk.Answer, error) {
	by := &provision.Stopped{By: who.ID, Authenticated: who.Authenticated}
	serial := f.stopDirect(slot, by)
	if j := f.present(); j != nil && f.lineOf(j) != nil {
		_, err := f.ask(ctx, j, who, func() []provision.Decision {
			if j.line.line.State(slot) == provision.Running {
				serial = j.serialIn(slot)
				j.line.stops[slot](by)
			}
			return nil
		})
		if err != nil {
			return kiosk.Answer{}, err
		}
	}
	if serial == "" {
		return kiosk.Answer{}, conflict(said(kiosk.WordNotRunning, "slot "+slot+": nothing is under way there", "", "slot", slot))
	}
	printf(f.app.stderr, "slot %s: %s has the run of %s stopped\n", slot, who.ID, serial)
	return kiosk.Answer{Tone: kiosk.Attention, Said: *said(kiosk.WordStops, fmt.Sprintf("slot %s: the run of %s stops where nothing is half done", slot, serial), "", "slot", slot, "serial", serial)}, nil
}

// ask has do done on the goroutine of a job's line, and returns all that was decided. It is not begun once ctx is over, nor for who is not any more who they were when they asked; where it was begun its end is waited for: whatever that goroutine
// waits for has a limit of its own.
func (f *floor) ask(ctx context.Context, j *floorJob, who kiosk.Who, do func() []provision.Decision) ([]provision.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var changed error
	a := ask{who: who, done: make(chan []provision.Decision, 1), do: func() []provision.Decision {
		if changed = kiosk.Still(ctx); changed != nil {
			return nil
		}
		return do()
	}}
	f.mu.Lock()
	asks, over := j.asks, j.over
	f.mu.Unlock()
	if err := ctx.Err(); err != nil { // or the select below tosses a coin
		return nil, err
	}
	select {
	case asks <- a:
	case <-over:
		return nil, f.over()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case done := <-a.done:
		return done, changed
	case <-over: // what was done ended it, or a fault of this program did
	}
	select {
	case done := <-a.done:
		return done, changed
	default:
		return nil, f.over()
	}
}

// alone has do done while nothing of a unit is under way, and nothing of it can begin: on the goroutine of the line, where there is one. running tells that something is, and that do
// was not done.
func (f *floor) alone(ctx context.Context, who kiosk.Who, serial string, do func() error) (running bool, err error) {
	j := f.present()
	if j == nil || f.lineOf(j) == nil {
		if err := f.hold(ctx); err != nil {
			return false, err
		}
		defer f.pass()
		j = f.present() // one may have begun by now
	}
	if j == nil || f.lineOf(j) == nil {
		if f.directing(serial) {
			return true, nil
		}
		return false, do()
	}
	_, asked := f.ask(ctx, j, who, func() []provision.Decision {
		running = slices.ContainsFunc(j.line.line.Slots(), func(s provision.SlotStatus) bool { return s.State == provision.Running && s.Serial == serial })
		if !running {
			err = do()
		}
		return nil
	})
	return running, cmp.Or(asked, err)
}

// over is why a line takes nothing any more.
func (f *floor) over() error {
	if f.ctx.Err() != nil {
		return conflict(ends())
	}
	return conflict(noJob())
}

func ends() *kiosk.Said { return said(kiosk.WordEnds, "the station is about to end", "") }

func noJob() *kiosk.Said {
	return said(kiosk.WordNoJob, "nothing is made now: no job is open", "Begin a job first.")
}

// What a Tell of a line is, as an answer to whoever scanned or did something; any other says that it was not taken.
var (
	goodWords      = []string{provision.WordReleased, provision.WordGivenUp, provision.WordNoValue}
	attentionWords = []string{provision.WordOutRunning, provision.WordOutLost, provision.WordStoppedBoards, provision.WordStoppedContacts, provision.WordStoppedFixture,
		provision.WordOpenPerson, provision.WordOpenRecipe, provision.WordOpenScanned, provision.WordOpenNowhere, provision.WordOpenStopped, provision.WordOpenHeld, provision.WordOpenWaits, provision.WordAllRunning}
)

// answerOf is the one thing of all that was decided that whoever had it decided is told: that it was refused or not taken, what was done, what a person has to see to,
// what comes next.
func answerOf(all []provision.Decision) kiosk.Answer {
	begun := 0
	best, rank, tone := provision.Decision{}, 99, kiosk.Silent
	for _, d := range all {
		r, t := 0, kiosk.Accept
		switch d.Do {
		case provision.Begin:
			begun++
			r = 3
		case provision.Refuse:
			r, t = 0, kiosk.Reject
		case provision.Tell:
			switch {
			case slices.Contains(goodWords, d.Word):
				r = 5
			case slices.Contains(attentionWords, d.Word):
				r, t = 4, kiosk.Attention
			default:
				r, t = 1, kiosk.Reject
			}
		case provision.Arm, provision.Acknowledged:
			r = 2
		case provision.Ask:
			if r = 7; d.Serial != "" {
				r = 2
			}
		case provision.Empty:
			r, t = 6, kiosk.Attention
		default:
			continue
		}
		if r < rank {
			best, rank, tone = d, r, t
		}
	}
	switch {
	case rank == 3 && begun > 1:
		return kiosk.Answer{Tone: tone, Said: *said(kiosk.WordGoOn, fmt.Sprintf("%d runs go on", begun), "", "count", fmt.Sprint(begun))}
	case rank == 3:
		return kiosk.Answer{Tone: tone, Said: *said(kiosk.WordBegun, fmt.Sprintf("slot %s: the run of %s begins", best.Slot, best.Serial), "", "slot", best.Slot, "serial", best.Serial)}
	}
	return kiosk.Answer{Tone: tone, Said: *saidOf(best)}
}

// full says so where a serial would be one more than the job is for, those under way included; nil where it would not.
func (j *floorJob) full(code string) *kiosk.Said {
	resumes := code == provision.CardResume
	if j.Quantity == 0 || !resumes && (!j.recipe.MatchSerial(code) || j.succeeded(code)) {
		return nil
	}
	running := 0
	for _, s := range j.line.line.Slots() {
		switch s.State {
		case provision.Scanned, provision.Armed:
			if resumes {
				running++
				break
			}
			return nil // it may be a value, or the board that is waited for, and the line knows
		case provision.Running:
			if running++; s.Serial == code {
				return nil // one of those, and the line says where
			}
		}
	}
	passed, _, _ := j.count()
	if passed+running < j.Quantity {
		return nil
	}
	next := "Close the job."
	if passed < j.Quantity {
		next = "Wait until the runs have ended."
	}
	return said(kiosk.WordJobFull, fmt.Sprintf("%s was not taken: the job is for %d units, %d have passed and %d are under way", code, j.Quantity, passed, running), next,
		"code", code, "passed", fmt.Sprint(passed), "running", fmt.Sprint(running), "quantity", fmt.Sprint(j.Quantity))
}

// room leaves out the open runs whose boards are in slots and that would be more than the job is for. It is called on the goroutine of the line.
func (j *floorJob) room(open []ledger.Run) []ledger.Run {
	if j.Quantity == 0 {
		return open
	}
	passed, _, _ := j.count()
	left, here := j.Quantity-passed, map[string]bool{}
	for _, s := range j.line.line.Slots() {
		switch s.State {
		case provision.Running, provision.Scanned, provision.Armed:
			left--
		case provision.Occupied:
			here[s.UID] = s.UID != "" && !s.Stopped && !s.Held
		}
	}
	return slices.DeleteFunc(open, func(r ledger.Run) bool {
		if r.Stuck != nil || r.Start.Recipe.Digest != j.Recipe.Digest || !here[r.Start.Chip.UID] || j.succeeded(r.Serial) {
			return false
		}
		left--
		return left < 0
	})
}

// names joins them for a sentence.
func names(all []string) string { return strings.Join(all, ", ") }
