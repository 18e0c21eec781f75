package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"station/ledger"
)

var ctx = context.Background()

// options of a station whose key follows from the seed.
func options(t fataler, station string, seed byte) Options {
	skey, vkey, err := note.GenerateKey(rand.NewChaCha8(sha256.Sum256([]byte{seed})), ledger.Origin(station))
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Station: station, Simulated: true, Software: "station test", Signer: s, VerifierKey: vkey}
}

type fataler interface{ Fatal(...any) }

func run(n int) string { return fmt.Sprintf("%016x", n) }

func start(n int, serial string) ledger.RunStart {
	return ledger.RunStart{Run: run(n), Serial: serial, Chip: ledger.Chip{UID: "uid-" + serial}, Recipe: ledger.Recipe{ID: "r", Digest: "sha256:d"}}
}

func step(n int, serial string, k int) ledger.RunStep {
	return ledger.RunStep{Run: run(n), Serial: serial, N: k, Of: 3, Result: ledger.Done}
}

func end(n int, serial string, o ledger.Outcome) ledger.RunEnd {
	return ledger.RunEnd{Run: run(n), Serial: serial, Outcome: o, Recipe: ledger.Recipe{ID: "r", Digest: "sha256:d"}}
}

func create(t *testing.T, o Options) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	d, err := Create(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func mustAppend(t *testing.T, d *DB, bodies ...ledger.Body) int64 {
	t.Helper()
	i, err := d.Append(ctx, bodies...)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// sound is the check that every test ends in: the product's own.
func sound(t fataler, d *DB, vkey string) ledger.Report {
	if err := d.Check(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.Verify(ctx, d, v)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 0 {
		t.Fatal(r.Findings)
	}
	return r
}

func TestCreateAppendReopen(t *testing.T) {
	o := options(t, "line1", 1)
	at := time.Date(2026, 11, 23, 9, 30, 0, 123456789, time.UTC)
	o.Now, o.Boot = func() time.Time { return at }, func() time.Duration { return 42 }
	d, path := create(t, o)
	if first := mustAppend(t, d, start(1, "A"), step(1, "A", 1)); first != 1 {
		t.Errorf("first index %d", first)
	}
	if first := mustAppend(t, d, end(1, "A", ledger.Pass)); first != 3 {
		t.Errorf("next index %d", first)
	}
	rec, err := d.Entry(2)
	want := ledger.Entry{Station: "line1", Simulated: true, Time: at.Truncate(time.Microsecond), Boot: 42, Body: step(1, "A", 1)}
	if diff := cmp.Diff(want, rec.Entry); err != nil || diff != "" || rec.Index != 2 {
		t.Errorf("entry 2: %v\n%s", err, diff)
	}
	rec, err = d.Entry(0)
	init, ok := rec.Entry.Body.(ledger.StationInit)
	if err != nil || !ok || init.Software != "station test" || init.CheckpointKey != o.VerifierKey {
		t.Errorf("entry 0: %+v, %v", rec, err)
	}
	if _, err := d.Entry(4); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("entry 4: %v", err)
	}
	if _, err := d.Entry(-1); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("entry -1: %v", err)
	}
	if records, err := d.Records(1, 4); err != nil || len(records) != 3 || records[2].Index != 3 {
		t.Errorf("records: %v, %v", records, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := d.Append(ctx, start(2, "B")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := d.Size(); !errors.Is(err, ErrClosed) {
		t.Errorf("size after close: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v, %v", info.Mode(), err)
	}
	d, err = Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if r := sound(t, d, o.VerifierKey); r.Entries != 4 || r.Signed != 4 || !r.Simulated || r.Station != "line1" {
		t.Errorf("report %+v", r)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	o := options(t, "line1", 1)
	d, path := create(t, o)
	short := o
	short.Timeout = time.Millisecond
	if _, err := Open(path, short); !errors.Is(err, ErrInUse) {
		t.Errorf("second opener: %v", err)
	}
	if _, err := Create(path, o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over an open ledger: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	real := o
	real.Simulated = false
	otherKey := options(t, "line1", 2)
	mixed := o
	mixed.Signer = otherKey.Signer
	for name, o := range map[string]Options{
		"another station":                options(t, "line2", 1),
		"real":                           real,
		"another key":                    otherKey,
		"signer and verifier do not fit": mixed,
	} {
		if _, err := Open(path, o); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Create(path, o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over an existing ledger: %v", err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if _, err := Open(absent, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open an absent file: %v", err)
	}
	if _, err := OpenReadOnly(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read an absent file: %v", err)
	}
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("hello"), "zeros": make([]byte, 1<<16)} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, o)
		_, readErr := OpenReadOnly(path)
		after, _ := os.ReadFile(path)
		if !errors.Is(err, ErrDamaged) || !errors.Is(readErr, ErrDamaged) || string(after) != string(content) {
			t.Errorf("%s: %v, %v, %d bytes after", name, err, readErr, len(after))
		}
	}
	// None of this has changed the ledger.
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sound(t, d, o.VerifierKey)
}

func TestOpenReadOnly(t *testing.T) {
	o := options(t, "line1", 1)
	d, path := create(t, o)
	mustAppend(t, d, start(1, "A"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sound(t, a, o.VerifierKey)
	sound(t, b, o.VerifierKey)
	if _, err := a.Append(ctx, end(1, "A", ledger.Pass)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	if err := a.Sign(ctx); !errors.Is(err, ErrReadOnly) {
		t.Errorf("sign: %v", err)
	}
	if text, err := a.CheckpointFor(ctx, 1); err != nil || len(text) == 0 {
		t.Errorf("checkpoint: %q, %v", text, err)
	}
	o.Timeout = time.Millisecond
	if _, err := Open(path, o); !errors.Is(err, ErrInUse) {
		t.Errorf("writer beside readers: %v", err)
	}
}

func TestAppendRefusesAndChangesNothing(t *testing.T) {
	o := options(t, "line1", 1)
	d, _ := create(t, o)
	mustAppend(t, d, start(1, "A"))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		bodies []ledger.Body
		want   error
	}{
		"nothing":           {ctx, nil, ledger.ErrGrammar},
		"nil":               {ctx, []ledger.Body{nil}, ledger.ErrEncoding},
		"other":             {ctx, []ledger.Body{ledger.Other{Name: "x", Fields: []byte("{}")}}, ledger.ErrEncoding},
		"station.init":      {ctx, []ledger.Body{ledger.StationInit{}}, ledger.ErrGrammar},
		"second start":      {ctx, []ledger.Body{start(1, "A")}, ledger.ErrGrammar},
		"good, then bad":    {ctx, []ledger.Body{start(2, "B"), step(3, "C", 1)}, ledger.ErrGrammar},
		"end, then a step":  {ctx, []ledger.Body{end(1, "A", ledger.Pass), step(1, "A", 1)}, ledger.ErrGrammar},
		"serial too long":   {ctx, []ledger.Body{start(2, string(make([]byte, maxName+1)))}, ledger.ErrGrammar},
		"cancelled context": {cancelled, []ledger.Body{end(1, "A", ledger.Pass)}, context.Canceled},
	} {
		if _, err := d.Append(c.ctx, c.bodies...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if size, err := d.Size(); size != 2 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	// A body given by pointer is the same entry.
	last := end(1, "A", ledger.Aborted)
	mustAppend(t, d, &last)
	if err := d.Sign(ctx); err != nil {
		t.Fatal(err)
	}
	sound(t, d, o.VerifierKey)
}

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

func TestConcurrentAppends(t *testing.T) {
	o := options(t, "line1", 1)
	d, _ := create(t, o)
	var wg sync.WaitGroup
	for slot := range 4 {
		wg.Go(func() {
			for k := range 8 {
				n, serial := slot*100+k, fmt.Sprint("S", slot, "-", k)
				i, err := d.Append(ctx, start(n, serial), step(n, serial, 1), end(n, serial, ledger.Pass))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := d.CheckpointFor(ctx, i+2)
				if err != nil || len(text) == 0 {
					t.Errorf("checkpoint: %v", err)
				}
				if runs, err := d.Runs(serial, ""); err != nil || len(runs) != 1 || len(runs[0].Records) != 3 {
					t.Errorf("runs: %v, %v", runs, err)
				}
			}
		})
	}
	wg.Wait()
	if r := sound(t, d, o.VerifierKey); r.Entries != 1+4*8*3 || r.Unsigned() != 0 {
		t.Errorf("%+v", r)
	}
}

// TestCheckFindsIndexDamage spoils one index row at a time.
func TestCheckFindsIndexDamage(t *testing.T) {
	o := options(t, "line1", 1)
	d, _ := create(t, o)
	mustAppend(t, d, start(1, "A"), end(1, "A", ledger.Pass), start(2, "B"))
	errUndo := errors.New("undo")
	for _, name := range indexes {
		for _, spoil := range []func(b *bolt.Bucket, k, v []byte) error{
			func(b *bolt.Bucket, k, _ []byte) error { return b.Delete(k) },
			func(b *bolt.Bucket, k, v []byte) error { return b.Put(k, append(slices.Clone(v), 'x')) },
			func(b *bolt.Bucket, k, v []byte) error { return b.Put(append(slices.Clone(k), 'x'), v) },
		} {
			err := d.bolt.Update(func(tx *bolt.Tx) error {
				k, v := tx.Bucket(name).Cursor().First()
				if k == nil {
					return fmt.Errorf("%s is empty", name)
				}
				if err := spoil(tx.Bucket(name), slices.Clone(k), slices.Clone(v)); err != nil {
					return err
				}
				if err := checkIndexes(ctx, tx); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s spoiled: %v", name, err)
				}
				return errUndo
			})
			if !errors.Is(err, errUndo) {
				t.Fatal(err)
			}
		}
	}
	sound(t, d, o.VerifierKey)
}

// TestAlteredFile alters entries, hashes and checkpoints in the file, as someone with bbolt's tools would.
func TestAlteredFile(t *testing.T) {
	o := options(t, "line1", 1)
	v, err := note.NewVerifier(o.VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bucket []byte
		key    int64
		bad    int64 // named by Verify
		// refused says whether a station opens it when the value is altered, and when it is gone: it looks only
		// at what its newest checkpoint and the counts tell.
		refused [2]bool
	}{
		"entry":      {bucketEntries, 2, 2, [2]bool{false, false}},
		"last entry": {bucketEntries, 3, 3, [2]bool{false, true}},
		"leaf hash":  {bucketHashes, 3, 2, [2]bool{false, false}},
		"checkpoint": {bucketCheckpoints, 4, 4, [2]bool{true, false}},
	} {
		for k, gone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s gone=%t", name, gone), func(t *testing.T) {
				d, path := create(t, o)
				mustAppend(t, d, start(1, "A"), step(1, "A", 1), end(1, "A", ledger.Pass))
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				b, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				err = b.Update(func(tx *bolt.Tx) error {
					b := tx.Bucket(c.bucket)
					if gone {
						return b.Delete(number(c.key))
					}
					v := slices.Clone(b.Get(number(c.key)))
					v[len(v)/2] ^= 1
					return b.Put(number(c.key), v)
				})
				if err := errors.Join(err, b.Close()); err != nil {
					t.Fatal(err)
				}
				d, err = OpenReadOnly(path)
				if err != nil {
					t.Fatal(err)
				}
				r, err := ledger.Verify(ctx, d, v)
				if err != nil {
					t.Fatal(err)
				}
				if name == "checkpoint" && gone { // is an unsigned tail
					if len(r.Findings) != 0 || r.Unsigned() == 0 {
						t.Errorf("%+v", r)
					}
				} else if len(r.Findings) == 0 || r.Findings[0].From != c.bad {
					t.Errorf("%+v", r.Findings)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				d, err = Open(path, o)
				if err == nil {
					d.Close()
				}
				if errors.Is(err, ErrDamaged) != c.refused[k] || err != nil && !c.refused[k] {
					t.Errorf("open: %v", err)
				}
			})
		}
	}
}

// A file that lost its end is an error, not a crash.
func TestTruncatedFile(t *testing.T) {
	o := options(t, "line1", 1)
	d, path := create(t, o)
	for n := range 30 {
		mustAppend(t, d, start(n, fmt.Sprint("S", n)), end(n, fmt.Sprint("S", n), ledger.Pass))
	}
	var used int64 // bytes; the file is larger
	if err := d.bolt.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{used / 2, used / 4, 3 * 4096, 100} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		d, err := OpenReadOnly(path)
		if err == nil {
			err = d.Check(ctx)
			d.Close()
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", size, used, err)
		}
		if d, err := Open(path, o); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d of %d bytes: Open: %v", size, used, err)
			if err == nil {
				d.Close()
			}
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
