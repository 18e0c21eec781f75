package keyserver

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
)

func checkpoint(station string, size int64, root byte) ledger.Checkpoint {
	return ledger.Checkpoint{Station: station, Size: size, Root: tlog.Hash{root}}
}

// TestWitness: a checkpoint is signed once it is in the server's ledger, sizes never fall, one size has one root, also across restarts; and a person lets one go back.
func TestWitness(t *testing.T) {
	h := newHall(t)
	c := h.client(h.enrol("line1", 24))
	keys, err := c.CreateKeys()
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(keys.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(k *StationKeyring, size int64, root byte) error {
		text, err := checkpoint("line1", size, root).Sign(k.Signer())
		if err == nil {
			if got, err := ledger.OpenCheckpoint(text, v); err != nil || got != checkpoint("line1", size, root) {
				t.Errorf("%+v, %v", got, err)
			}
		}
		return err
	}
	refused(t, "a first one of an absurd size", sign(keys, maxGrowth+1, 0), CauseRefused)
	for life := range 2 {
		for _, good := range []struct {
			size int64
			root byte
		}{{3, 1}, {3, 1}, {7, 2}, {7, 2}} {
			switch err := sign(keys, good.size, good.root); {
			case life > 0 && good.size == 3:
				refused(t, "one of before the restart", err, CauseRollback)
			case err != nil:
				t.Errorf("%v: %v", good, err)
			}
		}
		refused(t, "a smaller one", sign(keys, 6, 2), CauseRollback)
		refused(t, "another root", sign(keys, 7, 3), CauseRollback)
		refused(t, "an absurd size", sign(keys, 7+maxGrowth+1, 3), CauseRefused)
		refused(t, "none at all", sign(keys, 0, 0), CauseRollback)
		h.restart()
		c.base = h.url
	}
	if n := len(entries[ledger.CheckpointWitnessed](h)); n != 2 {
		t.Errorf("%d checkpoints are witnessed, want 2", n)
	}

	// Nothing but a checkpoint of this station is signed, whatever it is.
	good := fmt.Sprintf("station/line1\n8\n%s\n", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	for name, text := range map[string]string{"nothing": "", "another origin": strings.Replace(good, "line1", "line2", 1), "an extension": good + "x\n", "no end": good[:len(good)-1],
		"another spelling": strings.Replace(good, "\n8", "\n08", 1), "a sign": strings.Replace(good, "\n8", "\n+8", 1), "less than nothing": strings.Replace(good, "\n8", "\n-8", 1), "a short root": strings.Replace(good, "AAAA", "", 1),
		"a certificate": "-----BEGIN", "much": good + strings.Repeat("x", maxText)} {
		want := CauseContent
		if name == "another origin" {
			want = CauseForeign
		}
		refused(t, name, c.ask(t.Context(), RouteSign, nil, SignRequest{keys.VerifierKey(), text}, &SignAnswer{}), want)
	}
	// Nor with another station's key, nor with none.
	other, err := h.client(h.enrol("line2", 24)).CreateKeys()
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "another station's key", c.ask(t.Context(), RouteSign, nil, SignRequest{other.VerifierKey(), good}, &SignAnswer{}), CauseForeign)
	refused(t, "no key", c.ask(t.Context(), RouteSign, nil, SignRequest{"", good}, &SignAnswer{}), CauseContent)
	_, foreign, _ := note.GenerateKey(zeros{}, "station/line1")
	refused(t, "a key that is nowhere", c.ask(t.Context(), RouteSign, nil, SignRequest{foreign, good}, &SignAnswer{}), CauseKeyMissing)

	h.admin(RouteRewound, AboutStation{"line1", "restored from the backup of Monday", "op-1"}, &struct{}{})
	h.restart()
	c.base = h.url
	if err := sign(keys, 5, 9); err != nil {
		t.Errorf("behind a person's word: %v", err)
	}
	refused(t, "behind that", sign(keys, 4, 9), CauseRollback)
	h.admin(RouteRewound, AboutStation{"line1", "it came with all of its entries", "op-1"}, &struct{}{})
	if err := sign(keys, 5+maxGrowth+1, 9); err != nil {
		t.Errorf("a large one behind a person's word: %v", err)
	}
	if err := sign(keys, 5+2*maxGrowth+1, 9); err != nil {
		t.Errorf("the most that may come at once: %v", err)
	}
	h.verified()
}

// zeros is a source of zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestRotation: the next checkpoint key is made once, signs what is next, and the old one is destroyed when the station says so.
func TestRotation(t *testing.T) {
	h := newHall(t)
	c := h.client(h.enrol("line1", 24))
	if _, err := c.OpenKeys(""); err == nil {
		t.Error("keys before they were made")
	} else {
		refused(t, "no keys", err, CauseKeyMissing)
	}
	first, err := c.CreateKeys()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateKeys()
	refused(t, "keys made twice", err, CauseKeyExists)
	signer, next, err := first.NextCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	h.restart() // the station died before it wrote that down
	c.base = h.url
	if _, again, err := first.NextCheckpoint(); err != nil || again != next {
		t.Errorf("asked again it is %q, %v; it was %q", again, err, next)
	}
	second, err := c.OpenKeys(next)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "destroyed before the new key has signed", second.DestroyOld(), CauseRefused)
	if _, err := checkpoint("line1", 3, 1).Sign(first.Signer()); err != nil {
		t.Errorf("the old key, which is still there: %v", err)
	}
	if _, err := checkpoint("line1", 4, 1).Sign(signer); err != nil {
		t.Error(err)
	}
	for range 2 { // each start of the station asks for it
		if err := second.DestroyOld(); err != nil {
			t.Fatal(err)
		}
		h.restart()
		c.base = h.url
	}
	if got := entries[ledger.ClientKeysDestroyed](h); !slices.Equal(got, []ledger.ClientKeysDestroyed{{Client: "line1", Kept: next}}) {
		t.Errorf("%+v", got)
	}
	if _, _, err := second.NextCheckpoint(); err != nil { // a rotation that is given up
		t.Fatal(err)
	}
	if err := second.DestroyOld(); err != nil || len(entries[ledger.ClientKeysDestroyed](h)) != 2 {
		t.Errorf("a next key was destroyed, %v, and no entry says so", err)
	}
	_, err = checkpoint("line1", 5, 1).Sign(first.Signer())
	refused(t, "the old key", err, CauseKeyMissing)
	if newest, err := c.OpenKeys(""); err != nil || newest.VerifierKey() != next {
		t.Errorf("the newest is %v, %v", newest, err)
	}
	if made := entries[ledger.ClientKey](h); len(made) != 3 || made[1].Key != next {
		t.Errorf("%+v", made)
	}
	h.verified()
}
