package main

import (
	"context"
	"fmt"
	"slices"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// restore takes up the job and the shift that the ledger has open.
func (f *floor) restore() error {
	rec, is, err := f.bench.db.OpenShift()
	if err != nil {
		return err
	}
	if begin, ok := rec.Entry.Body.(ledger.ShiftBegin); is && ok {
		f.shift = &kiosk.Shift{By: begin.By, Begun: rec.Entry.Time, Checks: begin.Checks}
		f.wall.Shift(f.shift)
	}
	rec, is, err = f.bench.db.OpenJob()
	begin, ok := rec.Entry.Body.(ledger.JobBegin)
	if err != nil || !is || !ok {
		return err
	}
	j := newFloorJob(begin, rec.Entry.Time)
	if err := f.recount(j, rec.Index+1); err != nil {
		return err
	}
	f.job = j
	if f.bench.server != nil { // which may take its time
		f.wall.Job(j.shown())
		f.ended.Go(func() {
			defer crashed(f.app.stderr)
			f.making(f.ctx)
		})
		return nil
	}
	if f.goOn(f.ctx, j) != nil {
		f.wall.Job(j.shown())
	}
	return nil
}

// goOn opens the line of a job that the ledger has open. why says that it cannot go on as it was begun; it stays open, and can be closed. f.deeds is held, or nobody else has
// the floor yet.
func (f *floor) goOn(ctx context.Context, j *floorJob) (why *kiosk.Said) {
	r, why := f.recipeAt(j.File)
	switch {
	case why != nil:
		text := why.Facts["why"]
		if text == "" {
			text = why.Text
		}
		why = said(kiosk.WordJobGone, fmt.Sprintf("the recipe of the open job, %s, cannot be read: %s", j.File, text), "Bring it back, or close the job.", "file", j.File, "why", text)
	case r.Digest() != j.Recipe.Digest:
		why = said(kiosk.WordJobChanged, fmt.Sprintf("recipe %s is not what the open job was begun with", j.File), "Bring the earlier one back, or close the job.", "file", j.File)
	default:
		if err := f.ready(ctx, r, j.Trial); err != nil {
			why = said(kiosk.WordJobWaits, fmt.Sprintf("the job of %s cannot go on yet: %v", j.File, err), "Call the person who looks after the station.", "file", j.File, "why", err.Error())
		}
	}
	if why == nil {
		if err := f.start(j, r); err != nil {
			why = said(kiosk.WordTrouble, err.Error(), "", "why", err.Error())
		}
	}
	if why != nil {
		f.terminal.warn(why.Text)
		f.wall.Said("", why)
	}
	f.showHeld(j)
	return why
}

// showHeld shows the FAILs that wait and that no line tells the wall of: those of slots that take no boards any more, and, while the job has no line, all.
func (f *floor) showHeld(j *floorJob) {
	held := f.showElsewhere(j)
	if f.lineOf(j) != nil {
		return
	}
	var all []provision.SlotStatus
	for _, name := range f.bench.config.usable() {
		run := j.heldIn(name)
		if run == "" && f.tileOf(name).Held {
			f.wall.Result(name, "", nil, false)
		}
		all = append(all, provision.SlotStatus{Slot: name, State: kiosk.Unwatched, Held: run != ""})
	}
	f.wall.Slots(all)
	for _, h := range held {
		r, err := f.bench.db.Run(h.Run)
		if err != nil || r.End == nil {
			f.terminal.warn(fmt.Sprintf("slot %s: how the run of %s ended cannot be read: %v", h.Slot, h.Serial, err))
		} else if j.heldIn(h.Slot) == h.Run {
			f.wall.Result(h.Slot, h.Serial, resultOf(r), false)
		}
	}
}

// showElsewhere shows the FAILs that wait of slots that take no boards any more, and returns all that wait.
func (f *floor) showElsewhere(j *floorJob) (held []provision.Held) {
	j.mu.Lock()
	held = slices.Clone(j.held)
	j.mu.Unlock()
	usable := f.bench.config.usable()
	f.wall.Elsewhere(slices.DeleteFunc(slices.Clone(held), func(h provision.Held) bool { return slices.Contains(usable, h.Slot) }))
	return held
}

func (f *floor) tileOf(slot string) kiosk.Tile {
	s := f.wall.State()
	t, _ := s.Tile(slot)
	return t
}

// acknowledge takes what somebody says of a FAIL while the job that is open has no line, wherever the board is. is tells whether that is so.
func (f *floor) acknowledge(ctx context.Context, who kiosk.Who, do func(*provision.Line) []provision.Decision) (a kiosk.Answer, is bool, err error) {
	if j := f.present(); j == nil || f.lineOf(j) != nil {
		return a, false, nil
	}
	if err := f.turn(ctx); err != nil {
		return a, true, err
	}
	defer f.pass()
	j := f.present()
	if f.ctx.Err() != nil || j == nil || f.lineOf(j) != nil {
		return a, false, nil
	}
	if j.away == nil {
		j.away = provision.NewLine(nil, nil, nil)
		j.away.HoldFails(j.held...)
	}
	done := do(j.away)
	for _, d := range done {
		(&floorVoice{floor: f, job: j}).say(d, who)
	}
	f.showHeld(j)
	return answerOf(done), true, nil
}

// recountStep is how many entries are read at once.
const recountStep = 1000

// recount counts the units of a job by the entries from an index on, and finds the FAILs that nobody acknowledged.
func (f *floor) recount(j *floorJob, from int64) error {
	size, err := f.bench.db.Size()
	if err != nil {
		return err
	}
	ours := map[string]bool{} // runs with the job's recipe
	for ; from < size; from += recountStep {
		records, err := f.bench.db.Records(from, min(size, from+recountStep))
		if err != nil {
			return err
		}
		for _, rec := range records {
			switch b := rec.Entry.Body.(type) {
			case ledger.RunStart:
				if ours[b.Run] = b.Recipe.Digest == j.Recipe.Digest; ours[b.Run] {
					j.ended(b.Serial, ledger.Interrupted)
				}
			case ledger.RunResume:
				if _, known := ours[b.Run]; !known {
					run, err := f.bench.db.Run(b.Run)
					if err != nil {
						return err
					}
					ours[b.Run] = run.Recipe().Digest == j.Recipe.Digest
				}
				if ours[b.Run] {
					j.ended(b.Serial, ledger.Interrupted)
				}
			case ledger.RunEnd:
				if b.Recipe.Digest == j.Recipe.Digest {
					j.endedIn(b)
				}
			case ledger.FailAcknowledged:
				j.acknowledge(b.Run)
			}
		}
	}
	return nil
}

// endedIn takes the end of a run from before this program's start.
func (j *floorJob) endedIn(b ledger.RunEnd) {
	j.ended(b.Serial, b.Outcome)
	if b.Outcome == ledger.Fail {
		j.hold(provision.Held{Slot: b.Slot, Serial: b.Serial, Run: b.Run})
	}
}

// recall shows, in a slot that the line of a job looked at for the first time, how the run ended that was there last: where its FAIL waits, or where the chip is still in it. It is called
// on the goroutine of the line.
func (f *floor) recall(j *floorJob, all []provision.SlotStatus) {
	for _, s := range all {
		if s.State == provision.Unseen || j.seen[s.Slot] {
			continue
		}
		j.seen[s.Slot] = true
		r, err := f.lastIn(j, s)
		if err != nil {
			f.terminal.warn(fmt.Sprintf("slot %s: how its last run ended cannot be read: %v", s.Slot, err))
		} else if r != nil && r.End != nil && r.Slot == s.Slot {
			f.wall.Result(s.Slot, r.Serial, resultOf(*r), s.There)
		}
	}
}

// resultOf is how a run ended, as the ledger has it.
func resultOf(r ledger.Run) *kiosk.Result {
	e := r.End
	shown := &kiosk.Result{Outcome: e.Outcome, Cause: e.Cause, Message: e.Message, Next: e.Next, Run: r.ID, Code: kiosk.CodeOf(r.ID), Duration: e.Duration, Report: e.Outcome != ledger.Refused}
	if e.Chip != nil {
		shown.UID = e.Chip.UID
	}
	return shown
}

// lastIn is the run whose FAIL waits in a slot, or the newest one of the chip that is in it; nil for neither.
func (f *floor) lastIn(j *floorJob, s provision.SlotStatus) (*ledger.Run, error) {
	if s.Held {
		r, err := f.bench.db.Run(j.heldIn(s.Slot))
		return &r, err
	}
	if s.State != provision.Occupied || s.UID == "" {
		return nil, nil
	}
	runs, err := f.bench.db.Runs("", s.UID)
	if len(runs) == 0 {
		return nil, err
	}
	return &runs[len(runs)-1], err
}
