package keyserver

import (
	"bytes"
	"slices"
	"testing"

	"station/ledger"
)

// TestLostMaster: a master that is lost comes back as itself or not at all; until then nothing is allowed or lent from it, and the list says so.
func TestLostMaster(t *testing.T) {
	h, s := signing(t, 3)
	const name = "line/root-2026"
	before, err := rootKey(s.c, name, uidOf(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	value := h.keys.masters[name]
	create := func(name string, value []byte) error {
		return h.server.Here().Call(t.Context(), RouteKeyCreate, KeyRequest{Name: name, Value: value, By: "op-1"}, &Master{})
	}
	fault := func() string {
		var l List
		h.admin(RouteList, nil, &l)
		return l.Masters[slices.IndexFunc(l.Masters, func(m Master) bool { return m.Name == name })].Fault
	}
	allow := func() error {
		return h.server.Here().Call(t.Context(), RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 1, By: "op-1"}, &Allowance{})
	}
	refused(t, "made again while it is there", create(name, nil), CauseKeyExists)
	delete(h.keys.masters, name)
	h.restart()
	s.c.base = h.url
	if got := fault(); got != FaultMissing {
		t.Errorf("the list says %q of a lost master", got)
	}
	refused(t, "allowed without it", allow(), CauseKeyMissing)
	refused(t, "a random one in its place", create(name, nil), CauseKeyMissing)
	refused(t, "another one in its place", create(name, bytes.Repeat([]byte{7}, 32)), CauseKeyOther)
	refused(t, "another master's key", create(name, slices.Clone(factory[:])), CauseKeyExists)

	h.keys.masters[name] = bytes.Repeat([]byte{7}, 32) // behind the server's back
	if got := fault(); got != FaultOther {
		t.Errorf("the list says %q of another key", got)
	}
	refused(t, "allowed with another one", allow(), CauseKeyOther)
	_, err = rootKey(s.c, name, uidOf(1), 0)
	refused(t, "lent from another one", err, CauseKeyOther)
	h.keys.masters["acrtm/factory"], s.job.Step = bytes.Repeat([]byte{7}, 32), 1
	_, err = s.run()
	refused(t, "blocks with another one", err, CauseKeyOther)
	if n := len(entries[ledger.RootKeyServed](h)) + len(entries[ledger.RelayMade](h)); n != 1 {
		t.Errorf("%d entries of what was lent", n)
	}

	delete(h.keys.masters, name)
	if err := create(name, slices.Clone(value)); err != nil {
		t.Fatal(err)
	}
	if after, err := rootKey(s.c, name, uidOf(1), 0); err != nil || !bytes.Equal(after, before) {
		t.Errorf("behind its return: %v", err)
	}
	if fault() != "" || allow() == nil { // acrtm/factory is another still
		t.Error("what was mended is not, or what was not is")
	}
	// A retired one that is lost comes back too, for the chips that have theirs from it, and stays retired.
	h.admin(RouteKeyRetire, KeyRequest{Name: name, Reason: "seen", By: "op-1"}, &Master{})
	delete(h.keys.masters, name)
	refused(t, "a random one in the place of a retired one", create(name, nil), CauseKeyRetired)
	refused(t, "another one in the place of a retired one", create(name, bytes.Repeat([]byte{7}, 32)), CauseKeyRetired)
	if err := create(name, slices.Clone(value)); err != nil {
		t.Fatal(err)
	}
	h.restart()
	s.c.base = h.url
	if after, err := rootKey(s.c, name, uidOf(1), 0); err != nil || !bytes.Equal(after, before) {
		t.Errorf("a chip that has its key from the retired one: %v", err)
	}
	_, err = rootKey(s.c, name, uidOf(2), 0)
	refused(t, "lent to another chip", err, CauseKeyRetired)
	h.verified()
}

// TestDiedBeforeEntry: a key whose maker died before the ledger named it is not lent, and is found by whoever asks for it again.
func TestDiedBeforeEntry(t *testing.T) {
	h, s := signing(t, 1)
	h.keys.CreateMaster("line/next", nil)
	var l List
	h.admin(RouteList, nil, &l)
	if m := l.Masters[1]; m.Name != "line/next" || m.Fault != FaultUnnamed {
		t.Errorf("%+v", l.Masters)
	}
	j := settings()
	j.Keys[0].Master = "line/next"
	q := AllowRequest{Station: "line1", Job: j, Units: 1, Masters: []string{"line/next"}, By: "op-1"}
	refused(t, "allowed", h.server.Here().Call(t.Context(), RouteAllow, q, &Allowance{}), CauseKeyMissing)
	var m Master
	h.admin(RouteKeyCreate, KeyRequest{Name: "line/next", By: "op-1"}, &m)
	if made := entries[ledger.KeyCreated](h); len(made) != 3 || made[2].Fingerprint != m.Fingerprint {
		t.Errorf("%+v", made)
	}
	h.keys.Create("line1")
	k, err := s.c.CreateKeys()
	if err != nil || k.VerifierKey() != h.keys.vkeys["line1"][0] {
		t.Errorf("%v, %v", k, err)
	}
	if made := entries[ledger.ClientKey](h); len(made) != 1 || made[0].Key != k.VerifierKey() {
		t.Errorf("%+v", made)
	}
	_, err = s.c.CreateKeys()
	refused(t, "made twice", err, CauseKeyExists)
	h.verified()
}
