package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A new file is nobody else's: neither a link that waits under its other name nor the mode of what was there before has to do with it. What a dead one left is removed, and
// what a living one is writing, or is none of these, is left alone.
func TestNewFile(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "b.db"), filepath.Join(dir, "target")
	write(t, target, "someone's")
	links := []string{path + ".new", path + ".new-7"}
	for _, link := range links {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, path+".new-123", "stale")
	write(t, path+".new-notes", "someone's")
	var living string
	err := newFile(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "outer"); err != nil {
			return err
		}
		return newFile(path, func(w io.Writer) error { // another one at the same time
			all, err := filepath.Glob(path + ".new-[0-9][0-9]*")
			if err != nil || len(all) != 2 {
				t.Errorf("while two are made: %q, %v", all, err)
			}
			living = all[0]
			_, err = io.WriteString(w, "inner")
			return err
		}, nil)
	}, func(string) error {
		if text, err := os.ReadFile(path); err != nil || string(text) != "inner" {
			t.Errorf("%q, %v", text, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for name, want := range map[string]string{path: "outer", target: "someone's", path + ".new-notes": "someone's"} {
		if text, err := os.ReadFile(name); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != target {
			t.Errorf("%s: %q, %v", link, to, err)
		}
	}
	for _, name := range []string{living, path + ".new-123"} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}
