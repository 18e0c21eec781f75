package provision

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"station/ledger"
	"station/sim/nor"
)

// said is decisions as words.
func said(all []Decision) string {
	var words []string
	for _, d := range all {
		words = append(words, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", d.Do, d.Slot, d.Serial)), " "))
	}
	return strings.Join(words, ", ")
}

// emptyLine is a line of two empty slots, and a check of what it decides.
func emptyLine(t *testing.T, steps, old, new string) (*Line, func(what string, all []Decision, want string)) {
	t.Helper()
	l := NewLine(editedRecipe(t, "MT25QL256ABA", steps, old, new), []string{"1", "2"}, nil)
	l.Seen("1", false, "")
	l.Seen("2", false, "")
	return l, func(what string, all []Decision, want string) {
		t.Helper()
		if got := said(all); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}

// TestRepeatedCode: 3 s after it was read last, a code is another one.
func TestRepeatedCode(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	now := time.Unix(1e9, 0)
	want("first", l.Scan(now, "S1"), "arm 1 S1")
	want("after 2 s", l.Scan(now.Add(2*time.Second), "S1"), "tell")
	want("2.9 s after that", l.Scan(now.Add(4900*time.Millisecond), "S1"), "tell")
	want("3 s after that: the board does not show itself", l.Scan(now.Add(7900*time.Millisecond), "S1"), "begin 1 S1, ask 2")
	want("in the other slot", l.Scan(now.Add(11*time.Second), "S1"), "refuse 2 S1, ask 2")
}

// TestRepeatedRefusal: a code that was not taken, read twice, is told twice why it was not, and nothing else comes of the second; what only came at the wrong moment is taken when that is over.
func TestRepeatedRefusal(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	now := time.Unix(1e9, 0)
	twice := func(code, word, first, second string) {
		t.Helper()
		for _, says := range []string{first, second} {
			all := l.Scan(now, code)
			if want(code, all, says); len(all) == 0 || all[0].Word != word || all[0].Next == "" && word != WordNotStopped && word != WordNoCancel && word != WordNoFail {
				t.Errorf("%s: %+v, want %s", code, all, word)
			}
			now = now.Add(time.Second)
		}
	}
	twice("t", WordNotSerial, "tell, ask 1", "tell")
	twice("S1S2", WordTwoCodes, "tell, ask 1", "tell")
	twice("SLOT:9", WordNoSuchSlot, "tell", "tell")
	twice("CANCEL", WordNoCancel, "tell, ask 1", "tell")
	twice("REJECT", WordNoFail, "tell", "tell")
	twice("RELEASE:1", WordNotStopped, "tell 1", "tell 1")
	want("a serial", l.Scan(now, "S1"), "arm 1 S1")
	if all := l.Scan(now, "S1"); said(all) != "tell" || all[0].Word != WordTwice {
		t.Errorf("it was taken: %+v", all)
	}
	twice("S2", WordWaitsBoard, "tell 1 S1", "tell 1 S1")
	twice("SLOT:2", WordWaitsFirst, "tell 1 S1", "tell 1 S1")
	want("the board", l.Seen("1", true, "U1"), "begin 1 S1, ask 2")
	twice("S1", WordSerialElsewhere, "refuse 2 S1, ask 2", "tell 2 S1")
	twice("SLOT:1", WordSlotRunning, "tell 1", "tell 1")
	want("the other unit", l.Scan(now, "S2"), "arm 2 S2")
	want("its board", l.Seen("2", true, "U2"), "begin 2 S2")
	twice("S3", WordNoSlotFree, "tell", "tell")
	want("one ends", l.Ended("1", Result{Serial: "S1", Outcome: ledger.Pass}), "empty 1 S1")
	want("and is out", l.Seen("1", false, ""), "ask 1")
	want("at once", l.Scan(now, "S3"), "arm 1 S3")
	l.HoldFails()
	want("its board", l.Seen("1", true, "U3"), "begin 1 S3")
	want("fails", l.Ended("1", Result{Serial: "S3", Outcome: ledger.Fail}), "empty 1 S3")
	twice("REJECT", WordTakeOutFirst, "tell 1 S3", "tell 1 S3")
	want("and is out", l.Seen("1", false, ""), "")
	want("at once", l.Scan(now, "REJECT"), "acknowledged 1 S3, ask 1")
	if all := l.Scan(now, "REJECT"); said(all) != "tell" || all[0].Word != WordTwice {
		t.Errorf("it was taken: %+v", all)
	}
}

// TestInterleaved: each label of a board that is read twice, in turn, is one scan; and a board is not begun by a serial that was read before its values.
func TestInterleaved(t *testing.T) {
	const steps = "  - write: {region: boot, fields: [{text: serial, size: 8, pad: 0xFF}, {bytes: mac, size: 2}]}\n"
	l, want := emptyLine(t, steps, "elsewhere: keep\n", "elsewhere: keep\nvalues:\n  mac: {scan: true, bytes: 2}\n")
	now := time.Unix(1e9, 0)
	scan := func(after time.Duration, code string) []Decision {
		now = now.Add(after)
		return l.Scan(now, code)
	}
	want("serial", scan(0, "S1"), "ask 1 S1")
	want("value", scan(time.Second, "0102"), "arm 1 S1")
	want("serial again", scan(time.Second, "S1"), "tell")
	want("value again", scan(time.Second, "0102"), "tell")
	want("the board does not show itself", scan(repeatTime, "S1"), "begin 1 S1, ask 2")
	l.Ended("1", Result{Serial: "S1", Outcome: ledger.Pass})
	l.Seen("1", false, "")
	now = now.Add(repeatTime)
	want("serial", scan(0, "S1"), "ask 1 S1")
	want("a value that took long", scan(repeatTime-1, "0102"), "arm 1 S1")
	want("3 s after the serial, not after the arming", scan(1, "S1"), "tell")
	want("nor then", scan(repeatTime-1, "S1"), "tell")
	want("a card", scan(0, "CANCEL"), "tell S1, ask 1")
	want("after which it is meant", scan(0, "S1"), "ask 1 S1")
	want("and so is the card", scan(0, "CANCEL"), "tell S1, ask 1")
	want("a label", scan(0, "SLOT:2"), "ask 2")
	want("another", scan(0, "SLOT:1"), "ask 1")
	want("the first, at once", scan(0, "SLOT:2"), "ask 2")
	want("twice", scan(0, "SLOT:2"), "tell")
}

// TestNoUnit: what is no serial is told, and nobody is refused.
func TestNoUnit(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	now := time.Unix(1e9, 0)
	for code, says := range map[string]string{"s": `"s" is not a serial of this recipe`, `\`: `"\\" is not a serial`, "02:00:00:00:00:01": "is not a serial", "S1S2": "S1 and S2 came as one code"} {
		all := l.Scan(now, code)
		if want(code, all, "tell, ask 1"); len(all) == 0 || !strings.Contains(all[0].Message, says) || all[0].Next == "" {
			t.Errorf("%s: %+v", code, all)
		}
	}
	want("a serial", l.Scan(now, "S1"), "arm 1 S1")
	want("while a slot waits", l.Scan(now, "t"), "tell")
}

// TestGivenUp: what waits for too long is told, and the slot is free.
func TestGivenUp(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	now := time.Unix(1e9, 0)
	l.Scan(now, "S1")
	want("in time", l.Tick(now.Add(armTime)), "")
	want("too late", l.Tick(now.Add(armTime+1)), "tell S1, ask 1")
	want("a label", l.Scan(now, "SLOT:2"), "ask 2")
	want("forgotten", l.Tick(now.Add(armTime+1)), "ask 1")
}

// TestValuesOfAScan: the slot is armed when the values are there; a board that is put in meanwhile begins then, and one whose values never came must come out.
func TestValuesOfAScan(t *testing.T) {
	const steps = "  - write: {region: boot, fields: [{text: serial, size: 8, pad: 0xFF}, {bytes: mac, size: 2}, {bytes: key, size: 1}]}\n"
	l, want := emptyLine(t, steps, "elsewhere: keep\n", "elsewhere: keep\nvalues:\n  mac: {scan: true, bytes: 2}\n  key: {scan: true, bytes: 1}\n")
	now := time.Unix(1e9, 0)
	scan := func(code string) []Decision {
		now = now.Add(4 * time.Second)
		return l.Scan(now, code)
	}
	want("serial", scan("S1"), "ask 1 S1")
	want("not a value", scan("0102ZZ"), "tell S1, ask 1 S1")
	want("serial and value at once", scan("S1ABCD"), "tell, ask 1 S1")
	want("a label", scan("SLOT:2"), "tell 1 S1, ask 1 S1")
	want("a value", scan("03"), "ask 1 S1")
	want("the board", l.Seen("1", true, "U1"), "")
	all := scan("01:02")
	want("all values", all, "begin 1 S1, ask 2")
	if v := all[0].Values; v["mac"] != "01:02" || v["key"] != "03" {
		t.Errorf("values %v", v)
	}
	want("another", scan("S2"), "ask 2 S2")
	l.Seen("2", true, "U2")
	want("its board is in, and another serial is scanned", scan("S3"), "tell S2, empty 2 S2, tell")
	want("which no slot is free for", scan("S3"), "tell")
	want("until it is out", l.Seen("2", false, ""), "ask 2")
	want("serial", scan("S3"), "ask 2 S3")
	want("another one instead", scan("S4"), "tell S3, ask 2 S4")
	want("the end", l.End(), "tell S4")
	l.Ended("1", Result{Serial: "S1", Outcome: ledger.Pass})
	l.Seen("1", false, "")
	want("what is a serial as a whole is one, whatever else it might be", scan("S10102"), "ask 1 S10102")
}

// TestTakenOut: who says that a board is out while it runs, and that it is back, is believed; who finds it gone when its run ended for want of it, says so.
func TestTakenOut(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	lost := Result{Serial: "S1", Outcome: ledger.Error, Cause: "contact-lost"}
	l.Scan(time.Unix(0, 0), "S1")
	l.Seen("1", true, "U1")
	want("out", l.Seen("1", false, ""), "tell 1 S1")
	want("it is known to be out", l.Ended("1", lost), "ask 1")
	l.Scan(time.Unix(10, 0), "S1")
	l.Seen("1", true, "U1")
	l.Seen("1", false, "")
	want("back", l.Seen("1", true, ""), "")
	want("it is in", l.Ended("1", lost), "empty 1 S1")
	want("out", l.Seen("1", false, ""), "tell 1 S1, ask 1")
	l.Scan(time.Unix(20, 0), "S2")
	l.Seen("1", true, "U2")
	l.Ended("1", Result{Serial: "S2", Outcome: ledger.Pass})
	want("out when it should be", l.Seen("1", false, ""), "ask 1")
}

// TestAdvice: a slot that stopped says what is likely.
func TestAdvice(t *testing.T) {
	for cause, advice := range map[string]string{"contact-absent": "Clean the contacts", "fixture": "Try another cable, then another programmer", "verify-mismatch": "seldom bad: call"} {
		l, _ := emptyLine(t, full, "version: 1\n", "version: 1\n")
		outcome := ledger.Error
		if cause == "verify-mismatch" {
			outcome = ledger.Fail
		}
		var last []Decision
		for i := range tooMany {
			l.Scan(time.Unix(int64(i*10), 0), "S1")
			l.Seen("1", true, "U1")
			last = l.Ended("1", Result{Serial: "S1", Outcome: outcome, Cause: cause})
			l.Seen("1", false, "")
		}
		if said(last) != "empty 1 S1, tell 1" || !strings.Contains(last[1].Next, advice) || !strings.Contains(last[1].Next, "RELEASE:1") {
			t.Errorf("%s: %+v", cause, last)
		}
	}
}

// TestStationsOwn: what is no fault of the slot or of what is in it does not stop it, and does not begin the count anew.
func TestStationsOwn(t *testing.T) {
	l, _ := emptyLine(t, full, "version: 1\n", "version: 1\n")
	now := time.Unix(1e9, 0)
	ends := func(o ledger.Outcome, cause string) string {
		now = now.Add(repeatTime)
		l.Scan(now, "SLOT:1")
		l.Scan(now, "S1")
		l.Seen("1", true, "U1")
		last := l.Ended("1", Result{Serial: "S1", Outcome: o, Cause: cause})
		l.Seen("1", false, "")
		return said(last)
	}
	for _, cause := range []string{"verify-mismatch", "lock-not-effective"} {
		if got := ends(ledger.Fail, cause); got != "empty 1 S1" {
			t.Fatalf("%s: %s", cause, got)
		}
	}
	own := map[string]ledger.Outcome{"mirror": ledger.Error, "disk-full": ledger.Error, "ledger": ledger.Error, "keyring": ledger.Error, "escrow": ledger.Error, "program": ledger.Error, "profile": ledger.Error,
		"fixture-config": ledger.Refused, "volts-unknown": ledger.Refused, "aborted": ledger.Aborted, "password-foreign": ledger.Interrupted}
	for cause, o := range own {
		for range tooMany {
			if got := ends(o, cause); got != "empty 1 S1" {
				t.Fatalf("%s: %s", cause, got)
			}
		}
	}
	if got := ends(ledger.Refused, "wrong-part"); got != "empty 1 S1, tell 1" {
		t.Errorf("the third of its boards: %s", got)
	}
}

// TestResumeNamesAll: what is not finished is named, and what is begun has the values of its start.
func TestResumeNamesAll(t *testing.T) {
	l, want := emptyLine(t, full, "version: 1\n", "version: 1\n")
	run := func(serial, uid, digest string) ledger.Run {
		return ledger.Run{Serial: serial, Slot: "9", Start: &ledger.RunStart{Recipe: ledger.Recipe{ID: "other", Version: 3, Digest: digest}, Chip: ledger.Chip{UID: uid}}}
	}
	mine := l.recipe.Digest()
	stuck := run("S4", "U2", mine)
	stuck.Stuck = &ledger.RunStuck{Message: "foreign", Next: "decide"}
	l = NewLine(l.recipe, []string{"1", "2"}, []ledger.Run{run("S1", "U1", mine)})
	want("a board that is open", l.Seen("1", true, "U1"), "empty 1 S1")
	want("one that is not", l.Seen("2", true, "U2"), "empty 2")
	all := l.Resume([]ledger.Run{run("S1", "U1", mine), run("S2", "U2", "sha256:other"), run("S3", "U3", mine), stuck})
	want("resumed", all, "begin 1 S1, tell 2 S2, tell S3, tell 2 S4")
	for i, text := range []string{"", "begun with recipe other version 3", "in no slot", "waits for a person's decision: foreign"} {
		if !strings.Contains(all[i].Message, text) {
			t.Errorf("%q lacks %q", all[i].Message, text)
		}
	}
	for text, open := range map[string][]ledger.Run{"every open run is under way": {run("S1", "U1", mine)}, "no run is open": nil} {
		if all := l.Resume(open); said(all) != "tell" || all[0].Message != text {
			t.Errorf("%+v, want %q", all, text)
		}
	}
}

// TestResumeElsewhere: a board that was put in while the values of another were asked for is not begun there.
func TestResumeElsewhere(t *testing.T) {
	const steps = "  - write: {region: boot, fields: [{text: serial, size: 8, pad: 0xFF}, {bytes: mac, size: 2}]}\n"
	l, want := emptyLine(t, steps, "elsewhere: keep\n", "elsewhere: keep\nvalues:\n  mac: {scan: true, bytes: 2}\n")
	open := []ledger.Run{{Serial: "S9", Slot: "2", Start: &ledger.RunStart{Recipe: ledger.Recipe{Digest: l.recipe.Digest()}, Chip: ledger.Chip{UID: "U9"}, Values: []ledger.Fact{{Name: "mac", Value: "0102"}}}}}
	l.Scan(time.Unix(0, 0), "S1")
	l.Seen("1", true, "U9")
	want("resumed", l.Resume(open), "tell 1 S9")
	l.Scan(time.Unix(10, 0), "CANCEL")
	all := l.Resume(open)
	want("given up", all, "begin 1 S9")
	if all[0].Values["mac"] != "0102" {
		t.Errorf("values %v", all[0].Values)
	}
}

// TestRefuse: what is refused before its slot was looked at is in the account, and no slot was leased for it.
func TestRefuse(t *testing.T) {
	l := newLine(t, Options{})
	l.socket.put("1", fresh(t, 1, nor.Options{}))
	res := l.engine.Refuse(t.Context(), Order{Recipe: recipe(t, 1, full), Serial: "S1", Slot: "1", Operator: "op-1"}, "in-two-slots", "it is elsewhere", "look there")
	l.want(res, ledger.Refused, "in-two-slots")
	runs := l.books.all()
	if len(runs) != 1 || runs[0].Start != nil || runs[0].End == nil || runs[0].End.Cause != "in-two-slots" || runs[0].End.Next != "look there" || runs[0].End.Chip != nil {
		t.Errorf("the account has %+v", runs)
	}
	if _, leased := l.socket.leased["1"]; leased {
		t.Error("the slot was leased")
	}
	if len(l.events) != 1 || l.events[0].Kind != Ended || l.events[0].Result.Outcome != ledger.Refused {
		t.Errorf("events %+v", l.events)
	}
}
