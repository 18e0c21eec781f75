package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"station/ledger"
)

// The station dies between the ledger's commit and the mirror's: the next start brings the mirror up. So it does with one that lacks only a checkpoint.
func TestMirrorBehind(t *testing.T) {
	for name, miss := range map[string]func(d *DB) error{
		"an entry":     func(d *DB) error { _, err := d.Append(ctx, start(2, "B")); return err },
		"a checkpoint": func(d *DB) error { return d.Sign(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			d, o, s := mirrored(t)
			mustAppend(t, d, start(1, "A"))
			release, err := d.hold(ctx)
			if err != nil {
				t.Fatal(err)
			}
			m := d.mirror
			d.mirror = nil // what comes now never reaches it
			release()
			if err := errors.Join(miss(d), d.Close(), m.db.bolt.Close()); err != nil {
				t.Fatal(err)
			}
			if d, err = Open(d.path, o); err != nil {
				t.Fatal(err)
			}
			s.want(t, "same file system")
			inStep(t, d, o)
		})
	}
}

// What stands in the mirror's place and is none is an error, and is left alone.
func TestNotTheMirror(t *testing.T) {
	d, o, _ := mirrored(t)
	path := d.path
	mustAppend(t, d, start(1, "A"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.Mirror, MirrorFile)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ahead := func(t *testing.T) {
		d, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, d, start(2, "B"))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(old)) // the ledger is rolled back
	}
	for _, c := range []struct {
		name string
		put  func(t *testing.T)
		want error
		says []string
	}{
		{"another station's", func(t *testing.T) { other(t, file, "line2", 1) }, ErrMismatch, []string{`station "line2"`, "Move it away"}},
		{"another key's", func(t *testing.T) { other(t, file, "line1", 2) }, ErrMismatch, []string{"its checkpoint key is", "Move it away"}},
		{"no ledger", func(t *testing.T) { write(t, file, "no ledger") }, nil, []string{file, "it is damaged", "Move it away"}},
		{"ahead", ahead, ErrFork, []string{file + " has 3 entries (tree hash ", path + " has 2 entries (tree hash ", "rolled back. Move it away and have `station restore`"}},
		{"a fork", func(t *testing.T) {
			ahead(t)
			o := o
			o.Mirror = ""
			d, err := Open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, d, start(3, "C"), start(4, "D"))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}, ErrFork, []string{file + " has 3 entries", path + " has 4 entries", "restored without that mirror", "cannot make one ledger of both", "Keep that mirror"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, path, string(old))
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			c.put(t)
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(path, o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			for _, words := range c.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%v\ndoes not say %q", err, words)
				}
			}
			if strings.Contains(err.Error(), "restore ledger.db") || strings.Contains(err.Error(), "Restore that key") {
				t.Errorf("the ledger is not what is damaged: %v", err)
			}
			if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
				t.Error("it was changed")
			}
		})
	}
	// Nor is a new ledger begun beside the mirror of an earlier one.
	if _, err := Create(filepath.Join(t.TempDir(), "ledger.db"), o); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "station restore") {
		t.Errorf("create: %v", err)
	}
}

// other makes a ledger of another station at path.
func other(t *testing.T, path, station string, seed byte) {
	t.Helper()
	d, err := Create(path, options(t, station, seed))
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A mirror on another file system is one on a second disk, and is not warned about.
func TestSecondDisk(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "station-mirror-")
	if err != nil {
		t.Skip("NOT RUN: no second file system: ", err)
	}
	defer os.RemoveAll(dir)
	var here, there syscall.Stat_t
	if err := errors.Join(syscall.Stat(t.TempDir(), &here), syscall.Stat(dir, &there)); err != nil || here.Dev == there.Dev {
		t.Skip("NOT RUN: no second file system: ", err)
	}
	s := &told{}
	o := options(t, "line1", 1)
	o.Mirror, o.Tell = dir, s.tell
	d, _ := create(t, o)
	s.want(t)
	if d.Mirror() != ledger.MirrorSecondDisk {
		t.Errorf("mirror: %s", d.Mirror())
	}
	mustAppend(t, d, start(1, "A"))
	inStep(t, d, o)
	if same, err := ExamineMirror(d.path, dir); same || err != nil {
		t.Errorf("same disk %t, %v", same, err)
	}
}

// A disk that really is full: the mirror's first copy does not fit, and later its growth does not.
func TestMirrorOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("NOT RUN: no file system of its own: ", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	filler := filepath.Join(dir, "filler")
	write(t, filler, strings.Repeat("x", 1<<20))
	s := &told{}
	o := options(t, "line1", 1)
	o.Mirror, o.Tell = dir, s.tell
	d, _ := create(t, o)
	s.want(t, "no space left on device")
	mustAppend(t, d, start(1, "A"))
	if _, err := d.Commit(ctx, intended(1, "A", 1)); !errors.Is(err, ErrMirror) || !strings.Contains(err.Error(), "no space left on device") {
		t.Fatalf("%v", err)
	}
	remove(t, filler)
	mustCommit(t, d, intended(1, "A", 1))
	s.want(t, "is back")
	for n := 2; ; n++ { // until it is full of its own
		mustAppend(t, d, start(n, "B"))
		c := intended(n, "B", n)
		c.Notes["packet"] = make([]byte, maxKept)
		if _, err := d.Commit(ctx, c); errors.Is(err, ErrMirror) {
			break
		} else if err != nil || n > 100 {
			t.Fatal(n, err)
		}
	}
	mustAppend(t, d, start(1000, "C"), end(1000, "C", ledger.Pass))
	if d.Mirror() != ledger.MirrorAway {
		t.Errorf("mirror: %s", d.Mirror())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	sound(t, d2(t, d.path), o.VerifierKey)
	m := d2(t, filepath.Join(dir, MirrorFile))
	sound(t, m, o.VerifierKey)
	if ours, theirs, prefix, err := compare(d2(t, d.path), m); err != nil || !prefix {
		t.Errorf("the ledger has %v, the mirror %v; %v", ours, theirs, err)
	}
}
