package keyserver

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"station/ledger"
	"station/provision"
)

// TestRefusalsAreBounded: whoever is let in no more writes what it likes neither into the ledger nor over the refusals of others; and who asks in vain becomes no station.
func TestRefusalsAreBounded(t *testing.T) {
	h, s := signing(t, 1)
	thief := h.client(h.enrol("line2", 24))
	h.admin(RouteRevoke, AboutStation{"line2", "stolen", "op-1"}, &struct{}{})
	for i := range 20 {
		refused(t, "revoked", thief.ask(t.Context(), fmt.Sprintf("GET /%d%s", i, strings.Repeat("x", 5000)), nil, nil, &struct{}{}), CauseCertificate)
	}
	if got := entries[ledger.KeyRefused](h); len(got) != 1 || got[0] != (ledger.KeyRefused{Client: "line2", Route: "other", Cause: string(CauseCertificate)}) {
		t.Errorf("%d entries of a thief's requests: %.200v", len(got), got)
	}
	h.server.tellings["line2"] = maxTold
	refused(t, "a route", thief.ask(t.Context(), RouteKeys, nil, nil, &KeysAnswer{}), CauseCertificate)
	if got := entries[ledger.KeyRefused](h); len(got) != 1 {
		t.Errorf("%d entries of who has had its share", len(got))
	}
	if _, err := rootKey(s.c, "line/root-2026", uidOf(1), 0); err != nil {
		t.Fatal(err)
	}
	refused(t, "a second chip", second(rootKey(s.c, "line/root-2026", uidOf(2), 0)), CauseUsedUp)
	if got := entries[ledger.KeyRefused](h); len(got) != 2 || got[1].UID != uidOf(2) {
		t.Errorf("another station's refusal is not written down: %.200v", got)
	}
	c := h.client(h.enrol("line3", 24))
	delete(h.server.state.clients, "line3") // as of a ledger of before
	err := c.ask(t.Context(), RouteKeys, nil, nil, &KeysAnswer{})
	if refused(t, "not in the ledger", err, CauseCertificate); !strings.Contains(err.Error(), "does not name this certificate") || h.server.state.clients["line3"] != nil {
		t.Errorf("%v, %v", err, h.server.state.clients["line3"])
	}
	h.verified()
}

// keeping remembers what was lent.
type keeping struct {
	*fakeKeys
	lent [][]byte
}

func (k *keeping) RootKey(master string, of provision.KeyOf) ([]byte, error) {
	key, err := k.fakeKeys.RootKey(master, of)
	k.lent = append(k.lent, key)
	return key, err
}

// TestLentIsWiped: the server's own bytes of a root key and of a password are zeros behind the answer.
func TestLentIsWiped(t *testing.T) {
	h, s := signing(t, 1)
	keys := &keeping{fakeKeys: h.keys}
	h.server.o.Keys = keys
	key, err := rootKey(s.c, "line/root-2026", uidOf(1), 0)
	if err != nil || len(key) != 32 {
		t.Fatal(err)
	}
	s.c.Close()
	h.stop() // the handler has returned
	if len(keys.lent) != 1 || !bytes.Equal(keys.lent[0], make([]byte, 32)) {
		t.Errorf("what was lent is %x", keys.lent)
	}
	password := []byte("password")
	var a any = UnlockAnswer{Password: password}
	if a.(interface{ wipe() }).wipe(); !bytes.Equal(password, make([]byte, 8)) {
		t.Errorf("a password is %q", password)
	}
}

// TestOpenSessionsAreBounded: of a station's steps that nobody ends, the oldest are forgotten; those of others are not.
func TestOpenSessionsAreBounded(t *testing.T) {
	s := newState()
	made := func(client string, n int) sessionOf {
		b := ledger.RelayMade{Client: client, Session: fmt.Sprintf("%016x", n), Run: fmt.Sprintf("%016x", n), UID: "AA", Step: 1, Turn: 1, PowerOn: "1", Blocks: []ledger.MadeBlock{{Seq: 1, Command: "measure", Counter: "5"}}}
		s.after(b)
		return sessionOf{client, b.Run, 1}
	}
	other, first := made("line2", 0), made("line1", 0)
	for n := range openSessions {
		if n == 10 {
			s.after(ledger.RelayJudged{Client: "line1", Session: fmt.Sprintf("%016x", 5), Run: fmt.Sprintf("%016x", 5), Step: 1, UID: "AA", Verdict: "v"})
		}
		made("line1", n+1)
	}
	if s.sessions[first] == nil || len(s.clients["line1"].open) != openSessions {
		t.Errorf("%d are open, of which the first is %v", len(s.clients["line1"].open), s.sessions[first])
	}
	made("line1", openSessions+1)
	if s.sessions[first] != nil || s.sessions[other] == nil || len(s.clients["line1"].open) != openSessions || len(s.sessions) != openSessions+2 {
		t.Errorf("%d sessions, %d of them open at line1", len(s.sessions), len(s.clients["line1"].open))
	}
}
