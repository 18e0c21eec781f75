//go:build cgo

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/fixtures/usb"
	"station/keyring"
	"station/ledger"
	"station/provision"
	"station/recipes"
	"station/sim"
	"station/sim/nor"
)

const tokenPIN = "2718281828"

// newTokenPosition is a position whose every key is in SoftHSM, with the recipes that come with the program; tokens is the directory of its token. It is alone in its process: the
// library knows one configuration.
func newTokenPosition(t *testing.T) (p *position, tokens string) {
	t.Helper()
	program := judge(t, "softhsm2-util")
	p = &position{t: t, dir: t.TempDir()}
	tokens, conf := filepath.Join(p.dir, "tokens"), filepath.Join(p.dir, "softhsm2.conf")
	err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nlog.level = ERROR\n", tokens), 0o600),
		os.WriteFile(filepath.Join(p.dir, "pin.txt"), []byte(tokenPIN+"\n"), 0o600), recipes.Unpack(filepath.Join(p.dir, "recipes")), writeRecipe(p.dir), writeConfig(p.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command(program, "--init-token", "--free", "--label", "line-3", "--so-pin", "31415926", "--pin", tokenPIN).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.configure("keys: {provider: pkcs11, module: /usr/lib/softhsm/libsofthsm2.so, token: line-3, pin: {file: pin.txt}}\n")
	p.expect(exitDone, "init", "--simulated")
	p.expect(exitDone, "key", "create", "line/root-2026")
	return p, tokens
}

// configure adds to the configuration.
func (p *position) configure(text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, "config.yaml")
	before, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(before, text...), 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *position) gateway(slot, serial string) []string {
	return []string{"run", "recipes/gateway-boot.yaml", "--slot", slot + "=" + serial, "--value", fmt.Sprintf("%s.mac=020000%s", slot, strings.TrimPrefix(serial, "GW-"))}
}

// The whole job with every key in a token, told as a day on the line: a master is made, a unit passes, its escrow opens, it is reworked behind its password, and the ledger verifies. Between that a
// wrong PIN and a token that is not there: ERROR, no chip touched, and it goes on when they are right. No key is in any file, and the PIN nowhere but in its own.
func TestWholeRecipeWithEveryKeyInAToken(t *testing.T) {
	p, tokens := newTokenPosition(t)
	if files, err := os.ReadDir(keysDir(p.data())); err != nil || len(files) != 0 {
		t.Errorf("keys in files: %v, %v", files, err)
	}
	out, _ := p.expect(exitDone, "key", "list")
	if !strings.Contains(out, "station/line1+") || !strings.Contains(out, "line/root-2026") || !strings.Contains(out, "age1") {
		t.Errorf("key list: %s", out)
	}
	if _, out, _ := p.station("doctor"); !strings.Contains(out, `keys        token "line-3" of `) || !strings.Contains(out, "libsofthsm2.so: 1 master\n") {
		t.Errorf("doctor: %s", out)
	}
	p.expect(exitDone, p.gateway("1", "GW-000001")...)
	out, _ = p.expect(exitDone, "unit", "show", "GW-000001", "--json")
	if !strings.Contains(out, `"PASS"`) {
		t.Errorf("%s", out)
	}

	pin := filepath.Join(p.dir, "pin.txt")
	spoil := func(path string, text string, mode os.FileMode, want string) {
		t.Helper()
		before, err := os.ReadFile(path)
		if err == nil {
			err = errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, errs := p.expect(exitError, p.gateway("2", "GW-000002")...); !strings.Contains(errs, want) {
			t.Errorf("%q with mode %o: %s", text, mode, errs)
		}
		if err := errors.Join(os.WriteFile(path, before, 0o600), os.Chmod(path, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	spoil(pin, "31415926535\n", 0o600, "does not take the PIN")
	spoil(pin, tokenPIN+"\n", 0o640, "mode is 0640")
	spoil(pin, "", 0o600, "has to hold one line")
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	if _, errs := p.expect(exitError, p.gateway("2", "GW-000002")...); !strings.Contains(errs, "libsofthsm2.so does not begin") {
		t.Errorf("no token: %s", errs)
	}
	if err := os.Rename(tokens+".away", tokens); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.board("GW-000002")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a slot was opened: %v", err)
	}
	p.expect(exitDone, p.gateway("2", "GW-000002")...)

	p.expect(exitDone, "unit", "rework", "GW-000001", "--reason", "another image", "--by", "sup2")
	p.expect(exitDone, "escrow", "reseal", "GW-000001", "--identity", "audit.txt", "-o", "unlock.age")
	p.expect(exitDone, append(p.gateway("1", "GW-000001"), "--unlock", "1=unlock.age")...)
	out, _ = p.expect(exitDone, "audit", "verify")
	if !strings.HasPrefix(out, "ledger verified (SIMULATED): station line1, ") {
		t.Errorf("%s", out)
	}
	// The token makes the key that the checkpoints change to, and destroys the old one; and it goes on with a ledger that was restored.
	p.expect(exitDone, "key", "rotate", "checkpoint", "--reason", "yearly", "--by", "sup2")
	p.expect(exitDone, p.gateway("3", "GW-000003")...)
	p.expect(exitDone, "backup", "night.db")
	if err := os.Rename(ledgerFile(p.data()), filepath.Join(p.dir, "lost.db")); err != nil {
		t.Fatal(err)
	}
	if _, errs := p.expect(exitError, "init", "--simulated"); !strings.Contains(errs, "no ledger") {
		t.Errorf("%s", errs)
	}
	p.expect(exitDone, "restore", "night.db", "--reason", "disk", "--by", "sup2")
	p.expect(exitDone, p.gateway("4", "GW-000004")...)
	out, _ = p.expect(exitDone, "audit", "verify")
	if !strings.HasPrefix(out, "EPOCH") || !strings.Contains(out, "ledger verified (SIMULATED): station line1, ") {
		t.Errorf("%s", out)
	}
	// Another data directory with the same token would be a second ledger under one key.
	if _, errs := p.expect(exitRefused, "init", "--simulated", "--data", "second"); !strings.Contains(errs, "their ledger is elsewhere") {
		t.Errorf("%s", errs)
	}
	for _, file := range []string{"keys", "ledger.db"} {
		if _, err := os.Stat(filepath.Join(p.dir, "second", file)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a refused init left %s: %v", file, err)
		}
	}
	p.noPIN()
	noSecret(t, p.data(), p.output.Bytes())
}

// A module that hangs: every command ends soon after the limit of a call, with ERROR, and no chip is touched; it goes on when the module does.
func TestModuleThatHangsBesideTheLine(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: the limit of a call is waited for")
	}
	compiler := judge(t, "gcc")
	p, _ := newTokenPosition(t)
	module := filepath.Join(p.dir, "shim.so")
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-o", module, "../../keyring/pkcs11/testdata/shim.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("SHIM_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
	t.Setenv("SHIM_DIR", p.dir)
	path := filepath.Join(p.dir, "config.yaml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = errors.Join(os.WriteFile(path, bytes.ReplaceAll(text, []byte("/usr/lib/softhsm/libsofthsm2.so"), []byte("shim.so")), 0o644), os.WriteFile(filepath.Join(p.dir, "hang"), nil, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, errs := p.expect(exitError, p.gateway("1", "GW-000001")...); !strings.Contains(errs, "did not answer within 10s") {
		t.Errorf("%s", errs)
	}
	if d := time.Since(begun); d > 15*time.Second {
		t.Errorf("the command took %s", d)
	}
	if _, err := os.Stat(p.board("GW-000001")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a slot was opened: %v", err)
	}
	if err := os.Remove(filepath.Join(p.dir, "hang")); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, p.gateway("1", "GW-000001")...)
	p.noPIN()
}

// noPIN looks for the PIN in what was said and in the data directory.
func (p *position) noPIN() {
	p.t.Helper()
	s := search{}
	s.add("the PIN", []byte(tokenPIN))
	if found := s.in(p.output.Bytes()); found != "" {
		p.t.Errorf("the output holds %s", found)
	}
	err := filepath.WalkDir(p.data(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if found := s.in(text); found != "" {
			p.t.Errorf("%s holds %s", path, found)
		}
		return err
	})
	if err != nil {
		p.t.Error(err)
	}
}

// leaving is a token that leaves before a question.
type leaving struct {
	*keyring.Keyring
	before func()
}

func (l *leaving) RandomSecret(n int, use func([]byte) error) error {
	l.before()
	return l.Keyring.RandomSecret(n, use)
}

func (l *leaving) Tag(uid, escrow string, secret []byte) ([]byte, error) {
	l.before()
	return l.Keyring.Tag(uid, escrow, secret)
}

func (l *leaving) DerivedKey(master string, of keyring.KeyOf, use func([]byte) error) error {
	l.before()
	return l.Keyring.DerivedKey(master, of, use)
}

func (l *leaving) MasterFingerprint(name string) (string, error) {
	l.before()
	return l.Keyring.MasterFingerprint(name)
}

// The token is pulled before each of the questions that a run of the whole recipe puts to it: ERROR with the keyring to blame, nothing permanent is done to the chip from then on, and the same scan with
// the token back passes, with every permanent command done once.
func TestTokenPulledInMidRun(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: every question is a unit of its own")
	}
	p, tokens := newTokenPosition(t)
	a := &app{stdout: &p.output, stderr: &p.output, configFile: filepath.Join(p.dir, "config.yaml"), dataDir: p.data()}
	cfg, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	var line *sim.Line
	b, err := a.openOver(t.Context(), cfg, func(b *bench, ctx context.Context) (usb.Bus, error) {
		bus, err := b.bus(ctx)
		line, _ = bus.(*sim.Line)
		return bus, err
	})
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := loadRecipe(filepath.Join(p.dir, "recipes/gateway-boot.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	keys := b.secrets.keys.(*keyring.Keyring)
	permanent := []string{nor.CountRootKey, nor.CountPassword, nor.CountSectorProtection, nor.CountIncrement}
	counters := func(chip *nor.Chip) map[string]uint64 {
		out := map[string]uint64{}
		for _, what := range permanent {
			out[what] = chip.Counters()[what]
		}
		return out
	}
	questions := 0
	for at := 0; at == 0 || at <= questions; at++ {
		serial := fmt.Sprintf("GW-%06d", at+1)
		asked := 0
		var chip *nor.Chip
		var then map[string]uint64
		b.secrets.keys = &leaving{keys, func() {
			if asked++; asked != at {
				return
			}
			then = counters(chip)
			if err := os.Rename(tokens, tokens+".away"); err != nil {
				t.Error(err)
			}
		}}
		if err := b.insert(recipe, []pair{{"1", serial}}, nil); err != nil {
			t.Fatal(err)
		}
		chip = line.Remove(b.places["1"]) // for a look at it
		if err := line.Insert(b.places["1"], chip); err != nil {
			t.Fatal(err)
		}
		engine := b.engine(t.Context(), func(provision.Event) {})
		o := job{recipe: recipe, operator: "op7"}.order(pair{"1", serial}, map[string]string{"mac": fmt.Sprintf("020000%06d", at)})
		// Without reports, but for the first and the last: they wait for a checkpoint, and that for the token.
		if at == 0 {
			if out := b.provisionOne(t.Context(), engine, o); out.Outcome != ledger.Pass || out.reportErr != nil {
				t.Fatalf("%+v", out)
			}
			questions = asked
			if questions < 6 {
				t.Fatalf("a run put %d questions to the token", questions)
			}
			continue
		}
		out := engine.Run(t.Context(), o)
		if out.Outcome != ledger.Error || out.Cause != "keyring" {
			t.Errorf("question %d: %s %s: %s", at, out.Outcome, out.Cause, out.Message)
		}
		if now := counters(chip); !maps.Equal(now, then) {
			t.Errorf("question %d: permanent commands went on: %v, and %v when the token left", at, now, then)
		}
		if err := os.Rename(tokens+".away", tokens); err != nil {
			t.Fatal(err)
		}
		if out := engine.Run(t.Context(), o); out.Outcome != ledger.Pass {
			t.Errorf("question %d, the token back: %s %s: %s", at, out.Outcome, out.Cause, out.Message)
		}
		for what, n := range counters(chip) {
			if what != nor.CountIncrement && n != 1 {
				t.Errorf("question %d: %s took effect %d times", at, what, n)
			}
		}
	}
	if _, err := b.reportUnit(t.Context(), fmt.Sprintf("GW-%06d", questions+1)); err != nil {
		t.Error(err)
	}
	t.Logf("the token left before each of %d questions", questions)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	out, _ := p.expect(exitDone, "audit", "verify")
	if !strings.HasPrefix(out, "ledger verified (SIMULATED)") {
		t.Errorf("%s", out)
	}
	p.noPIN()
	noSecret(t, p.data(), p.output.Bytes())
}
