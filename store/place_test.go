package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

// The ledger's file goes away under a station, in each row in its own manner, before a commit or in the midst of one: what is written then is found by no start, so that
// nothing is, and nobody may count on it. It stays so when the file is back: what was lost meanwhile only a start can tell.
func TestLedgerMoved(t *testing.T) {
	for name, away := range map[string]func(t *testing.T, path string){
		"removed": remove,
		"moved":   func(t *testing.T, path string) { rename(t, path, path+".away") },
		"replaced by its own copy": func(t *testing.T, path string) {
			copied, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rename(t, path, path+".away")
			write(t, path, string(copied))
		},
		"with its directory": func(t *testing.T, path string) { rename(t, filepath.Dir(path), filepath.Dir(path)+".away") },
	} {
		for _, when := range []string{"before", "meanwhile"} {
			t.Run(name+" "+when, func(t *testing.T) {
				o, gone := options(t, "line1", 1), false
				var path string
				o.Now = func() time.Time { // called when it was looked at already
					if gone {
						gone = false
						away(t, path)
					}
					return time.Now()
				}
				dir := filepath.Join(t.TempDir(), "data")
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				path = filepath.Join(dir, "ledger.db")
				d, err := Create(path, o)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				mustAppend(t, d, start(1, "A"))
				if err := d.Sign(ctx); err != nil { // or a signature would find it away first
					t.Fatal(err)
				}
				if gone = when == "meanwhile"; !gone {
					away(t, path)
				}
				if err := d.Writable(); errors.Is(err, ErrMoved) == gone {
					t.Fatalf("whether it can be written: %v", err)
				}
				for range 2 {
					if first, err := d.Commit(ctx, intended(1, "A", 1)); !errors.Is(err, ErrMoved) || first != 0 || strings.Count(err.Error(), ErrMoved.Error()) != 1 {
						t.Fatalf("an intent: %d, %v", first, err)
					}
				}
				if _, err := d.Append(ctx, end(1, "A", ledger.Pass)); !errors.Is(err, ErrMoved) {
					t.Errorf("an end: %v", err)
				}
				if _, err := d.Runs("A", ""); !errors.Is(err, ErrMoved) {
					t.Errorf("its runs: %v", err)
				}
				if err := d.Sign(ctx); when == "meanwhile" && !errors.Is(err, ErrMoved) {
					t.Errorf("a checkpoint: %v", err)
				}
			})
		}
	}
}

// Whoever writes has the directory, and not the file alone: none is made beside a station whose file went away, and no other is opened in its place.
func TestDirectoryInUse(t *testing.T) {
	o := options(t, "line1", 1)
	o.Timeout = 50 * time.Millisecond
	d, path := create(t, o)
	backup, _ := mustBackup(t, d)
	d = reopen(t, d, o)
	rename(t, path, path+".away")
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "another station process works in that directory") {
			t.Errorf("%s: %v", what, err)
		}
	}
	left := func() string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(files, " ")
	}
	_, err := Create(path, o)
	refused("a new one", err)
	_, _, err = Restore(ctx, path, o, Restoration{Backup: backup, Reason: "lost", By: "sup2"})
	refused("a restored one", err)
	if left() != path+".away" {
		t.Errorf("left: %s", left())
	}
	copied, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(copied))
	_, err = Open(path, o)
	refused("another one in its place", err)
	remove(t, path)
	rename(t, path+".away", path)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(path, o); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
