package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"station/ledger"
)

// TestAgainstModel appends random bodies and compares every query with what the entries themselves say.
func TestAgainstModel(t *testing.T) {
	dir := t.TempDir()
	files := 0
	rapid.Check(t, func(t *rapid.T) {
		o := options(t, "line1", 1)
		clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		o.Now = func() time.Time { return clock }
		files++
		d, err := Create(filepath.Join(dir, fmt.Sprint(files)), o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		d.bolt.NoSync = true // nobody pulls the plug in this test
		serials := []string{"A", "B", "AB", ""}
		uids := []string{"u1", "u2", "u12", ""}
		digests := []string{"d1", "d2", ""}
		size := int64(1)
		for range rapid.IntRange(0, 30).Draw(t, "appends") {
			clock = clock.Add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "seconds")) * time.Second) // clocks are set back, too
			n := rapid.IntRange(1, 5).Draw(t, "run")
			serial := rapid.SampledFrom(serials).Draw(t, "serial")
			chip := ledger.Chip{UID: rapid.SampledFrom(uids).Draw(t, "uid")}
			recipe := ledger.Recipe{Digest: rapid.SampledFrom(digests).Draw(t, "digest")}
			var body ledger.Body
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0, 1:
				body = ledger.RunStart{Run: run(n), Serial: serial, Chip: chip, Recipe: recipe}
			case 2:
				body = step(n, serial, 1)
			case 3:
				body = ledger.RunResume{Run: run(n), Serial: serial, Chip: chip}
			case 4:
				outcome := rapid.SampledFrom([]ledger.Outcome{ledger.Pass, ledger.Fail, ledger.Refused}).Draw(t, "outcome")
				body = ledger.RunEnd{Run: run(n), Serial: serial, Chip: &chip, Recipe: recipe, Outcome: outcome}
			}
			i, err := d.Append(ctx, body)
			switch {
			case err == nil && i != size:
				t.Fatalf("index %d, want %d", i, size)
			case err == nil:
				size++
			case !errors.Is(err, ledger.ErrGrammar):
				t.Fatal(err)
			}
		}
		records, err := d.Records(0, size)
		if err != nil {
			t.Fatal(err)
		}
		all := ledger.Runs(records)
		equal := func(what string, want, got []ledger.Run, err error) {
			if err != nil || len(want)+len(got) > 0 && !reflect.DeepEqual(want, got) { // cmp takes ten times as long
				t.Fatalf("%s: %v\n%s", what, err, cmp.Diff(want, got))
			}
		}
		for _, serial := range serials {
			for _, uid := range uids {
				var want []ledger.Run
				for _, r := range all {
					ended := r.End != nil && r.End.Chip != nil && r.End.Chip.UID == uid
					if serial != "" && r.Serial == serial || uid != "" && (ended || r.Chip() != nil && r.Chip().UID == uid) {
						want = append(want, r)
					}
				}
				got, err := d.Runs(serial, uid)
				equal("runs of "+serial+" or "+uid, want, got, err)
			}
		}
		var open []ledger.Run
		for _, r := range all {
			if r.Open() {
				open = append(open, r)
			}
			got, err := d.Run(r.ID)
			equal("run "+r.ID, []ledger.Run{r}, []ledger.Run{got}, err)
		}
		got, err := d.OpenRuns()
		equal("open runs", open, got, err)
		checkUnits(t, d, records, digests)
		if err := d.Sign(ctx); err != nil {
			t.Fatal(err)
		}
		sound(t, d, o.VerifierKey)
	})
}

// checkUnits states anew what a unit's newest state is, and compares pages of it under every filter.
func checkUnits(t *rapid.T, d *DB, records []ledger.Record, digests []string) {
	state := map[string]Unit{}
	firm := map[string]bool{}
	started := map[string]string{}
	for _, rec := range records {
		u := Unit{Time: rec.Entry.Time, Index: rec.Index, Outcome: ledger.Interrupted}
		isFirm := true
		switch b := rec.Entry.Body.(type) {
		case ledger.RunStart:
			u.Serial, u.Run, u.Recipe, u.UID = b.Serial, b.Run, b.Recipe, b.Chip.UID
			started[b.Run] = b.Chip.UID
		case ledger.RunEnd:
			uid, was := started[b.Run]
			if uid == "" {
				uid = b.Chip.UID
			}
			u.Serial, u.Run, u.Recipe, u.UID, u.Outcome = b.Serial, b.Run, b.Recipe, uid, b.Outcome
			isFirm = was || b.Outcome == ledger.Fail
		default:
			continue
		}
		if u.Serial == "" || firm[u.Serial] && !isFirm {
			continue
		}
		state[u.Serial], firm[u.Serial] = u, isFirm
	}
	var since, until time.Time
	if rapid.Bool().Draw(t, "since") {
		since = time.Date(2026, 1, 1, 0, 0, rapid.IntRange(0, 60).Draw(t, "since s"), 0, time.UTC)
	}
	if rapid.Bool().Draw(t, "until") {
		until = time.Date(2026, 1, 1, 0, 0, rapid.IntRange(0, 60).Draw(t, "until s"), 0, time.UTC)
	}
	for _, digest := range digests {
		var want []Unit
		for _, u := range state {
			if (digest == "" || u.Recipe.Digest == digest) && !u.Time.Before(since) && (until.IsZero() || u.Time.Before(until)) {
				want = append(want, u)
			}
		}
		slices.SortFunc(want, func(a, b Unit) int {
			if c := b.Time.Compare(a.Time); c != 0 {
				return c
			}
			return int(b.Index - a.Index)
		})
		var got []Unit
		limit := rapid.IntRange(1, 3).Draw(t, "limit")
		q := UnitQuery{Digest: digest, Since: since, Until: until, Limit: limit}
		for pages := 0; ; pages++ {
			units, next, err := d.Units(q)
			if err != nil || len(units) > limit || pages > 10 {
				t.Fatalf("page %d: %d units, %v", pages, len(units), err)
			}
			got = append(got, units...)
			if q.Cursor = next; next == "" {
				break
			}
		}
		if len(want)+len(got) > 0 && !cmp.Equal(want, got) {
			t.Fatalf("units of %q since %v until %v:\n%s", digest, since, until, cmp.Diff(want, got))
		}
	}
}

func TestUnitsRefusesBadQueries(t *testing.T) {
	d, _ := create(t, options(t, "line1", 1))
	for _, q := range []UnitQuery{{Limit: -1}, {Cursor: "x"}, {Cursor: "00"}} {
		if _, _, err := d.Units(q); err == nil {
			t.Errorf("%+v was answered", q)
		}
	}
}

func TestUnitJSON(t *testing.T) {
	text, err := json.Marshal(Unit{Serial: "A"})
	var fields map[string]any
	if err := errors.Join(err, json.Unmarshal(text, &fields)); err != nil || fields["serial"] != "A" || len(fields) != 10 {
		t.Errorf("%s, %v", text, err)
	}
}
