package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"station/keyring"
	"station/recipes"
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
