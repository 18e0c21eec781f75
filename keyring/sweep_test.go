package keyring

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dieAt is a process that makes the keys of DIE_IN and kills itself at point DIE_AT.
func dieAt() int {
	die, err := strconv.Atoi(os.Getenv("DIE_AT"))
	point = func() {
		if die--; die == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	dir, passphrase := os.Getenv("DIE_IN"), []byte(os.Getenv("DIE_WITH"))
	if os.Getenv("DIE_ENCRYPTING") == "" {
		err = errors.Join(err, makeKeys(dir, passphrase))
	} else {
		_, encrypting := Encrypt(dir, passphrase)
		err = errors.Join(err, encrypting)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func makeKeys(dir string, passphrase []byte) error {
	if len(passphrase) == 0 {
		passphrase = nil
	}
	f, err := CreateFile(dir, passphrase)
	if err != nil {
		return err
	}
	_, err = Create(f, "line1")
	return err
}

// dead runs a process that is killed at the nth point of making the keys of dir; done tells that there was none.
func dead(t *testing.T, n int, dir, passphrase string) (done bool) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), fmt.Sprintf("DIE_AT=%d", n), "DIE_IN="+dir, "DIE_WITH="+passphrase)
	out, err := c.CombinedOutput()
	if err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%s%v", out, err)
	}
	return err == nil
}

// TestKilledMaker kills a process behind each durable thing that it does while it makes the keys. Whoever comes next makes what is missing, and leaves
// no second name of any key.
func TestKilledMaker(t *testing.T) {
	for passphrase, points := range map[string]int{"": 2 * 3, "correct horse": 3 * 3} {
		for n := 1; ; n++ {
			dir := filepath.Join(t.TempDir(), "keys")
			done := dead(t, n, dir, passphrase)
			if done != (n > points) {
				t.Fatalf("point %d: %t", n, done)
			}
			if done {
				break
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*.new-*")); err != nil || len(left) != 1 {
				t.Errorf("point %d left %q, %v", n, left, err)
			}
			secret := []byte(passphrase)
			if passphrase == "" {
				secret = nil
			}
			if err := makeKeys(dir, secret); err != nil && !strings.Contains(err.Error(), ErrExists.Error()) {
				t.Fatal(err)
			}
			files := listed(t, dir)
			if want := points / 3; len(files) != want { // each is made in three
				t.Errorf("point %d: %q", n, files)
			}
		}
	}
}

func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// A key that is destroyed has no other name left, whatever was there when it was made; what is no key's leftover stays, and nothing is swept while somebody makes a key.
func TestDestroyTakesEveryLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f, err := CreateFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Create(f, "line1")
	if err != nil {
		t.Fatal(err)
	}
	const left, copied = "verifier.key.new-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "verifier.key.new-20261126" // a person's copy
	in := func(name string) string { return filepath.Join(dir, name) }
	for from, to := range map[string]string{"checkpoint.key": "checkpoint.key.new-17", "verifier.key": left} {
		if err := os.Link(in(from), in(to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"notes.new-1", copied} {
		if err := os.WriteFile(in(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, next, err := k.NextCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	if k, err = Open(f, "line1", next); err != nil {
		t.Fatal(err)
	}
	if err := k.DestroyOld(); err != nil {
		t.Fatal(err)
	}
	if got, want := listed(t, dir), []string{"checkpoint.2.key", "notes.new-1", "verifier.key", copied, left}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	held, err := hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"checkpoint.2.key", "notes.new-1", "verifier.key", copied, left}, {"checkpoint.2.key", "notes.new-1", "verifier.key", copied}} {
		if _, err := OpenFile(dir, nil); err != nil {
			t.Fatal(err)
		}
		if got := listed(t, dir); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		held.Close()
	}
}
