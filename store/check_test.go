package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

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
