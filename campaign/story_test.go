package campaign

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"station/ledger"
	"station/provision"
)

const (
	roundsWithFaults = 4
	roundsWithout    = 3
)

// rejected is counted, and no violation: a good chip cannot always be told from a bad one over wires that flip bits.
const rejected = "of these FAIL, good chips over wires that flip bits"

const mixedUp = "labels mixed up"

// live is the story of a seed: rounds in which an operator puts boards into slots and scans them, with faults, and then some without, so
// that every unit is settled as far as it can be.
func (w *world) live() {
	w.start()
	for round := range roundsWithFaults + roundsWithout {
		w.round(round < roundsWithFaults)
		if len(w.bad) > 0 || round >= roundsWithFaults && w.done() {
			break
		}
	}
	if len(w.bad) == 0 {
		w.checkEnd()
	}
	w.stop()
	if len(w.bad) == 0 && w.mirror != "" {
		w.checkMirror()
	}
	if err := w.sim.Close(); err != nil {
		w.violate("%v", err)
	}
}

// done: no unit is left that can still pass.
func (w *world) done() bool {
	return !slices.ContainsFunc(w.boards, func(b *board) bool { return !b.passed && !b.failed && !b.closed })
}

func (w *world) round(faults bool) {
	w.upset, w.faulty = false, faults
	w.plug()
	orders := map[*slot]provision.Order{}
	wrong := map[*slot]bool{}
	boards := w.choose(faults)
	for i, s := range w.slots {
		s.hit, s.plan, s.serial = false, nil, ""
		if b := boards[i]; b != nil {
			w.seat(s, b)
			s.serial = b.serial
			orders[s] = provision.Order{Recipe: w.recipe, Serial: b.serial, Values: w.scanned(b), Slot: s.name, Operator: "op-1"}
		}
	}
	if a, b := w.slots[0], w.slots[w.dice.IntN(len(w.slots))]; faults && a != b && w.dice.IntN(8) == 0 && orders[a].Serial != "" && orders[b].Serial != "" && (a.board.begun || b.board.begun) {
		// Two labels were mixed up.
		w.faults[mixedUp]++
		wrong[a], wrong[b] = true, true
		orders[a], orders[b] = swapped(orders[a], orders[b])
		a.serial, b.serial = b.serial, a.serial
	}
	if faults {
		for range 1 + w.dice.IntN(4) {
			s := w.slots[w.dice.IntN(len(w.slots))]
			s.plan = append(s.plan, w.draw(s))
		}
	}
	results := w.run(orders)
	w.swaps = nil
	w.pull(false)
	w.judge(results, wrong)
	if w.upset || w.dice.IntN(4) == 0 {
		w.stop()
		if w.dice.IntN(3) == 0 { // the computer was off, and its USB with it
			if err := w.sim.Close(); err != nil {
				w.violate("%v", err)
			}
		}
		w.start()
	}
	if !faults {
		w.close(results)
	}
}

// scanned are the values that a board brings.
func (w *world) scanned(b *board) map[string]string {
	if !w.values {
		return nil
	}
	return map[string]string{"mac": fmt.Sprintf("%X", b.mac)}
}

func swapped(a, b provision.Order) (provision.Order, provision.Order) {
	a.Slot, b.Slot = b.Slot, a.Slot
	return b, a
}

// close closes some of the units of which the station says that only a person can decide.
func (w *world) close(results map[*slot]provision.Result) {
	for _, s := range w.slots {
		res := results[s]
		if res.Outcome != ledger.Interrupted || w.dice.IntN(2) == 0 {
			continue
		}
		if _, err := w.db.Append(ctx, ledger.UnitClose{Run: res.Run, Serial: res.Serial, As: ledger.Scrapped, Reason: res.Cause, By: "lead-1"}); err != nil {
			w.violate("closing %s: %v", res.Serial, err)
		}
		w.boardOf(res.Serial).closed = true
	}
}

// choose draws boards for the slots: those that have not passed, and now and then one that has.
func (w *world) choose(faults bool) []*board {
	out := make([]*board, len(w.slots))
	left := slices.Clone(w.boards)
	w.dice.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	i := 0
	for _, b := range left {
		if i == len(out) {
			break
		}
		if (b.passed || b.failed || b.closed) && w.dice.IntN(8) > 0 {
			continue
		}
		if faults && w.dice.IntN(8) == 0 {
			i++ // stays empty
			continue
		}
		out[i] = b
		i++
	}
	w.dice.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// seat brings a board into a slot. One that is there already and has power may stay.
func (w *world) seat(s *slot, b *board) {
	stays := s.board == b && b.chip.Powered() && !b.sick && w.dice.IntN(2) == 0
	b.heal()
	if stays {
		return
	}
	if b.slot != nil {
		w.takeOut(b.slot)
	}
	w.takeOut(s)
	w.putIn(s, b)
}

// judge holds what the operator was told against what happened.
func (w *world) judge(results map[*slot]provision.Result, wrong map[*slot]bool) {
	for _, s := range w.slots {
		res, ok := results[s]
		if !ok {
			continue
		}
		s.note("%s %s %s", res.Serial, res.Outcome, res.Cause)
		b := w.boardOf(res.Serial)
		w.ends[strings.TrimSpace(string(res.Outcome)+" "+res.Cause)]++
		if res.Outcome == ledger.Pass {
			w.passes[res.Run] = res.Serial
			b.passed = true
			if b.born != "" {
				w.violate("%s passed, and its chip lies: %s", b.serial, b.born)
			}
		}
		if res.Outcome == ledger.Fail && b.noisy && b.born == "" && !b.sick && !b.torn() {
			w.ends[rejected]++
		}
		b.failed = b.failed || res.Outcome == ledger.Fail
		if res.Outcome != ledger.Pass && (res.Message == "" || res.Next == "") {
			w.violate("%s %s %s: no sentence, or nothing to do", b.serial, res.Outcome, res.Cause)
		}
		switch {
		case s.hit || w.upset: // anything that is true
		case wrong[s]:
			if res.Outcome != ledger.Refused || res.Cause != "chip-known" && res.Cause != "serial-known" {
				w.violate("%s was scanned for another board, and ends %s %s (%v)", res.Serial, res.Outcome, res.Cause, res.Err)
			}
		case b.closed:
			if res.Outcome != ledger.Refused || res.Cause != "closed" {
				w.violate("%s was closed, and ends %s %s", res.Serial, res.Outcome, res.Cause)
			}
		case b.excused():
		case res.Outcome != ledger.Pass:
			w.violate("%s ends %s %s (%v), and no fault happened to it", res.Serial, res.Outcome, res.Cause, res.Err)
		}
	}
}

var ctx = context.Background()
