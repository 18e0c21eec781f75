package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// TestStatusText: a terminal is told of each slot what keeps it, what it does, or how it ended; nothing that a label or a chip says moves the cursor.
func TestStatusText(t *testing.T) {
	running := func(step int, permanent bool) *kiosk.Running {
		return &kiosk.Running{Phase: "identified", Step: step, Of: 5, Title: "lock boot", Permanent: permanent, Overall: 71}
	}
	s := kiosk.State{Station: "line1", Simulated: true, Started: time.Unix(0, 0), Next: kiosk.Said{Text: "scan the next board", Next: "Slot 2 is free."},
		Job: &kiosk.Job{Recipe: ledger.Recipe{ID: "boot", Version: 2}, File: "boot.yaml", Quantity: 20, Passed: 3, Trial: true},
		Rows: [][]kiosk.Tile{
			{{Slot: "1", State: provision.Running, Serial: "A", Run: running(3, true)}, {}, {Slot: "2", State: provision.Running, Serial: "B", Run: running(0, false)}},
			{{Slot: "3", State: provision.Occupied, Serial: "C\x1b[2J", Held: true, Result: &kiosk.Result{Outcome: ledger.Fail, Message: "verify"}}, {Slot: "4", Excluded: true, State: provision.Unseen}},
			{{Slot: "5", State: provision.Free, Said: &kiosk.Said{Text: "slot 5 is free"}, Stopped: true, Problem: &kiosk.Said{Text: "no programmer"}}, {Slot: "6", State: provision.Armed, Serial: "D", Said: &kiosk.Said{Text: "put it in"}}},
			{{Slot: "7", State: provision.Running, Serial: "E", Run: &kiosk.Running{}}},
		}}
	var out bytes.Buffer
	if err := (&app{stdout: &out}).printStatus(s); err != nil {
		t.Fatal(err)
	}
	const want = `station line1 (SIMULATED), since 1970-01-01T00:00:00Z
job boot version 2 (boot.yaml), TRIAL: 3 of 20 passed, 0 failed, 0 otherwise
scan the next board
  Slot 2 is free.
SLOT  STATE     SERIAL    DOES
1     running   A         PERMANENT 3/5 lock boot, 71 % of all
2     running   B         identified, 71 % of all
3     occupied  C\x1b[2J  FAIL: verify; waits to be acknowledged
4     excluded  -
5     free      -         stopped after three in a row; no programmer
6     armed     D         put it in
7     running   E         begins, 0 % of all
`
	if got := strings.ReplaceAll(out.String(), "-         \n", "-\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
