package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"station/ledger"
)

// Whatever is done and however often the mirror goes away and the station starts again, the mirror is the beginning of the ledger at every
// moment, and has all of it after each change that is permanent.
func TestMirrorIsAPrefix(t *testing.T) {
	o := options(t, "line1", 1)
	v, err := note.NewVerifier(o.VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	losses, permanents, refused := 0, 0, 0
	place := "/dev/shm" // memory: what is asked here is order, and a disk's fsyncs would take a minute
	if _, err := os.Stat(place); err != nil {
		place = ""
	}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(place, "mirror-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := o
		o.Mirror = filepath.Join(dir, "m")
		if err := os.Mkdir(o.Mirror, 0o755); err != nil {
			t.Fatal(err)
		}
		d, err := Create(filepath.Join(dir, "ledger.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { d.Close() }()
		n, away, full := 0, false, false
		check := func() {
			release, err := d.hold(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if d.mirror.db == nil {
				return // nobody writes to it; it is compared at the next start
			}
			ours, theirs, _, err := compare(d, d.mirror.db)
			if err != nil || ours != theirs {
				t.Fatalf("the ledger has %v, the mirror %v; %v", ours, theirs, err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check() },
			"run": func(t *rapid.T) {
				n++
				if _, err := d.Append(ctx, start(n, fmt.Sprint("S", n))); err != nil {
					t.Fatal(err)
				}
			},
			"permanent": func(t *rapid.T) {
				if n == 0 {
					t.Skip()
				}
				k := rapid.IntRange(1, n).Draw(t, "run")
				i, err := d.Append(ctx, ledger.PermanentIntent{Run: run(k), Serial: fmt.Sprint("S", k), UID: fmt.Sprint("uid-S", k), What: "counter"})
				switch {
				case err == nil:
					permanents++
					if size := onMirror(t, d); size <= i {
						t.Fatalf("entry %d is permanent, and the mirror has %d entries", i, size)
					}
				case errors.Is(err, ErrMirror) && (away || full):
					refused++
					full = false // another file is opened next time
				default:
					t.Fatal(err)
				}
			},
			"lose": func(t *rapid.T) {
				if away {
					t.Skip()
				}
				losses++
				away = true
				if err := os.Rename(o.Mirror, o.Mirror+".away"); err != nil {
					t.Fatal(err)
				}
			},
			"full": func(t *rapid.T) {
				losses++
				full = true
				release, err := d.hold(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer release()
				if d.mirror.db == nil {
					t.Skip()
				}
				d.mirror.db.bolt.MaxSize, d.mirror.db.bolt.AllocSize = 1, 1
			},
			"back": func(t *rapid.T) {
				if !away {
					t.Skip()
				}
				away = false
				if err := os.Rename(o.Mirror+".away", o.Mirror); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				dir := o.Mirror
				if away {
					dir += ".away"
				}
				prefixOf(t, d.path, filepath.Join(dir, MirrorFile), v)
				if d, err = Open(d.path, o); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
	if losses == 0 || permanents == 0 || refused == 0 {
		t.Errorf("%d losses, %d permanent changes, %d refused: the property was not tried", losses, permanents, refused)
	}
	t.Logf("%d losses, %d permanent changes, %d refused", losses, permanents, refused)
}

// onMirror is how many entries the mirror's file has; a signature may have lost it since.
func onMirror(t *rapid.T, d *DB) int64 {
	release, err := d.hold(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	m := d.mirror.db
	if m == nil {
		if m, err = OpenReadOnly(d.mirror.path()); err != nil {
			t.Fatal(err)
		}
		defer m.Close()
	}
	size, err := m.Size()
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// prefixOf wants the second file to be a sound ledger that the first one begins with.
func prefixOf(t *rapid.T, path, mirror string, v note.Verifier) {
	d, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, err := OpenReadOnly(mirror)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if r, err := ledger.Verify(ctx, m, v); err != nil || len(r.Findings) > 0 {
		t.Fatalf("the mirror: %v, %v", r.Findings, err)
	}
	if ours, theirs, prefix, err := compare(d, m); err != nil || !prefix {
		t.Fatalf("the ledger has %v and the mirror %v, which is not its beginning; %v", ours, theirs, err)
	}
}
