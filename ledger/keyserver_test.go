package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// keyServerBodies are an entry of each kind of a key server's ledger, every field set, behind its station.init.
func keyServerBodies() []Body {
	const uid, session, run = "0102030405060708090a0b0c0d0e", "00000000000000a1", "0123456789abcdef"
	digest, root := "sha256:"+zeros, strings.Repeat("ab", 32)
	lost := RelayResult{Seq: 2, Counter: "executed"}
	answers := []RelayResult{{Seq: 1, Status: "80", SHA256: root}, lost}
	return []Body{
		StationInit{Software: "station 1.0", CheckpointKey: testVerifier},
		ClientEnrolled{Client: "line2", Certificate: digest, NotAfter: "2027-11-23T09:30:00.000000Z", By: "op-7f"},
		ClientKey{Client: "line2", Key: testVerifier},
		KeyCreated{Name: "line/root-2026", Fingerprint: "87fde0f7fbd8eb20", Imported: true, By: "op-7f"},
		KeyAllowance{Client: "line2", Recipe: Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash", Digest: digest}, Job: digest, Units: 100, Masters: []string{"line/root-2026"}, By: "op-7f"},
		RootKeyServed{Client: "line2", Recipe: "gateway-boot", Digest: digest, Part: "MT25QL128ABB", UID: uid, Index: 1, Master: "line/root-2026", Fingerprint: "87fde0f7fbd8eb20"},
		UnlockServed{Client: "line2", Serial: "GW-000001", UID: uid, Escrow: "000000000000000a", Permit: 17},
		CheckpointWitnessed{Client: "line2", Size: 4711, Root: root, Key: testVerifier},
		CheckpointRewound{Client: "line2", Size: 4711, Root: root, Reason: "restored from the backup of Monday", By: "op-7f"},
		RelayMade{Client: "line2", Session: session, Run: run, Serial: "GW-000001", UID: uid, Digest: digest, Step: 4, Job: "settings", Turn: 2, PowerOn: "18446744073709551615",
			Nonce: "000102030405060708090a0b0c0d0e0f", Answers: answers, Blocks: []MadeBlock{{Seq: 3, Command: "write", At: 0x20100, Counter: "18446744073709551615", Changes: true, SHA256: root}}},
		RelayJudged{Client: "line2", Session: session, Run: run, Serial: "GW-000001", UID: uid, Digest: digest, Step: 4, Turn: 2, Answers: answers, OK: true, Verdict: "the chip holds it", Measure: root},
		KeyRefused{Client: "line2", Route: "/v1/root-key", Cause: "allowance-used", Digest: digest, UID: uid, Master: "line/root-2026"},
		ClientRevoked{Client: "line2", Reason: "stolen", By: "op-7f"},
		AllowanceWithdrawn{Client: "line2", Digest: digest, Units: 40, By: "op-7f"},
		ClientKeysDestroyed{Client: "line2", Kept: testVerifier},
	}
}

// TestKeyServerVectors holds the bytes of a key server's entries to testdata/keyserver; they come back as what they were, belong to no run, and a ledger of them verifies.
func TestKeyServerVectors(t *testing.T) {
	bodies := keyServerBodies()
	b := newBook(t, bodies, 3, int64(len(bodies)))
	for i, leaf := range b.leaves {
		path := filepath.Join("testdata/keyserver", fmt.Sprintf("%s.json", bodies[i].Kind()))
		if *update {
			if err := os.WriteFile(path, leaf, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if was, err := os.ReadFile(path); err != nil || !bytes.Equal(leaf, was) {
			t.Errorf("%s is now\n%s\nand was\n%s (%v)", bodies[i].Kind(), leaf, was, err)
		}
		e, err := Decode(leaf)
		if err != nil || !reflect.DeepEqual(e.Body, bodies[i]) {
			t.Errorf("%+v, %v", e.Body, err)
		}
		if run, serial, slot := RunOf(e.Body); run+serial+slot != "" || Permanent(e.Body) {
			t.Errorf("%s belongs to run %q, serial %q, slot %q", e.Body.Kind(), run, serial, slot)
		}
	}
	if r := verify(t, b); len(r.Findings) != 0 || r.Signed != int64(len(bodies)) {
		t.Errorf("%+v", r)
	}
}

// What Check refuses is found in a ledger too: each field that has to be there, left out.
func TestKeyServerGrammar(t *testing.T) {
	may := []string{"Imported", "Masters", "Digest", "UID", "Master", "Nonce", "Answers", "OK", "Measure", "Permit", "Index", "Size", "Serial", "Job", "NotAfter", "Part", "Recipe", "Turn", "Client"}
	refused := 0
	for _, body := range keyServerBodies()[1:] {
		v := reflect.ValueOf(body)
		for i := range v.NumField() {
			changed := reflect.New(v.Type()).Elem()
			changed.Set(v)
			changed.Field(i).SetZero()
			err := changed.Interface().(KeyServerEntry).Check()
			if err == nil {
				if name := v.Type().Field(i).Name; !slices.Contains(may, name) {
					t.Errorf("%s without %s is let in", body.Kind(), name)
				}
				continue
			}
			refused++
			if !errors.Is(err, ErrGrammar) {
				t.Errorf("%s: %v", body.Kind(), err)
			}
			r := verify(t, newBook(t, []Body{keyServerBodies()[0], changed.Interface().(Body)}, 2))
			if len(r.Findings) != 1 || r.Findings[0].From != 1 {
				t.Errorf("%s without %s: %+v", body.Kind(), v.Type().Field(i).Name, r.Findings)
			}
		}
	}
	if refused != 55 {
		t.Errorf("%d were refused", refused)
	}
}
