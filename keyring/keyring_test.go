package keyring

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// createIn makes a keyring of files that are not encrypted.
func createIn(dir, station string) (*Keyring, error) {
	f, err := CreateFile(dir, nil)
	if err != nil {
		return nil, err
	}
	return Create(f, station)
}

// openIn opens the keyring of line1.
func openIn(dir string) (*Keyring, error) {
	f, err := OpenFile(dir, nil)
	if err != nil {
		return nil, err
	}
	return Open(f, "line1", "")
}

func TestCreateOpenSign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	made, err := createIn(dir, "line1")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "checkpoint.key"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	k, err := openIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	if k.VerifierKey() != made.VerifierKey() || !strings.HasPrefix(k.VerifierKey(), "station/line1+") || k.Signer().Name() != "station/line1" {
		t.Errorf("verifier keys %q and %q", made.VerifierKey(), k.VerifierKey())
	}
	v, err := note.NewVerifier(k.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	text, err := note.Sign(&note.Note{Text: "hello\n"}, k.Signer())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(text, note.VerifierList(v)); err != nil || n.Text != "hello\n" {
		t.Errorf("%+v, %v", n, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("files in the keyring: %v, %v", files, err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := createIn(dir, "line1"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpoint.key")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := createIn(dir, "line1"); !errors.Is(err, ErrExists) {
		t.Errorf("create again: %v", err)
	}
	// Even a file that is no key is somebody's.
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := createIn(dir, "line1"); !errors.Is(err, ErrExists) {
		t.Errorf("create over another file: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != "x" {
		t.Errorf("%q, %v", after, err)
	}
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir); err != nil {
		t.Error(err)
	}
}

// Of several that create at once, one makes the key and all others are refused.
func TestCreateAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	results := make([]*Keyring, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			k, err := createIn(dir, "line1")
			if err != nil && !errors.Is(err, ErrExists) {
				t.Error(err)
			}
			results[i] = k
		})
	}
	wg.Wait()
	k, err := openIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, r := range results {
		if r != nil {
			made++
			if r.VerifierKey() != k.VerifierKey() {
				t.Error("a key was replaced")
			}
		}
	}
	if made != 1 {
		t.Errorf("%d keys were made", made)
	}
}

func TestMissingKey(t *testing.T) {
	empty := t.TempDir()
	if err := os.Chmod(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, filepath.Join(empty, "absent")} {
		_, err := openIn(dir)
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), filepath.Join(dir, "checkpoint.key")) ||
			!strings.Contains(err.Error(), "never made anew beside an existing ledger") {
			t.Errorf("%v", err)
		}
	}
	if files, err := os.ReadDir(empty); err != nil || len(files) != 0 {
		t.Errorf("Open left %v, %v", files, err)
	}
}

func TestLooseModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := createIn(dir, "line1"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpoint.key")
	for _, c := range []struct {
		path        string
		loose, good os.FileMode
	}{{dir, 0o750, 0o700}, {dir, 0o701, 0o700}, {path, 0o640, 0o600}, {path, 0o604, 0o600}, {path, 0o700, 0o600}} {
		if err := os.Chmod(c.path, c.loose); err != nil {
			t.Fatal(err)
		}
		if _, err := openIn(dir); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s with mode %o: %v", c.path, c.loose, err)
		}
		if err := os.Chmod(c.path, c.good); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir); err != nil {
		t.Errorf("a stricter mode: %v", err)
	}
	loose := t.TempDir()
	if err := os.Chmod(loose, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := createIn(loose, "line1"); !errors.Is(err, ErrMode) {
		t.Errorf("create in a loose directory: %v", err)
	}
}

func TestBadStationID(t *testing.T) {
	for _, id := range []string{"", "a b", "a+b", "a\nb", "a\u00a0b", "\xff"} {
		dir := filepath.Join(t.TempDir(), "keys")
		if _, err := createIn(dir, id); err == nil {
			t.Errorf("station id %q was accepted", id)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("station id %q left %v, %v", id, files, err)
		}
	}
}

// No error says anything of a key, however much of it is right.
func TestSpoiledKeyAndNoSecretInErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := createIn(dir, "line1"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpoint.key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := bytes.SplitN(bytes.TrimSpace(good), []byte("+"), 5)
	secret := parts[4]
	other := bytes.Replace(good, []byte("station/checkpoint"), []byte("station/elsewhere"), 1)
	for name, content := range map[string][]byte{
		"empty":          nil,
		"cut":            good[:len(good)-10],
		"no line end":    good[:len(good)-1],
		"two lines":      append(bytes.Clone(good), good...),
		"another name":   other,
		"no station key": bytes.Replace(good, []byte("station/checkpoint"), []byte("else"), 1),
		"flipped":        append(bytes.Clone(good[:len(good)-4]), "AA=\n"...),
		"no base64":      append(bytes.Clone(good[:len(good)-4]), "!!!\n"...),
		"long":           bytes.Repeat(good, 1000),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openIn(dir)
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for n := 0; n+8 <= len(secret); n++ {
			if strings.Contains(err.Error(), string(secret[n:n+8])) {
				t.Fatalf("%s: the error holds a part of the key", name)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir); !errors.Is(err, ErrKey) {
		t.Errorf("a directory in place of the key: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("PRIVATE+KEY+station/line1+6c2288f1+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n")) // a key of tests alone
	f.Add([]byte("PRIVATE+KEY+station/+6c2288f1+AQ==\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		private, err := parse(text)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatal(err)
			}
			return
		}
		signer, err := note.NewSigner(strings.TrimSuffix(string(text), "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := signer.Sign([]byte("x")); err != nil || !bytes.Equal(theirs, ed25519.Sign(private, []byte("x"))) {
			t.Fatalf("%x, %v", theirs, err)
		}
	})
}

// While the old checkpoint key is there it signs on request, whichever of the two is open.
func TestSignerOf(t *testing.T) {
	k, err := createIn(filepath.Join(t.TempDir(), "keys"), "line1")
	if err != nil {
		t.Fatal(err)
	}
	next, vkey, err := k.NextCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	now, err := Open(k.p, "line1", vkey)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []*Keyring{k, now} {
		old, err := from.SignerOf(k.VerifierKey())
		if err != nil || old.KeyHash() != k.Signer().KeyHash() {
			t.Errorf("the old one: %v, %v", old, err)
		}
		if s, err := from.SignerOf(vkey); err != nil || s.KeyHash() != next.KeyHash() {
			t.Errorf("the new one: %v, %v", s, err)
		}
	}
	if err := now.DestroyOld(); err != nil {
		t.Fatal(err)
	}
	if s, err := now.SignerOf(k.VerifierKey()); !errors.Is(err, ErrMissing) {
		t.Errorf("once destroyed: %v, %v", s, err)
	}
}

// A key that is taken over has the fingerprint that it was told to have before.
func TestFingerprintOf(t *testing.T) {
	k, err := createIn(filepath.Join(t.TempDir(), "keys"), "line1")
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte{7}, 32)
	if err := k.CreateMaster("m", value); err != nil {
		t.Fatal(err)
	}
	if got, err := k.MasterFingerprint("m"); err != nil || got != FingerprintOf(value) {
		t.Errorf("%s, %v; told %s", got, err, FingerprintOf(value))
	}
}
