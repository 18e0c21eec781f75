package keyserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"station/flash"
	"station/ledger"
	"station/provision"
	"station/store"
)

func uidOf(n int) string { return fmt.Sprintf("%028X", n) }

// rootKey asks for the root key of a chip.
func rootKey(c *Client, master string, uid string, index int) (key []byte, err error) {
	k := &StationKeyring{c: c, digest: recipeDigest}
	err = k.DerivedKey(master, provision.KeyOf{Part: "MT25QL128ABB", UID: uid, Recipe: "signed-boot", Index: index}, func(lent []byte) error {
		key = bytes.Clone(lent)
		return nil
	})
	return key, err
}

// TestAllowance: chips are counted once each, for root keys and relays together, across restarts; more are refused, and a person adds to it.
func TestAllowance(t *testing.T) {
	h, s := signing(t, 3)
	const master = "line/root-2026"
	keys := map[string][]byte{}
	for range 3 {
		for n := range 3 {
			key, err := rootKey(s.c, master, uidOf(n), 0)
			if err != nil || len(key) != 32 {
				t.Fatalf("chip %d: %v", n, err)
			}
			if was, ok := keys[uidOf(n)]; ok && !bytes.Equal(was, key) {
				t.Errorf("chip %d has another key", n)
			}
			keys[uidOf(n)] = key
		}
		_, err := rootKey(s.c, master, uidOf(9), 0)
		refused(t, "a fourth chip", err, CauseUsedUp)
		_, err = s.c.Next(t.Context(), s.facts(), nil)
		refused(t, "a relay to a fourth chip", err, CauseUsedUp)
		h.restart()
		s.c.base = h.url
	}
	if len(entries[ledger.RootKeyServed](h)) != 9 {
		t.Error("not every key that was lent is in the ledger")
	}
	if n := len(entries[ledger.KeyRefused](h)); n != 6 {
		t.Errorf("%d refusals in the ledger, want 2 for each life of the server", n)
	}
	var a Allowance
	h.admin(RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 1, By: "op-1"}, &a)
	if a.Units != 4 || a.Used != 3 {
		t.Errorf("%+v", a)
	}
	s.passes()
	s.job.Step = 3
	s.passes()
	_, err := rootKey(s.c, master, uidOf(9), 0)
	refused(t, "a fifth chip", err, CauseUsedUp)
	for name, c := range map[string]struct {
		err   error
		cause Cause
	}{
		"another counter": {second(rootKey(s.c, master, uidOf(1), 1)), CauseNotInRecipe},
		"another master":  {second(rootKey(s.c, "line/other", uidOf(1), 0)), CauseNotInRecipe},
		"the factory key": {second(rootKey(s.c, "acrtm/factory", uidOf(1), 0)), CauseNotInRecipe},
		"no chip":         {second(rootKey(s.c, master, "", 0)), CauseContent},
		"two spellings":   {second(rootKey(s.c, master, "aa", 0)), CauseContent},
	} {
		refused(t, name, c.err, c.cause)
	}
	_, err = rootKey(h.client(h.enrol("line2", 24)), master, uidOf(1), 0)
	refused(t, "another station", err, CauseNoAllowance)

	h.admin(RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 1, By: "op-1"}, &a)
	h.admin(RouteKeyRetire, KeyRequest{Name: master, Reason: "line closed", By: "op-1"}, &Master{})
	h.restart()
	s.c.base = h.url
	_, err = rootKey(s.c, master, uidOf(9), 0)
	refused(t, "a retired master", err, CauseKeyRetired)
	refused(t, "allowed with a retired master", h.server.Here().Call(t.Context(), RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 1, By: "op-1"}, &a), CauseKeyRetired)
	if key, err := rootKey(s.c, master, uidOf(1), 0); err != nil || !bytes.Equal(key, keys[uidOf(1)]) {
		t.Errorf("a chip that has its key from a retired master: %v", err)
	}
	refused(t, "retired twice", h.server.Here().Call(t.Context(), RouteKeyRetire, KeyRequest{Name: master, Reason: "again", By: "op-1"}, &Master{}), CauseKeyRetired)
	var list List
	h.admin(RouteList, nil, &list)
	if len(list.Stations) != 2 || len(list.Allowances) != 1 || list.Allowances[0].Used != 4 || len(list.Masters) != 2 || !list.Masters[1].Retired {
		t.Errorf("%+v", list)
	}
	h.verified()
}

func second[A any](_ A, err error) error { return err }

// TestAllowRefused: nothing is allowed that cannot be carried out, and a job file that somebody changed counts no more.
func TestAllowRefused(t *testing.T) {
	h, s := signing(t, 3)
	for name, c := range map[string]struct {
		change func(*AllowRequest)
		cause  Cause
	}{
		"no units":           {func(q *AllowRequest) { q.Units = 0 }, CauseRefused},
		"less than none":     {func(q *AllowRequest) { q.Units = -1 }, CauseRefused},
		"nobody":             {func(q *AllowRequest) { q.By = "" }, CauseRefused},
		"no job":             {func(q *AllowRequest) { q.Job = nil }, CauseContent},
		"no station":         {func(q *AllowRequest) { q.Station = "line9" }, CauseRefused},
		"a needless master":  {func(q *AllowRequest) { q.Masters = []string{"line/none"} }, CauseRefused},
		"nothing":            {func(q *AllowRequest) { q.Job.Keys, q.Job.Steps = nil, nil }, CauseRefused},
		"another map":        {func(q *AllowRequest) { q.Job.Parts[0].Map = "real" }, CauseNotInRecipe},
		"a command":          {func(q *AllowRequest) { q.Job.Steps[0].Commands = []string{"launch"} }, CauseNotInRecipe},
		"a region":           {func(q *AllowRequest) { q.Job.Steps[0].At = 1 }, CauseNotInRecipe},
		"a region of 2 EiB":  {func(q *AllowRequest) { q.Job.Steps[0].Size = 1 << 61 }, CauseNotInRecipe},
		"an image too large": {func(q *AllowRequest) { q.Job.Images[0].Data = make([]byte, 25<<10) }, CauseNotInRecipe},
		"no image":           {func(q *AllowRequest) { q.Job.Images = nil }, CauseNotInRecipe},
		"unknown content":    {func(q *AllowRequest) { q.Job.Steps[1].Unknown = true }, CauseNotInRecipe},
		"no protection":      {func(q *AllowRequest) { q.Job.Steps[2].Size = 4096 }, CauseNotInRecipe},
		"a path":             {func(q *AllowRequest) { q.Job.Digest = "../../x" }, CauseNotInRecipe},
	} {
		q := AllowRequest{Station: "line1", Job: settings(), Units: 1, By: "op-1"}
		c.change(&q)
		refused(t, name, h.server.Here().Call(t.Context(), RouteAllow, q, &Allowance{}), c.cause)
	}
	if n := len(entries[ledger.KeyAllowance](h)); n != 1 {
		t.Errorf("%d allowances", n)
	}
	path := jobFile(filepath.Join(h.dir, "jobs"), entries[ledger.KeyAllowance](h)[0].Job)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(`"index":0`), []byte(`"index":1`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	h.restart()
	s.c.base = h.url
	_, err = rootKey(s.c, "line/root-2026", uidOf(1), 1)
	refused(t, "a changed job file", err, CauseServer)
	if !strings.Contains(h.told(), "is not the file that was allowed") {
		t.Errorf("the log says %s", h.told())
	}
}

// TestTagsAndUnlock: the tag is the one that the key gives, and no secret goes to the server for it; a password comes back for its own station alone.
func TestTagsAndUnlock(t *testing.T) {
	h := newHall(t)
	one, two := h.client(h.enrol("line1", 24)), h.client(h.enrol("line2", 24))
	k, err := one.CreateKeys()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.CreateKeys(); err != nil {
		t.Fatal(err)
	}
	tag, err := k.Tag("aa", "e1", []byte("secret"))
	mac := hmac.New(sha256.New, macOf([]byte("verifier of line1"), []byte("aa e1")))
	mac.Write([]byte("secret"))
	if err != nil || !hmac.Equal(tag, mac.Sum(nil)) {
		t.Errorf("tag %x, %v", tag, err)
	}
	sealed := []byte("line1|GW-000001|aa|password")
	var kept []byte
	err = k.OpenUnlock(sealed, func(of provision.UnlockOf, password []byte) error {
		kept = password
		if of != (provision.UnlockOf{Serial: "GW-000001", UID: "aa", Escrow: "e1", Permit: 7}) || string(password) != "password" {
			t.Errorf("%+v", of)
		}
		return nil
	})
	if err != nil || bytes.Count(kept, []byte{0}) != len(kept) {
		t.Errorf("%v, and what was lent is %q", err, kept)
	}
	other, err := two.OpenKeys("")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "another station's", other.OpenUnlock(sealed, nil), CauseContent)
	want := ledger.UnlockServed{Client: "line1", Serial: "GW-000001", UID: "aa", Escrow: "e1", Permit: 7}
	if got := entries[ledger.UnlockServed](h); !slices.Equal(got, []ledger.UnlockServed{want}) {
		t.Errorf("%+v", got)
	}
	if names, err := k.Masters(); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := k.MasterFingerprint("line/root-2026"); !errors.Is(err, ErrMissing) {
		t.Errorf("no master: %v", err)
	}
	h.masters()
	if f, err := k.MasterFingerprint("line/root-2026"); err != nil || len(f) != 16 {
		t.Errorf("%q, %v", f, err)
	}
	// What the keys say when they fail goes into the log, and not to the station.
	h.keys.fail = errors.New("token 4711 has a PIN of 1234")
	_, err = k.Tag("aa", "e1", nil)
	refused(t, "keys that fail", err, CauseServer)
	if strings.Contains(err.Error(), "1234") || !strings.Contains(h.told(), "4711") {
		t.Errorf("the station hears %v; the log says %s", err, h.told())
	}
	h.verified()
}

// TestRestored: a server whose ledger goes on from a copy may lack chips that it did, so what was allowed before is used up; those that it knows of are not.
func TestRestored(t *testing.T) {
	h, s := signing(t, 3)
	if _, err := rootKey(s.c, "line/root-2026", uidOf(1), 0); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(h.dir, "copy.db")
	if _, err := store.Backup(t.Context(), copied, "copy", h.db.Copy); err != nil {
		t.Fatal(err)
	}
	if _, err := rootKey(s.c, "line/root-2026", uidOf(2), 0); err != nil {
		t.Fatal(err)
	}
	h.stop()
	path := filepath.Join(h.dir, "ledger.db")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, _, err := store.Restore(t.Context(), path, *h.own, store.Restoration{Backup: copied, Reason: "disk", By: "op-1"})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	h.start()
	s.c.base = h.url
	if _, err := rootKey(s.c, "line/root-2026", uidOf(1), 0); err != nil {
		t.Error(err)
	}
	_, err = rootKey(s.c, "line/root-2026", uidOf(3), 0)
	refused(t, "a new chip", err, CauseUsedUp)
	h.admin(RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 1, By: "op-1"}, &Allowance{})
	if _, err := rootKey(s.c, "line/root-2026", uidOf(3), 0); err != nil {
		t.Error(err)
	}
	h.verified()
}

// TestReady: a station is told before it touches a chip what is left, what is retired and when its certificate ends; and a person takes back what is left, and no more.
func TestReady(t *testing.T) {
	h, s := signing(t, 5)
	ready := func() (a ReadyAnswer) {
		t.Helper()
		a, err := s.c.Ready(t.Context(), recipeDigest, []string{uidOf(1), uidOf(9), uidOf(1)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	withdraw := func(units int) (a Allowance, err error) {
		return a, h.server.Here().Call(t.Context(), RouteWithdraw, WithdrawRequest{"line1", recipeDigest, units, "op-1"}, &a)
	}
	if a := ready(); a.Left != 5 || len(a.Retired)+len(a.Missing)+len(a.Counted) != 0 || a.NotAfter != s.c.leaf.NotAfter.UTC().Format(ledger.TimeFormat) {
		t.Errorf("%+v", a)
	}
	if _, err := rootKey(s.c, "line/root-2026", uidOf(1), 0); err != nil {
		t.Fatal(err)
	}
	for units, cause := range map[int]Cause{0: CauseRefused, -1: CauseRefused, maxUnits + 1: CauseRefused} {
		refused(t, "an odd number", second(withdraw(units)), cause)
	}
	if a := ready(); a.Left != 4 || !slices.Equal(a.Counted, []string{uidOf(1)}) {
		t.Errorf("%+v", a)
	}
	refused(t, "too many chips", s.c.ask(t.Context(), RouteReady, nil, ReadyRequest{recipeDigest, make([]string, MaxReadyUIDs+1)}, new(ReadyAnswer)), CauseContent)
	if a, err := withdraw(3); err != nil || a.Units != 2 || a.Used != 1 || ready().Left != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := withdraw(100); err != nil || a.Units != 1 || ready().Left != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	refused(t, "nothing is left", second(withdraw(1)), CauseUsedUp)
	h.restart()
	s.c.base = h.url
	if got := entries[ledger.AllowanceWithdrawn](h); len(got) != 2 || got[1].Units != 1 || ready().Left != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := rootKey(s.c, "line/root-2026", uidOf(1), 0); err != nil {
		t.Errorf("a chip that was done: %v", err)
	}
	refused(t, "a new chip", second(rootKey(s.c, "line/root-2026", uidOf(2), 0)), CauseUsedUp)
	h.admin(RouteKeyRetire, KeyRequest{Name: "line/root-2026", Reason: "line closed", By: "op-1"}, &Master{})
	delete(h.keys.masters, "acrtm/factory")
	if a := ready(); !slices.Equal(a.Retired, []string{"line/root-2026"}) || !slices.Equal(a.Missing, []string{"acrtm/factory"}) {
		t.Errorf("%+v", a)
	}
	refused(t, "another recipe", second(s.c.Ready(t.Context(), "sha256:"+strings.Repeat("cd", 32), nil)), CauseNoAllowance)
	refused(t, "no digest", second(s.c.Ready(t.Context(), "x", nil)), CauseContent)
	refused(t, "another station", second(h.client(h.enrol("line2", 24)).Ready(t.Context(), recipeDigest, nil)), CauseNoAllowance)
	h.verified()
}

// TestPart: a chip is the part that it was at its first root key. Another part would be another key out of an allowance of one.
func TestPart(t *testing.T) {
	h, s := signing(t, 1)
	j := settings()
	j.Digest = "sha256:" + strings.Repeat("cd", 32)
	j.Parts = append(j.Parts, Part{Name: "MT25QU128ABB", ID: flash.DeviceID{0x20, 0xBB, 0x18, 0x12, 0, 0x8C}, Map: "invented"})
	h.admin(RouteAllow, AllowRequest{Station: "line1", Job: j, Units: 2, By: "op-1"}, &Allowance{})
	ask := func(part string, n int) error {
		k := &StationKeyring{c: s.c, digest: j.Digest}
		return k.DerivedKey("line/root-2026", provision.KeyOf{Part: part, UID: uidOf(n), Recipe: "signed-boot"}, func([]byte) error { return nil })
	}
	for range 2 {
		for n, part := range []string{"MT25QL128ABB", "MT25QU128ABB"} {
			if err := ask(part, n); err != nil {
				t.Error(err)
			}
		}
		refused(t, "the other part", ask("MT25QU128ABB", 0), CauseNotInRecipe)
		refused(t, "the other part", ask("MT25QL128ABB", 1), CauseNotInRecipe)
		h.restart()
		s.c.base = h.url
	}
	h.verified()
}

// TestJobFileStays: a recipe's job in another encoding, as another version of the program writes it, is a file of its own, and what was allowed by the first goes on.
func TestJobFileStays(t *testing.T) {
	h, s := signing(t, 2)
	h.enrol("line2", 24)
	j := settings()
	j.Title = "as another version of the program writes it"
	h.admin(RouteAllow, AllowRequest{Station: "line2", Job: j, Units: 2, By: "op-1"}, &Allowance{})
	h.restart()
	s.c.base = h.url
	if _, err := rootKey(s.c, "line/root-2026", uidOf(1), 0); err != nil {
		t.Error(err)
	}
	files, err := os.ReadDir(filepath.Join(h.dir, "jobs"))
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
	for i, f := range files {
		text, err := os.ReadFile(filepath.Join(h.dir, "jobs", f.Name()))
		if err != nil || "sha256:"+strings.TrimSuffix(f.Name(), ".json") != digestOf(text) {
			t.Errorf("file %d is %s, %v", i, f.Name(), err)
		}
	}
	h.verified()
}

// TestAllowedMasters: the masters of an allowance change in so many words or not at all.
func TestAllowedMasters(t *testing.T) {
	h, s := signing(t, 1)
	allow := func(masters ...string) (a Allowance) {
		h.admin(RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 1, Masters: masters, By: "op-1"}, &a)
		return a
	}
	both, one := []string{"acrtm/factory", "line/root-2026"}, []string{"acrtm/factory"}
	for _, c := range []struct{ say, want []string }{{nil, both}, {one, one}, {nil, one}, {both, both}, {nil, both}} {
		if a := allow(c.say...); !slices.Equal(a.Masters, c.want) {
			t.Errorf("said %q, allowed %q, want %q", c.say, a.Masters, c.want)
		}
	}
	allow(one...)
	refused(t, "a master that is no longer named", second(rootKey(s.c, "line/root-2026", uidOf(1), 0)), CauseNoAllowance)
	j := settings()
	j.Steps[2].Size = 0
	err := h.server.Here().Call(t.Context(), RouteAllow, AllowRequest{Station: "line1", Job: j, Units: 1, By: "op-1"}, &Allowance{})
	if refused(t, "a wall of no region", err, CauseNotInRecipe); !strings.Contains(err.Error(), "it has no region") {
		t.Error(err)
	}
	h.verified()
}
