package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"station/keyring"
	"station/ledger"
	"station/store"
)

// TestDeathInKeyRotate dies behind each durable thing that `key rotate` makes: the new key, the entry, its checkpoint, and the old key's end. The next start works with the key that the
// ledger names, has the checkpoint signed by both, and destroys the old key once it is not needed; the rotation, done again where the ledger does not tell of it, makes no second key.
func TestDeathInKeyRotate(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for _, at := range []string{"the new key", "the entry", "the checkpoint", "the old key"} {
			dir := t.TempDir()
			cfg := &config{Station: "line1", Data: filepath.Join(dir, "data")}
			if err := initialise(cfg.Data, cfg, true); err != nil {
				t.Fatal(err)
			}
			path := ledgerFile(cfg.Data)
			chain, err := store.KeysOf(path)
			if err != nil {
				t.Fatal(err)
			}
			why := store.Rotation{Lost: lost, Reason: "yearly", By: "sup2"}
			keys, next, vkey, _, err := keysForRotation(cfg, chain, &why, lost)
			if err != nil {
				t.Fatal(err)
			}
			if at != "the new key" {
				o := storeOptions(cfg, keys, true)
				o.Signer, o.VerifierKey = next, vkey
				writes := 0
				o.Disk = func(written bool) error {
					if writes++; at == "the entry" && writes > 2 {
						return errors.New("died")
					}
					return nil
				}
				if _, _, err := rotateLedger(path, o, why); (err != nil) != (at == "the entry") {
					t.Fatalf("%s: %v", at, err)
				}
			}
			if err := keys.Close(); err != nil {
				t.Fatal(err)
			}
			if at == "the old key" {
				if keys, err = openKeys(cfg, vkey); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(keys.DestroyOld(), keys.Close()); err != nil {
					t.Fatal(err)
				}
			}

			a := &app{stdout: os.Stderr, stderr: os.Stderr}
			start := func() {
				t.Helper()
				b, err := a.openWith(context.Background(), cfg)
				if err != nil {
					t.Fatalf("lost %t, %s: %v", lost, at, err)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if at == "the entry" && !lost {
				oldKeyGone(t, cfg, a, why)
			}
			start()
			if at == "the new key" {
				j, err := rotate(cfg, why, lost)
				if err != nil {
					t.Fatal(err)
				}
				if j.To != vkey {
					t.Errorf("lost %t: rotated to %s, and %s was made for it", lost, j.To, vkey)
				}
				start()
			}
			d, err := store.OpenReadOnly(path)
			if err != nil {
				t.Fatal(err)
			}
			pins := []string{chain.Present()}
			if lost {
				pins = append(pins, vkey)
			}
			j, err := verifyLedger(context.Background(), d, pins...)
			if err := errors.Join(err, d.Close()); err != nil || !j.OK || j.Unsigned != 0 || len(j.Keys) != 2 || j.Key != vkey {
				t.Errorf("lost %t, %s: %+v, %v", lost, at, j, err)
			}
			files, err := filepath.Glob(filepath.Join(keysDir(cfg.Data), "checkpoint*"))
			if want := []string{filepath.Join(keysDir(cfg.Data), "checkpoint.2.key")}; err != nil || !slices.Equal(files, want) {
				t.Errorf("lost %t, %s: %q, %v", lost, at, files, err)
			}
		}
	}
}

// oldKeyGone loses the old key where the ledger names the new one and the old one has yet to sign that. The new one works, and is replaced as lost all the same.
func oldKeyGone(t *testing.T, was *config, a *app, why store.Rotation) {
	t.Helper()
	cfg := *was
	cfg.Data = t.TempDir()
	if err := os.CopyFS(cfg.Data, os.DirFS(was.Data)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"verifier.key", "checkpoint.2.key"} {
		if err := os.Chmod(filepath.Join(keysDir(cfg.Data), name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Chmod(keysDir(cfg.Data), 0o700), os.Remove(filepath.Join(keysDir(cfg.Data), "checkpoint.key")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.openWith(context.Background(), &cfg); !errors.Is(err, keyring.ErrMissing) || !strings.Contains(err.Error(), "--lost") {
		t.Errorf("without the old key: %v", err)
	}
	why.Lost = true
	if j, err := rotate(&cfg, why, false); err != nil || !j.Lost {
		t.Errorf("said lost: %+v, %v", j, err)
	}
}

// A checkpoint key that was made for a rotation that died is the one after a loss too, and an old one in the keyring is not.
func TestKeysAfterLoss(t *testing.T) {
	cfg := &config{Station: "line1", Data: filepath.Join(t.TempDir(), "data")}
	if err := initialise(cfg.Data, cfg, true); err != nil {
		t.Fatal(err)
	}
	chain, err := store.KeysOf(ledgerFile(cfg.Data))
	if err != nil {
		t.Fatal(err)
	}
	after := func(c ledger.Chain) string {
		t.Helper()
		keys, err := keysAfterLoss(cfg, c)
		if err != nil {
			t.Fatal(err)
		}
		defer keys.Close()
		if v, err := note.NewVerifier(keys.VerifierKey()); err != nil || v.KeyHash() != keys.Signer().KeyHash() {
			t.Errorf("%v, %v", v, err)
		}
		return keys.VerifierKey()
	}
	next := after(chain)
	if next == chain.Present() || next != after(chain) {
		t.Errorf("%s, then %s", next, after(chain))
	}
	longer := append(slices.Clone(chain), ledger.Link{Index: 1, Key: next})
	if third := after(longer); third == next || third == chain.Present() {
		t.Errorf("an old key again: %s", third)
	}
	// The verifier key alone cannot be made anew like this.
	if err := os.Remove(filepath.Join(keysDir(cfg.Data), "verifier.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := keysAfterLoss(cfg, chain); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("without the verifier key: %v", err)
	}
}

// checkpointKeys are the verifier keys that `key list` tells, oldest first.
func (p *position) checkpointKeys() (keys []string) {
	p.t.Helper()
	out, _ := p.expect(exitDone, "key", "list")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); f[0] == "checkpoint" {
			keys = append(keys, f[1])
		}
	}
	return keys
}

// rotations rotates twice, loses a key, and works on each time; whoever pinned the first key can follow until the loss.
func (p *position) rotations() {
	p.t.Helper()
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	for n := range 2 {
		p.expect(exitDone, "key", "rotate", "checkpoint", "--reason", "yearly", "--by", "sup2")
		p.expect(exitDone, "run", "small.yaml", "--slot", fmt.Sprintf("1=TB-001%d", n))
	}
	keys := p.checkpointKeys()
	if len(keys) != 4 {
		p.t.Fatalf("%q", keys)
	}
	for _, key := range keys {
		p.expect(exitDone, "audit", "verify", "--key", key)
	}
	p.expect(exitDone, "key", "rotate", "checkpoint", "--stolen", "--reason", "stolen", "--by", "sup2")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0020")
	keys = p.checkpointKeys()
	p.expect(exitNo, "audit", "verify", "--key", keys[0])
	p.expect(exitDone, "audit", "verify", "--key", keys[0], "--key", keys[4])
}

// dieInRotation dies behind the entry; the next start has its checkpoint signed by both keys.
func (p *position) dieInRotation() {
	p.t.Helper()
	before := p.checkpointKeys()
	a := &app{configFile: filepath.Join(p.dir, "config.yaml"), stderr: os.Stderr}
	cfg, err := a.config()
	if err != nil {
		p.t.Fatal(err)
	}
	chain, err := store.KeysOf(ledgerFile(cfg.Data))
	if err != nil {
		p.t.Fatal(err)
	}
	why := store.Rotation{Reason: "yearly", By: "sup2"}
	keys, next, vkey, _, err := keysForRotation(cfg, chain, &why, false)
	if err != nil {
		p.t.Fatal(err)
	}
	o := storeOptions(cfg, keys, true)
	o.Signer, o.VerifierKey = next, vkey
	writes := 0
	o.Disk = func(bool) error {
		if writes++; writes > 2 {
			return errors.New("died")
		}
		return nil
	}
	_, _, err = rotateLedger(ledgerFile(cfg.Data), o, why)
	if closed := keys.Close(); err == nil || closed != nil {
		p.t.Fatal(err, closed)
	}
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0000")
	p.expect(exitDone, "audit", "verify", "--key", before[0])
	if after := p.checkpointKeys(); len(after) != 2 || after[1] != vkey {
		p.t.Errorf("%q, rotated to %s", after, vkey)
	}
}

// Keys at a key server are rotated as any others are: it makes them, witnesses what both sign, and destroys the old one.
func TestRotateAtKeyServer(t *testing.T) {
	t.Parallel()
	p, s := newRemote(t, "10s")
	p.dieInRotation()
	p.rotations()
	p.expect(exitRefused, "key", "create", "line/root-2027") // it is made over there
	if files, err := filepath.Glob(filepath.Join(keysDir(s.dir), "checkpoint-line1*")); err != nil || len(files) != 1 {
		t.Errorf("checkpoint keys of the station: %q, %v", files, err)
	}
	s.stop(syscall.SIGTERM)
	p.expect(exitDone, "audit", "verify", "--data", s.dir)
}
