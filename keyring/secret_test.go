package keyring

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func newKeyring(t *testing.T) (*Keyring, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := createIn(dir, "line1")
	if err != nil {
		t.Fatal(err)
	}
	return k, dir
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors holds tags and derived keys to numbers that testdata/v1/vectors.py made without this package.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/v1/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Master, Fingerprint, Verifier string
		Keys                          []struct {
			Part, UID, Recipe string
			Index             int
			Key               string
		}
		Tags       []struct{ UID, Escrow, Secret, Tag string }
		TagKeys    []struct{ UID, Escrow, Key string }
		Identities []struct{ Station, Identity string }
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	_, dir := newKeyring(t)
	for name, content := range map[string]string{"verifier.key": v.Verifier, "master-line%2Froot-2026": v.Master} {
		if err := os.WriteFile(filepath.Join(dir, name), unhex(t, content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k, err := openIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) != 4 || len(v.Tags) != 3 || len(v.TagKeys) != 3 || len(v.Identities) != 2 {
		t.Fatalf("%d keys, %d tags, %d tag keys, %d identities in the file", len(v.Keys), len(v.Tags), len(v.TagKeys), len(v.Identities))
	}
	for _, c := range v.TagKeys {
		if got, err := k.TagKey(c.UID, c.Escrow); err != nil || hex.EncodeToString(got) != c.Key {
			t.Errorf("%+v: %x, %v", c, got, err)
		}
	}
	for _, c := range v.Identities {
		if id, err := (&Keyring{p: k.p, station: c.Station}).identity(); err != nil || id.String() != c.Identity {
			t.Errorf("%+v: %v, %v", c, id, err)
		}
	}
	if got, err := k.MasterFingerprint("line/root-2026"); got != v.Fingerprint || len(got) != 16 || err != nil {
		t.Errorf("fingerprint %s, %v", got, err)
	}
	for _, c := range v.Keys {
		err := k.DerivedKey("line/root-2026", KeyOf{c.Part, c.UID, c.Recipe, c.Index}, func(key []byte) error {
			if hex.EncodeToString(key) != c.Key {
				t.Errorf("%+v: %x", c, key)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, c := range v.Tags {
		if got, err := k.Tag(c.UID, c.Escrow, unhex(t, c.Secret)); hex.EncodeToString(got) != c.Tag || err != nil {
			t.Errorf("%+v: %x, %v", c, got, err)
		}
	}
}

// Directories as version 1 left them open, with the station's name in its key's line as earlier programs wrote it, and have the keys that the vectors were made with.
func TestVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/v1/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Fingerprint string }
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	recipients := map[string]bool{}
	for name, passphrase := range map[string][]byte{"files": nil, "encrypted": []byte("correct horse")} {
		dir := filepath.Join(t.TempDir(), "keys")
		if err := os.CopyFS(dir, os.DirFS("testdata/v1/"+name)); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return errors.Join(err, os.Chmod(path, 0o700))
			}
			return os.Chmod(path, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(dir, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		const vkey = "station/line1+6c2288f1+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
		k, err := Open(f, "line1", "")
		if err != nil {
			t.Fatal(err)
		}
		if k.VerifierKey() != vkey {
			t.Errorf("%s: %s", name, k.VerifierKey())
		}
		if got, err := k.MasterFingerprint("line/root-2026"); err != nil || got != v.Fingerprint {
			t.Errorf("%s: the master is %s, %v", name, got, err)
		}
		r, err := k.Recipient()
		if err != nil {
			t.Error(err)
		}
		recipients[r] = true
	}
	if len(recipients) != 1 {
		t.Errorf("recipients %v", recipients)
	}
}

// No two lists of fields are written as the same bytes, however the text is cut.
func TestFieldsAreCutInOneWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 4), 1, 4)
		a, b := list.Draw(t, "a"), list.Draw(t, "b")
		same := len(a) == len(b)
		for i := range a {
			same = same && bytes.Equal(a[i], b[i])
		}
		if bytes.Equal(fields(a...), fields(b...)) != same {
			t.Fatalf("%x and %x", fields(a...), fields(b...))
		}
	})
}

func tagOf(t *testing.T, k *Keyring) []byte {
	t.Helper()
	tag, err := k.Tag("uid", "e", []byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func TestTagOfAnotherStation(t *testing.T) {
	a, dir := newKeyring(t)
	b, _ := newKeyring(t)
	tag := tagOf(t, a)
	if hmac.Equal(tag, tagOf(t, b)) {
		t.Error("two stations make the same tag")
	}
	again, err := openIn(dir)
	if err != nil || !hmac.Equal(tag, tagOf(t, again)) {
		t.Errorf("the tag changes with a restart, %v", err)
	}
}

// What is lent is gone when the callback returns, whichever way it does.
func TestLentSecretsAreWiped(t *testing.T) {
	k, _ := newKeyring(t)
	if err := k.CreateMaster("m", nil); err != nil {
		t.Fatal(err)
	}
	identity, recipient := newIdentity(t)
	sealed, err := Seal([]string{recipient}, []byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	errUse := errors.New("use")
	for name, lend := range map[string]func(func([]byte) error) error{
		"random":  func(use func([]byte) error) error { return RandomSecret(8, use) },
		"derived": func(use func([]byte) error) error { return k.DerivedKey("m", KeyOf{"p", "u", "r", 0}, use) },
		"unseal":  func(use func([]byte) error) error { return Unseal(sealed, identity, use) },
	} {
		for _, want := range []error{nil, errUse} {
			var kept, copied []byte
			err := lend(func(secret []byte) error {
				kept, copied = secret, bytes.Clone(secret)
				return want
			})
			if err != want {
				t.Errorf("%s: %v", name, err)
			}
			if len(kept) == 0 || bytes.Equal(copied, make([]byte, len(copied))) || !bytes.Equal(kept, make([]byte, len(kept))) {
				t.Errorf("%s: lent %d bytes, not wiped", name, len(kept))
			}
		}
		func() {
			var kept []byte
			defer func() {
				if recover() == nil || !bytes.Equal(kept, make([]byte, len(kept))) {
					t.Errorf("%s: not wiped after a panic", name)
				}
			}()
			err := lend(func(secret []byte) error {
				kept = secret
				panic("use")
			})
			t.Errorf("%s: a panic became %v", name, err)
		}()
	}
}

func TestRandomSecret(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		if err := RandomSecret(8, func(s []byte) error { seen[string(s)] = len(s) == 8; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d different secrets of 100", len(seen))
	}
	for _, n := range []int{-1, 0, maxSecret + 1} {
		if err := RandomSecret(n, func([]byte) error { t.Errorf("lent %d bytes", n); return nil }); err == nil {
			t.Errorf("%d bytes: no error", n)
		}
	}
}

func TestMasters(t *testing.T) {
	k, dir := newKeyring(t)
	of := KeyOf{"MT25QL128ABB", "00", "r", 0}
	derive := func(k *Keyring, name string, of KeyOf) (key []byte, err error) {
		err = k.DerivedKey(name, of, func(secret []byte) error { key = bytes.Clone(secret); return nil })
		return key, err
	}
	if _, err := derive(k, "line/root-2026", of); !errors.Is(err, ErrMissing) {
		t.Errorf("no such master: %v", err)
	}
	// Every one of these is a file in the keyring, and no other.
	names := []string{"line/root-2026", "line-root-2026", "a/b/c", "A_1.x", strings.Repeat("x/", 31) + "yz"}
	keys := map[string]bool{}
	for _, name := range names {
		if err := k.CreateMaster(name, nil); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if err := k.CreateMaster(name, nil); !errors.Is(err, ErrExists) {
			t.Errorf("%q again: %v", name, err)
		}
		key, err := derive(k, name, of)
		if err != nil || len(key) != 32 {
			t.Errorf("%q: %d bytes, %v", name, len(key), err)
		}
		keys[string(key)] = true
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2+len(names) || len(keys) != len(names) {
		t.Errorf("%d files, %d keys, %v", len(files), len(keys), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	bad := []string{"", "\xff", strings.Repeat("x", maxMaster+1), "../x", "..", "/x", "x/", "x//y", "line%2Froot-2026", "a b", "x\n", "\x1b[2J", "ß", "-x", "x.new-123", "x.new-" + strings.Repeat("A", 26)}
	for _, name := range bad {
		if err := k.CreateMaster(name, nil); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := k.MasterFingerprint(name); !errors.Is(err, ErrName) {
			t.Errorf("check %q: %v", name, err)
		}
		if _, err := derive(k, name, of); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := k.CreateMaster("a/b.age", nil); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), "may not end in .age") {
		t.Errorf("a name that ends as an encrypted file does: %v", err)
	}
	for _, of := range []KeyOf{{"", "00", "r", 0}, {"p", "", "r", 0}, {"p", "00", "", 0}, {"p", "00", "r", -1}, {strings.Repeat("p", maxField+1), "00", "r", 0}} {
		if _, err := derive(k, "a/b/c", of); err == nil {
			t.Errorf("%.80v: no error", of)
		}
	}
	// What a creation leaves that was killed is no master, whatever it holds; nor is what somebody else put there.
	for _, name := range []string{"master-line%2Froot-2026.new-123", "master-whole.new-4", "master-whole.new-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "master-", "master-a b", "master-a%2fb", "master-a%2F", "master-%zz", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 32), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := k.Masters(); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("%q, %v", got, err)
	}
	path := filepath.Join(dir, "master-line%2Froot-2026")
	if _, err := k.MasterFingerprint("line/root-2026"); err != nil {
		t.Error(err)
	}
	if _, err := k.MasterFingerprint("line/root-2027"); !errors.Is(err, ErrMissing) {
		t.Errorf("check of no such master: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := derive(k, "line/root-2026", of); !errors.Is(err, ErrMode) {
		t.Errorf("loose mode: %v", err)
	}
	if _, err := k.MasterFingerprint("line/root-2026"); !errors.Is(err, ErrMode) {
		t.Errorf("check of a loose mode: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 31, 33, 5000} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := derive(k, "line/root-2026", of); !errors.Is(err, ErrKey) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := k.MasterFingerprint("line/root-2026"); !errors.Is(err, ErrKey) {
			t.Errorf("check of %d bytes: %v", size, err)
		}
	}
}

func TestVerifierKeyFile(t *testing.T) {
	k, dir := newKeyring(t)
	path := filepath.Join(dir, "verifier.key")
	key, err := os.ReadFile(path)
	if err != nil || len(key) != 32 {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if err := k.p.CreateMAC("verifier", nil); !errors.Is(err, ErrExists) {
		t.Errorf("a second verifier key: %v", err)
	}
	if err := os.WriteFile(path, key[:31], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir); !errors.Is(err, ErrKey) {
		t.Errorf("31 bytes: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir); !errors.Is(err, ErrMode) {
		t.Errorf("loose mode: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(dir); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), path) {
		t.Errorf("missing: %v", err)
	}
	if err := k.p.CreateMAC("verifier", nil); err != nil { // a keyring from before there was one
		t.Fatal(err)
	}
	if _, err := openIn(dir); err != nil {
		t.Error(err)
	}
	// A Create that died before the checkpoint key is finished by the next, with the verifier key that is there.
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "checkpoint.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := createIn(dir, "line1"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, whole) {
		t.Errorf("the verifier key was replaced, %v", err)
	}
}

// No way of printing a keyring shows a key.
func TestPrintingShowsNoKey(t *testing.T) {
	k, dir := newKeyring(t)
	verifier, err := os.ReadFile(filepath.Join(dir, "verifier.key"))
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(filepath.Join(dir, "checkpoint.key"))
	if err != nil {
		t.Fatal(err)
	}
	private := strings.TrimSpace(strings.SplitN(string(line), "+", 5)[4]) // PRIVATE+KEY+name+hash+base64, in which + may be, too
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%X", "%q"} {
		shown = append(shown, fmt.Sprintf(verb, k), fmt.Sprintf(verb, *k), fmt.Sprintf(verb, struct{ K *Keyring }{k}))
	}
	list := strings.Trim(fmt.Sprint(verifier[:8]), "[]") // as %v prints bytes
	gosyntax := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", verifier[:8]), "[]byte{"), "}")
	for _, s := range shown {
		for _, secret := range []string{private, list, gosyntax, hex.EncodeToString(verifier[:8]), strings.ToUpper(hex.EncodeToString(verifier[:8])), string(verifier)} {
			if strings.Contains(s, secret) {
				t.Errorf("%q shows a key", s)
			}
		}
	}
}
