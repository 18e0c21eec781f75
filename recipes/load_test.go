package recipes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"station/yamltext"
)

// TestLoadErrors: files that are missing, endless or too large are answered, not waited for or read whole.
func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if _, err := Load(path("none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("folder: %v", err)
	}
	if err := os.Symlink("/dev/zero", path("endless")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path("endless")); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("device: %v", err)
	}
	if err := os.WriteFile(path("long.yaml"), []byte(strings.Repeat("# long\n", yamltext.MaxFile/7+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems *yamltext.Errors
	if _, err := Load(path("long.yaml")); !errors.As(err, &problems) || !strings.Contains(err.Error(), "at most 1 MiB") {
		t.Errorf("long: %v", err)
	}

	large, err := os.Create(path("large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(large.Truncate(1<<40), large.Close()); err != nil { // sparse: takes no space
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"large.bin": "it is larger than the largest part, 256 MiB",
		"endless":   "is not a file",
		"../none":   "there is no file ../none",
		`win\file`:  "not a path relative to the recipe",
		"/boot.bin": "not a path relative to the recipe",
		"a\tb":      "not a path relative to the recipe",
	} {
		text := strings.Replace(head, "file: boot.bin", "file: \""+strings.ReplaceAll(strings.ReplaceAll(file, `\`, `\\`), "\t", `\t`)+"\"", 1) +
			"regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}]\n"
		if err := os.WriteFile(path("r.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path("r.yaml")); !errors.As(err, &problems) || len(problems.Problems) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", file, err)
		}
	}
}
