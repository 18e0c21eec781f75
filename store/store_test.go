package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"

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

// sound is the check that every test ends in: the product's own, of the whole and of each unit.
func sound(t fataler, d *DB, vkey string) ledger.Report {
	if err := d.Check(ctx); err != nil {
		t.Fatal(err)
	}
	var serials []string
	err := d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketUnits).ForEach(func(serial, _ []byte) error {
			serials = append(serials, string(serial))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, serial := range serials {
		if found, err := d.CheckUnit(serial); err != nil || len(found) == 0 {
			t.Fatal(serial, len(found), err)
		}
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
		"serial not UTF-8":  {ctx, []ledger.Body{start(2, "B\xff")}, ledger.ErrEncoding},
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
	wg.Go(func() {
		for range 5 { // a ledger that grows meanwhile is no altered one
			sound(t, d, o.VerifierKey)
		}
	})
	wg.Wait()
	if r := sound(t, d, o.VerifierKey); r.Entries != 1+4*8*3 || r.Unsigned() != 0 {
		t.Errorf("%+v", r)
	}
}

// A report or a backup that reads for long must not stop the line: a writer that has to grow the memory map waits
// for every reader.
func TestLongReaderDoesNotStopTheWriter(t *testing.T) {
	o := options(t, "line1", 1)
	d, path := create(t, o)
	tx, err := d.bolt.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	d.bolt.NoSync = true // only space is in question here
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		body := start(n, "S")
		body.Recipe.Title = strings.Repeat("x", 200_000)
		mustAppend(t, d, body)
		if info, err := os.Stat(path); err != nil || info.Size() > 2*before.Size() {
			break
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := d.Sign(ctx); err != nil {
		t.Fatal(err)
	}
	sound(t, d, o.VerifierKey)
}
