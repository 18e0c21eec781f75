package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"station/ledger"
	"station/store"
)

// TestDemo is the main job as a newcomer meets it, twice in the same directory.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: two demos take many seconds")
	}
	t.Parallel()
	p := &position{t: t, dir: t.TempDir()}
	defer p.close()
	var from int64 = 1
	var serials []string
	for round := range 2 {
		out, _ := p.expect(exitDone, "demo", "--data", "data")
		rows := regexp.MustCompile(`(?m)^([1-4]) +(GW-[0-9]{6}) +PASS +[0-9.]+m?s +(data/reports/GW-[0-9]{6}\.pdf)$`).FindAllStringSubmatch(out, -1)
		if len(rows) != demoBoards || !strings.Contains(out, "8 boards passed; their reports are in data/reports\n") {
			t.Fatalf("demo %d:\n%s", round+1, out)
		}
		for i, row := range rows {
			serials = append(serials, row[2])
			if want := fmt.Sprintf("GW-%06d", round*demoBoards+i+1); row[2] != want || row[3] != "data/reports/"+want+".pdf" {
				t.Errorf("demo %d, board %d: %q, want %s", round+1, i+1, row[2:], want)
			}
		}
		var size int64
		if size, from = overlapping(t, p.data(), from); !strings.Contains(out, fmt.Sprintf("ledger verified (SIMULATED): station line1, %d entries ", size)) {
			t.Errorf("demo %d does not say that its %d entries verify:\n%s", round+1, size, out)
		}
	}
	out, _ := p.expect(exitDone, "unit", "list")
	if n := strings.Count(out, "  PASS  "); n != 2*demoBoards {
		t.Errorf("%d units passed, want %d:\n%s", n, 2*demoBoards, out)
	}
	for _, serial := range serials { // what it says is searched for secrets with the rest
		p.expect(exitDone, "unit", "show", serial, "--json")
	}
	p.expect(exitDone, "unit", "list", "--json")
	t.Run("fixtures", func(t *testing.T) { fixturesOf(t, p.data()) })
	t.Run("boards", func(t *testing.T) { p.askBoards(t, serials) })
	t.Run("reports", func(t *testing.T) { p.readReports(t) })
}

// TestDemoOpenRuns: a demo says which units an earlier one left open that was killed.
func TestDemoOpenRuns(t *testing.T) {
	t.Parallel()
	p := &position{t: t, dir: t.TempDir()}
	defer p.close()
	for _, line := range []string{"  started  ", "INTERRUPTED: the run of GW-"} {
		r := p.launch("demo", "--data", "data")
		r.await(line)
		r.cmd.Process.Kill()
		r.wait()
	}
}

// fixturesOf wants the ledger to say which programmer each run was carried out with: two families work side by side.
func fixturesOf(t *testing.T, data string) {
	db, err := store.OpenReadOnly(ledgerFile(data))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	size, err := db.Size()
	if err != nil {
		t.Fatal(err)
	}
	records, err := db.Records(0, size)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	want := map[string]string{"1": "FT2232H channel A at 1-1", "2": "FT2232H channel B at 1-1", "3": "CH341A at 1-2", "4": "CH341A at 1-3"}
	for _, r := range records {
		if b, ok := r.Entry.Body.(ledger.RunStart); ok {
			seen[b.Slot]++
			if b.Fixture != want[b.Slot] {
				t.Errorf("%s in slot %s: fixture %q, want %q", b.Serial, b.Slot, b.Fixture, want[b.Slot])
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("runs by slot: %v, want some in each of %d", seen, len(want))
	}
}

// overlapping wants four runs open at once among the entries from an index on, and returns how many entries there are.
func overlapping(t *testing.T, data string, from int64) (size, next int64) {
	t.Helper()
	db, err := store.OpenReadOnly(ledgerFile(data))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if size, err = db.Size(); err != nil {
		t.Fatal(err)
	}
	records, err := db.Records(from, size)
	if err != nil {
		t.Fatal(err)
	}
	open, most, ends := map[string]bool{}, 0, 0
	for _, r := range records {
		switch b := r.Entry.Body.(type) {
		case ledger.RunStart:
			open[b.Run] = true
			most = max(most, len(open))
		case ledger.RunEnd:
			delete(open, b.Run)
			ends++
		}
	}
	if most != 4 || ends != demoBoards || len(open) > 0 {
		t.Errorf("%d runs at once, want 4; %d ended, want %d; %d left open", most, ends, demoBoards, len(open))
	}
	return size, size
}

// readReports reads every PDF as an auditor would, and looks into its insides for secrets.
func (p *position) readReports(t *testing.T) {
	pdftotext, qpdf := judge(t, "pdftotext"), judge(t, "qpdf")
	secrets, err := secretsOf(p.data())
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(reportsDir(p.data()), "*"))
	if err != nil || len(files) != 2*demoBoards {
		t.Fatalf("%d reports, %v", len(files), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for i, file := range files {
		serial := fmt.Sprintf("GW-%06d", i+1)
		text, err := exec.CommandContext(ctx, pdftotext, "-layout", file, "-").Output()
		if err != nil {
			t.Fatalf("pdftotext %s: %v", file, err)
		}
		for _, want := range []string{serial, "PASS", "SIMULATED", "gateway-boot"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s does not say %s:\n%s", filepath.Base(file), want, text)
			}
		}
		open, err := exec.CommandContext(ctx, qpdf, "--qdf", "--object-streams=disable", file, "-").Output()
		if err != nil {
			t.Fatalf("qpdf %s: %v", file, err)
		}
		if found := secrets.in(open); found != "" {
			t.Errorf("%s holds %s", file, found)
		}
		again := filepath.Join(p.dir, "again.pdf")
		p.expect(exitDone, "unit", "report", serial, "--data", "data", "-o", again)
		one, err1 := os.ReadFile(file)
		two, err2 := os.ReadFile(again)
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			t.Errorf("%s is not made the same again: %v, %v", filepath.Base(file), err1, err2)
		}
	}
}
