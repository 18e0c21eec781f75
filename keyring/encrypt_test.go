package keyring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plainDir is a keyring in plain files with a master, one whose name ends like an encrypted file, and the identity that an earlier version made.
func plainDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	f, err := CreateFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Create(f, "line1")
	if err != nil {
		t.Fatal(err)
	}
	id := bech32("AGE-SECRET-KEY-", make([]byte, 32)) + "\n"
	err = errors.Join(k.CreateMaster("line/root", nil), f.CreateMAC("master-line/root.b.age", nil), os.WriteFile(filepath.Join(dir, "unlock.key"), []byte(id), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// whole is everything that shows which keys are in a directory.
func whole(t *testing.T, dir string, passphrase []byte) string {
	t.Helper()
	f, err := OpenFile(dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(f, "line1", "")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := k.Tag("uid", "escrow", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := k.Recipient()
	if err != nil {
		t.Fatal(err)
	}
	masters, err := k.Masters()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s %x %s %q", k.VerifierKey(), tag, recipient, masters)
	for _, m := range masters {
		fingerprint, err := k.MasterFingerprint(m)
		if err != nil {
			t.Fatal(err)
		}
		text += fingerprint
	}
	return text
}

// Encrypt dies behind each durable thing that it does, and is given again: every key is there and is the same one, and no plain file is.
func TestKilledEncrypt(t *testing.T) {
	t.Setenv("DIE_ENCRYPTING", "1")
	const passphrase = "correct horse"
	points := 3 + 5*3 + 5  // keyring.age, five keys, five removals
	for n := 1; ; n += 4 { // all three of a file in turn
		dir := plainDir(t)
		before := whole(t, dir, nil)
		done := dead(t, n, dir, passphrase)
		if done != (n > points) {
			t.Fatalf("point %d: %t", n, done)
		}
		if !done {
			if _, err := OpenFile(dir, []byte(passphrase)); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "`station key encrypt`") {
				t.Errorf("point %d: opened half encrypted: %v", n, err)
			}
			if _, err := Encrypt(dir, []byte(passphrase)); err != nil {
				t.Fatalf("point %d: %v", n, err)
			}
		}
		if after := whole(t, dir, []byte(passphrase)); after != before {
			t.Errorf("point %d: %s, was %s", n, after, before)
		}
		want := []string{"checkpoint.key.age", "keyring.age", "master-line%2Froot.age", "master-line%2Froot.b.age.age", "unlock.key.age", "verifier.key.age"}
		if got := listed(t, dir); !slices.Equal(got, want) {
			t.Errorf("point %d: %q", n, got)
		}
		if done {
			break
		}
	}
}

// What cannot be encrypted leaves every plain file as it is.
func TestEncryptRefuses(t *testing.T) {
	dir := plainDir(t)
	before := whole(t, dir, nil)
	if _, err := Encrypt(dir, []byte{}); err == nil {
		t.Error("an empty passphrase is taken")
	}
	if after := whole(t, dir, nil); after != before {
		t.Errorf("%s, was %s", after, before)
	}
	if _, err := Encrypt(filepath.Join(dir, "none"), []byte("x")); !errors.Is(err, ErrMissing) {
		t.Errorf("no directory: %v", err)
	}
	if n, err := Encrypt(dir, []byte("x")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := Encrypt(dir, []byte("x")); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	if _, err := Encrypt(dir, []byte("y")); !errors.Is(err, ErrProvider) {
		t.Errorf("with another passphrase: %v", err)
	}
	// A plain key beside the encrypted one of its name, which it is not.
	if err := os.WriteFile(filepath.Join(dir, "verifier.key"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Encrypt(dir, []byte("x")); n != 0 || !errors.Is(err, ErrKey) {
		t.Errorf("another verifier key: %d, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "verifier.key")); err != nil {
		t.Error(err)
	}
}

// A master that an earlier version called a.age has the file that the encrypted a gets: nothing is changed, not even keyring.age is made.
func TestEncryptCollision(t *testing.T) {
	dir := plainDir(t)
	if err := (&File{dir: dir}).CreateMAC("master-line/root.age", nil); err != nil {
		t.Fatal(err)
	}
	files, before := listed(t, dir), whole(t, dir, nil)
	n, err := Encrypt(dir, []byte("x"))
	if want := filepath.Join(dir, "master-line%2Froot.age"); n != 0 || !errors.Is(err, ErrName) || !strings.Contains(err.Error(), want+": ") {
		t.Errorf("%d, %v", n, err)
	}
	if after := listed(t, dir); !slices.Equal(after, files) {
		t.Errorf("%q", after)
	}
	if after := whole(t, dir, nil); after != before {
		t.Errorf("%s, was %s", after, before)
	}
}

// Plain keys are all there until the first one is removed; what is encrypted beside them, or keyring.age alone, is no loss.
func TestHalfEncrypted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := makeKeys(dir, nil); err != nil {
		t.Fatal(err)
	}
	expect := func(want bool, when string) {
		t.Helper()
		if HalfEncrypted(dir) != want {
			t.Errorf("%s: %t", when, !want)
		}
	}
	expect(false, "plain")
	if err := createLock(dir, []byte("x")); err != nil {
		t.Fatal(err)
	}
	expect(true, "with keyring.age")
	lock, err := openLock(filepath.Join(dir, lockFile), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	plain, encrypted := &File{dir: dir}, &File{dir: dir, lock: lock}
	for _, name := range []string{"checkpoint", "verifier"} {
		if err := encryptOne(plain, encrypted, name); err != nil {
			t.Fatal(err)
		}
		expect(true, name)
	}
	if err := plain.Destroy("checkpoint"); err != nil {
		t.Fatal(err)
	}
	expect(false, "without a plain key")
	if _, err := Encrypt(dir, []byte("x")); err != nil {
		t.Fatal(err)
	}
	expect(false, "encrypted")
}
