package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"station/kiosk"
	"station/ledger"
	"station/store"
)

// altered puts other bytes of the same length in place of some, wherever they stand in the ledger's file, which nobody has open.
func (p *position) altered(old, with []byte) {
	p.t.Helper()
	file := filepath.Join(p.data(), "ledger.db")
	b, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(old) != len(with) || !bytes.Contains(b, old) {
		p.t.Fatalf("%q is not in the ledger, or %q does not fit there", old, with)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(b, old, with), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// hidden alters the last letter of the serial in the index row of a run, so that the row is of another unit. The rows have to stay in their order.
func (p *position) hidden(r ledger.Run, letter string) {
	p.t.Helper()
	row := func(serial string) []byte {
		key := append(binary.BigEndian.AppendUint16(nil, uint16(len(serial))), serial...)
		return append(binary.BigEndian.AppendUint64(key, uint64(r.Records[0].Index)), r.ID...)
	}
	p.altered(row(r.Serial), row(r.Serial[:len(r.Serial)-1]+letter))
}

// reworked permits a unit to be run once more, and takes its board's power away, which takes its freeze away.
func (p *position) reworked(serial string) {
	p.t.Helper()
	p.expect(exitDone, "unit", "rework", serial, "--reason", "scratched", "--by", "op7")
	chip := openBoard(p.t, p.board(serial))
	chip.Power(false)
	chip.Power(true)
	if err := chip.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// runs are those of a unit in the ledger, which nobody has open.
func (p *position) runs(serial string) []ledger.Run {
	p.t.Helper()
	db, err := store.OpenReadOnly(filepath.Join(p.data(), "ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	runs, err := db.Runs(serial, "")
	if err != nil {
		p.t.Fatal(err)
	}
	return runs
}

// TestUnproven: of a unit of which one byte was altered in the ledger, in an entry or in an index, there is no report, by any way, and whoever looks at it is told; of another unit there is.
func TestUnproven(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter func(p *position, runs []ledger.Run)
		want  string
		found bool // some of it is shown
	}{
		"an entry": {func(p *position, runs []ledger.Run) {
			leaf := runs[1].Records[len(runs[1].Records)-1].Bytes
			p.altered(leaf, bytes.Replace(leaf, []byte(`"operator":"op7"`), []byte(`"operator":"op8"`), 1))
		}, "entry %[1]d: ", true},
		"an entry that cannot be read": {func(p *position, runs []ledger.Run) {
			leaf := runs[1].Records[len(runs[1].Records)-1].Bytes
			p.altered(leaf, bytes.Replace(leaf, []byte(`"operator":`), []byte(`"operator";`), 1))
		}, "entry %[1]d: ", false},
		"the newest run": {func(p *position, runs []ledger.Run) { p.hidden(runs[1], "2") }, "index units", true},
		"the first run":  {func(p *position, runs []ledger.Run) { p.hidden(runs[0], "0") }, "which was never run", true},
		"every run":      {func(p *position, runs []ledger.Run) { p.hidden(runs[0], "0"); p.hidden(runs[1], "2") }, "which was never run", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPosition(t)
			p.expect(exitDone, "run", "small.yaml", "--operator", "op7", "--slot", "1=TB-0001", "--slot", "2=TB-0003")
			p.reworked("TB-0001")
			p.expect(exitDone, "run", "small.yaml", "--operator", "op7", "--slot", "1=TB-0001")
			p.expect(exitDone, "unit", "show", "TB-0001")
			runs := p.runs("TB-0001")
			c.alter(p, runs)
			want := c.want
			if strings.Contains(want, "%") {
				want = fmt.Sprintf(want, runs[1].Records[len(runs[1].Records)-1].Index)
			}
			says := func(text string) {
				t.Helper()
				if !strings.Contains(text, "the ledger does not prove unit TB-0001: ") || !strings.Contains(text, want) || !strings.Contains(text, "station audit verify") {
					t.Errorf("%s; want %q", text, want)
				}
			}
			for _, args := range [][]string{{"unit", "report", "TB-0001", "-o", "x.pdf"}, {"unit", "report", "TB-0001", "-o", "x.pdf", "--run", runs[0].ID}, {"unit", "show", "TB-0001"}, {"unit", "show", "TB-0001", "--json"}} {
				out, errs := p.expect(exitNo, args...)
				says(errs)
				if shown := strings.Contains(out, runs[0].ID) || strings.Contains(out, runs[1].ID); shown != (c.found && args[1] == "show") {
					t.Errorf("%v shows %q", args, out)
				}
			}
			if _, err := os.Stat(filepath.Join(p.dir, "x.pdf")); !os.IsNotExist(err) {
				t.Errorf("there is a report: %v", err)
			}
			p.expect(exitNo, "audit", "verify")
			p.expect(exitDone, "unit", "report", "TB-0003", "-o", "x.pdf")
			p.expect(exitDone, "unit", "show", "TB-0003")

			r := newRecords(t, p)
			proof, err := r.Prove(t.Context(), "TB-0001")
			if err != nil || !strings.Contains(proof.Problem, want) {
				t.Errorf("%+v, %v", proof, err)
			}
			if other, err := r.Prove(t.Context(), "TB-0003"); err != nil || other.Problem != "" || other.Proven != other.Entries {
				t.Errorf("another unit: %+v, %v", other, err)
			}
			if found, _, err := r.Unit("TB-0001"); c.found && err != nil || !c.found && !refusedWith(err, kiosk.WordUnitUnproven) {
				t.Errorf("%d runs, %v", len(found), err)
			}
			pdf, err := r.Report(t.Context(), "TB-0001", "")
			if says(fmt.Sprint(err)); len(pdf) != 0 || !refusedWith(err, kiosk.WordUnitUnproven) {
				t.Errorf("%d bytes, %v", len(pdf), err)
			}
		})
	}
}

// TestUnprovenAtTheEnd: a run on a unit that the ledger does not prove any more ends as it ends, without a report, and with the exit code of that.
func TestUnprovenAtTheEnd(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	p.expect(exitDone, "run", "small.yaml", "--operator", "op7", "--slot", "1=TB-0001")
	p.reworked("TB-0001")
	first := p.runs("TB-0001")[0].Records[0]
	p.altered(first.Bytes, bytes.Replace(first.Bytes, []byte(`"operator":"op7"`), []byte(`"operator":"op8"`), 1))
	report := filepath.Join(p.data(), "reports", "TB-0001.pdf")
	if err := os.Remove(report); err != nil {
		t.Fatal(err)
	}
	out, errs := p.expect(exitError, "run", "small.yaml", "--operator", "op7", "--slot", "1=TB-0001")
	if !strings.Contains(out, "PASS") || !strings.Contains(errs, "the ledger does not prove unit TB-0001: ") || !strings.Contains(errs, fmt.Sprintf("entry %d", first.Index)) || strings.Contains(errs, "writes it again") {
		t.Errorf("%s\n%s", out, errs)
	}
	if _, err := os.Stat(report); !os.IsNotExist(err) {
		t.Errorf("there is a report: %v", err)
	}
}

// TestUnprovenCheckpoint: a report quotes no checkpoint that was altered, though a later one proves the unit.
func TestUnprovenCheckpoint(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0003")
	db, err := store.OpenReadOnly(filepath.Join(p.data(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	run := p.runs("TB-0001")[0]
	_, text, err := db.Checkpoint(run.Records[len(run.Records)-1].Index + 1)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(text)
	other[len(other)-10] ^= 1 // within the signature; still base64
	p.altered(text, other)
	p.expect(exitDone, "unit", "show", "TB-0001")
	if _, errs := p.expect(exitNo, "unit", "report", "TB-0001", "-o", "x.pdf"); !strings.Contains(errs, "the ledger does not prove unit TB-0001: ") || !strings.Contains(errs, "checkpoint") {
		t.Error(errs)
	}
	p.expect(exitDone, "unit", "report", "TB-0003", "-o", "x.pdf")
}
