package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"station/recipes"
	"station/sim/nor"
)

// serving is a key server that runs as a process of its own.
type serving struct {
	*position
	dir  string
	cmd  *exec.Cmd
	addr string
	done chan struct{} // its output is read to the end
}

// newRemote is a position whose keys are at a key server, which serves.
func newRemote(t *testing.T, limit string) (*position, *serving) {
	t.Helper()
	return newRemoteWith(t, limit, "{provider: file}")
}

// newRemoteWith has the key server's keys where its configuration says; paths are relative to the key server's directory.
func newRemoteWith(t *testing.T, limit, keys string) (*position, *serving) {
	t.Helper()
	p := &position{t: t, dir: t.TempDir()}
	if err := errors.Join(writeRecipe(p.dir), writeConfig(p.dir, "config.yaml"), os.Mkdir(filepath.Join(p.dir, "keyserver"), 0o700),
		os.WriteFile(filepath.Join(p.dir, "keyserver/keyserver.yaml"), fmt.Appendf(nil, "id: keys1\nlisten: 127.0.0.1:0\nnames: [127.0.0.1]\nkeys: %s\n", keys), 0o644)); err != nil {
		t.Fatal(err)
	}
	s := &serving{position: p, dir: filepath.Join(p.dir, "keyserver")}
	p.expect(exitDone, "keyserver", "init")
	p.expect(exitDone, "keyserver", "key", "create", "line/root-2026")
	p.expect(exitDone, "keyserver", "enrol", "line1", "--out", "line1")
	s.serve()
	s.replace("keyserver/keyserver.yaml", "127.0.0.1:0", s.addr) // it keeps its address when it comes back
	p.append("config.yaml", fmt.Sprintf("keys: {provider: key_server}\nkey_server: {url: \"https://%s\", ca: line1/ca.pem, cert: line1/station.pem, key: line1/station.key, limit: %s}\n", s.addr, limit))
	p.expect(exitDone, "init", "--simulated")
	return p, s
}

func (p *position) replace(file, old, now string) {
	p.t.Helper()
	path := filepath.Join(p.dir, file)
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(old)) {
		p.t.Fatalf("%s has no %q: %v", file, old, err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(now), 1), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *position) append(file, text string) {
	p.t.Helper()
	f, err := os.OpenFile(filepath.Join(p.dir, file), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// serve starts the process and waits until it listens.
func (s *serving) serve() {
	s.t.Helper()
	s.cmd = s.command(context.Background(), "keyserver", "serve")
	s.cmd.Cancel, s.cmd.WaitDelay = nil, 0
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var errs bytes.Buffer
	s.cmd.Stderr = &errs
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	listening := lines.Scan()
	addr, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !listening || !ok {
		s.cmd.Wait()
		s.t.Fatalf("the key server says %q\n%s", lines.Text(), &errs)
	}
	s.addr, s.done = addr, make(chan struct{})
	go func() {
		defer close(s.done)
		for lines.Scan() {
		}
	}()
	s.t.Cleanup(func() { s.stop(syscall.SIGKILL) })
}

// stop ends the process, and keeps what it said.
func (s *serving) stop(sig syscall.Signal) (code int) {
	if s.cmd == nil {
		return -1
	}
	s.cmd.Process.Signal(sig)
	<-s.done
	s.cmd.Wait()
	code = s.cmd.ProcessState.ExitCode()
	s.output.Write(s.cmd.Stderr.(*bytes.Buffer).Bytes())
	s.cmd = nil
	return code
}

// noKeys looks for every key of the key server and every secret of a chip in what anybody said, and in every file outside of the key server's keys.
func (s *serving) noKeys() {
	s.t.Helper()
	found := search{}
	keys := keysDir(s.dir)
	files, err := os.ReadDir(keys)
	if err != nil || len(files) < 6 {
		s.t.Fatalf("%d keys, %v", len(files), err)
	}
	for _, f := range files {
		if f.Name() == "master-acrtm%2Ffactory" { // the simulated chips' is published
			continue
		}
		text, err := os.ReadFile(filepath.Join(keys, f.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		if key := strings.SplitN(strings.TrimSpace(string(text)), "+", 5); len(text) != 32 {
			raw, err := base64.StdEncoding.DecodeString(key[len(key)-1])
			if err != nil || len(raw) != 33 {
				s.t.Fatalf("%s has another form than this test knows", f.Name())
			}
			text = raw[1:]
		}
		found.add(f.Name(), text)
	}
	boards, err := filepath.Glob(filepath.Join(boardsDir(s.data()), "*.chip"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range boards {
		if err := found.addChip(file); err != nil {
			s.t.Fatal(err)
		}
	}
	if what := found.in(s.output.Bytes()); what != "" {
		s.t.Errorf("the output holds %s", what)
	}
	looked := 0
	err = filepath.WalkDir(s.position.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path == keys:
			return fs.SkipDir
		case !d.Type().IsRegular(), filepath.Ext(path) == ".chip":
			return nil
		}
		looked++
		text, err := os.ReadFile(path)
		if what := found.in(text); what != "" {
			s.t.Errorf("%s holds %s", path, what)
		}
		return err
	})
	if err != nil || looked < 10 {
		s.t.Errorf("looked into %d files: %v", looked, err)
	}
}

// verified has both ledgers recomputed, the key server's when it no longer runs.
func (s *serving) verified() {
	s.t.Helper()
	if code := s.stop(syscall.SIGTERM); code != exitDone {
		s.t.Errorf("the key server ends with %d", code)
	}
	if out, _ := s.expect(exitDone, "audit", "verify"); !strings.HasPrefix(out, "ledger verified (SIMULATED): station line1, ") {
		s.t.Error(out)
	}
	if out, _ := s.expect(exitDone, "audit", "verify", "--data", "keyserver"); !strings.HasPrefix(out, "ledger verified: station keys1, ") {
		s.t.Error(out)
	}
}

// entries are those of one kind in a ledger; of the key server's when it no longer runs.
func (p *position) entries(data, kind string) (out []map[string]any) {
	p.t.Helper()
	text, _ := p.expect(exitDone, "audit", "entries", "--data", data, "--kind", kind)
	for dec := json.NewDecoder(strings.NewReader(text)); dec.More(); {
		var e map[string]any
		if err := dec.Decode(&e); err != nil || e["kind"] != kind {
			p.t.Fatalf("%s: %v, %v", kind, e, err)
		}
		out = append(out, e)
	}
	return out
}

// agree holds the two ledgers against each other, as docs/keyserver.md has it: the key server made every signed command and lent every root key that the station's ledger tells of,
// in all as many as these.
func (s *serving) agree(commands, keys int) {
	s.t.Helper()
	server := "station key server keys1 at https://" + s.addr
	for _, e := range append(s.entries("data", "run.start"), s.entries("data", "run.resume")...) {
		if e["key_server"] != server {
			s.t.Errorf("a run names the key server %v, not %s", e["key_server"], server)
		}
	}
	made, sent := map[string]bool{}, 0
	blocks := func(e map[string]any, do func(block string)) {
		list, _ := e["blocks"].([]any)
		for _, b := range list {
			do(fmt.Sprint(e["run"], " ", b.(map[string]any)["sha256"]))
		}
	}
	for _, e := range s.entries("keyserver", "relay.made") {
		blocks(e, func(b string) { made[b] = true })
	}
	for _, e := range append(s.entries("data", "relay.intent"), s.entries("data", "relay.answer")...) {
		blocks(e, func(b string) {
			if sent++; !made[b] {
				s.t.Errorf("the key server did not make %s", b)
			}
		})
	}
	lent, got := map[string]bool{}, 0
	for _, e := range s.entries("keyserver", "root_key.served") {
		lent[fmt.Sprint(e["uid"], e["index"], e["fingerprint"])] = true
	}
	for _, e := range s.entries("data", "root_key.intent") {
		if got++; !lent[fmt.Sprint(e["uid"], e["index"], e["master"])] {
			s.t.Errorf("the key server did not lend the key of %v", e)
		}
	}
	if sent < commands || got < keys {
		s.t.Errorf("%d commands and %d root keys, want at least %d and %d", sent, got, commands, keys)
	}
}

// TestKeyServer carries the whole recipe out with every key at a key server that is another process, over mutual TLS. Without an allowance it is ERROR and nothing
// permanent is sent; with one the same command passes. The server is killed in between, and counts on.
func TestKeyServer(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: three whole runs take many seconds")
	}
	t.Parallel()
	p, s := newRemote(t, "5s")
	if err := recipes.Unpack(p.dir); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(keysDir(p.data()))
	if err != nil || len(files) > 0 {
		t.Errorf("the station has keys of its own: %v, %v", files, err)
	}
	order := func(n int) []string {
		return []string{"run", "gateway-boot.yaml", "--slot", fmt.Sprintf("1=GW-%06d", n), "--value", fmt.Sprintf("1.mac=0200000000%02d", n)}
	}
	if out, errs := p.expect(exitError, order(1)...); !strings.Contains(out+errs, "no allowance for a recipe with the digest") {
		t.Errorf("without an allowance:\n%s%s", out, errs)
	}
	p.neverThere("GW-000001")
	if _, errs := p.expect(exitError, "run", "gateway-boot.yaml", "--scan"); !strings.Contains(errs, "no slot was opened\nkey server: not allowed for this station") {
		t.Error(errs)
	}
	p.expect(exitDone, "run", "gateway-boot.yaml", "--resume")
	p.expect(exitRefused, "keyserver", "allow", "gateway-boot.yaml", "--station", "line9", "--units", "2")
	p.expect(exitDone, "keyserver", "allow", "gateway-boot.yaml", "--station", "line1", "--units", "2")
	if _, errs := p.expect(exitDone, order(1)...); !strings.Contains(errs, "2 chips left of the allowance") {
		t.Error(errs)
	}
	s.stop(syscall.SIGKILL)
	if out, errs := p.expect(exitError, order(2)...); !strings.Contains(out+errs, "cannot be reached") {
		t.Errorf("without a key server:\n%s%s", out, errs)
	}
	s.serve()
	p.expect(exitDone, order(2)...)
	master := filepath.Join(keysDir(s.dir), "master-line%2Froot-2026")
	if err := os.Rename(master, filepath.Join(p.dir, "away")); err != nil {
		t.Fatal(err)
	}
	if _, errs := p.expect(exitError, order(2)...); !strings.Contains(errs, "restore it on the key server") {
		t.Error(errs)
	}
	if err := os.Rename(filepath.Join(p.dir, "away"), master); err != nil {
		t.Fatal(err)
	}
	if out, errs := p.expect(exitError, order(3)...); !strings.Contains(out+errs, "nothing is left of the allowance of station line1 for gateway-boot version 3") {
		t.Errorf("a third unit:\n%s%s", out, errs)
	}
	p.neverThere("GW-000003")
	// A unit that was begun, and not counted there, is one too.
	p.expect(exitDone, append(order(4), "--trial")...)
	p.untouched("GW-000004")
	if _, errs := p.expect(exitError, order(4)...); !strings.Contains(errs, "no slot was opened\nnothing is left of the allowance") || !strings.Contains(errs, "does not use it up") {
		t.Errorf("a unit that a trial began: %s", errs)
	}
	// The allowance is taken back when the board is being written: ERROR, and nothing permanent.
	p.expect(exitDone, "keyserver", "allow", "gateway-boot.yaml", "--station", "line1", "--units", "1")
	r := p.launch(order(3)...)
	if !r.reached(" 1/") {
		t.Fatal("the run does not begin")
	}
	r.cmd.Process.Signal(syscall.SIGSTOP)
	p.expect(exitDone, "keyserver", "allow", "gateway-boot.yaml", "--station", "line1", "--withdraw", "1")
	r.cmd.Process.Signal(syscall.SIGCONT)
	r.wait()
	if code := r.cmd.ProcessState.ExitCode(); code != exitError {
		t.Errorf("a run whose allowance was taken back ends with %d", code)
	}
	p.untouched("GW-000003")
	for _, serial := range []string{"GW-000001", "GW-000002"} {
		chip := openBoard(t, p.board(serial))
		if n := chip.Counters(); n[nor.CountRootKey] != 1 || n[nor.CountPassword] != 1 {
			t.Errorf("%s: %v", serial, n)
		}
		chip.Close()
	}
	if out, _ := p.expect(exitDone, "keyserver", "list"); !strings.Contains(out, "2 of 2") {
		t.Error(out)
	}
	if out, _ := p.expect(exitDone, "backup", "keyserver.db", "--data", "keyserver"); !strings.Contains(out, "station keys1, ") {
		t.Error(out)
	}
	// Nobody asks after a revocation, and a new certificate lets the station in again.
	p.expect(exitDone, "keyserver", "revoke", "line1", "--reason", "stolen")
	if _, errs := p.expect(exitError, "run", "small.yaml", "--slot", "2=TB-0001"); !strings.Contains(errs, "is revoked") {
		t.Error(errs)
	}
	p.expect(exitDone, "keyserver", "enrol", "line1", "--out", "again", "--days", "20")
	if err := os.Rename(filepath.Join(p.dir, "again"), filepath.Join(p.dir, "line1.new")); err != nil {
		t.Fatal(err)
	}
	p.replace("config.yaml", "line1/ca.pem, cert: line1/station.pem, key: line1/station.key", "line1.new/ca.pem, cert: line1.new/station.pem, key: line1.new/station.key")
	if _, errs := p.expect(exitDone, "run", "small.yaml", "--slot", "2=TB-0001"); !strings.Contains(errs, "the certificate of station line1 ends in 19 days") {
		t.Error(errs)
	}
	if out, _ := p.expect(exitNo, "doctor"); !regexp.MustCompile(`WARNING +certificate +line1.new/station.pem ends in 19 days, `).MatchString(out) {
		t.Error(out)
	}
	s.verified()
	s.agree(0, 2)
	s.noKeys()
}

// neverThere wants nobody to have looked for a board: no slot was opened.
func (p *position) neverThere(serial string) {
	p.t.Helper()
	if _, err := os.Stat(p.board(serial)); !errors.Is(err, fs.ErrNotExist) {
		p.t.Errorf("%s is in a slot: %v", serial, err)
	}
}

// untouched wants a board that nothing permanent was done to.
func (p *position) untouched(serial string) {
	p.t.Helper()
	chip := openBoard(p.t, p.board(serial))
	defer chip.Close()
	if n := chip.Counters(); n[nor.CountRootKey]+n[nor.CountPassword]+n[nor.CountSectorProtection]+n[nor.CountOTP] != 0 {
		p.t.Errorf("%s: %v", serial, n)
	}
}
