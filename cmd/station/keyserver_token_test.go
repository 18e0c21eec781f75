//go:build cgo

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"station/recipes"
	"station/sim/nor"
)

// TestKeyServerToken has the key server's keys, and with them the station's, the authority's and its own for TLS, in SoftHSM: signed commands and the whole recipe pass. The token
// leaves while it serves: ERROR, nothing permanent; the token is back: the same command passes. No key is in a file on either side.
func TestKeyServerToken(t *testing.T) {
	program := judge(t, "softhsm2-util")
	outside := t.TempDir()
	tokens, conf := filepath.Join(outside, "tokens"), filepath.Join(outside, "softhsm2.conf")
	err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nlog.level = ERROR\n", tokens), 0o600),
		os.WriteFile(filepath.Join(outside, "pin.txt"), []byte(tokenPIN+"\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command(program, "--init-token", "--free", "--label", "keys", "--so-pin", "31415926", "--pin", tokenPIN).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, s := newRemoteWith(t, "5s", fmt.Sprintf("{provider: pkcs11, module: /usr/lib/softhsm/libsofthsm2.so, token: keys, pin: {file: %s/pin.txt}}", outside))
	if err := recipes.Unpack(p.dir); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{keysDir(p.data()), keysDir(s.dir)} {
		if files, err := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("%s holds keys: %v, %v", dir, files, err)
		}
	}
	factory, _ := p.expect(exitDone, "sim", "factory-key")
	if err := os.WriteFile(filepath.Join(p.dir, "factory.txt"), []byte(factory), 0o600); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "keyserver", "key", "create", "acrtm/factory", "--from", "factory.txt")
	for _, recipe := range []string{"signed-boot.yaml", "gateway-boot.yaml"} {
		p.expect(exitDone, "keyserver", "allow", recipe, "--station", "line1", "--units", "2")
	}
	p.expect(exitDone, "run", "signed-boot.yaml", "--slot", "1=GW-000001")
	order := []string{"run", "gateway-boot.yaml", "--slot", "2=GW-000002", "--value", "2.mac=020000000002"}
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	if out, errs := p.expect(exitError, order...); !strings.Contains(out+errs, "its own log says more") {
		t.Errorf("without its token:\n%s%s", out, errs)
	}
	if err := os.Rename(tokens+".away", tokens); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, order...)
	chip := openBoard(t, p.board("GW-000002"))
	if n := chip.Counters(); n[nor.CountRootKey] != 1 || n[nor.CountPassword] != 1 {
		t.Errorf("%v", n)
	}
	chip.Close()
	s.verified()
	if strings.Contains(s.output.String(), tokenPIN) {
		t.Error("the output holds the PIN")
	}
}
