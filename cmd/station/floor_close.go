package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// closeJob ends the job. What was scanned and not begun is given up. A card does so where all are made, or where it is scanned once more.
func (f *floor) closeJob(ctx context.Context, who kiosk.Who, card bool) (kiosk.Answer, error) {
	if err := f.turn(ctx); err != nil {
		return kiosk.Answer{}, err
	}
	defer f.pass()
	j := f.present()
	if j == nil {
		return kiosk.Answer{}, conflict(noJob())
	}
	if card { // what is refused is not asked for
		if _, err := f.still(ctx, j, who, func() []provision.Decision { return nil }); err != nil {
			return kiosk.Answer{}, err
		}
		if asks := f.closeAsks(j, who); asks != nil {
			return kiosk.Answer{Tone: kiosk.Attention, Said: *asks}, nil
		}
	}
	lost, err := f.still(ctx, j, who, func() []provision.Decision {
		if j.line == nil {
			return nil
		}
		j.line.asks = nil
		return j.line.line.End()
	})
	if err != nil {
		return kiosk.Answer{}, err
	}
	if f.lineOf(j) != nil {
		f.leave(j)
	}
	runs, err := f.bench.db.OpenRuns()
	if err != nil {
		return kiosk.Answer{}, err
	}
	runs = slices.DeleteFunc(runs, func(r ledger.Run) bool { return r.Start.Recipe.Digest != j.Recipe.Digest })
	passed, failed, _ := j.count()
	if err := f.append(ledger.JobEnd{Job: j.Job, By: who.ID, Authenticated: who.Authenticated, Passed: passed, Failed: failed, Open: serialsOf(runs)}); err != nil {
		return kiosk.Answer{}, err
	}
	f.mu.Lock()
	f.job = nil
	f.mu.Unlock()
	f.wall.Job(nil)
	f.wall.Said("", nil)
	if lost != "" {
		return kiosk.Answer{Tone: kiosk.Attention, Said: *said(kiosk.WordJobLost, fmt.Sprintf("the job is closed: %s, %d passed and %d failed; %s was scanned and not put in", j.Recipe.Title, passed, failed, lost),
			"It was not begun.", "recipe", j.Recipe.Title, "passed", fmt.Sprint(passed), "failed", fmt.Sprint(failed), "serial", lost)}, nil
	}
	return kiosk.Answer{Tone: kiosk.Accept, Said: *said(kiosk.WordJobClosed, fmt.Sprintf("the job is closed: %s, %d passed and %d failed", j.Recipe.Title, passed, failed), "",
		"recipe", j.Recipe.Title, "passed", fmt.Sprint(passed), "failed", fmt.Sprint(failed))}, nil
}

// still has do done where nothing is under way in a job and no FAIL waits: on the goroutine of its line, where it has one. lost is the unit that was scanned and not put in, "" for none.
// f.deeds is held.
func (f *floor) still(ctx context.Context, j *floorJob, who kiosk.Who, do func() []provision.Decision) (lost string, why error) {
	look := func() []provision.Decision {
		var running []string
		if j.line != nil {
			for _, s := range j.line.line.Slots() {
				switch s.State {
				case provision.Running:
					running = append(running, s.Slot)
				case provision.Scanned, provision.Armed:
					lost = s.Serial
				}
			}
		}
		switch fails := j.heldSerials(); {
		case len(running) > 0:
			why = conflict(said(kiosk.WordUnderWay, "runs are under way in slots "+names(running), "Wait until they have ended, or stop them.", "slots", names(running)))
		case len(fails) > 0:
			why = conflict(said(kiosk.WordFailsWait, "the FAIL of "+names(fails)+" is not acknowledged", "Put the board into the reject bin, and scan "+provision.CardReject+".", "serials", names(fails)))
		default:
			return do()
		}
		return nil
	}
	if f.lineOf(j) == nil {
		look()
		return lost, why
	}
	_, err := f.ask(ctx, j, who, look)
	return lost, cmp.Or(err, why)
}

// leave ends the line of a job in which nothing is under way, and that asks for nothing any more. f.deeds is held.
func (f *floor) leave(j *floorJob) {
	close(j.lines)
	<-j.over
	var left []provision.SlotStatus
	for _, name := range f.bench.config.usable() {
		f.wall.Problem(name, nil)
		f.wall.Said(name, nil)
		left = append(left, provision.SlotStatus{Slot: name, State: kiosk.Unwatched, There: f.there(name)}) // as it was seen last
	}
	f.mu.Lock()
	j.line, f.slots = nil, nil
	clear(f.blind)
	clear(j.seen)
	f.showOpen() // nobody sees any more where their boards are
	f.mu.Unlock()
	f.wall.Slots(left)
	f.wall.Job(j.shown()) // it is open until the ledger has its end
}
