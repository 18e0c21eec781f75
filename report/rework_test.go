package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

const earlierID = "00c0ffee00c0ffee"

// reworked is a unit that failed, was permitted to be run once more, passed then, and is permitted to get a new chip.
func reworked(newChip bool) Input {
	a := newAccount()
	start := sampleStart()
	start.Run = earlierID
	a.add(0, start)
	a.add(time.Second, ledger.RunEnd{Run: earlierID, Serial: start.Serial, Slot: "1", Operator: "op-9", Software: "station 1.0.0", Recipe: sampleRecipe, Chip: &sampleChip,
		Outcome: ledger.Fail, Cause: "verify-mismatch", Message: "Verify failed at 0x00001234.", Next: "Put it into the reject bin.", Touched: true, Proven: []ledger.RegionProof{}, Freeze: "none"})
	permit := ledger.ReworkPermit{Serial: start.Serial, Reason: "dirty contact, cleaned", By: "sup-2", Chip: ledger.SameChip, UID: sampleChip.UID}
	if newChip {
		permit.Chip = ledger.NewChip
	}
	a.add(time.Hour, permit)
	earlier := a.records
	again := sampleStart()
	again.Permit = earlier[2].Index
	if newChip {
		again.Chip.UID, again.Retires = strings.Repeat("ab", 14), sampleChip.UID
	}
	a.records = nil
	a.add(time.Minute, again)
	if !newChip {
		a.add(ms(9), ledger.PasswordOpened{Run: runID, Serial: start.Serial, UID: sampleChip.UID, Escrow: "e5c0000000000001"})
		a.add(ms(9), ledger.LocksErased{Run: runID, Serial: start.Serial, UID: sampleChip.UID, Nonvolatile: []ledger.Range{{At: 0x10000, Size: 0x20000}}, BlockProtect: []ledger.Range{}})
	}
	a.steps(sampleSteps, 0, 1)
	a.end(ledger.Pass, func(e *ledger.RunEnd) { passed(e); e.Chip = &again.Chip })
	run := a.records
	a.records = nil
	a.add(time.Hour, ledger.ReworkPermit{Serial: start.Serial, Reason: "the customer's chip", By: "sup-3", Chip: ledger.NewChip, UID: again.Chip.UID})
	earlier = append(earlier, a.records...)
	a.records = run
	in := a.input()
	in.Earlier = earlier
	return in
}

// Beside an operator whom nobody checked, the report says so wherever it names them; beside one who had signed in, it does not.
func TestOperatorIsChecked(t *testing.T) {
	t.Parallel()
	text := strings.Join(strings.Fields(tool(t, render(t, samples()["resumed"]), "pdftotext", "FILE", "-")), " ")
	for w, want := range map[string]int{"op-17, then op-9 (unauthenticated)": 1, "operator op-9 (unauthenticated),": 1, "Operator op-9 (unauthenticated),": 1, "(unauthenticated)": 3} {
		if n := strings.Count(text, w); n != want {
			t.Errorf("%q is %d times in the text, want %d", w, n, want)
		}
	}
	text = strings.Join(strings.Fields(tool(t, render(t, samples()[string(ledger.Aborted)]), "pdftotext", "FILE", "-")), " ")
	if !strings.Contains(text, "Stopped by a person") || !strings.Contains(text, "By op-9 (unauthenticated)") {
		t.Errorf("nobody is said to have stopped it: %s", text)
	}
}

// A rework's report has by whose permission and why, before the details; both runs, and where they stand; and what was permitted since.
func TestReworkIsTold(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"reworked": {"dirty contact, cleaned", "Permitted by sup-2 (nobody checked that it was this person), 2026-11-23 10:30:01 UTC, ledger entry 1043: one run", "on the chip that it has",
			"Earlier runs of this unit", "FAIL", "Verify failed at 0x00001234.", earlierID, "entries 1041-1042", "Permitted to be run once more: the customer's chip", "sup-3",
			"Opened with its password", "the password of escrow e5c0000000000001", "Locks of before erased", "0x010000 to 0x02FFFF", "of an earlier run", "earlier.jsonl"},
		"newchip": {"Chip " + sampleChip.UID + " was retired when this run began", "retired", "with a new chip in place of"},
	} {
		in := reworked(name == "newchip")
		pdf := render(t, in)
		text := strings.Join(strings.Fields(tool(t, pdf, "pdftotext", "FILE", "-")), " ")
		for _, w := range want {
			if !strings.Contains(text, strings.ReplaceAll(w, "1041-1042", "1041–1042")) {
				t.Errorf("%s: %q is not in the text", name, w)
			}
		}
		if at, run := strings.Index(text, "Permitted by sup-2"), strings.Index(text, "Recipe digest"); at < 0 || at > run {
			t.Errorf("%s: the permission at %d, the details at %d", name, at, run)
		}
		if strings.Contains(text, "yes, and for ever") {
			t.Errorf("%s: a password of an earlier run was this run's doing", name)
		}
		dir := t.TempDir()
		tool(t, pdf, "pdfdetach", "-save", "2", "-o", filepath.Join(dir, attachedEarlier), "FILE")
		got, err := os.ReadFile(filepath.Join(dir, attachedEarlier))
		if err != nil {
			t.Fatal(err)
		}
		var lines []byte
		for _, rec := range in.Earlier {
			lines = append(append(lines, rec.Bytes...), '\n')
		}
		if !bytes.Equal(got, lines) {
			t.Errorf("%s: attached %s", name, got)
		}
	}
}

// A permission that was taken back says so.
func TestWithdrawnIsTold(t *testing.T) {
	t.Parallel()
	in := reworked(false)
	a := newAccount()
	a.at, a.index = in.Earlier[3].Entry.Time, in.Earlier[3].Index+1
	a.add(time.Minute, ledger.ReworkWithdrawn{Serial: in.Run.Serial, Permit: in.Earlier[3].Index, Reason: "the wrong unit", By: "sup-4"})
	in.Earlier = append(in.Earlier, a.records...)
	in.Checkpoint = ""
	text := strings.Join(strings.Fields(tool(t, render(t, in), "pdftotext", "FILE", "-")), " ")
	for _, w := range []string{"Permitted to be run once more, and withdrawn: the customer's chip", "Withdrawn by sup-4 (nobody checked that it was this person): the wrong unit"} {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in the text", w)
		}
	}
}

func TestBadEarlier(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Input)
		want  error
	}{
		"order":           {func(in *Input) { in.Earlier[0], in.Earlier[1] = in.Earlier[1], in.Earlier[0] }, ErrRun},
		"altered":         {func(in *Input) { in.Earlier[0].Bytes = []byte("{}") }, ErrRun},
		"of the run":      {func(in *Input) { in.Earlier = in.Run.Records }, ErrRun},
		"another station": {func(in *Input) { in.Earlier[0].Entry.Station = "line-4" }, ErrRun},
		"another unit": {func(in *Input) {
			b := in.Earlier[2].Entry.Body.(ledger.ReworkPermit)
			b.Serial = "GW-000001"
			in.Earlier[2].Entry.Body = b
		}, ErrRun},
		"checkpoint before the last": {func(in *Input) {
			in.Checkpoint = "station/line-3\n1049\nAAAA\n\n"
		}, ErrCheckpoint},
	} {
		in := reworked(false)
		c.spoil(&in)
		if pdf, err := PDF(in); !errors.Is(err, c.want) || pdf != nil {
			t.Errorf("%s: %d bytes, %v", name, len(pdf), err)
		}
	}
	in := reworked(false)
	in.Checkpoint = "station/line-3\n1050\nAAAA\n\n"
	if _, err := PDF(in); err != nil {
		t.Error(err)
	}
}
