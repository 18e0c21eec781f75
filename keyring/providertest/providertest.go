// Package providertest is what every provider of keys has to do, as tests that the room of each of them runs. It knows no provider.
package providertest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"station/keyring"
)

// Run runs the tests on providers that fresh makes, which have no key yet. again opens the keys of one of them a second time, as another process would.
func Run(t *testing.T, fresh func(t *testing.T) keyring.Provider, again func(t *testing.T, of keyring.Provider) keyring.Provider) {
	for name, test := range map[string]func(*testing.T, keyring.Provider, func() keyring.Provider){
		"mac": testMAC, "sign": testSign, "names": testNames, "random": testRandom, "keyring": testKeyring, "stations": testStations, "at once": testAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			p := fresh(t)
			test(t, p, func() keyring.Provider { return again(t, p) })
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A key that was brought in has the MACs of crypto/hmac, for any length of message; and one that was made has other ones than its sister, the same ones for ever.
func testMAC(t *testing.T, p keyring.Provider, again func() keyring.Provider) {
	value := bytes.Repeat([]byte{0x5A, 3}, 16)
	must(t, p.CreateMAC("master-line/root-2026", value), p.CreateMAC("master-a", nil), p.CreateMAC("verifier", nil))
	if !bytes.Equal(value, bytes.Repeat([]byte{0x5A, 3}, 16)) {
		t.Error("the value given was changed")
	}
	other := again()
	defer other.Close()
	for _, n := range []int{0, 1, 63, 64, 65, 1000, 70_000} {
		message := bytes.Repeat([]byte{byte(n)}, n)
		h := hmac.New(sha256.New, value)
		h.Write(message)
		got, err := p.MAC("master-line/root-2026", message)
		if err != nil || !bytes.Equal(got, h.Sum(nil)) {
			t.Errorf("%d bytes: %x, %v", n, got, err)
		}
		a, err := p.MAC("master-a", message)
		must(t, err)
		b, err := p.MAC("verifier", message)
		must(t, err)
		after, err := other.MAC("master-a", message)
		if err != nil || bytes.Equal(a, b) || bytes.Equal(a, got) || !bytes.Equal(a, after) || len(a) != 32 {
			t.Errorf("%d bytes: %x and %x, %x opened again, %v", n, a, b, after, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if err := p.CreateMAC("master-short", make([]byte, n)); !errors.Is(err, keyring.ErrKey) {
			t.Errorf("a value of %d bytes: %v", n, err)
		}
	}
	if _, err := p.MAC("master-short", nil); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("no such key: %v", err)
	}
	if _, err := p.MAC("master-b", nil); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("no such key: %v", err)
	}
}

func testSign(t *testing.T, p keyring.Provider, again func() keyring.Provider) {
	must(t, p.CreateSigning("checkpoint"), p.CreateSigning("ca"))
	other := again()
	defer other.Close()
	public, err := p.Public("checkpoint")
	must(t, err)
	if same, err := other.Public("checkpoint"); err != nil || !public.Equal(same) || len(public) != ed25519.PublicKeySize {
		t.Errorf("%x, opened again %x, %v", public, same, err)
	}
	if ca, err := p.Public("ca"); err != nil || public.Equal(ca) {
		t.Errorf("two keys are %x, %v", ca, err)
	}
	for _, n := range []int{0, 1, 200, 10_000} {
		message := bytes.Repeat([]byte{7}, n)
		signature, err := p.Sign("checkpoint", message)
		if err != nil || !ed25519.Verify(public, message, signature) {
			t.Errorf("%d bytes: %x, %v", n, signature, err)
		}
	}
	if _, err := p.Sign("checkpoint.2", nil); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("no such key: %v", err)
	}
	if _, err := p.Public("checkpoint.2"); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("no such key: %v", err)
	}
	must(t, p.CreateMAC("verifier", nil))
	if _, err := p.Sign("verifier", nil); err == nil {
		t.Error("an HMAC key signs")
	}
	if _, err := p.MAC("checkpoint", nil); err == nil {
		t.Error("a signing key makes MACs")
	}
}

func testNames(t *testing.T, p keyring.Provider, again func() keyring.Provider) {
	if names, err := p.Names(); err != nil || len(names) != 0 {
		t.Fatalf("at first %q, %v", names, err)
	}
	want := []string{"ca", "checkpoint", "checkpoint-line1", "checkpoint.2", "master-a.key", "master-a/b", "master-x.age", "verifier"}
	for _, name := range slices.Backward(want) {
		if strings.HasPrefix(name, "c") {
			must(t, p.CreateSigning(name))
		} else {
			must(t, p.CreateMAC(name, nil))
		}
		for kind, err := range map[string]error{"MAC": p.CreateMAC(name, nil), "signing": p.CreateSigning(name)} {
			if !errors.Is(err, keyring.ErrExists) {
				t.Errorf("%s again as %s: %v", name, kind, err)
			}
		}
	}
	other := again()
	defer other.Close()
	for who, p := range map[string]keyring.Provider{"itself": p, "another": other} {
		if names, err := p.Names(); err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %q, %v", who, names, err)
		}
	}
	must(t, other.Destroy("checkpoint"), p.Destroy("master-a/b"))
	for _, name := range []string{"checkpoint", "master-a/b"} {
		if err := p.Destroy(name); !errors.Is(err, keyring.ErrMissing) {
			t.Errorf("%s destroyed twice: %v", name, err)
		}
	}
	if _, err := p.Sign("checkpoint", nil); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("a destroyed key: %v", err)
	}
	if _, err := other.MAC("master-a/b", nil); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("a destroyed key: %v", err)
	}
	want = []string{"ca", "checkpoint-line1", "checkpoint.2", "master-a.key", "master-x.age", "verifier"}
	if names, err := other.Names(); err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, %v", names, err)
	}
	must(t, p.CreateSigning("checkpoint")) // the name is free again
}

// Whatever the provider gives, a secret is as random as this machine makes it.
func testRandom(t *testing.T, p keyring.Provider, _ func() keyring.Provider) {
	k, err := keyring.Create(p, "line1")
	must(t, err)
	seen := map[string]bool{}
	for range 100 {
		must(t, k.RandomSecret(8, func(s []byte) error { seen[string(s)] = len(s) == 8; return nil }))
	}
	if len(seen) != 100 {
		t.Errorf("%d different secrets of 100", len(seen))
	}
	for _, n := range []int{0, 1, 256} {
		must(t, p.Random(make([]byte, n)))
	}
}

// A keyring goes through its life: made, opened, rotated, with a death in between, and its old keys destroyed.
func testKeyring(t *testing.T, p keyring.Provider, again func() keyring.Provider) {
	if _, err := keyring.Open(p, "line1", ""); !errors.Is(err, keyring.ErrMissing) || !strings.Contains(err.Error(), "never made anew beside an existing ledger") {
		t.Errorf("no keyring yet: %v", err)
	}
	k, err := keyring.Create(p, "line1")
	must(t, err)
	if _, err := keyring.Create(p, "line1"); !errors.Is(err, keyring.ErrExists) {
		t.Errorf("made again: %v", err)
	}
	signs := func(s note.Signer, vkey string) {
		t.Helper()
		v, err := note.NewVerifier(vkey)
		must(t, err)
		text, err := note.Sign(&note.Note{Text: "hello\n"}, s)
		must(t, err)
		if n, err := note.Open(text, note.VerifierList(v)); err != nil || n.Text != "hello\n" || s.Name() != "station/line1" || v.Name() != "station/line1" {
			t.Errorf("%s: %+v, %v", vkey, n, err)
		}
	}
	old := k.VerifierKey()
	signs(k.Signer(), old)
	tag, err := k.Tag("uid", "escrow", []byte("password"))
	must(t, err)
	next, vkey, err := k.NextCheckpoint()
	must(t, err)
	signs(next, vkey)
	signs(k.Signer(), old)
	if vkey == old {
		t.Error("rotated to the same key")
	}
	// Whoever died here opens with the ledger's key, and gets the same next one.
	o := again()
	defer o.Close()
	k2, err := keyring.Open(o, "line1", old)
	must(t, err)
	if s, v, err := k2.NextCheckpoint(); err != nil || v != vkey {
		t.Errorf("the next key after a death is %s, was %s, %v", v, vkey, err)
	} else {
		signs(s, v)
	}
	k3, err := keyring.Open(o, "line1", vkey)
	must(t, err)
	if newest, err := keyring.Open(o, "line1", ""); err != nil || newest.VerifierKey() != vkey {
		t.Errorf("the newest: %v, %v", newest, err)
	}
	if again, err := k3.Tag("uid", "escrow", []byte("password")); err != nil || !hmac.Equal(tag, again) {
		t.Errorf("a tag changes with the checkpoint key: %v", err)
	}
	must(t, k3.DestroyOld(), k3.DestroyOld())
	signs(k3.Signer(), vkey)
	if _, err := keyring.Open(p, "line1", old); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("a destroyed key opens: %v", err)
	}
	if _, third, err := k3.NextCheckpoint(); err != nil || third == vkey || third == old {
		t.Errorf("a third key: %s, %v", third, err)
	}
	if _, err := keyring.Open(p, "line2", vkey); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("the keys under another station's name: %v", err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); shown == "" {
		t.Error("nothing is shown")
	}
}

// Several stations in one provider have keys of their own, and the masters together; no name of one is read as another's.
func testStations(t *testing.T, p keyring.Provider, again func() keyring.Provider) {
	for _, bad := range []string{"", "a.2", "a/b", "a b"} {
		if _, err := keyring.CreateFor(p, bad); err == nil {
			t.Errorf("station %q was accepted", bad)
		}
	}
	stations := []string{"line", "line-2", "2"}
	vkeys := map[string]string{}
	own, err := keyring.Create(p, "server")
	must(t, err)
	tags := map[string]bool{}
	for _, id := range stations {
		k, err := keyring.CreateFor(p, id)
		must(t, err)
		vkeys[id] = k.VerifierKey()
		tag, err := k.Tag("uid", "e", []byte("secret"))
		must(t, err)
		tags[string(tag)] = true
		r, err := k.Recipient()
		must(t, err)
		tags[r] = true
	}
	if len(tags) != 2*len(stations) {
		t.Error("two stations share a tag or a recipient")
	}
	must(t, own.CreateMaster("m", nil))
	print, err := own.MasterFingerprint("m")
	must(t, err)
	_, second, err := own.NextCheckpoint()
	must(t, err)
	o := again()
	defer o.Close()
	for _, id := range stations {
		k, err := keyring.OpenFor(o, id, vkeys[id])
		must(t, err)
		if newest, err := keyring.OpenFor(o, id, ""); err != nil || newest.VerifierKey() != vkeys[id] {
			t.Errorf("%s: the newest is another: %v", id, err)
		}
		if f, err := k.MasterFingerprint("m"); err != nil || f != print {
			t.Errorf("%s: the master is %s, %v", id, f, err)
		}
		must(t, k.DestroyOld()) // has none
	}
	if k, err := keyring.Open(o, "server", second); err != nil {
		t.Error(err)
	} else {
		must(t, k.DestroyOld())
	}
	for _, id := range stations {
		_, err := keyring.OpenFor(o, id, vkeys[id])
		must(t, err)
	}
}

// Of several that make a key of one name at once, one does; and uses at once disturb each other in nothing.
func testAtOnce(t *testing.T, p keyring.Provider, again func() keyring.Provider) {
	other := again()
	defer other.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := map[string]int{}
	for i := range 8 {
		from := p
		if i%2 == 1 {
			from = other
		}
		wg.Go(func() {
			for name, err := range map[string]error{"verifier": from.CreateMAC("verifier", nil), "checkpoint": from.CreateSigning("checkpoint")} {
				if err != nil && !errors.Is(err, keyring.ErrExists) {
					t.Error(err)
				}
				mu.Lock()
				if err == nil {
					made[name]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if made["verifier"] != 1 || made["checkpoint"] != 1 {
		t.Fatalf("made %v", made)
	}
	public, err := p.Public("checkpoint")
	must(t, err)
	first, err := other.MAC("verifier", []byte("x"))
	must(t, err)
	for i := range 8 {
		from := p
		if i%2 == 1 {
			from = other
		}
		wg.Go(func() {
			for n := range 20 {
				text := fmt.Appendf(nil, "%d %d", i, n)
				if s, err := from.Sign("checkpoint", text); err != nil || !ed25519.Verify(public, text, s) {
					t.Errorf("%s: %x, %v", text, s, err)
				}
				if m, err := from.MAC("verifier", []byte("x")); err != nil || !hmac.Equal(m, first) {
					t.Errorf("%x, %v", m, err)
				}
			}
		})
	}
	wg.Wait()
}
