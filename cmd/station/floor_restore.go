package main

import (
	"context"
	"fmt"

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
		why = f.ready(ctx, j.File, r, j.Trial)
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
	return why
}

// recountStep is how many entries are read at once.
const recountStep = 1000

// recount counts the units of a job by the entries from an index on, and finds the FAILs that nobody acknowledged and the last run of each slot.
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
	r := kiosk.Result{Outcome: b.Outcome, Cause: b.Cause, Message: b.Message, Next: b.Next, Run: b.Run, Code: kiosk.CodeOf(b.Run), Duration: b.Duration,
		Report: b.Outcome != ledger.Refused}
	l := lastRun{serial: b.Serial, result: r}
	if b.Chip != nil {
		l.uid = b.Chip.UID
	}
	j.last[b.Slot] = l
}

// recall shows the last result of a slot that was looked at for the first time since the program's start: where the same chip is still in it, or its FAIL waits.
func (j *floorJob) recall(wall *kiosk.Wall, all []provision.SlotStatus) {
	for _, s := range all {
		l, is := j.last[s.Slot]
		if !is || s.State == provision.Unseen {
			continue
		}
		delete(j.last, s.Slot)
		if s.Held || s.There && s.State == provision.Occupied && s.UID == l.uid && l.uid != "" {
			wall.Result(s.Slot, l.serial, &l.result, s.There)
		}
	}
}
