package spitest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Fault is a mistake in a source file: Old, which stands there once, becomes New. File is relative to the package under test.
type Fault struct{ Name, File, Old, New string }

// Deliberate sees to it that a bug cannot hide: each of these faults, put by a build overlay into a copy of the driver or of the
// simulated firmware, must make the test called TestContract of the package under test fail. Two readings of a programmer that
// agreed by accident would let one pass. run selects what of TestContract is run.
func Deliberate(t *testing.T, run string, faults []Fault) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the suite once for each fault")
	}
	if out, ok := contract(t, run, ""); !ok {
		t.Fatalf("the suite fails without any fault:\n%s", out)
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
			out, ok := contract(t, run, overlay)
			switch {
			case ok:
				t.Error("the suite passes with this fault in")
			case !strings.Contains(out, "--- FAIL: TestContract"):
				t.Errorf("the suite did not fail by a test, so this shows nothing:\n%s", out)
			}
		})
	}
}

// contract runs the contract suite in a build with an overlay and tells whether it passed.
func contract(t *testing.T, run, overlay string) (out string, ok bool) {
	t.Helper()
	args := []string{"test", "-count=1", "-timeout=1m", "-failfast", "-run=" + run, "-rapid.nofailfile"}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	b, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	return string(b), err == nil
}
