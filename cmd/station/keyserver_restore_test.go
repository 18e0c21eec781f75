package main

import (
	"os"
	"strings"
	"testing"
)

// TestRestoreRemote restores a station whose keys are at a key server, into a directory that is not there: the ledger is there, the command says what is still to be decided, and behind
// `rewound` the line goes on.
func TestRestoreRemote(t *testing.T) {
	t.Parallel()
	p, _ := newRemote(t, "5s")
	p.expect(exitDone, "backup", "night.db")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	if err := os.RemoveAll(p.data()); err != nil {
		t.Fatal(err)
	}
	p.expect(exitRefused, "restore", "none.db", "--reason", "disk died", "--by", "sup2")
	if _, err := os.Stat(p.data()); err == nil {
		t.Error("what was refused made a directory")
	}
	out, errs := p.expect(exitDecision, "restore", "night.db", "--reason", "disk died", "--by", "sup2")
	if !strings.Contains(out, "data/ledger.db is restored from the backup: 1 entries") || !strings.Contains(out, "0 units in quarantine") ||
		strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "`station keyserver rewound line1 --reason ...`, there") {
		t.Errorf("%s%s", out, errs)
	}
	if _, errs := p.expect(exitError, "run", "small.yaml", "--slot", "1=TB-0002"); strings.Count(errs, "its ledger was put back") != 1 {
		t.Error(errs)
	}
	p.expect(exitDone, "keyserver", "rewound", "line1", "--reason", "disk died")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0002")
	if out, _ := p.expect(exitDone, "audit", "verify"); !strings.Contains(out, "\nledger verified (SIMULATED): station line1, ") {
		t.Error(out)
	}
}
