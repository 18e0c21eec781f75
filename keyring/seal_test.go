package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// newIdentity writes an age identity file and returns its path and its recipient.
func newIdentity(t *testing.T) (path, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(path, []byte("# made by a test\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, id.Recipient().String()
}

func unseal(sealed []byte, identity string) (secret []byte, err error) {
	err = Unseal(sealed, identity, func(s []byte) error { secret = bytes.Clone(s); return nil })
	return secret, err
}

func TestSealAndUnseal(t *testing.T) {
	a, recipientA := newIdentity(t)
	b, recipientB := newIdentity(t)
	stranger, _ := newIdentity(t)
	for _, n := range []int{1, 8, 32, maxSecret} {
		secret := bytes.Repeat([]byte{0xA5}, n)
		sealed, err := Seal([]string{recipientA, recipientB}, secret)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(sealed, []byte("-----BEGIN AGE ENCRYPTED FILE-----\n")) || bytes.Contains(sealed, secret) && n > 1 {
			t.Errorf("%d bytes: %s", n, sealed)
		}
		for _, identity := range []string{a, b} {
			if got, err := unseal(sealed, identity); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%d bytes: %x, %v", n, got, err)
			}
		}
		if _, err := unseal(sealed, stranger); !errors.Is(err, ErrIdentity) {
			t.Errorf("a stranger: %v", err)
		}
		if types, err := Recipients(sealed); err != nil || !slices.Equal(types, []string{"X25519", "X25519"}) {
			t.Errorf("recipients %q, %v", types, err)
		}
	}
	for _, n := range []int{0, maxSecret + 1} {
		if _, err := Seal([]string{recipientA}, make([]byte, n)); err == nil {
			t.Errorf("%d bytes were sealed", n)
		}
		if _, err := unseal(sealedByAge(t, recipientA, make([]byte, n)), a); !errors.Is(err, ErrSealed) {
			t.Errorf("%d bytes, sealed elsewhere: %v", n, err)
		}
	}
}

func sealedByAge(t *testing.T, recipient string, content []byte) []byte {
	t.Helper()
	r, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Whatever is done to a sealed secret, either it opens as it was or it does not open.
func TestSpoiledSeals(t *testing.T) {
	identity, recipient := newIdentity(t)
	secret := []byte("8 bytes.")
	sealed, err := Seal([]string{recipient}, secret)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		spoiled := bytes.Clone(sealed)
		spoiled[i] ^= 1
		if got, err := unseal(spoiled, identity); err == nil && !bytes.Equal(got, secret) || err != nil && !errors.Is(err, ErrSealed) && !errors.Is(err, ErrIdentity) {
			t.Errorf("byte %d altered: %q, %v", i, got, err)
		}
		if got, err := unseal(sealed[:i], identity); i < len(sealed)-1 && !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes: %q, %v", i, got, err)
		}
		if types, err := Recipients(sealed[:i]); i < len(sealed)-1 && !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes: %q, %v", i, types, err)
		}
	}
	// Armor is no protection: cut what is in it.
	plain, err := io.ReadAll(armor.NewReader(bytes.NewReader(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range plain {
		var cut bytes.Buffer
		w := armor.NewWriter(&cut)
		_, err := w.Write(plain[:n])
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := unseal(cut.Bytes(), identity); !errors.Is(err, ErrSealed) {
			t.Errorf("content cut to %d bytes: %q, %v", n, got, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "text": "hello\n", "twice": string(sealed) + string(sealed)} {
		if _, err := Recipients([]byte(text)); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := unseal([]byte(text), identity); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadRecipientsAndNoSecretInErrors(t *testing.T) {
	path, good := newIdentity(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	identity := strings.TrimSpace(strings.SplitN(string(text), "\n", 2)[1])
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]string{
		"none":              nil,
		"empty":             {""},
		"identity":          {good, identity},
		"lower-case one":    {strings.ToLower(identity)},
		"cut identity":      {identity[:40]},
		"indented identity": {" " + identity},
		"a line of a file":  {"key: " + identity},
		"cut":               {good[:len(good)-1]},
		"altered":           {good[:len(good)-1] + "!"},
		"twice":             {good, good},
		"ssh":               {"ssh-ed25519 AAAA"},
		"with a line end":   {good + "\n"},
		"not what age has":  {"age1" + strings.Repeat("q", 58)},
		"post-quantum, too": {good, hybrid.Recipient().String()},
	} {
		sealed, err := Seal(list, []byte("password"))
		if !errors.Is(err, ErrRecipient) || sealed != nil {
			t.Errorf("%s: %q, %v", name, sealed, err)
			continue
		}
		if check := CheckRecipients(list); fmt.Sprint(check) != fmt.Sprint(err) {
			t.Errorf("%s: %v, and %v before", name, check, err)
		}
		lower := strings.ToLower(err.Error())
		for n := 16; n+8 <= len(identity); n++ {
			if strings.Contains(lower, strings.ToLower(identity[n:n+8])) {
				t.Fatalf("%s: the error holds a part of an identity", name)
			}
		}
	}
	if err := CheckRecipients([]string{good}); err != nil {
		t.Error(err)
	}
	sealed, err := Seal([]string{good}, []byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "identity")
	for name, content := range map[string]string{"empty": "", "spoiled": identity[:len(identity)-3] + "QQQ\n", "no bech32": identity[:40] + "b" + identity[41:],
		"indented": " " + identity, "quoted": `"` + identity + `"`} {
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := unseal(sealed, bad)
		if !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", name, err)
		}
		for n := 16; n+8 <= len(identity); n++ {
			if err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(identity[n:n+8])) {
				t.Fatalf("%s: the error holds a part of an identity", name)
			}
		}
	}
	if _, err := unseal(sealed, bad+".absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent identity file: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	// echo -n age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p | sha256sum
	const want = "sha256:cf7e5682313150685bf16e42c4ea48e168e16e8206c5c4ad37c72d013cb6a5f4"
	if got := Fingerprint("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"); got != want {
		t.Errorf("%s", got)
	}
}

// TestAgeOpensIt has the age program that others wrote open what Seal made, and Unseal open what it made.
func TestAgeOpensIt(t *testing.T) {
	program, err := exec.LookPath("age")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("NOT RUN: the program age is not installed, and CI needs it (Debian package age)")
		}
		t.Skip("NOT RUN: the program age is not installed (Debian package age)")
	}
	a, recipientA := newIdentity(t)
	b, recipientB := newIdentity(t)
	stranger, _ := newIdentity(t)
	dir := t.TempDir()
	err = RandomSecret(32, func(secret []byte) error {
		sealed, err := Seal([]string{recipientA, recipientB}, secret)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "sealed.age")
		if err := os.WriteFile(file, sealed, 0o600); err != nil {
			return err
		}
		for _, identity := range []string{a, b} {
			if out, err := exec.Command(program, "-d", "-i", identity, file).Output(); err != nil || !bytes.Equal(out, secret) {
				t.Errorf("age opens %d bytes that are right=%t, %v", len(out), bytes.Equal(out, secret), err)
			}
		}
		if err := exec.Command(program, "-d", "-i", stranger, file).Run(); err == nil {
			t.Error("age opens it for a stranger")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-a", "-r", recipientA, "-r", recipientB)
	cmd.Stdin = strings.NewReader("password")
	sealed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := unseal(sealed, b); err != nil || string(got) != "password" {
		t.Errorf("%q, %v", got, err)
	}
	if types, err := Recipients(sealed); err != nil || len(types) != 2 {
		t.Errorf("%q, %v", types, err)
	}
}

func FuzzRecipients(f *testing.F) {
	sealed, err := Seal([]string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}, []byte("password"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:100])
	f.Add([]byte("age-encryption.org/v1\n--- AAAA\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		types, err := Recipients(text)
		if err != nil && !errors.Is(err, ErrSealed) || err == nil && len(types) == 0 {
			t.Fatalf("%q, %v", types, err)
		}
	})
}
