package keyserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
	"station/provision"
)

// FuzzServer gives any bytes to any route, of a station and of the socket. It answers in the form of the route or with a problem that is not its own, and lends no key that its
// ledger does not tell of.
func FuzzServer(f *testing.F) {
	const job = `{"job":{"run":"00000000000000a1","serial":"S","recipe":"signed-boot","digest":"` + recipeDigest + `","step":3,"id":"20BA1812008C","uid":"01","power_on":"3","counter":"5"}`
	for _, body := range []string{`{}`, `{"key":"k","text":"station/line1\n1\nAAAA\n"}`, `{"uid":"AA","escrow":"e"}`, `{"sealed":"AAAA"}`, job + `}`, job + `,"answered":{"turn":1,"answers":[{"seq":1,"sha256":"","status":128,"reply":"AAAA"}]}}`,
		`{"master":"line/root-2026","part":"MT25QL128ABB","uid":"AA","recipe":"signed-boot","digest":"` + recipeDigest + `","index":0}`,
		`{"station":"line1","reason":"r","by":"x"}`, `{"name":"m","value":"AAAA","by":"x"}`,
		`{"station":"line1","job":{"recipe":"r","version":1,"title":"","digest":"` + recipeDigest + `","parts":[{"name":"p","id":"20BA1812008C","map":"invented"}],"keys":[],"steps":[{"n":1,"job":"j","commands":["erase"],"at":0,"size":4096}],"images":[]},"units":1,"masters":[],"by":"x"}`} {
		for route := range len(stationRoutes) + len(adminRoutes) {
			f.Add(byte(route), []byte(body))
		}
	}
	h, s := signing(f, 3)
	h.stop()
	h.own.Disk = func(bool) error { return nil } // nothing is synced
	h.start()
	if _, err := h.keys.Create("line1"); err != nil {
		f.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(s.c.o.Cert.Certificate[0])
	if err != nil {
		f.Fatal(err)
	}
	state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, h.ca.Certificate}}}
	f.Fuzz(func(t *testing.T, route byte, body []byte) {
		h.t = t
		all := append(append([]string{}, stationRoutes...), adminRoutes...)
		n := int(route) % len(all)
		method, path, _ := strings.Cut(all[n], " ")
		r := httptest.NewRequest(method, path, strings.NewReader(string(body)))
		r.TLS = state
		w := httptest.NewRecorder()
		lent := len(entries[ledger.RootKeyServed](h))
		if n < len(stationRoutes) {
			h.server.ServeHTTP(w, r)
		} else {
			h.server.Admin().ServeHTTP(w, r)
		}
		if all[n] == RouteRevoke && w.Code == http.StatusOK {
			h.admin(RouteEnrol, EnrolRequest{"line1", leaf.RawSubjectPublicKeyInfo, 24, "op-1"}, &EnrolAnswer{})
			h.server.mu.Lock()
			h.server.state.client("line1").certificates[digestOf(leaf.Raw)] = "again" // for the next one
			h.server.mu.Unlock()
		}
		if w.Code == http.StatusOK {
			if all[n] == RouteRootKey && len(entries[ledger.RootKeyServed](h)) != lent+1 {
				t.Errorf("a key without an entry")
			}
			return
		}
		var p problem
		if err := decode(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.causeOf() == "" || p.causeOf() == CauseServer || !utf8.ValidString(p.Detail) {
			t.Errorf("%s: %d %s (%v)", all[n], w.Code, w.Body, err)
		}
	})
}

var adminRoutes = []string{RouteEnrol, RouteRevoke, RouteRewound, RouteAllow, RouteWithdraw, RouteKeyCreate, RouteKeyRetire, RouteList}

// answering is a transport that answers one thing.
type answering struct {
	status int
	kind   string
	body   []byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}}, Body: io.NopCloser(strings.NewReader(string(a.body))), ContentLength: -1, Request: r}, nil
}

// FuzzClient gives any answer to any question: either what the question is about comes out whole, or an *Error that repeats nothing of it.
func FuzzClient(f *testing.F) {
	for _, body := range []string{`{}`, `{"key":"` + strings.Repeat("A", 43) + `="}`, `{"signature":"AAAA"}`, `{"station":"line1","checkpoint":"x","recipient":"age1","masters":[{"name":"m","fingerprint":"0011223344556677"}]}`,
		`{"serial":"S","uid":"AA","escrow":"e","permit":"7","password":"AAAA"}`, `{"session":"s","number":1,"done":true,"ok":true,"verdict":"v","digest":""}`,
		`{"session":"s","number":1,"done":false,"ok":false,"blocks":[{"seq":1,"id":"20BA1812008C","uid":"AA","bytes":"AAAA","counter":"5"}]}`, `{"type":"urn:station:problem:rollback","title":"t","status":409,"detail":"d"}`} {
		f.Add(200, "application/json", []byte(body))
		f.Add(409, "application/problem+json", []byte(body))
	}
	h := newHall(f)
	cert := h.enrol("line1", 24)
	_, vkey, err := note.GenerateKey(zeros{}, "station/line1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		h.t = t
		c := h.client(cert)
		c.http.Transport = answering{status, kind, body}
		k := &StationKeyring{c: c, vkey: vkey}
		wrong := func(what string, err error, whole bool) {
			var e *Error
			switch {
			case err == nil && !whole, err == nil && status != http.StatusOK:
				t.Errorf("%s takes %d %q", what, status, body)
			case err != nil && !errors.Is(err, ErrMissing) && (!errors.As(err, &e) || len(e.Error()) > 1000):
				t.Errorf("%s: %v", what, err)
			}
		}
		keys, err := c.OpenKeys("")
		wrong("open", err, keys != nil && strings.HasPrefix(keys.VerifierKey(), "station/line1+"))
		_, next, err := k.NextCheckpoint()
		wrong("next", err, next != vkey && strings.HasPrefix(next, "station/line1+"))
		_, err = k.Signer().Sign([]byte("text"))
		wrong("sign", err, false) // nobody has that key
		tag, err := k.Tag("AA", "e", []byte("s"))
		wrong("tag", err, len(tag) == 32)
		lent := 0
		err = k.DerivedKey("m", provision.KeyOf{}, func(key []byte) error { lent = len(key); return nil })
		wrong("derive", err, lent == 32)
		lent = 0
		err = k.OpenUnlock(nil, func(of provision.UnlockOf, password []byte) error { lent = len(password); return nil })
		wrong("unlock", err, lent > 0)
		turn, err := c.Next(t.Context(), provision.Job{}, nil)
		wrong("relay", err, turn.Number > 0 && turn.Session != "" && turn.Done == (len(turn.Blocks) == 0) && len(turn.Blocks) <= maxBlocks)
		fingerprint, err := k.MasterFingerprint("m")
		wrong("master", err, lowerHex(fingerprint, 16))
	})
}
