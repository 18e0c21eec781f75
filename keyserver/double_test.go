package keyserver

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
	"station/provision"
	"station/store"
)

// fakeKeys are keys in memory. They outlive a server, as a token does.
type fakeKeys struct {
	mu      sync.Mutex
	masters map[string][]byte
	skeys   map[string][]string // by station: note signer keys, oldest first
	vkeys   map[string][]string
	fail    error // of everything
}

func newFakeKeys() *fakeKeys {
	return &fakeKeys{masters: map[string][]byte{}, skeys: map[string][]string{}, vkeys: map[string][]string{}}
}

func (f *fakeKeys) add(station string) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "station/"+station)
	if err != nil {
		panic(err)
	}
	f.skeys[station], f.vkeys[station] = append(f.skeys[station], skey), append(f.vkeys[station], vkey)
}

func (f *fakeKeys) Station(station, vkey string) (StationKeys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	n := len(f.vkeys[station])
	if n == 0 {
		return nil, ErrMissing
	}
	if vkey == "" {
		return fakeStation{f, station, f.vkeys[station][n-1], f.skeys[station][n-1]}, nil
	}
	i := slices.Index(f.vkeys[station], vkey)
	if i < 0 {
		return nil, ErrMissing
	}
	return fakeStation{f, station, vkey, f.skeys[station][i]}, nil
}

func (f *fakeKeys) Create(station string) (StationKeys, error) {
	f.mu.Lock()
	if len(f.vkeys[station]) > 0 {
		f.mu.Unlock()
		return nil, ErrExists
	}
	f.add(station)
	f.mu.Unlock()
	return f.Station(station, "")
}

func (f *fakeKeys) Masters() (names []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.masters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, f.fail
}

func (f *fakeKeys) MAC(master string, message []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	key, ok := f.masters[master]
	if !ok {
		return nil, ErrMissing
	}
	return macOf(key, message), nil
}

func (f *fakeKeys) Fingerprint(master string) (string, error) {
	sum, err := f.MAC(master, []byte("fingerprint"))
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sum[:8]), nil
}

func (f *fakeKeys) FingerprintOf(value []byte) string {
	return hex.EncodeToString(macOf(value, []byte("fingerprint"))[:8])
}

func (f *fakeKeys) CreateMaster(master string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.masters[master]; ok {
		return ErrExists
	}
	if value == nil {
		value = make([]byte, 32)
		rand.Read(value)
	}
	f.masters[master] = slices.Clone(value)
	return nil
}

func (f *fakeKeys) RootKey(master string, of provision.KeyOf) ([]byte, error) {
	return f.MAC(master, fmt.Append(nil, of))
}

type fakeStation struct {
	f                   *fakeKeys
	station, vkey, skey string
}

func (k fakeStation) VerifierKey() string { return k.vkey }

func (k fakeStation) Signer() note.Signer {
	s, err := note.NewSigner(k.skey)
	if err != nil {
		panic(err)
	}
	return s
}

func (k fakeStation) NextCheckpoint() (note.Signer, string, error) {
	k.f.mu.Lock()
	if list := k.f.vkeys[k.station]; list[len(list)-1] == k.vkey {
		k.f.add(k.station)
	}
	k.f.mu.Unlock()
	next, err := k.f.Station(k.station, "")
	if err != nil {
		return nil, "", err
	}
	return next.Signer(), next.VerifierKey(), nil
}

func (k fakeStation) DestroyOld() error {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	k.f.vkeys[k.station], k.f.skeys[k.station] = []string{k.vkey}, []string{k.skey}
	return nil
}

func (k fakeStation) TagKey(uid, escrow string) ([]byte, error) {
	return macOf([]byte("verifier of "+k.station), []byte(uid+" "+escrow)), nil
}

func (k fakeStation) Recipient() (string, error) { return "age1" + k.station, nil }

func (k fakeStation) OpenUnlock(sealed []byte, use func(provision.UnlockOf, []byte) error) error {
	f := strings.Split(string(sealed), "|")
	if len(f) != 4 || f[0] != k.station {
		return errors.New("no")
	}
	return use(provision.UnlockOf{Serial: f[1], UID: f[2], Escrow: "e1", Permit: 7}, []byte(f[3]))
}

// hall is a key server on loopback, and all that outlives its process.
type hall struct {
	t      testing.TB
	dir    string
	keys   *fakeKeys
	caKey  ed25519.PrivateKey
	tlsKey ed25519.PrivateKey
	ca     *CA
	own    *store.Options

	mu    sync.Mutex
	shift time.Duration // of the clock
	log   strings.Builder

	db     *store.DB
	server *Server
	http   *http.Server
	url    string
}

func (h *hall) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.shift)
}

func (h *hall) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shift += d
}

func newHall(t testing.TB) *hall {
	t.Helper()
	h := &hall{t: t, dir: t.TempDir(), keys: newFakeKeys()}
	_, h.caKey, _ = ed25519.GenerateKey(rand.Reader)
	_, h.tlsKey, _ = ed25519.GenerateKey(rand.Reader)
	der, err := NewCA(h.caKey, "keys1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	h.ca = &CA{root, h.caKey}
	skey, vkey, err := note.GenerateKey(rand.Reader, "station/keys1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	h.own = &store.Options{Station: "keys1", Software: "station test", Signer: s, VerifierKey: vkey}
	if err := os.Mkdir(filepath.Join(h.dir, "jobs"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := store.Create(filepath.Join(h.dir, "ledger.db"), *h.own)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	h.start()
	t.Cleanup(h.stop)
	return h
}

// start opens the server from what is on disk and in the token.
func (h *hall) start() {
	h.t.Helper()
	var err error
	if h.db, err = store.Open(filepath.Join(h.dir, "ledger.db"), *h.own); err != nil {
		h.t.Fatal(err)
	}
	h.server, err = New(Options{Ledger: h.db, Keys: h.keys, Jobs: filepath.Join(h.dir, "jobs"), CA: h.ca, Now: h.now, Tell: func(line string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.log.WriteString(line + "\n")
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	config, err := ServerTLS(h.ca, h.tlsKey, []string{"127.0.0.1", "localhost"}, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		h.t.Fatal(err)
	}
	h.url = "https://" + ln.Addr().String()
	h.http = NewHTTPServer(h.server, func(string) {})
	go h.http.Serve(ln)
}

func (h *hall) stop() {
	if h.http == nil {
		return
	}
	h.http.Close()
	h.http = nil
	if err := h.db.Close(); err != nil {
		h.t.Error(err)
	}
}

// restart is a server that died and came back.
func (h *hall) restart() {
	h.t.Helper()
	h.stop()
	h.start()
}

func (h *hall) told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

// admin asks what has to be answered.
func (h *hall) admin(route string, in, out any) {
	h.t.Helper()
	if err := h.server.Here().Call(h.t.Context(), route, in, out); err != nil {
		h.t.Fatalf("%s: %v", route, err)
	}
}

// enrol makes a certificate for a station.
func (h *hall) enrol(station string, hours int) tls.Certificate {
	h.t.Helper()
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		h.t.Fatal(err)
	}
	var a EnrolAnswer
	h.admin(RouteEnrol, EnrolRequest{station, pkix, hours, "op-1"}, &a)
	return tls.Certificate{Certificate: [][]byte{a.Certificate}, PrivateKey: private}
}

func (h *hall) client(cert tls.Certificate) *Client {
	h.t.Helper()
	c, err := NewClient(ClientOptions{URL: h.url, CA: h.ca.Certificate, Cert: cert, Limit: 5 * time.Second})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// entries are those of a kind in the server's ledger, in their order.
func entries[B ledger.Body](h *hall) (out []B) {
	h.t.Helper()
	size, err := h.db.Size()
	if err != nil {
		h.t.Fatal(err)
	}
	records, err := h.db.Records(0, size)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range records {
		if b, ok := r.Entry.Body.(B); ok {
			out = append(out, b)
		}
	}
	return out
}

// verified has the whole ledger recomputed.
func (h *hall) verified() {
	h.t.Helper()
	if err := h.db.Sign(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	v, err := note.NewVerifier(h.own.VerifierKey)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := ledger.Verify(h.t.Context(), h.db, v)
	if err != nil || len(r.Findings) > 0 || r.Unsigned() != 0 {
		h.t.Errorf("the ledger does not verify: %+v, %v", r, err)
	}
	if err := h.db.Check(h.t.Context()); err != nil {
		h.t.Error(err)
	}
}

// refused wants an error of a cause.
func refused(t *testing.T, what string, err error, want Cause) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Cause != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	} else if e.RelayUnknown() != (want == CauseUnclear) {
		t.Errorf("%s: to the station it is unknown what took effect: %t", what, e.RelayUnknown())
	}
}
