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

var testUnlock = Unlock{Serial: "GW-000001", UID: "0102030405060708090A0B0C0D0E", Escrow: "0123456789abcdef", Permit: 4711}

func openUnlock(k *Keyring, sealed []byte) (of Unlock, password []byte, err error) {
	err = k.OpenUnlock(sealed, func(got Unlock, p []byte) error { of, password = got, bytes.Clone(p); return nil })
	return of, password, err
}

func TestUnlock(t *testing.T) {
	k, dir := newKeyring(t)
	recipient, err := k.Recipient()
	if err != nil || !strings.HasPrefix(recipient, "age1") {
		t.Fatalf("%q, %v", recipient, err)
	}
	if again, err := openIn(dir); err != nil {
		t.Fatal(err)
	} else if r, err := again.Recipient(); err != nil || r != recipient {
		t.Errorf("again %q, %v", r, err)
	}
	password := []byte("\x01\x02\x03\x04\xA5\xA6\xA7\xA8")
	sealed, err := SealUnlock(recipient, testUnlock, password)
	if err != nil {
		t.Fatal(err)
	}
	if of, got, err := openUnlock(k, sealed); err != nil || of != testUnlock || !bytes.Equal(got, password) {
		t.Errorf("%+v, %x, %v", of, got, err)
	}
	boom := errors.New("boom")
	var lent []byte
	if err := k.OpenUnlock(sealed, func(_ Unlock, p []byte) error { lent = p; return boom }); err != boom || !bytes.Equal(lent, make([]byte, 8)) {
		t.Errorf("%v, and %x is left", err, lent)
	}
	// Another station, a file for nobody, an escrow, and one that was altered.
	other, _ := newKeyring(t)
	if _, _, err := openUnlock(other, sealed); !errors.Is(err, ErrIdentity) {
		t.Errorf("another station: %v", err)
	}
	escrow, err := Seal([]string{recipient}, password)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"nothing": nil, "an escrow": escrow, "cut off": sealed[:len(sealed)-60],
		"label": sealedByAge(t, recipient, fields([]byte("station/tag/v1"), nil, nil, nil, make([]byte, 8), password)),
		"short": sealedByAge(t, recipient, fields([]byte(unlockLabel), nil, nil, nil, make([]byte, 7), password)),
		"more":  sealedByAge(t, recipient, append(fields([]byte(unlockLabel), nil, nil, nil, make([]byte, 8), password), 0)),
		"field": sealedByAge(t, recipient, fields([]byte(unlockLabel), nil, nil, nil, make([]byte, 8)))} {
		if _, _, err := openUnlock(k, text); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What was given by mistake is not quoted: it may be an identity.
	identity, err := k.identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openUnlock(k, []byte(identity.String())); !errors.Is(err, ErrSealed) || strings.Contains(err.Error(), identity.String()[:20]) {
		t.Errorf("an identity in place of the file: %v", err)
	}
	for name, of := range map[string]Unlock{"no serial": {UID: "u", Escrow: "e"}, "no chip": {Serial: "s", Escrow: "e"}, "no escrow": {Serial: "s", UID: "u"}} {
		if _, err := SealUnlock(recipient, of, password); err == nil {
			t.Errorf("%s was sealed", name)
		}
	}
	if _, err := SealUnlock(recipient, testUnlock, nil); err == nil {
		t.Error("no password was sealed")
	}
	if _, err := SealUnlock("age1", testUnlock, password); !errors.Is(err, ErrRecipient) {
		t.Errorf("no recipient: %v", err)
	}
}

// An identity that an earlier version made is the station's as long as it is there. No error and no way of printing shows it, and a spoilt or open file is refused.
func TestUnlockKeyFile(t *testing.T) {
	k, dir := newKeyring(t)
	path := filepath.Join(dir, unlockName+keySuffix)
	made, recipient := newIdentity(t)
	text, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "\n") // behind a comment, which the file never had
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Recipient(); err != nil || got != recipient {
		t.Errorf("%q, %v; the file is that of %q", got, err, recipient)
	}
	if names, err := k.p.Names(); err != nil || len(names) != 2 {
		t.Errorf("keys %q, %v", names, err)
	}
	secret := strings.TrimSpace(line)
	if shown := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(shown, secret) {
		t.Error("printing shows the identity")
	}
	for _, spoilt := range []string{"", secret, secret[:40] + "\n", secret + "\n" + secret + "\n", strings.ToLower(secret) + "x\n"} {
		if err := os.WriteFile(path, []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Recipient(); !errors.Is(err, ErrKey) || strings.Contains(strings.ToUpper(err.Error()), secret[:30]) {
			t.Errorf("%d bytes: %v", len(spoilt), err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Recipient(); !errors.Is(err, ErrMode) {
		t.Errorf("a key that others can read: %v", err)
	}
}

// The age program opens it with the station's identity, and the content is as the package comment says.
func TestAgeOpensUnlock(t *testing.T) {
	ageProgram, err := exec.LookPath("age")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("NOT RUN: the program age is not installed, and CI needs it (Debian package age)")
		}
		t.Skip("NOT RUN: the program age is not installed (Debian package age)")
	}
	k, dir := newKeyring(t)
	recipient, err := k.Recipient()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := k.identity()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "identity")
	if err := os.WriteFile(file, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, err := SealUnlock(recipient, Unlock{"S", "U", "E", 258}, []byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(ageProgram, "-d", "-i", file)
	c.Stdin = bytes.NewReader(sealed)
	got, err := c.Output()
	if want := "\x00\x11station/unlock/v1\x00\x01S\x00\x01U\x00\x01E\x00\x08\x00\x00\x00\x00\x00\x00\x01\x02\x00\x0812345678"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}
