package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

// A report says where the ledger was restored, when that concerns its run: before its last entry, or while it is open.
func TestRestoredLedger(t *testing.T) {
	t.Parallel()
	epochAt := func(index int64, from string) ledger.Record {
		a := newAccount()
		a.index = index
		a.add(time.Hour, ledger.StationEpoch{Software: "station 1.0.0", Known: index, Root: hex64("root"), From: from, Reason: "the disk died", By: "op-80"})
		return a.records[0]
	}
	all := samples()
	passed, open := all["pass"], all["open"]
	first, after := passed.Run.Records[0].Index-1, passed.Run.Records[len(passed.Run.Records)-1].Index+1
	backup := epochAt(first, ledger.FromBackup)
	const lost = "Entries before it may be missing, and with them a run of this serial on another board: this ledger cannot tell."
	for name, c := range map[string]struct {
		in     Input
		epochs []ledger.Record
		want   []string
	}{
		"never":                  {passed, nil, nil},
		"after the run":          {passed, []ledger.Record{epochAt(after, ledger.FromBackup)}, nil},
		"before it":              {passed, []ledger.Record{backup}, []string{"goes on from a backup with", lost, "by decision of op-80: the disk died"}},
		"before and after it":    {passed, []ledger.Record{backup, epochAt(after, ledger.FromMirror)}, []string{"goes on from a backup with"}},
		"while it is open":       {open, []ledger.Record{epochAt(1<<20, ledger.FromBackup)}, []string{"Since entry 1048576"}},
		"before it, of a mirror": {passed, []ledger.Record{epochAt(first, ledger.FromMirror)}, []string{"goes on from a mirror with", lost}},
	} {
		c.in.Epochs = c.epochs
		got := strings.Join(strings.Fields(tool(t, render(t, c.in), "pdftotext", "FILE", "-")), " ")
		if c.want == nil && strings.Contains(got, "Restored ledger") {
			t.Errorf("%s: it speaks of a restoration", name)
		}
		for _, words := range c.want {
			if !strings.Contains(got, words) {
				t.Errorf("%s: no %q", name, words)
			}
		}
	}
	altered := backup
	altered.Bytes = []byte("{}")
	for _, bad := range []ledger.Record{altered, passed.Run.Records[0]} {
		in := passed
		in.Epochs = []ledger.Record{bad}
		if _, err := PDF(in); !errors.Is(err, ErrRun) {
			t.Errorf("%v", err)
		}
	}
}
