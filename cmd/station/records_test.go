package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"station/kiosk"
	"station/ledger"
	"station/sim/nor"
)

// newRecords is the ledger of a position as pages have it.
func newRecords(t *testing.T, p *position, running ...string) *records {
	t.Helper()
	a := &app{stderr: t.Output(), dataDir: p.data(), configFile: filepath.Join(p.dir, "config.yaml")}
	b, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.records(func(_ context.Context, _ kiosk.Who, serial string, do func() error) (bool, error) {
		if len(running) > 0 && serial == running[0] {
			return true, nil
		}
		return false, do()
	})
}

// TestRecords: pages find, prove, verify and report what is in the ledger, a report to the byte that `unit report` writes, and what is not there is said to be missing.
func TestRecords(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001", "--slot", "2=TB-0002")
	p.expect(exitDone, "unit", "rework", "TB-0001", "--reason", "scratched", "--by", "op7")
	p.expect(exitRefused, "run", "small.yaml", "--slot", "1=TB-0003", "--sim-board", "1=data/sim/TB-0002.chip")
	written, err := os.ReadFile(filepath.Join(p.data(), "reports", "TB-0001.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecords(t, p)
	rows, next, err := r.Find("TB-0001", "", 10)
	if err != nil || len(rows) != 1 || next != "" || rows[0].Outcome != ledger.Pass || !rows[0].Rework || rows[0].Code != rows[0].Run[:8] || rows[0].UID == "" {
		t.Fatalf("%+v, %q, %v", rows, next, err)
	}
	for _, text := range []string{rows[0].Code, rows[0].UID[:8]} {
		if found, _, err := r.Find(text, "", 10); err != nil || len(found) != 1 || found[0].Serial != "TB-0001" {
			t.Errorf("%q finds %+v, %v", text, found, err)
		}
	}
	if all, _, err := r.Find("", "", 10); err != nil || len(all) != 3 || all[0].Serial != "TB-0003" || all[0].Outcome != ledger.Refused {
		t.Errorf("%+v, %v", all, err)
	}
	if none, _, err := r.Find("TB-9", "", 10); err != nil || none == nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	for _, text := range []string{"", "TB"} {
		if _, _, err := r.Find(text, "zzz", 10); !refusedWith(err, kiosk.WordCursor) {
			t.Errorf("a cursor of no page of %q: %v", text, err)
		}
	}
	runs, permits, err := r.Unit("TB-0001")
	if err != nil || len(runs) != 1 || len(permits) != 1 {
		t.Errorf("%d runs and %d permissions, %v", len(runs), len(permits), err)
	}
	pdf, err := r.Report(t.Context(), "TB-0001", "")
	if err != nil || !bytes.Equal(pdf, written) {
		t.Errorf("the report has %d bytes, and the one that was written %d: %v", len(pdf), len(written), err)
	}
	if same, err := r.Report(t.Context(), "TB-0001", runs[0].ID); err != nil || !bytes.Equal(same, pdf) {
		t.Errorf("%d bytes, %v", len(same), err)
	}
	proof, err := r.Prove(t.Context(), "TB-0001")
	if err != nil || proof.Problem != "" || proof.Entries != len(runs[0].Records)+1 || proof.Proven != proof.Entries || proof.Size == 0 || proof.Signer != r.keys.VerifierKey() {
		t.Errorf("%+v, %v", proof, err)
	}
	document, ok, err := r.Verify(t.Context())
	if j, is := document.(auditJSON); err != nil || !ok || !is || !j.OK || j.Root == "" {
		t.Errorf("%+v, %v, %v", document, ok, err)
	}
	_, _, unit := r.Unit("TB-9999")
	_, report := r.Report(t.Context(), "TB-0001", "0123456789abcdef")
	_, prove := r.Prove(t.Context(), "TB-9999")
	closing := r.CloseUnit(t.Context(), kiosk.Who{ID: "sup1"}, "TB-9999", ledger.Lost, "gone")
	for i, err := range []error{unit, report, prove, closing} {
		if !errors.Is(err, ledger.ErrMissing) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestRecordsDecide: what a person decides at a page is in the ledger with whether somebody checked that it was them, and in the report; what does not fit the unit is refused
// with its word, and changes nothing.
func TestRecordsDecide(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	r := newRecords(t, p, "TB-0002")
	who := kiosk.Who{ID: "sup1", Authenticated: true}
	size, err := r.db.Size()
	if err != nil {
		t.Fatal(err)
	}
	for word, err := range map[string]error{
		kiosk.WordUnitNotOpen: r.CloseUnit(t.Context(), who, "TB-0001", ledger.Lost, "gone"),
		kiosk.WordUnitRunning: r.CloseUnit(t.Context(), who, "TB-0002", ledger.Lost, "gone"),
		kiosk.WordReason:      r.Permit(t.Context(), who, "TB-0001", ledger.SameChip, "\x1b[2J"),
	} {
		var no *kiosk.Refusal
		if !errors.As(err, &no) || no.Word != word || no.Status < http.StatusConflict {
			t.Errorf("%s: %v", word, err)
		}
	}
	if now, err := r.db.Size(); err != nil || now != size {
		t.Errorf("%d entries, and there were %d: %v", now, size, err)
	}
	before, err := r.Report(t.Context(), "TB-0001", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Permit(t.Context(), who, "TB-0001", ledger.NewChip, "the chip was replaced"); err != nil {
		t.Fatal(err)
	}
	var no *kiosk.Refusal
	if err := r.Permit(t.Context(), who, "TB-0001", ledger.NewChip, "again"); !errors.As(err, &no) || no.Word != kiosk.WordUnitPermitted || no.Facts["by"] != "sup1" {
		t.Errorf("%v", err)
	}
	permits, err := r.db.Permissions("TB-0001")
	if err != nil || len(permits) != 1 {
		t.Fatalf("%d permissions, %v", len(permits), err)
	}
	if got := permits[0].Entry.Body.(ledger.ReworkPermit); got.By != "sup1" || !got.Authenticated || got.Chip != ledger.NewChip || got.Reason != "the chip was replaced" {
		t.Errorf("%+v", got)
	}
	written, err := os.ReadFile(filepath.Join(p.data(), "reports", "TB-0001.pdf"))
	if now, _ := r.Report(t.Context(), "TB-0001", ""); err != nil || bytes.Equal(written, before) || !bytes.Equal(written, now) {
		t.Errorf("the report was not written anew: %v", err)
	}
}

// foreign makes the board of a unit, whose chip has a password that this station did not write: only a person can decide.
func (p *position) foreign(serial string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.board(serial)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	chip, err := nor.Create(p.board(serial), "MT25QL128ABB", [14]byte{1}, nor.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, frame := range [][]byte{{0x06}, {0x28, 1, 2, 3, 4, 5, 6, 7, 8}} {
		chip.Select()
		chip.Shift(frame, nil)
		chip.Deselect()
	}
	if err := chip.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// TestRecordsClose: a unit that only a person can decide about is closed by one, who is named as somebody checked.
func TestRecordsClose(t *testing.T) {
	t.Parallel()
	p := newAudited(t)
	p.foreign("TB-0001")
	p.expect(exitDecision, "run", "secret.yaml", "--slot", "1=TB-0001", "--value", "1.mac=020000000001")
	r := newRecords(t, p)
	var no *kiosk.Refusal
	if err := r.Permit(t.Context(), kiosk.Who{ID: "sup1"}, "TB-0001", ledger.SameChip, "again"); !errors.As(err, &no) || no.Word != kiosk.WordUnitOpen {
		t.Errorf("%v", err)
	}
	before, err := r.Report(t.Context(), "TB-0001", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CloseUnit(t.Context(), kiosk.Who{ID: "sup1", Authenticated: true}, "TB-0001", ledger.Scrapped, "a foreign password"); err != nil {
		t.Fatal(err)
	}
	runs, _, err := r.Unit("TB-0001")
	if err != nil {
		t.Fatal(err)
	}
	if c := runs[0].Close; c == nil || c.By != "sup1" || !c.Authenticated || c.As != ledger.Scrapped || c.Reason != "a foreign password" {
		t.Errorf("%+v", c)
	}
	after, err := r.Report(t.Context(), "TB-0001", "")
	if written, _ := os.ReadFile(filepath.Join(p.data(), "reports", "TB-0001.pdf")); err != nil || !bytes.Equal(written, after) || bytes.Equal(after, before) {
		t.Errorf("the report was not written anew: %v", err)
	}
	if rows, _, err := r.Find("TB-0001", "", 1); err != nil || rows[0].Closed != ledger.Scrapped {
		t.Errorf("%+v, %v", rows, err)
	}
	if _, ok, err := r.Verify(t.Context()); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

// refusedWith tells whether an error is a refusal that says a word.
func refusedWith(err error, word string) bool {
	var refusal *kiosk.Refusal
	return errors.As(err, &refusal) && refusal.Word == word
}
