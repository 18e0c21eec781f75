package main

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestRestoreRemote restores a station whose keys are at a key server, into a directory that is not there: the ledger is there, the command says what is still to be decided, and behind
// `rewound` the line goes on.
func TestRestoreRemote(t *testing.T) {
	t.Parallel()
	p, _ := newRemote(t, "5s")
	p.expect(exitDone, "backup", "night.db")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	if err := os.RemoveAll(p.data()); err != nil {
		t.Fatal(err)
	}
	p.expect(exitRefused, "restore", "none.db", "--reason", "disk died", "--by", "sup2")
	if _, err := os.Stat(p.data()); err == nil {
		t.Error("what was refused made a directory")
	}
	out, errs := p.expect(exitDecision, "restore", "night.db", "--reason", "disk died", "--by", "sup2")
	if !strings.Contains(out, "data/ledger.db is restored from the backup: 1 entries") || !strings.Contains(out, "0 units in quarantine") ||
		strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "`station keyserver rewound line1 --reason ...`, there") {
		t.Errorf("%s%s", out, errs)
	}
	if _, errs := p.expect(exitError, "run", "small.yaml", "--slot", "1=TB-0002"); strings.Count(errs, "its ledger was put back") != 1 {
		t.Error(errs)
	}
	p.expect(exitDone, "keyserver", "rewound", "line1", "--reason", "disk died")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0002")
	if out, _ := p.expect(exitDone, "audit", "verify"); !strings.Contains(out, "\nledger verified (SIMULATED): station line1, ") {
		t.Error(out)
	}
}

// TestServing is what the person at the key server's PC sees of what goes wrong there.
func TestServing(t *testing.T) {
	t.Parallel()
	p, s := newRemote(t, "5s")
	for _, name := range []string{adminSocket, backupSocket} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if _, errs := p.expect(exitError, "keyserver", "serve"); !strings.Contains(errs, "`station keyserver serve` runs there already") {
		t.Error(errs)
	}
	p.expect(exitDone, "keyserver", "init", "--data", "other", "--listen", s.addr)
	if _, errs := p.expect(exitError, "keyserver", "serve", "--data", "other"); !strings.Contains(errs, "`listen:` in other/keyserver.yaml is an address of this PC that no other program has") {
		t.Error(errs)
	}
	// What was made for an id is never made again, for another ledger of that id.
	if _, errs := p.expect(exitRefused, "init", "--data", "real"); !strings.Contains(errs, "another station id, goes on") {
		t.Error(errs)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	conn.Read(make([]byte, 1))
	conn.Close()
	if err := os.Rename(filepath.Join(keysDir(s.dir), "verifier-line1.key"), filepath.Join(p.dir, "away")); err != nil {
		t.Fatal(err)
	}
	p.output.Reset()
	s.stop(syscall.SIGTERM)
	if log := p.output.String(); !regexp.MustCompile(`(?m)^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ .*TLS handshake error`).MatchString(log) {
		t.Errorf("the log says %q", log)
	}
	s.serve()
	if _, errs := p.expect(exitError, "run", "small.yaml", "--slot", "1=TB-0001"); !strings.Contains(errs, "no key of station line1: it lacks the checkpoint key that the station's ledger names, or the verifier key") {
		t.Error(errs)
	}
	// Half of a station's keys is never completed; without the other half all are made anew.
	lost := []string{"key", "rotate", "checkpoint", "--lost", "--reason", "disk died", "--by", "sup2"}
	if _, errs := p.expect(exitError, lost...); !strings.Contains(errs, "On its PC: restore them from the copy of its keys. Where there is none: stop it, move what is left of checkpoint-line1 (and checkpoint-line1.2 and so on) and verifier-line1 away") {
		t.Error(errs)
	}
	s.stop(syscall.SIGTERM)
	if err := os.Rename(filepath.Join(keysDir(s.dir), "checkpoint-line1.key"), filepath.Join(p.dir, "away2")); err != nil {
		t.Fatal(err)
	}
	s.serve()
	p.expect(exitDone, lost...)
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
}

// TestStolenCertificate has a thief with a station's certificate destroy its checkpoint key and sign for a ledger of an absurd size; what docs/keyserver.md says to do brings the station back.
func TestStolenCertificate(t *testing.T) {
	t.Parallel()
	p, _ := newRemote(t, "5s")
	name := filepath.Join(p.dir, "config.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := new(app).parseConfig(name, text, p.dir)
	if err != nil {
		t.Fatal(err)
	}
	thief, err := cfg.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	keys, err := thief.OpenKeys("")
	if err != nil {
		t.Fatal(err)
	}
	_, vkey, err := keys.NextCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = thief.OpenKeys(vkey); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Signer().Sign(fmt.Appendf(nil, "station/line1\n%d\n%s\n", 1<<20, base64.StdEncoding.EncodeToString(make([]byte, 32)))); err != nil {
		t.Fatal(err)
	}
	if err := keys.DestroyOld(); err != nil {
		t.Fatal(err)
	}
	run := []string{"run", "small.yaml", "--slot", "1=TB-0001"}
	p.expect(exitError, run...)
	p.expect(exitDone, "keyserver", "revoke", "line1", "--reason", "stolen")
	p.expect(exitDone, "keyserver", "enrol", "line1", "--out", "again")
	if _, err := keys.Signer().Sign([]byte("station/line1\n")); err == nil {
		t.Error("the thief is still let in")
	}
	p.replace("config.yaml", "ca: line1/ca.pem, cert: line1/station.pem, key: line1/station.key", "ca: again/ca.pem, cert: again/station.pem, key: again/station.key")
	p.expect(exitDone, "keyserver", "rewound", "line1", "--reason", "stolen")
	p.expect(exitDone, "key", "rotate", "checkpoint", "--lost", "--reason", "stolen", "--by", "sup2")
	p.expect(exitDone, run...)
	p.expect(exitDone, "keyserver", "list")
}
