package campaign

import (
	"context"
	"errors"
	"slices"
	"testing/synctest"
	"time"

	"station/provision"
)

// errDead is what everything answers once the station is dead.
var errDead = errors.New("the station is dead")

// transferTime passes with each step of a slot, so that slots that wait for a time are not the last.
const transferTime = 100 * time.Microsecond

// moment is where a slot is when it asks for leave to go on.
type moment string

const (
	begins    moment = "begins"
	transfers moment = "transfers" // is about to send a USB transfer
	commits   moment = "commits"   // is about to commit
	committed moment = "committed" // has committed, and does not know it yet
)

// ticket is a slot that asks.
type ticket struct {
	slot   *slot
	at     moment
	answer chan leave
}

// leave is what it gets: what is to happen to it.
type leave struct {
	fault *fault // nil: nothing
	err   error
}

// ask waits for the slot's turn.
func (s *slot) ask(at moment) leave {
	if s.w.dead.Load() {
		return leave{err: errDead}
	}
	t := &ticket{s, at, make(chan leave)}
	s.w.tickets <- t
	return <-t.answer
}

// serve lets one slot at a time go on to its next moment, in an order drawn from the seed, until all orders are over. Between two
// moments whatever a slot does is over before the next one goes on, so that the story is the same at every run of the seed.
func (w *world) serve(orders int) {
	var waiting []*ticket
	for ended := 0; ended < orders; {
		synctest.Wait()
		for more := true; more; {
			select {
			case t := <-w.tickets:
				waiting = append(waiting, t)
			case <-w.over:
				ended++
			default:
				more = false
			}
		}
		if len(waiting) == 0 {
			if ended == orders {
				return
			}
			select { // all of them wait for a time
			case t := <-w.tickets:
				waiting = append(waiting, t)
			case <-w.over:
				ended++
			case <-time.After(w.swapDue()):
			}
			continue
		}
		w.swapDue()
		slices.SortFunc(waiting, func(a, b *ticket) int { return a.slot.n - b.slot.n })
		i := w.dice.IntN(len(waiting))
		t := waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		t.answer <- w.leave(t)
		if !w.paced {
			time.Sleep(transferTime)
		}
	}
}

// leave is what happens to a slot at this moment of the story.
func (w *world) leave(t *ticket) leave {
	if w.dead.Load() {
		return leave{err: errDead}
	}
	s := t.slot
	s.moments++
	s.note(step, t.at)
	w.grants++
	for i, f := range s.plan {
		if !f.due(s) || !f.kind.fits(t.at) {
			continue
		}
		s.plan = slices.Delete(s.plan, i, i+1)
		w.count(s, f)
		s.note("FAULT %s", f)
		if f.kind.chip != nil {
			if s.board != nil {
				f.kind.chip(s.board, f)
			}
			return leave{}
		}
		if f.kind.now != nil {
			f.kind.now(w, s, f)
			return leave{}
		}
		return leave{fault: f}
	}
	return leave{}
}

// run carries out orders, one in each of their slots, at the same time.
func (w *world) run(orders map[*slot]provision.Order) map[*slot]provision.Result {
	results := map[*slot]provision.Result{}
	for _, s := range w.slots {
		o, ok := orders[s]
		if !ok {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.cancel, s.moments, s.intent = cancel, 0, ""
		result := new(provision.Result)
		s.result = result
		go func() {
			defer func() { w.over <- s }()
			defer cancel()
			s.ask(begins)
			*result = s.w.engine.Run(ctx, o)
		}()
	}
	w.serve(len(orders))
	for s := range orders {
		results[s] = *s.result
	}
	return results
}
