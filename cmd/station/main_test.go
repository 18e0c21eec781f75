package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	root "station"
	"station/sim/nor"
)

// TestMain makes the program itself a command, `station`, on the PATH of every test: a process of its own, which can be killed.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"station": main})
}

// limit is how long any one command of these tests may take.
const limit = 3 * time.Minute

// The small recipe's boot region and image.
const (
	bootSize   = 128 << 10
	imageSize  = 100_000
	loaderSize = 40_000 // of the image of the recipe with secrets, which is the beginning of the other
)

// bootImage is the image that testdata/recipe/small.yaml pins. It ends inside a page, so that the rest of the region is blank.
func bootImage() []byte {
	image := make([]byte, imageSize)
	dice := rand.NewChaCha8([32]byte{'b', 'o', 'o', 't'})
	dice.Read(image)
	return image
}

// bootRegion is what the boot region holds afterwards.
func bootRegion() []byte {
	return append(bootImage(), bytes.Repeat([]byte{0xFF}, bootSize-imageSize)...)
}

// writeRecipe puts the recipes and their images into dir.
func writeRecipe(dir string) error {
	var errs []error
	for _, name := range []string{"small.yaml", "secret.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata/recipe", name))
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return errors.Join(append(errs, os.WriteFile(filepath.Join(dir, "boot.bin"), bootImage(), 0o644),
		os.WriteFile(filepath.Join(dir, "loader.bin"), bootImage()[:loaderSize], 0o644))...)
}

// position is a line position with the program on it: a working directory with the small recipe and a data directory.
type position struct {
	t      *testing.T
	dir    string
	in     *os.File     // what the program reads; nil for nothing
	output bytes.Buffer // everything that any command said
}

// newPosition is a position with a simulated station.
func newPosition(t *testing.T) *position {
	t.Helper()
	p := &position{t: t, dir: t.TempDir()}
	if err := writeRecipe(p.dir); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "init", "--simulated")
	return p
}

// newAudited is a position that can carry out secret.yaml: a station with escrow groups and a master key, and the identities
// of the people who may open what is sealed to them.
func newAudited(t *testing.T) *position {
	t.Helper()
	p := newPosition(t)
	if err := writeConfig(p.dir, "config.yaml"); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "key", "create", "line/root-2026")
	return p
}

// groups are the escrow groups of the tests; the identity of each is in the file NAME.txt.
var groups = []string{"audit", "owner"}

// writeConfig makes a configuration, the built-in one with escrow groups, and the identities of these.
func writeConfig(dir, name string) error {
	text := append(bytes.Clone(root.DefaultConfig), "\nescrow:\n"...)
	for _, group := range groups {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, group+".txt"), []byte(id.String()+"\n"), 0o600); err != nil {
			return err
		}
		text = fmt.Appendf(text, "  - {name: %s, recipients: [%s]}\n", group, id.Recipient())
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

func (p *position) data() string               { return filepath.Join(p.dir, "data") }
func (p *position) board(serial string) string { return filepath.Join(p.data(), "sim", serial+".chip") }

// command is the program with these arguments, not yet started. Arguments that begin it and have the form NAME=VALUE are its environment's.
func (p *position) command(ctx context.Context, args ...string) *exec.Cmd {
	var env []string
	for len(args) > 0 && strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	c := exec.CommandContext(ctx, "station", args...)
	c.Dir = p.dir
	if p.in != nil {
		c.Stdin = p.in
	}
	c.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "STATION_") }), env...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGABRT) } // what hangs tells where
	c.WaitDelay = time.Second
	return c
}

// station runs the program to its end.
func (p *position) station(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	c := p.command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	p.output.Write(out.Bytes())
	p.output.Write(errs.Bytes())
	if ctx.Err() != nil {
		p.t.Fatalf("station %q did not end within %s\n%s", args, limit, &errs)
	}
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		p.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// expect is station with the exit code that it has to end with.
func (p *position) expect(code int, args ...string) (stdout, stderr string) {
	p.t.Helper()
	got, stdout, stderr := p.station(args...)
	if got != code {
		p.t.Fatalf("station %q: exit %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout, stderr
}

// close ends a whole-line test: the ledger verifies, and nothing anywhere told the key.
func (p *position) close() {
	p.t.Helper()
	out, _ := p.expect(exitDone, "audit", "verify")
	if !strings.HasPrefix(out, "ledger verified (SIMULATED): station line1, ") {
		p.t.Errorf("audit verify: %s", out)
	}
	// With the key that it prints pinned, as an auditor does.
	_, key, _ := strings.Cut(out, "\nkey  ")
	key, _, _ = strings.Cut(key, " ")
	if out, _ := p.expect(exitDone, "audit", "verify", "--key", key); !strings.Contains(out, " (pinned)\n") {
		p.t.Errorf("audit verify --key %s: %s", key, out)
	}
	noSecret(p.t, p.data(), p.output.Bytes())
}

// openBoard looks behind the pins of a board that nobody else holds.
func openBoard(t *testing.T, file string) *nor.Chip {
	t.Helper()
	chip, err := nor.Open(file, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chip.Close() })
	return chip
}

// provisioned checks a chip against what the small recipe says: the region at 0 holds want and is locked, nothing else was written or
// locked, and no lock bit was programmed twice.
func provisioned(t *testing.T, chip *nor.Chip, want []byte) {
	t.Helper()
	if !bytes.Equal(chip.Bytes(0, len(want)), want) {
		t.Error("the boot region does not hold the image")
	}
	if rest := chip.Bytes(uint32(len(want)), chip.Size()-len(want)); bytes.Count(rest, []byte{0xFF}) != len(rest) {
		t.Error("something was written outside of the boot region")
	}
	for s := range chip.Size() >> 16 {
		if locked := chip.LockedNonvolatile(s); locked != (s < len(want)>>16) {
			t.Errorf("sector %d: locked %t", s, locked)
		}
	}
	if n := chip.Counters()[nor.CountLock]; n != uint64(len(want)>>16) {
		t.Errorf("%d lock bits were programmed, want %d", n, len(want)>>16)
	}
}

func (p *position) provisioned(serial string, want []byte) {
	p.t.Helper()
	chip := openBoard(p.t, p.board(serial))
	defer chip.Close()
	provisioned(p.t, chip, want)
}

// judge is the path of a program from outside that has to judge what was made. Without it the test is not run, which CI does not allow.
func judge(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("NOT RUN: %s is not installed", name)
	return ""
}
