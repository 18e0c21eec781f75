package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

// TestLedgerMovedWhileRunning: a station that takes scans all day loses its ledger's file, and its backup is put back meanwhile. No unit passes on what no start would find,
// and no second ledger is made or restored beside it.
func TestLedgerMovedWhileRunning(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	in, scan, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer scan.Close()
	p.in = in
	r := p.launch("run", "small.yaml", "--scan")
	p.in = nil
	r.await("slot 1 is free")
	io.WriteString(scan, "TB-0001\n")
	r.await("PASS")
	p.expect(exitDone, "backup", "passed.db")
	if err := os.Remove(ledgerFile(p.data())); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"restore", "passed.db", "--reason", "gone", "--by", "sup2"}, {"init", "--simulated"}} {
		if _, said := p.expect(exitError, args...); args[0] == "restore" && !strings.Contains(said, "the ledger is in use: another station process works in that directory") {
			t.Errorf("%s", said)
		}
	}
	if _, err := os.Stat(ledgerFile(p.data())); !os.IsNotExist(err) {
		t.Errorf("there is a ledger: %v", err)
	}
	io.WriteString(scan, "TB-0002\n")
	r.await("TB-0002  ERROR  The ledger could not be written or read: the ledger's file was moved away or replaced while the station works")
	backup, err := os.ReadFile(p.dir + "/passed.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ledgerFile(p.data()), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	io.WriteString(scan, "TB-0003\n")
	r.await("TB-0003  ERROR  The ledger")
	scan.Close()
	if r.wait(); r.cmd.ProcessState.ExitCode() != exitError {
		t.Errorf("exit %d", r.cmd.ProcessState.ExitCode())
	}
	out, _ := p.expect(exitDone, "unit", "list")
	if !strings.Contains(out, "TB-0001") || strings.Contains(out, "TB-0002") || strings.Contains(out, "TB-0003") {
		t.Errorf("%s", out)
	}
	p.close()
}
