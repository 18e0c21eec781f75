package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	workFactor = 10
	if os.Getenv("DIE_AT") != "" {
		os.Exit(dieAt())
	}
	os.Exit(m.Run())
}

// With a passphrase no file of a keyring holds a key, and without the right one, or with one file altered, nothing opens.
func TestEncryptedKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	passphrase := []byte("correct horse")
	f, err := CreateFile(dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Create(f, "line1")
	if err != nil {
		t.Fatal(err)
	}
	master := bytes.Repeat([]byte{0xC3}, 32)
	if err := k.CreateMaster("line/root", master); err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{master, []byte("PRIVATE+KEY"), []byte("AGE-SECRET-KEY-"), passphrase}
	if raw, err := f.read(verifierName); err != nil || len(raw) != keySize {
		t.Fatal(err)
	} else {
		secrets = append(secrets, raw)
	}
	if line, err := f.read(checkpointName); err != nil {
		t.Fatal(err)
	} else {
		secrets = append(secrets, bytes.SplitN(bytes.TrimSpace(line), []byte("+"), 5)[4])
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	texts := map[string][]byte{}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		text, err := os.ReadFile(path)
		info, serr := os.Stat(path)
		if err := errors.Join(err, serr); err != nil || info.Mode() != 0o600 || !strings.HasSuffix(path, ".age") {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		texts[path] = text
		for _, s := range secrets {
			if bytes.Contains(text, s) {
				t.Errorf("%s holds a key", path)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, s := range secrets {
			if shown := fmt.Sprintf(verb+verb, k, f); strings.Contains(shown, string(s)) || strings.Contains(shown, strings.Trim(fmt.Sprint(s[:8]), "[]")) {
				t.Errorf("%s shows a key", verb)
			}
		}
	}
	open := func() error {
		f, err := OpenFile(dir, passphrase)
		if err != nil {
			return err
		}
		k, err := Open(f, "line1", "")
		if err != nil {
			return err
		}
		_, err = k.MasterFingerprint("line/root")
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"correct hors", "correct horse\n", "x"} {
		if _, err := OpenFile(dir, []byte(wrong)); !errors.Is(err, ErrProvider) || strings.Contains(err.Error(), wrong) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
		if _, err := CreateFile(dir, []byte(wrong)); !errors.Is(err, ErrProvider) {
			t.Errorf("passphrase %q, made again: %v", wrong, err)
		}
	}
	if _, err := OpenFile(dir, []byte{}); err == nil {
		t.Error("an empty passphrase opens")
	}
	if _, err := OpenFile(dir, nil); !errors.Is(err, ErrProvider) {
		t.Errorf("no passphrase: %v", err)
	}
	for path, text := range texts {
		for what, spoilt := range map[string][]byte{"empty": nil, "cut": text[:len(text)-1], "altered": append(bytes.Clone(text[:len(text)-1]), text[len(text)-1]^1), "more": append(bytes.Clone(text), 0)} {
			if err := os.WriteFile(path, spoilt, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := open(); !errors.Is(err, ErrKey) {
				t.Errorf("%s %s: %v", path, what, err)
			}
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := open(); !errors.Is(err, ErrMode) {
			t.Errorf("%s loose: %v", path, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := open(); !errors.Is(err, ErrMissing) {
			t.Errorf("%s gone: %v", path, err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A key of one name is not that of another, but age does not know names: a swap of two masters is seen by fingerprints, of a master for the verifier by tags.
	// A key that is not encrypted has no place beside them.
	if err := os.WriteFile(filepath.Join(dir, "master-b"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "master-b") {
		t.Errorf("a plain key among them: %v", err)
	}
}

// A passphrase for keys that were made without one, and a keyring.age that asks for too much work.
func TestEncryptionThatDoesNotFit(t *testing.T) {
	_, dir := newKeyring(t)
	if _, err := OpenFile(dir, []byte("x")); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("%v", err)
	}
	if _, err := OpenFile(filepath.Join(dir, "absent"), []byte("x")); !errors.Is(err, ErrMissing) {
		t.Errorf("%v", err)
	}
	dir = filepath.Join(t.TempDir(), "keys")
	if _, err := CreateFile(dir, []byte("x")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, lockFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := bytes.Cut(text, []byte(" 10\n")) // the work factor
	if err := os.WriteFile(path, bytes.Join([][]byte{head, rest}, []byte(" 21\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(dir, []byte("x")); !errors.Is(err, ErrKey) {
		t.Errorf("2^21 of work: %v", err)
	}
}

// The age program opens a key with the identity that the passphrase opens.
func TestAgeOpensAKey(t *testing.T) {
	program, err := exec.LookPath("age")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("NOT RUN: the program age is not installed, and CI needs it (Debian package age)")
		}
		t.Skip("NOT RUN: the program age is not installed (Debian package age)")
	}
	dir := filepath.Join(t.TempDir(), "keys")
	f, err := CreateFile(dir, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte{0xC3}, 32)
	if err := f.CreateMAC("master-m", value); err != nil {
		t.Fatal(err)
	}
	id, err := openIdentity(filepath.Join(dir, lockFile), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-d", "-i", "-", filepath.Join(dir, "master-m.age"))
	c.Stdin = strings.NewReader(id.String())
	if got, err := c.Output(); err != nil || !bytes.Equal(got, value) {
		t.Errorf("%x, %v", got, err)
	}
}
