package keyserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

// TestPermissions asks every route, with every sort of certificate that must not be let in, and wants nothing to happen.
func TestPermissions(t *testing.T) {
	h := newHall(t)
	revoked := h.enrol("line1", 24)
	h.admin(RouteRevoke, AboutStation{"line1", "stolen", "op-1"}, &struct{}{})
	expired := h.enrol("line2", 1)
	shortLived := h.enrol("line3", 2)

	// What this CA signs but the ledger does not name, and the server's own certificate.
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	der, err := h.ca.Client("line4", public, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	if der, err = h.ca.Server([]string{"line4"}, public, time.Now()); err != nil {
		t.Fatal(err)
	}
	role := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	foreignKey := ed25519.NewKeyFromSeed(make([]byte, 32))
	if der, err = NewCA(foreignKey, "keys1", time.Now()); err != nil {
		t.Fatal(err)
	}
	foreignCA, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = (&CA{foreignCA, foreignKey}).Client("line3", public, time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	foreign := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}

	held := h.client(shortLived)
	if err := held.ask(t.Context(), RouteInit, nil, struct{}{}, &KeysAnswer{}); err != nil {
		t.Fatal(err)
	}
	h.later(90 * time.Minute) // line2's is over
	asked := 0
	for _, route := range stationRoutes {
		method, path, _ := strings.Cut(route, " ")
		for name, cert := range map[string]tls.Certificate{"none": {}, "revoked": revoked, "expired": expired, "not in the ledger": unnamed, "the server's role": role, "of another CA": foreign} {
			c := h.client(shortLived)
			c.http.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{cert}
			if name == "none" {
				c.http.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
			}
			refused(t, route+", certificate: "+name, c.ask(t.Context(), route, nil, struct{}{}, &struct{}{}), CauseCertificate)
			c.Close()
			asked++
		}
		// The handler itself, where there is no TLS.
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("{}")))
		if w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s without TLS: %d %s", route, w.Code, w.Body)
		}
	}
	for _, route := range []string{RouteEnrol, RouteRevoke, RouteRewound, RouteAllow, RouteWithdraw, RouteKeyCreate, RouteKeyRetire, RouteList, "DELETE /v1/keys", "GET /"} {
		refused(t, route+" over the network", held.ask(t.Context(), route, nil, struct{}{}, &struct{}{}), CauseUnknownRoute)
		asked++
	}
	for _, route := range stationRoutes {
		refused(t, route+" over the socket", h.server.Here().Call(t.Context(), route, struct{}{}, &struct{}{}), CauseUnknownRoute)
		asked++
	}
	// A connection that is open while the certificate ends.
	h.later(time.Hour)
	refused(t, "an old connection", held.ask(t.Context(), RouteKeys, nil, nil, &KeysAnswer{}), CauseCertificate)
	// Who asked in vain is no station that anything may be allowed to.
	refused(t, "allowing one that was never enrolled", h.server.Here().Call(t.Context(), RouteRevoke, AboutStation{"line4", "x", "y"}, &struct{}{}), CauseRefused)
	if n := len(h.keys.vkeys); n != 1 {
		t.Errorf("%d stations have keys, want line3 alone", n)
	}
	if asked != len(stationRoutes)*7+10 {
		t.Errorf("%d requests", asked)
	}
	h.verified()
}

// A station's own clock says it first, before anybody is asked; and a server that is not the one of this station is not told anything.
func TestClientRefuses(t *testing.T) {
	h := newHall(t)
	cert := h.enrol("line1", 1)
	c := h.client(cert)
	c.o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	err := c.ask(t.Context(), RouteKeys, nil, nil, &KeysAnswer{})
	refused(t, "expired", err, CauseCertificate)
	if !strings.Contains(err.Error(), "expired on") {
		t.Error(err)
	}
	other := newHall(t)
	c = h.client(cert)
	c.base = other.url
	if err := c.ask(t.Context(), RouteKeys, nil, nil, &KeysAnswer{}); err == nil || !strings.Contains(err.Error(), "is not the key server that this station was enrolled at") {
		t.Errorf("another key server: %v", err)
	}
	if n := len(entries[ledger.KeyServerEntry](other)); n != 0 {
		t.Errorf("the other server wrote %d entries", n)
	}
	for _, bad := range []string{"http://127.0.0.1:1", "127.0.0.1:1", "https://", "https://u:p@h:1", "https://h:1/x", "https://h:1?x", "https://h:1?", "https://h:1#x"} {
		if _, err := NewClient(ClientOptions{URL: bad, CA: h.ca.Certificate, Cert: cert}); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}

// TestRenewal: a new certificate counts beside the old one, revoking ends both, and a new one lets the station in again, also after a restart.
func TestRenewal(t *testing.T) {
	h := newHall(t)
	first, second := h.enrol("line1", 24), h.enrol("line1", 24)
	in := func(cert tls.Certificate) bool {
		c := h.client(cert)
		defer c.Close()
		err := c.ask(t.Context(), RouteTagKey, nil, TagKeyRequest{"aa", "e"}, &KeyAnswer{})
		var e *Error
		return !errors.As(err, &e) || e.Cause != CauseCertificate
	}
	for range 2 {
		if !in(first) || !in(second) {
			t.Error("one of two certificates does not count")
		}
		h.restart()
	}
	open := h.client(first)
	if err := open.ask(t.Context(), RouteInit, nil, struct{}{}, &KeysAnswer{}); err != nil {
		t.Fatal(err)
	}
	h.admin(RouteRevoke, AboutStation{"line1", "stolen", "op-1"}, &struct{}{})
	reused := false
	traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	if refused(t, "on an open connection", open.ask(traced, RouteKeys, nil, nil, &KeysAnswer{}), CauseCertificate); !reused {
		t.Error("it was another connection")
	}
	third := h.enrol("line1", 24)
	for range 2 {
		if got := []bool{in(first), in(second), in(third)}; !slices.Equal(got, []bool{false, false, true}) {
			t.Errorf("let in after a revocation: %v", got)
		}
		h.restart()
	}
	refused(t, "revoking nobody", h.server.Here().Call(t.Context(), RouteRevoke, AboutStation{"line9", "x", "y"}, &struct{}{}), CauseRefused)
	refused(t, "revoking for no reason", h.server.Here().Call(t.Context(), RouteRevoke, AboutStation{"line1", "", "y"}, &struct{}{}), CauseRefused)
	h.verified()
}
