package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"station/ledger"
)

// TestFind: pages of any size are what the entries themselves say, for what begins serials, ids of runs and UIDs at once.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	files := 0
	rapid.Check(t, func(t *rapid.T) {
		o := options(t, "line1", 1)
		files++
		d, err := Create(filepath.Join(dir, fmt.Sprint(files)), o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		d.bolt.NoSync = true
		serials := []string{"A1", "A2", "B", "AABBCC0", "aabbcc01", "AABBCC00", "aabbcc00000000001"}
		uids := []string{"AABBCC00", "AABBCC01", "aabbcc00", "AABBCC0000", "FF00FF00", ""}
		ids := []string{"aabbcc00%08d", "aabbcc01%08d", "ff00ff00%08d"}
		for n := range rapid.IntRange(0, 12).Draw(t, "runs") {
			id := fmt.Sprintf(rapid.SampledFrom(ids).Draw(t, "id"), n)
			serial := rapid.SampledFrom(serials).Draw(t, "serial")
			chip := ledger.Chip{UID: rapid.SampledFrom(uids).Draw(t, "uid")}
			b := ledger.RunEnd{Run: id, Serial: serial, Chip: &chip, Outcome: ledger.Fail}
			if rapid.Bool().Draw(t, "started") {
				mustPut(t, d, ledger.RunStart{Run: id, Serial: serial, Chip: chip})
			}
			mustPut(t, d, b)
		}
		size, err := d.Size()
		if err != nil {
			t.Fatal(err)
		}
		records, err := d.Records(0, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"A", "a", "AABBCC", "aabbcc", "AABBCC0", "aabbcc00", "AABBCC0000", "aabbcc0000000001", "ff00ff00", "FF00F", "B", "C"} {
			hex := strings.Trim(strings.ToLower(text), "0123456789abcdef") == ""
			want := map[string]bool{}
			for _, r := range ledger.Runs(records) {
				uid := ""
				if r.Chip() != nil {
					uid = r.Chip().UID
				}
				one := uid == strings.ToUpper(uid) || uid == strings.ToLower(uid)
				if strings.HasPrefix(r.Serial, text) || hex && len(text) >= 8 && strings.HasPrefix(r.ID, strings.ToLower(text)) ||
					hex && len(text) >= 6 && one && strings.HasPrefix(strings.ToLower(uid), strings.ToLower(text)) {
					want[r.Serial] = true
				}
			}
			limit := rapid.IntRange(1, 4).Draw(t, "limit")
			var got []Unit
			for cursor, pages := "", 0; ; pages++ {
				units, next, err := d.Find(text, cursor, limit)
				if err != nil || len(units) > limit || next != "" && len(units) < limit || pages > 20 {
					t.Fatalf("%s, page %d: %d units, next %q, %v", text, pages, len(units), next, err)
				}
				got = append(got, units...)
				if cursor = next; next == "" {
					break
				}
			}
			all := map[string]Unit{}
			newest, _, err := d.Units(UnitQuery{})
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range newest {
				all[u.Serial] = u
			}
			found := map[string]int{}
			for i, u := range got {
				found[u.Serial]++
				if u != all[u.Serial] {
					t.Fatalf("%s: %+v, want %+v", text, u, all[u.Serial])
				}
				if strings.HasPrefix(u.Serial, text) && i > 0 && got[i-1].Serial >= u.Serial {
					t.Fatalf("%s: %s comes after %s", text, u.Serial, got[i-1].Serial)
				}
				replaced := !strings.HasPrefix(strings.ToLower(u.UID), strings.ToLower(text))
				if found[u.Serial] > 1 && !replaced {
					t.Fatalf("%s: %s is there twice", text, u.Serial)
				}
			}
			for serial := range want {
				if found[serial] == 0 {
					t.Fatalf("%s does not find %s", text, serial)
				}
			}
			if len(found) > len(want) {
				t.Fatalf("%s finds %v, want %v", text, found, want)
			}
		}
	})
}

func mustPut(t *rapid.T, d *DB, b ledger.Body) {
	if _, err := d.Append(ctx, b); err != nil {
		t.Fatal(err)
	}
}

// TestFindBad: what is no page's cursor is refused, also one of another search; no text is all units, newest first; and no row is read that does not begin with the text.
func TestFindBad(t *testing.T) {
	o := options(t, "line1", 1)
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { clock = clock.Add(time.Second); return clock }
	d, _ := create(t, o)
	for n, serial := range []string{"B2", "A1", "B1"} {
		mustAppend(t, d, start(n+1, serial))
	}
	_, cursor, err := d.Find("B", "", 1)
	if err != nil || cursor == "" {
		t.Fatalf("%q, %v", cursor, err)
	}
	for _, c := range []string{"x", "00", cursor + "0"} {
		for _, text := range []string{"B", ""} {
			if _, _, err := d.Find(text, c, 1); !errors.Is(err, ErrCursor) {
				t.Errorf("cursor %q of %q: %v", c, text, err)
			}
		}
	}
	if _, _, err := d.Find("A", cursor, 1); err == nil {
		t.Error("the cursor of another search was taken")
	}
	if _, _, err := d.Find("A", "", -1); err == nil {
		t.Error("a negative limit was taken")
	}
	all, _, err := d.Find("", "", 0)
	var serials []string
	for _, u := range all {
		serials = append(serials, u.Serial)
	}
	if err != nil || !slices.Equal(serials, []string{"B1", "A1", "B2"}) {
		t.Errorf("%v, %v", serials, err)
	}
	err = d.bolt.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketUnits).Put([]byte("A1"), []byte("torn")) })
	if err != nil {
		t.Fatal(err)
	}
	if units, _, err := d.Find("B", "", 0); err != nil || len(units) != 2 {
		t.Errorf("%v, %v", units, err)
	}
	if _, _, err := d.Find("A", "", 0); !errors.Is(err, ErrDamaged) {
		t.Errorf("a torn row: %v", err)
	}
	if units, _, err := d.Find(strings.Repeat("A", maxName+1), "", 0); err != nil || len(units) > 0 {
		t.Errorf("%v, %v", units, err)
	}
}
