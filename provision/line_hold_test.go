package provision

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"station/ledger"
)

// holding is a line of three empty slots in which FAILs wait, and ways to have a unit end there, to take its board out, and to scan a card.
func holding(t *testing.T, before ...Held) (l *Line, end func(slot, serial string, o ledger.Outcome), out func(slot string), scan func(code string) []Decision) {
	l = NewLine(recipe(t, 1, full), []string{"1", "2", "3"}, nil)
	l.HoldFails(before...)
	for _, slot := range []string{"1", "2", "3"} {
		l.Seen(slot, false, "")
	}
	now := time.Unix(1e9, 0)
	scan = func(code string) []Decision {
		now = now.Add(repeatTime)
		return l.Scan(now, code)
	}
	end = func(slot, serial string, o ledger.Outcome) {
		scan(LabelSlot + slot)
		scan(serial)
		l.Seen(slot, true, "U"+serial)
		if got := l.Ended(slot, Result{Run: "r" + serial, Serial: serial, Outcome: o, Cause: "verify-mismatch"}); len(got) == 0 || got[0].Word != WordDone {
			t.Helper()
			t.Fatalf("%s in slot %s: %+v", serial, slot, got)
		}
	}
	return l, end, func(slot string) { l.Seen(slot, false, "") }, scan
}

func held(l *Line) (slots []string) {
	for _, s := range l.Slots() {
		if s.Held {
			slots = append(slots, s.Slot)
		}
	}
	return slots
}

// TestHeld: a FAIL, and nothing else, keeps its slot from the next board; the card is for the boards in the order in which they came out, the button for its slot.
func TestHeld(t *testing.T) {
	l, end, out, scan := holding(t)
	want := func(what string, all []Decision, text string, slots ...string) {
		t.Helper()
		if got := said(all); got != text || !slices.Equal(held(l), slots) {
			t.Errorf("%s: %s, held %v; want %s, %v", what, got, held(l), text, slots)
		}
	}
	want("nothing waits", scan("REJECT"), "tell")
	end("1", "S1", ledger.Fail)
	end("2", "S2", ledger.Fail)
	end("3", "S3", ledger.Error)
	out("3")
	want("all boards are in", scan("REJECT"), "tell 1 S1", "1", "2")
	out("2")
	want("the label of a slot", scan("SLOT:2"), "tell 2", "1", "2")
	want("the next board", scan("S4"), "arm 3 S4", "1", "2")
	want("which is given up", l.Cancel(), "tell S4, ask 3", "1", "2")
	out("1")
	all := scan("REJECT")
	want("2 came out first", all, "acknowledged 2 S2, ask 2", "1")
	if d := all[0]; d.Facts["run"] != "rS2" || d.Facts["how"] != "card" || d.Word != WordAcknowledged {
		t.Errorf("%+v", d)
	}
	want("a look at what is out", l.Seen("1", false, ""), "", "1")
	want("then 1", scan("REJECT"), "acknowledged 1 S1, ask 1")
	want("then none", scan("REJECT"), "tell")
	end("1", "S1", ledger.Fail)
	end("2", "S2", ledger.Fail)
	all = l.Acknowledge("1")
	want("the button, with the board in", all, "acknowledged 1 S1", "2")
	if d := all[0]; d.Facts["run"] != "rS1" || d.Facts["how"] != "button" {
		t.Errorf("%+v", d)
	}
	want("again", l.Acknowledge("1"), "tell 1", "2")
	want("which must come out all the same", scan("SLOT:1"), "tell 1", "2")
	want("of no slot", l.Acknowledge("9"), "tell", "2")
	out("1")
	want("and then the slot is free", scan("SLOT:1"), "ask 1", "2")
	out("2")
	l.Seen("2", true, "US2") // it is put back
	want("a board in its slot is not in the bin", scan("REJECT"), "tell 2 S2", "2")
	out("2")
	want("out again", scan("REJECT"), "acknowledged 2 S2")
	for _, o := range []ledger.Outcome{ledger.Pass, ledger.Trial, ledger.Aborted, ledger.Interrupted, ledger.Refused} {
		end("1", "S1", o)
		want(string(o), nil, "")
		out("1")
	}
}

// TestHeldFromBefore: FAILs of before a restart wait as they did: what is in the slot then must come out first. Those of a slot that is not there any more count as out.
func TestHeldFromBefore(t *testing.T) {
	l := NewLine(recipe(t, 1, full), []string{"1", "2"}, []ledger.Run{})
	l.HoldFails(Held{Slot: "2", Serial: "S2", Run: "r2"}, Held{Slot: "1", Serial: "S1", Run: "r1"}, Held{Slot: "left", Serial: "S3", Run: "r3"})
	now := time.Unix(1e9, 0)
	reject := func(want string) {
		t.Helper()
		now = now.Add(repeatTime)
		if got := said(l.Scan(now, "REJECT")); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	reject("acknowledged left S3")
	reject("tell 2 S2") // nobody has looked yet
	l.Seen("1", false, "")
	l.Seen("2", true, "U9")
	open := ledger.Run{Serial: "S9", Slot: "2", Start: &ledger.RunStart{Recipe: ledger.Recipe{Digest: l.recipe.Digest()}, Chip: ledger.Chip{UID: "U9"}}}
	if got := l.Resume([]ledger.Run{open}); said(got) != "tell 2 S9" || got[0].Word != WordOpenHeld {
		t.Errorf("%+v", got)
	}
	reject("acknowledged 1 S1, ask 1")
	reject("tell 2 S2")
	l.Acknowledge("2")
	if got := said(l.Resume([]ledger.Run{open})); got != "begin 2 S9" {
		t.Errorf("resumed when it is acknowledged: %s", got)
	}
}

// TestNotHeld: where nobody asked for it nothing waits, and the card says so, as often as it is scanned. It is a card as any, and may come as one code with a serial.
func TestNotHeld(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	now := time.Unix(1e9, 0)
	l.Scan(now, "S1")
	l.Seen("1", true, "U1")
	want("a FAIL", l.Ended("1", Result{Serial: "S1", Outcome: ledger.Fail}), "empty 1 S1")
	want("and its board out", l.Seen("1", false, ""), "ask 1")
	want("the card", l.Scan(now, "REJECT"), "tell")
	word := func(code, want string) {
		t.Helper()
		if got := l.Scan(now, code); len(got) == 0 || got[0].Word != want {
			t.Errorf("%s: %+v, want %s", code, got, want)
		}
	}
	word("REJECT", WordNoFail)
	l.Scan(now, "SLOT:1")
	word("REJECT", WordNoFail)
	word("S1REJECT", WordTwoCodes)
	want("the next board", l.Scan(now.Add(repeatTime), "S1"), "arm 1 S1")
}

// TestSlots: what is told of slots is where they stand, through a run; and the buttons do what the cards do.
func TestSlots(t *testing.T) {
	l := NewLine(recipe(t, 1, full), []string{"b", "a"}, nil)
	want := func(what string, b, a SlotStatus) {
		t.Helper()
		b.Slot, a.Slot = "b", "a"
		if diff := cmp.Diff([]SlotStatus{b, a}, l.Slots()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	want("at first", SlotStatus{State: Unseen}, SlotStatus{State: Unseen})
	l.Seen("b", false, "")
	l.Seen("a", true, "U7")
	want("seen", SlotStatus{State: Free}, SlotStatus{State: Occupied, UID: "U7", There: true})
	now := time.Unix(1e9, 0)
	l.Scan(now, "S1")
	want("armed", SlotStatus{State: Armed, Serial: "S1"}, SlotStatus{State: Occupied, UID: "U7", There: true})
	if got := said(l.Cancel()); got != "tell S1, ask b" {
		t.Errorf("%s", got)
	}
	want("given up", SlotStatus{State: Free, Serial: "S1"}, SlotStatus{State: Occupied, UID: "U7", There: true})
	l.Scan(now, "S1") // at once: what is scanned after giving up is meant
	l.Seen("b", true, "U1")
	want("running", SlotStatus{State: Running, Serial: "S1", UID: "U1", There: true}, SlotStatus{State: Occupied, UID: "U7", There: true})
	l.slot("b").bad = make([]Result, tooMany-1)
	l.Ended("b", Result{Serial: "S1", Outcome: ledger.Fail})
	want("stopped", SlotStatus{State: Occupied, Serial: "S1", UID: "U1", There: true, Stopped: true}, SlotStatus{State: Occupied, UID: "U7", There: true})
	for slot, text := range map[string]string{"b": WordReleased, "a": WordNotStopped, "c": WordNoSuchSlot} {
		if got := l.Release(slot); len(got) != 1 || got[0].Word != text {
			t.Errorf("%s: %+v", slot, got)
		}
	}
	l.Seen("b", false, "")
	want("out", SlotStatus{State: Free, Serial: "S1"}, SlotStatus{State: Occupied, UID: "U7", There: true})
}
