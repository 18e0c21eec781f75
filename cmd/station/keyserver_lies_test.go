package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"station/keyserver"
	"station/sim/nor"
)

// between stands between a station and its key server, with a certificate of the same authority, and passes everything on but what answer changes.
type between struct {
	mu     sync.Mutex
	answer func(w http.ResponseWriter, q, a []byte) (changed bool) // q and a are the bodies of question and answer; nil changes nothing
	asked  int
}

func (b *between) set(answer func(w http.ResponseWriter, q, a []byte) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer, b.asked = answer, 0
}

// authority is the key server's certificate authority, with its key.
func (s *serving) authority() *keyserver.CA {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(keysDir(s.dir), "keyserver.ca.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.SplitN(strings.TrimSpace(string(text)), "+", 5)
	seed, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(seed) != 33 {
		s.t.Fatal("the key of the authority has another form than this test knows")
	}
	root, err := readCertificate(caFile(s.dir))
	if err != nil {
		s.t.Fatal(err)
	}
	return &keyserver.CA{Certificate: root, Signer: ed25519.NewKeyFromSeed(seed[1:])}
}

// intercept puts one there, and points the station at it.
func (s *serving) intercept() *between {
	s.t.Helper()
	ca := s.authority()
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	config, err := keyserver.ServerTLS(ca, own, []string{"127.0.0.1"}, time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(s.position.dir, "line1/station.pem"), filepath.Join(s.position.dir, "line1/station.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	onward := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: config.ClientCAs, Certificates: []tls.Certificate{cert}}}}
	b := &between{}
	proxy := keyserver.NewHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, _ := io.ReadAll(r.Body)
		out, err := http.NewRequest(r.Method, "https://"+s.addr+r.URL.String(), bytes.NewReader(q))
		if err != nil {
			return
		}
		res, err := onward.Do(out)
		if err != nil {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		a, _ := io.ReadAll(res.Body)
		b.mu.Lock()
		change := b.answer
		b.mu.Unlock()
		if change != nil && res.StatusCode == http.StatusOK && change(w, q, a) {
			return
		}
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		w.Write(a)
	}), func(string) {})
	go proxy.Serve(ln)
	s.t.Cleanup(func() { proxy.Close() })
	s.replace("config.yaml", "https://"+s.addr, "https://"+ln.Addr().String())
	return b
}

const signedSmall = `
schema: 1
recipe: signed-small
version: 1
title: Settings by signed commands, measured and guarded
parts: [MT25QL128ABB]
serial: '^TB-[0-9]{4}$'
images:
  loader: {file: loader.bin, sha256: "ac94f2d835880b9cf5a6ecd97fc95485f90ffbbecd4de56d6f8db51a89798e8a"}
regions:
  settings: {at: 0x10000, size: 64KiB}
elsewhere: keep
steps:
  - relay: {job: settings, access: state-changing, commands: [erase, write], region: settings, image: loader}
  - measure: {region: settings}
  - relay: {job: guard, access: state-changing, commands: [protect], region: settings}
permanent: [relay]
`

// TestKeyServerLies: answers that are late, broken, for another chip, told twice or out of order, at each step of a recipe with signed commands and of one with root keys: ERROR,
// nothing permanent is sent, and the same command passes when the key server tells the truth again.
func TestKeyServerLies(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: two runs for each lie take many seconds")
	}
	t.Parallel()
	p, s := newRemote(t, "1s")
	if err := os.WriteFile(filepath.Join(p.dir, "signed.yaml"), []byte(signedSmall), 0o644); err != nil {
		t.Fatal(err)
	}
	factory, _ := p.expect(exitDone, "sim", "factory-key")
	if err := os.WriteFile(filepath.Join(p.dir, "factory.txt"), []byte(factory), 0o600); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "keyserver", "key", "create", "acrtm/factory", "--from", "factory.txt")
	for _, recipe := range []string{"signed.yaml", "secret.yaml"} {
		p.expect(exitDone, "keyserver", "allow", recipe, "--station", "line1", "--units", "40")
	}
	b := s.intercept()

	say := func(w http.ResponseWriter, body []byte) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
		return true
	}
	change := func(old, now string) func(http.ResponseWriter, []byte, []byte) bool {
		return func(w http.ResponseWriter, _, a []byte) bool {
			if !bytes.Contains(a, []byte(old)) {
				t.Errorf("no %q in an answer", old)
			}
			return say(w, bytes.Replace(a, []byte(old), []byte(now), 1))
		}
	}
	var first []byte
	lies := map[string]func(w http.ResponseWriter, q, a []byte) bool{
		"late": func(http.ResponseWriter, []byte, []byte) bool { time.Sleep(1300 * time.Millisecond); return true },
		"half": func(w http.ResponseWriter, _, a []byte) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(a)))
			w.Write(a[:len(a)/2])
			return true
		},
		"for another chip": func(w http.ResponseWriter, _, a []byte) bool {
			var t keyserver.RelayTurn
			if json.Unmarshal(a, &t) != nil {
				return false
			}
			for i := range t.Blocks {
				t.Blocks[i].UID = strings.Repeat("AB", 14)
			}
			text, _ := json.Marshal(t)
			return say(w, text)
		},
		"twice": func(w http.ResponseWriter, q, a []byte) bool {
			if !bytes.Contains(q, []byte(`"answered"`)) {
				first = a
				return false
			}
			return say(w, first)
		},
		"another number": change(`"seq":1`, `"seq":2`),
		"another turn":   change(`"number":1`, `"number":2`),
		// Well formed, and a lie all the same.
		"done at once": func(w http.ResponseWriter, _, a []byte) bool {
			var t keyserver.RelayTurn
			if json.Unmarshal(a, &t) != nil {
				return false
			}
			text, _ := json.Marshal(keyserver.RelayTurn{Session: t.Session, Number: t.Number, Done: true, OK: true, Verdict: "done"})
			return say(w, text)
		},
		"not taken": func(w http.ResponseWriter, q, a []byte) bool {
			var t keyserver.RelayTurn
			if !bytes.Contains(q, []byte(`"answered"`)) || json.Unmarshal(a, &t) != nil {
				return false
			}
			text, _ := json.Marshal(keyserver.RelayTurn{Session: t.Session, Number: t.Number, Done: true, Verdict: "the chip is bad"})
			return say(w, text)
		},
	}
	steps := map[int]string{1: "settings", 2: "measure", 3: "guard"}
	unit := 0
	for step := range steps {
		for name, lie := range lies {
			if name == "not taken" && step != 3 {
				continue // the same everywhere; here it is permanent
			}
			unit++
			serial := fmt.Sprintf("TB-%04d", unit)
			told := false
			b.set(func(w http.ResponseWriter, q, a []byte) bool {
				if !bytes.Contains(q, fmt.Appendf(nil, `"step":%d,`, step)) {
					return false
				}
				told = true
				return lie(w, q, a)
			})
			code, out, errs := p.station("run", "signed.yaml", "--slot", "1="+serial)
			chip := openBoard(t, p.board(serial))
			protected := chip.Counters()[nor.CountProtect]
			chip.Close()
			// Told twice, or called bad after it, the command of the first telling has been sent, once, as it should be.
			sent := step == 3 && (name == "twice" || name == "not taken")
			if !told || code != exitError || protected != 0 != sent {
				t.Errorf("step %d, %s: told %t, exit %d, %d ranges protected\n%s%s", step, name, told, code, protected, out, errs)
			}
			b.set(nil)
			p.expect(exitDone, "run", "signed.yaml", "--slot", "1="+serial)
			chip = openBoard(t, p.board(serial))
			if n := chip.Counters()[nor.CountProtect]; n != 1 {
				t.Errorf("step %d, %s: %d ranges protected at the end", step, name, n)
			}
			chip.Close()
		}
	}
	for name, lie := range map[string]func(w http.ResponseWriter, q, a []byte) bool{"late": lies["late"], "half": lies["half"], "short": func(w http.ResponseWriter, q, a []byte) bool { return say(w, []byte(`{"key":"AAAA"}`)) }} {
		for _, field := range []string{`"master":`, `"escrow":`} { // of a root key, and of a tag
			unit++
			serial := fmt.Sprintf("TB-%04d", unit)
			b.set(func(w http.ResponseWriter, q, a []byte) bool {
				return bytes.Contains(q, []byte(field)) && lie(w, q, a)
			})
			order := []string{"run", "secret.yaml", "--slot", "1=" + serial, "--value", "1.mac=020000000001"}
			p.expect(exitError, order...)
			chip := openBoard(t, p.board(serial))
			// The password comes behind the root keys, and the tag with it.
			if n := chip.Counters(); n[nor.CountPassword]+n[nor.CountSectorProtection] != 0 || field == `"master":` && n[nor.CountRootKey] != 0 {
				t.Errorf("%s, %s: %v", field, name, n)
			}
			chip.Close()
			b.set(nil)
			p.expect(exitDone, order...)
			chip = openBoard(t, p.board(serial))
			if n := chip.Counters(); n[nor.CountRootKey] != 2 || n[nor.CountPassword] != 1 {
				t.Errorf("%s, %s: %v at the end", field, name, n)
			}
			chip.Close()
		}
	}
	s.verified()
	s.noKeys()
}

// TestKeyServerCertificate: a certificate that has ended, and one of another key server, are told apart, and nothing is done.
func TestKeyServerCertificate(t *testing.T) {
	t.Parallel()
	p, s := newRemote(t, "5s")
	other := &position{t: t, dir: t.TempDir()}
	other.expect(exitDone, "keyserver", "init")
	other.expect(exitDone, "keyserver", "enrol", "line1", "--out", "line1")
	order := []string{"run", "small.yaml", "--slot", "1=TB-0001"}
	// One that has ended.
	past := t.TempDir()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := s.authority().Client("line1", public, time.Now(), -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.Mkdir(filepath.Join(past, "line1"), 0o700), writePEM(filepath.Join(past, "line1/station.key"), "PRIVATE KEY", secret, 0o600), writePEM(filepath.Join(past, "line1/station.pem"), "CERTIFICATE", der, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dir, says string }{
		"expired":                       {past, "expired on"},
		"of another key server":         {other.dir, "does not let station line1 in"},
		"of another key server, and it": {other.dir, "is not the key server that this station was enrolled at"},
	} {
		swap := []string{"station.pem", "station.key"}
		if strings.HasSuffix(name, "it") {
			swap = append(swap, "ca.pem")
		}
		var errs []error
		for _, file := range swap {
			errs = append(errs, os.Rename(filepath.Join(p.dir, "line1", file), filepath.Join(p.dir, "line1", file+".kept")))
			text, err := os.ReadFile(filepath.Join(c.dir, "line1", file))
			errs = append(errs, err, os.WriteFile(filepath.Join(p.dir, "line1", file), text, 0o600))
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if _, said := p.expect(exitError, order...); !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", name, said)
		}
		for _, file := range swap {
			if err := os.Rename(filepath.Join(p.dir, "line1", file+".kept"), filepath.Join(p.dir, "line1", file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := os.Stat(p.board("TB-0001")); err == nil {
		t.Error("a board was looked at")
	}
	p.expect(exitDone, order...)
	if err := os.Chmod(filepath.Join(p.dir, "line1/station.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, said := p.expect(exitError, order...); !strings.Contains(said, "chmod 600") {
		t.Error(said)
	}
	s.verified()
}
