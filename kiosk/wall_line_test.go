package kiosk

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"station/flash"
	"station/ledger"
	"station/provision"
	"station/recipes"
)

// bench is a line with boards and hands, and its wall.
type bench struct {
	t       *rapid.T
	line    *provision.Line
	w       *Wall
	now     time.Time
	in      map[string]string // UIDs of the boards in the slots
	binned  []string          // serials of FAILs, as they were acknowledged
	slots   []string
	units   int
	decided []provision.Decision
}

// did is what becomes of an event of the line.
func (b *bench) did(all []provision.Decision) {
	b.decided = all
	for _, d := range all {
		b.w.Slots(b.line.Slots())
		switch d.Do {
		case provision.Begin, provision.Recall:
		case provision.Refuse:
			b.units++
			b.w.Result(d.Slot, d.Serial, &Result{Outcome: ledger.Refused, Cause: d.Cause, Run: fmt.Sprintf("%016x", b.units)}, b.in[d.Slot] != "")
		default:
			if d.Do == provision.Acknowledged {
				b.binned = append(b.binned, d.Serial)
			}
			b.w.Said(d.Slot, &Said{Word: d.Word, Facts: d.Facts})
		}
	}
	b.w.Slots(b.line.Slots())
}

func (b *bench) scan(code string) {
	b.now = b.now.Add(4 * time.Second)
	b.did(b.line.Scan(b.now, code))
}

func (b *bench) put(slot string) {
	b.units++
	b.in[slot] = fmt.Sprintf("%032x", b.units)
	b.did(b.line.Seen(slot, true, b.in[slot]))
}

func (b *bench) take(slot string) {
	delete(b.in, slot)
	b.did(b.line.Seen(slot, false, ""))
}

func (b *bench) end(slot string, outcome ledger.Outcome) {
	b.units++
	one := b.w.mustTile(slot)
	r := provision.Result{Run: fmt.Sprintf("%016x", b.units), Serial: one.Serial, Slot: slot, Outcome: outcome}
	b.w.Event(provision.Event{Kind: provision.Ended, Slot: slot, Serial: one.Serial, Result: &r})
	b.did(b.line.Ended(slot, r))
}

func (b *bench) running() []string {
	var all []string
	for _, slot := range b.slots {
		if b.line.State(slot) == provision.Running {
			all = append(all, slot)
		}
	}
	return all
}

// obey does what the wall says is to be done, and nothing else.
func (b *bench) obey(next Said) {
	slot := next.Facts["slot"]
	switch next.Word {
	case NextPutIn:
		if b.in[slot] != "" {
			b.t.Fatalf("%q, and a board is in it", next.Text)
		}
		b.put(slot)
		if b.line.State(slot) != provision.Running {
			b.t.Fatalf("%q, and slot %s is %s", next.Text, slot, b.line.State(slot))
		}
	case NextNoShift:
		b.w.Shift(&Shift{})
	case NextTakeOut, NextTakeBin, NextEmpty:
		if b.in[slot] == "" {
			b.t.Fatalf("%q, and it is empty", next.Text)
		}
		b.take(slot)
	case NextTakeFail:
		b.take(slot)
		fallthrough
	case NextBin:
		before := len(b.binned)
		b.scan(next.Facts["card"])
		if len(b.binned) != before+1 || next.Word == NextBin && b.binned[before] != next.Facts["serial"] {
			b.t.Fatalf("%q, and acknowledged were %v", next.Text, b.binned[before:])
		}
	case NextStopped:
		b.scan(next.Facts["card"])
	case NextWait:
		b.end(b.running()[0], ledger.Pass)
	case NextLook:
		for _, slot := range b.slots {
			if b.line.State(slot) == provision.Unseen {
				b.did(b.line.Seen(slot, b.in[slot] != "", b.in[slot]))
			}
		}
	default:
		b.t.Fatalf("nobody can do %+v", next)
	}
}

// TestNextIsEnough: whatever happened before at a line, who does only what the wall says comes to where it takes the next board, and that board is for the slot that it names.
// On the way every FAIL is acknowledged by the name under which it lies in the operator's hand, and nothing that was told to be done cannot be.
func TestNextIsEnough(t *testing.T) {
	recipe, err := recipes.Parse("small.yaml", []byte(`schema: 1
recipe: small
version: 1
title: Small
parts: [MT25QL256ABA]
serial: '^S-[0-9]+$'
regions:
  boot: {at: 0, size: 64KiB}
elsewhere: keep
steps:
  - erase: {regions: [boot]}
`), flash.Parts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	followed := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		slots := []string{"1", "2", "3"}[:rapid.IntRange(1, 3).Draw(t, "slots")]
		b := &bench{t: t, slots: slots, line: provision.NewLine(recipe, slots, nil), now: time.Unix(1e9, 0), in: map[string]string{}, w: NewWall(WallOptions{Rows: [][]string{{"2", "1"}, {"3"}}})}
		b.line.HoldFails()
		b.w.Job(&Job{})
		b.did(nil)
		for range rapid.IntRange(0, 120).Draw(t, "events") {
			slot := rapid.SampledFrom(b.slots).Draw(t, "slot")
			switch rapid.SampledFrom([]string{"look", "scan", "put", "take", "end", "end", "card"}).Draw(t, "event") {
			case "look":
				b.did(b.line.Seen(slot, b.in[slot] != "", b.in[slot]))
			case "scan":
				b.units++
				b.scan(fmt.Sprintf("S-%d", b.units))
			case "put":
				if b.in[slot] == "" {
					b.put(slot)
				}
			case "take":
				b.take(slot)
			case "end":
				if all := b.running(); len(all) > 0 {
					b.end(rapid.SampledFrom(all).Draw(t, "running"), rapid.SampledFrom([]ledger.Outcome{ledger.Pass, ledger.Fail, ledger.Fail, ledger.Error, ledger.Refused}).Draw(t, "outcome"))
				}
			case "card":
				switch card := rapid.SampledFrom([]string{provision.CardReject, provision.CardCancel, provision.LabelSlot + slot, provision.CardRelease + slot, "button"}).Draw(t, "card"); card {
				case "button":
					b.did(b.line.Acknowledge(slot))
				default:
					b.scan(card)
				}
			}
		}
		for range 40 {
			next := b.w.State().Next
			followed[next.Word]++
			if next.Word == NextScan {
				b.units++
				serial := fmt.Sprintf("S-%d", b.units)
				b.scan(serial)
				if !slices.ContainsFunc(b.decided, func(d provision.Decision) bool {
					return d.Do == provision.Arm && d.Slot == next.Facts["slot"] && d.Serial == serial
				}) {
					t.Fatalf("%q, and it was decided %+v", next.Text, b.decided)
				}
				return
			}
			b.obey(next)
		}
		t.Fatalf("who does what the wall says does not get on: %+v", b.w.State())
	})
	for _, word := range []string{NextPutIn, NextEmpty, NextTakeFail} { // those that are not rare
		if followed[word] == 0 && !testing.Short() { // a fifth of the walks may have none
			t.Errorf("%s was never followed", word)
		}
	}
	t.Log(followed)
}
