//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"station/keyring"
	"station/keyring/providertest"
)

const (
	testLabel = "line-3"
	testPIN   = "271828"
)

// softHSM makes SoftHSM look at a directory of this test, with one token in it, and returns the module and the directory.
func softHSM(t *testing.T) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	tokens, conf := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	return initToken(t, testLabel), tokens
}

// initToken makes a token, and returns the module.
func initToken(t *testing.T, label string) string {
	t.Helper()
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "3141592", "--pin", testPIN).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("NOT RUN: SoftHSM is not there, and CI needs it (Debian package softhsm2): %v\n%s", err, out)
		}
		t.Skipf("NOT RUN: SoftHSM is not there (Debian package softhsm2): %v", err)
	}
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("softhsm2-util is there and its module is not")
	return ""
}

func openToken(t *testing.T, path string) *Token {
	t.Helper()
	p, err := Open(path, testLabel, []byte(testPIN))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p.(*Token)
}

func TestTokenProvider(t *testing.T) {
	path := ""
	fresh := func(t *testing.T) keyring.Provider {
		path, _ = softHSM(t)
		return openToken(t, path)
	}
	providertest.Run(t, fresh, func(t *testing.T, _ keyring.Provider) keyring.Provider { return openToken(t, path) })
}

// A key that is missing says nothing of the token: nobody logs in anew for it, whoever asks how often.
func TestKeyThatIsMissing(t *testing.T) {
	path, faults := shim(t)
	p := openToken(t, path)
	if err := p.CreateMAC("verifier", nil); err != nil {
		t.Fatal(err)
	}
	before, generation := logins(t, faults), p.m.generation
	for range 20 {
		_, mac := p.MAC("master-none", nil)
		_, sign := p.Sign("checkpoint", nil)
		for _, err := range []error{mac, sign, p.Destroy("master-none")} {
			if !errors.Is(err, keyring.ErrMissing) {
				t.Errorf("%v", err)
			}
		}
	}
	if n := logins(t, faults) - before; n != 0 || p.m.generation != generation {
		t.Errorf("60 questions for keys that are not there: %d logins, and the library was begun anew %d times", n, p.m.generation-generation)
	}
}
