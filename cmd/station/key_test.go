package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"station/keyring"
	"station/recipes"
	"station/store"
)

// TestMasterNames: what a recipe may call a master key and what `key create` may make are the same names.
func TestMasterNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeRecipe(dir); err != nil {
		t.Fatal(err)
	}
	files, err := keyring.CreateFile(filepath.Join(dir, "keys"), nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.Create(files, "line1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "secret.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{"line/root-2026": true, "a": true, "A_1.x/b": true, strings.Repeat("x", 64): true,
		strings.Repeat("x", 65): false, "../x": false, "/x": false, "x/": false, "x//y": false, "a b": false, "-x": false, ".x": false, "ß": false, "x%2Fy": false, "x\n": false, "\x1b[2J": false} {
		path := filepath.Join(dir, "named.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), "derive: line/root-2026", fmt.Sprintf("derive: %q", name), 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := recipes.Load(path); (err == nil) != good {
			t.Errorf("a recipe with the master %q: %v", name, err)
		}
		if _, err := keys.MasterFingerprint(name); errors.Is(err, keyring.ErrName) == good {
			t.Errorf("the keyring on the master %q: %v", name, err)
		}
	}
}

// lister knows masters by their fingerprints, and names those that are in use.
type lister struct {
	keyholder
	inUse []string
	all   map[string]string
}

func (l lister) Masters() ([]string, error) { return l.inUse, nil }

func (l lister) MasterFingerprint(name string) (string, error) {
	if f, ok := l.all[name]; ok {
		return f, nil
	}
	return "", keyring.ErrMissing
}

type knownMasters map[string]store.Master

func (t knownMasters) Masters() (map[string]store.Master, error) { return t, nil }

// What `key list` says of a master that no root key came from, of one that another key stands in for, of one that is gone, and of one that the key server retired.
func TestMasterStates(t *testing.T) {
	ledger := knownMasters{"b": {Fingerprint: "0123456789abcdef", Used: true}, "gone": {Fingerprint: "0123456789abcdef", Used: true, Retired: 7}, "there": {Fingerprint: "cccccccccccccccc", Used: true}}
	got, err := masters(lister{inUse: []string{"a", "b"}, all: map[string]string{"a": "aaaaaaaaaaaaaaaa", "b": "bbbbbbbbbbbbbbbb", "there": "cccccccccccccccc"}}, ledger)
	want := []masterJSON{{Name: "a", Fingerprint: "aaaaaaaaaaaaaaaa"}, {Name: "b", Fingerprint: "bbbbbbbbbbbbbbbb", Theirs: "0123456789abcdef", Used: true},
		{Name: "gone", Fingerprint: "0123456789abcdef", Missing: true, Used: true, Retired: true}, {Name: "there", Fingerprint: "cccccccccccccccc", Used: true, Retired: true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
