package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"station/flash"
	"station/keyserver"
	"station/kiosk"
	"station/ledger"
	"station/provision"
	"station/store"
)

// beginShift looks at the station, and writes down what it found and who begins. A shift that nobody ended ends.
func (f *floor) beginShift(ctx context.Context, who kiosk.Who) (kiosk.Answer, error) {
	if err := f.turn(ctx); err != nil {
		return kiosk.Answer{}, err
	}
	defer f.pass()
	begin := ledger.ShiftBegin{By: who.ID, Authenticated: who.Authenticated, Checks: f.checks(ctx)}
	if err := kiosk.Still(ctx); err != nil { // the look took its time
		return kiosk.Answer{}, err
	}
	if err := f.append(begin); err != nil {
		return kiosk.Answer{}, err
	}
	f.setShift(&kiosk.Shift{By: who.ID, Begun: time.Now(), Checks: begin.Checks})
	var wrong []string
	for _, c := range begin.Checks {
		if !c.OK {
			wrong = append(wrong, c.Name+": "+c.Text)
		}
	}
	if len(wrong) > 0 {
		return kiosk.Answer{Tone: kiosk.Attention, Said: *said(kiosk.WordShiftFound, "the shift has begun, and this is not in order: "+names(wrong), "Call the person who looks after the station.", "why", names(wrong))}, nil
	}
	return kiosk.Answer{Tone: kiosk.Accept, Said: *said(kiosk.WordShiftBegun, "the shift has begun, and all is in order", "")}, nil
}

// endShift names what is left: units that are not settled, boards in slots, the open job. A card ends the shift where nothing is, or where it is scanned once more.
func (f *floor) endShift(ctx context.Context, who kiosk.Who, card bool) (kiosk.Answer, error) {
	if err := f.turn(ctx); err != nil {
		return kiosk.Answer{}, err
	}
	defer f.pass()
	f.mu.Lock()
	begun, job := f.shift != nil, f.job
	f.mu.Unlock()
	held := []string{}
	if job != nil {
		held = job.heldSerials()
	}
	if !begun {
		return kiosk.Answer{}, conflict(said(kiosk.WordNoShift, "no shift has begun", ""))
	}
	if job == nil || f.lineOf(job) == nil {
		// What was seen last may be long ago.
		f.lookSlots(ctx)
		if err := kiosk.Still(ctx); err != nil { // the look took its time
			return kiosk.Answer{}, err
		}
	}
	runs, err := f.bench.db.OpenRuns()
	if err != nil {
		return kiosk.Answer{}, err
	}
	end := ledger.ShiftEnd{By: who.ID, Authenticated: who.Authenticated, Open: serialsOf(runs), Held: held}
	units, slots, recipe := slices.Concat(end.Open, end.Held), f.boards(), ""
	if job != nil {
		recipe = cmp.Or(job.Recipe.Title, job.Recipe.ID)
	}
	var left, facts []string
	for _, l := range []struct{ name, text, fact string }{{"serials", "units that are not settled: ", names(units)}, {"slots", "a board is in slot ", names(slots)}, {"recipe", "the job is open: ", recipe}} {
		if l.fact != "" {
			left, facts = append(left, l.text+l.fact), append(facts, l.name, l.fact)
		}
	}
	text := strings.Join(left, "; ")
	if card && left != nil && !f.again.scanned("end shift "+who.ID, time.Now()) {
		return kiosk.Answer{Tone: kiosk.Attention, Said: *said(kiosk.WordShiftAgain, text+": scan "+kiosk.CardEndShift+" again to end the shift", "", append(facts, "card", kiosk.CardEndShift)...)}, nil
	}
	if err := f.append(end); err != nil {
		return kiosk.Answer{}, err
	}
	f.setShift(nil)
	if left != nil {
		return kiosk.Answer{Tone: kiosk.Attention, Said: *said(kiosk.WordShiftLeft, "the shift has ended; "+text, "Hand it over by name.", facts...)}, nil
	}
	return kiosk.Answer{Tone: kiosk.Accept, Said: *said(kiosk.WordShiftEnded, "the shift has ended, and every unit is settled", "")}, nil
}

// boards are the slots with boards that nothing is under way with, as the wall has them.
func (f *floor) boards() (slots []string) {
	for _, t := range slices.Concat(f.wall.State().Rows...) {
		if t.There && t.State != provision.Running {
			slots = append(slots, t.Slot)
		}
	}
	return slots
}

func (f *floor) setShift(s *kiosk.Shift) {
	f.mu.Lock()
	f.shift = s
	f.mu.Unlock()
	f.wall.Shift(s)
}

// checks is the station's look at itself.
func (f *floor) checks(ctx context.Context) []ledger.Check {
	all := f.checkSlots(ctx)
	return append(all, f.checkMirror(), f.checkCheckpoint(), f.checkDisk(), f.checkKeyServer(ctx))
}

// checkSlots tells what the line sees in its slots, or looks itself where there is no line: it reads the ID of whatever is there, which a programmer has to be there for.
func (f *floor) checkSlots(ctx context.Context) []ledger.Check {
	if j := f.present(); j != nil && f.lineOf(j) != nil {
		names := f.bench.config.usable()
		all := make([]ledger.Check, len(names))
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, name := range names {
			all[i] = ledger.Check{Name: "slot " + name, Text: "nobody has looked yet"}
			for _, s := range f.slots {
				if s.Slot == name && s.State != provision.Unseen {
					all[i].OK, all[i].Text = true, boardText(s.There)
				}
				switch {
				case s.Slot != name:
				case s.Held:
					all[i].OK, all[i].Text = false, slotHeld
				case s.Stopped:
					all[i].OK, all[i].Text = false, slotStopped
				}
			}
			if why := f.blind[name]; why != "" {
				all[i].OK, all[i].Text = false, why
			}
		}
		return all
	}
	return f.lookSlots(ctx)
}

// lookSlots looks at all slots while there is no line, and shows what is in them. f.deeds is held.
func (f *floor) lookSlots(ctx context.Context) []ledger.Check {
	names, j := f.bench.config.usable(), f.present()
	all, slots := make([]ledger.Check, len(names)), make([]provision.SlotStatus, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			defer crashed(f.app.stderr)
			e := eye{slot: name}
			there, _, err := e.glance(ctx, f.bench.rack, flash.Parts())
			if shut := e.close(); err == nil {
				err = shut
			}
			slots[i] = provision.SlotStatus{Slot: name, State: kiosk.Unwatched, There: err == nil && there || err != nil && f.tileOf(name).There, Held: j != nil && j.heldIn(name) != ""}
			switch {
			case err != nil:
				all[i] = ledger.Check{Name: "slot " + name, Text: err.Error()}
			case slots[i].Held:
				all[i] = ledger.Check{Name: "slot " + name, Text: slotHeld}
			case f.bench.rack.Volts(name) == 0:
				all[i] = ledger.Check{Name: "slot " + name, Text: "it does not say which voltage its fixture gives"}
			default:
				all[i] = ledger.Check{Name: "slot " + name, OK: true, Text: boardText(there)}
			}
		})
	}
	wg.Wait()
	f.wall.Slots(slots)
	return all
}

// What a check says of a slot that takes no board. The pages know both.
const (
	slotHeld    = "its FAIL is not acknowledged"
	slotStopped = "stopped after three in a row"
)

func boardText(there bool) string {
	if there {
		return "a board is in it"
	}
	return "empty"
}

func (f *floor) checkMirror() ledger.Check {
	where := f.bench.db.Mirror()
	return ledger.Check{Name: "mirror", OK: where != ledger.MirrorAway, Text: where}
}

// signWait is how long the newest entry may be without a checkpoint.
const signWait = 3 * time.Second

func (f *floor) checkCheckpoint() ledger.Check {
	c := ledger.Check{Name: "checkpoint"}
	size, err := f.bench.db.Size()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), signWait)
		defer cancel()
		_, err = f.bench.db.CheckpointFor(ctx, size-1)
	}
	var last ledger.Record
	if err == nil {
		last, err = f.bench.db.Entry(size - 1)
	}
	if err != nil {
		c.Text = err.Error()
		return c
	}
	c.OK, c.Text = true, fmt.Sprintf("all %d entries are signed for; the last is of %s", size, last.Entry.Time.UTC().Format(time.RFC3339))
	return c
}

func (f *floor) checkDisk() ledger.Check {
	c := ledger.Check{Name: "disk"}
	if err := f.bench.db.Room(); err != nil {
		c.Text = err.Error()
		return c
	}
	free, _, err := store.Free(f.bench.data)
	if err != nil {
		c.Text = err.Error()
		return c
	}
	c.OK, c.Text = true, fmt.Sprintf("%d MiB are free", free>>20)
	return c
}

// checkKeyServer asks the key server about a recipe: what it answers is its own, as long as it does.
func (f *floor) checkKeyServer(ctx context.Context) ledger.Check {
	c := ledger.Check{Name: "key server", OK: true, Text: ledger.MirrorNone}
	if f.bench.server == nil {
		return c
	}
	digest := ""
	if j := f.present(); j != nil {
		digest = j.Recipe.Digest
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err := f.bench.server.Ready(ctx, digest, nil)
	if told := new(keyserver.Error); err != nil && !(errors.As(err, &told) && told.Cause != "") {
		c.OK, c.Text = false, err.Error()
		return c
	}
	c.Text = fmt.Sprintf("it answers; the station's certificate ends in %s", counted(daysTo(f.bench.server.NotAfter(), time.Now()), "day"))
	return c
}
