package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// epochAfter is the entry that goes on from these.
func epochAfter(t *testing.T, bodies []Body) StationEpoch {
	t.Helper()
	root, err := tlog.TreeHash(int64(len(bodies)), newBook(t, bodies))
	if err != nil {
		t.Fatal(err)
	}
	return StationEpoch{"station 1.0", int64(len(bodies)), hex.EncodeToString(root[:]), FromBackup, "the disk of line 1 died <2026>", "op-80"}
}

// TestEpochVector holds the bytes of the entry to testdata/epoch.
func TestEpochVector(t *testing.T) {
	leaf := newBook(t, []Body{StationEpoch{"station 1.0", 22, zeros, FromMirror, "the disk of line 1 died <2026>", "op-80"}}).leaves[0]
	const path = "testdata/epoch/entry.json"
	if *update {
		if err := os.WriteFile(path, leaf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(leaf, want) {
		t.Errorf("the entry is now\n%s\nand was\n%s (%v)", leaf, want, err)
	}
	e, err := Decode(leaf)
	if want := (StationEpoch{"station 1.0", 22, zeros, FromMirror, "the disk of line 1 died <2026>", "op-80"}); err != nil || !reflect.DeepEqual(e.Body, want) {
		t.Errorf("%+v, %v", e.Body, err)
	}
	if run, serial, slot := RunOf(e.Body); run+serial+slot != "" {
		t.Errorf("it belongs to run %q of %q", run, serial)
	}
}

// An epoch stands behind exactly the entries that it knows, as often as there was one, and the entries go on after it.
func TestEpochVerifies(t *testing.T) {
	before := vectorBodies()
	good := epochAfter(t, before)
	twice := append(append([]Body{}, before...), good)
	again := epochAfter(t, twice)
	again.From = FromMirror
	all := append(append(twice, again), secretBodies()...)
	if r := verify(t, newBook(t, all, int64(len(all)))); len(r.Findings) != 0 || r.Entries != int64(len(all)) {
		t.Errorf("%+v", r)
	}
	for name, spoil := range map[string]func(*StationEpoch){
		"an entry less":  func(e *StationEpoch) { e.Known-- },
		"an entry more":  func(e *StationEpoch) { e.Known++ },
		"another tree":   func(e *StationEpoch) { e.Root = zeros },
		"no tree hash":   func(e *StationEpoch) { e.Root = strings.ToUpper(e.Root) },
		"from nowhere":   func(e *StationEpoch) { e.From = "" },
		"for no reason":  func(e *StationEpoch) { e.Reason = "" },
		"by nobody":      func(e *StationEpoch) { e.By = "" },
		"from elsewhere": func(e *StationEpoch) { e.From = "x" },
	} {
		bad := good
		spoil(&bad)
		r := verify(t, newBook(t, append(append([]Body{}, before...), bad)))
		if len(r.Findings) != 1 || r.Findings[0].From != int64(len(before)) || !strings.Contains(r.Findings[0].What, KindStationEpoch) && !strings.Contains(r.Findings[0].What, "tree hash") {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	if err := (StationEpoch{}).Check(0); !errors.Is(err, ErrGrammar) {
		t.Errorf("an epoch as the first entry: %v", err)
	}
}

// A run that was open in the copy is in quarantine until there is an entry of it again; one of later, or settled, never is.
func TestQuarantined(t *testing.T) {
	start := func(n string) RunStart {
		s := vectorBodies()[1].(RunStart)
		s.Run = n
		return s
	}
	const a, b, c = "00000000000000aa", "00000000000000bb", "00000000000000cc"
	bodies := []Body{vectorBodies()[0], start(a), start(b), RunEnd{Run: b, Serial: "GW-000001", Outcome: Error}}
	backup := epochAfter(t, bodies)
	records := func(bodies ...Body) (out []Record) {
		for i, body := range bodies {
			out = append(out, Record{Index: int64(i), Entry: Entry{Body: body}})
		}
		return out
	}
	quarantined := func(records []Record) (ids []string) {
		lost := LostAt(records)
		for _, r := range Runs(records) {
			if r.Quarantined(lost) {
				ids = append(ids, r.ID)
			}
		}
		return ids
	}
	with := func(more ...Body) []Record { return records(append(append([]Body{}, bodies...), more...)...) }
	if got := quarantined(with()); got != nil {
		t.Errorf("without an epoch: %v", got)
	}
	if got := quarantined(with(backup, start(c))); !reflect.DeepEqual(got, []string{a}) {
		t.Errorf("after it: %v", got)
	}
	if got := quarantined(with(backup, RunResume{Run: a, Serial: "GW-000001"})); got != nil {
		t.Errorf("seen again: %v", got)
	}
	if got := quarantined(with(backup, UnitClose{Run: a, Serial: "GW-000001"})); got != nil {
		t.Errorf("closed: %v", got)
	}
	// A mirror may have been away at the end. A later restoration extends the quarantine of an earlier one.
	mirrored := backup
	mirrored.From = FromMirror
	if got := quarantined(with(mirrored)); !reflect.DeepEqual(got, []string{a}) {
		t.Errorf("from a mirror: %v", got)
	}
	if got := quarantined(with(backup, start(c), mirrored)); !reflect.DeepEqual(got, []string{a, c}) {
		t.Errorf("then from a mirror: %v", got)
	}
}
