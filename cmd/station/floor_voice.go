package main

import (
	"fmt"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// floorVoice is the voice of a job's line on the wall. The terminal has all of it, too.
type floorVoice struct {
	*floor
	job *floorJob
}

func (v *floorVoice) say(d provision.Decision, who kiosk.Who) {
	v.terminal.say(d, who)
	if d.Do == provision.Acknowledged {
		err := v.append(ledger.FailAcknowledged{Run: d.Facts["run"], Serial: d.Serial, Slot: d.Slot, By: who.ID, Authenticated: who.Authenticated, How: d.Facts["how"]})
		if err != nil {
			v.unwritten(err)
		}
		v.job.acknowledge(d.Facts["run"])
		v.showElsewhere(v.job)
	}
	v.wall.Said(d.Slot, saidOf(d))
}

// unwritten tells that the ledger did not take an entry about people: what it says happened all the same, until the station starts again.
func (v *floorVoice) unwritten(err error) {
	v.terminal.warn("the ledger did not take an entry: " + err.Error())
	v.wall.Said("", said(kiosk.WordUnwritten, "the ledger did not take an entry: "+err.Error(), "Call the person who looks after the station.", "why", err.Error()))
}

func (v *floorVoice) result(o outcome) {
	v.terminal.next(o)
	if o.reportErr != nil {
		v.terminal.warn(fmt.Sprintf("slot %s, %s: the report could not be written: %v", o.Slot, o.Serial, o.reportErr))
	}
	r := kiosk.ResultOf(o.Result)
	r.Report = o.report != ""
	v.wall.Result(o.Slot, o.Serial, &r, v.there(o.Slot))
	if !o.Already {
		v.job.ended(o.Serial, o.Outcome)
		v.wall.Job(v.job.shown())
	}
	if o.Outcome == ledger.Fail {
		v.job.hold(provision.Held{Slot: o.Slot, Serial: o.Serial, Run: o.Run})
	}
	v.settle(o)
}

// there tells whether a board is in a slot, or may be.
func (f *floor) there(slot string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.slots {
		if s.Slot == slot {
			return s.There
		}
	}
	return false
}

func (v *floorVoice) sees(slot string, err error) {
	v.terminal.sees(slot, err)
	text := ""
	if err != nil {
		text = err.Error()
	}
	v.mu.Lock()
	same := v.blind[slot] == text
	v.blind[slot] = text
	v.mu.Unlock()
	switch {
	case same:
	case err == nil:
		v.wall.Problem(slot, nil)
	default:
		v.wall.Problem(slot, said(kiosk.WordCannotLook, fmt.Sprintf("slot %s cannot be looked at: %s", slot, text), "", "slot", slot, "why", text))
	}
}

func (v *floorVoice) stands(line *provision.Line) {
	all := line.Slots()
	v.mu.Lock()
	v.slots = all
	v.showOpen()
	v.mu.Unlock()
	v.wall.Slots(all)
	v.recall(v.job, all)
}
