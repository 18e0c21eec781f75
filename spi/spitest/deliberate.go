package spitest

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Fault is a mistake in a source file: Old, which stands there once, becomes New. File is relative to the package under test.
// Run selects the tests that are to find it; "" means those that Deliberate is given.
type Fault struct{ Name, File, Old, New, Run string }

// Deliberate sees to it that a bug cannot hide: each of these faults, put by a build overlay into a copy of one of two readings that
// are held against each other, must make a test of the package under test fail. Readings that agreed by accident would let one pass.
// run selects the tests, as go test does.
func Deliberate(t *testing.T, run string, faults []Fault) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the suite once for each fault")
	}
	if out, ok := tests(t, run, ""); !ok || strings.Contains(out, "no tests to run") {
		t.Fatalf("the tests fail without any fault, or there are none:\n%s", out)
	}
	for _, d := range faults {
		t.Run(d.Name, func(t *testing.T) {
			file, err := filepath.Abs(d.File)
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), d.Old); n != 1 {
				t.Fatalf("%q stands %d times in %s, want once: the fault has to be put elsewhere", d.Old, n, d.File)
			}
			dir := t.TempDir()
			mutant := filepath.Join(dir, filepath.Base(file))
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), d.Old, d.New, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			overlay := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(overlay, replace, 0o644); err != nil {
				t.Fatal(err)
			}
			out, ok := tests(t, cmp.Or(d.Run, run), overlay)
			switch {
			case ok:
				t.Error("the tests pass with this fault in")
			case !strings.Contains(out, "--- FAIL: Test"):
				t.Errorf("no test failed, so this shows nothing:\n%s", out)
			}
		})
	}
}

// tests runs tests in a build with an overlay and tells whether they passed.
func tests(t *testing.T, run, overlay string) (out string, ok bool) {
	t.Helper()
	args := []string{"test", "-count=1", "-timeout=1m", "-failfast", "-run=" + run, "-rapid.nofailfile"}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	b, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	return string(b), err == nil
}
