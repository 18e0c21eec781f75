package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"station/ledger"
	"station/provision"
)

// stationServing is a position's station at work.
type stationServing struct {
	t      *testing.T
	cmd    *exec.Cmd
	said   servingJSON
	stderr bytes.Buffer
}

// serveStation has the station work until the end of the test, or until stop.
func (p *position) serveStation(args ...string) *stationServing {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	p.t.Cleanup(cancel)
	s := &stationServing{t: p.t, cmd: p.command(ctx, append([]string{"serve", "--json"}, args...)...)}
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		s.cmd.Wait()
		p.t.Fatalf("%v: %s", err, &s.stderr)
	}
	if err := json.Unmarshal(line, &s.said); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// stop ends it as systemd does.
func (s *stationServing) stop(code int) {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("it ended with %d, want %d\n%s", got, code, &s.stderr)
	}
}

// get asks for a page, and returns the status and the body.
func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// TestServe: a simulated station answers this PC without anybody signing in, hands out backups meanwhile, has nobody else work with its ledger, and leaves nothing behind
// when it is told to stop.
func TestServe(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	s := p.serveStation("--listen", "127.0.0.1:0")
	if !strings.HasPrefix(s.said.URL, "http://127.0.0.1:") || s.said.Certificate+s.said.SetUp != "" {
		t.Errorf("%+v", s.said)
	}
	code, body := get(t, http.DefaultClient, s.said.URL+"/api/v1/state")
	var state struct {
		Station   string
		Simulated bool
		Rows      [][]struct{ Slot string }
	}
	if err := json.Unmarshal([]byte(body), &state); err != nil || code != http.StatusOK || state.Station != "line1" || !state.Simulated || len(state.Rows) != 2 || state.Rows[1][0].Slot != "3" {
		t.Errorf("%d %s", code, body)
	}
	if code, body := get(t, http.DefaultClient, s.said.URL+"/healthz"); code != http.StatusOK || strings.TrimSpace(body) != `{"ok":true}` {
		t.Errorf("%d %s", code, body)
	}
	p.expect(exitDone, "backup", "b.db")
	p.expect(exitDone, "audit", "verify")
	p.expect(exitError, "serve", "--listen", "127.0.0.1:0")
	s.stop(exitDone)
	for _, name := range []string{stationSocket, backupSocket} {
		if _, err := os.Stat(filepath.Join(p.data(), name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	p.close()
}

// TestServeNetwork: off this PC pages are encrypted by a certificate whose fingerprint is printed and which the next start has too, and show nothing to who has not signed in:
// the first user needs the code.
func TestServeNetwork(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	var before servingJSON
	for range 2 {
		s := p.serveStation("--listen", "0.0.0.0:0")
		var seen string
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
			sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
			seen = strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
			return cs.PeerCertificates[0].VerifyHostname("127.0.0.1")
		}}}}
		_, port, _ := strings.Cut(strings.TrimPrefix(s.said.URL, "https://"), ":")
		url := "https://127.0.0.1:" + port
		if code, body := get(t, c, url+"/api/v1/state"); code != http.StatusUnauthorized || strings.Contains(body, "line1") {
			t.Errorf("%d %s", code, body)
		}
		if seen == "" || s.said.Certificate != seen || before.Certificate != "" && before.Certificate != seen {
			t.Errorf("the certificate is %s, it says %s, and was %s", seen, s.said.Certificate, before.Certificate)
		}
		if len(s.said.SetUp) != 14 || s.said.SetUp == before.SetUp {
			t.Errorf("the code is %q, and was %q", s.said.SetUp, before.SetUp)
		}
		if r, err := http.Get("http://127.0.0.1:" + port + "/"); err == nil && r.StatusCode != http.StatusBadRequest {
			t.Errorf("it answers without TLS: %d", r.StatusCode)
		}
		if before.URL != "" { // at the second start
			setUp(t, c, url, s.said.SetUp)
		}
		before = s.said
		s.stop(exitDone)
	}
	if out, _ := p.expect(exitDone, "user", "list"); !strings.Contains(out, "boss  admin") {
		t.Error(out)
	}
	for name, mode := range map[string]os.FileMode{"tls": 0o700 | os.ModeDir, "tls/key.pem": 0o600} {
		if info, err := os.Stat(filepath.Join(p.data(), name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// setUp makes the first user with the code, and with no other.
func setUp(t *testing.T, c *http.Client, url, code string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar = jar
	var session struct{ Token string }
	for range 2 { // the first answer gives the cookie that the token belongs to
		_, body := get(t, c, url+"/api/v1/session")
		if err := json.Unmarshal([]byte(body), &session); err != nil {
			t.Fatal(err)
		}
	}
	for _, try := range []struct {
		code string
		want int
	}{{"AAAA-AAAA-AAAA", http.StatusForbidden}, {code, http.StatusOK}} {
		r, err := http.NewRequest(http.MethodPost, url+"/api/v1/setup", strings.NewReader(`{"code":"`+try.code+`","id":"boss","name":"B. Oss","pin":"824913"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Station-Token", session.Token)
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != try.want {
			t.Errorf("code %s: %s %s", try.code, answer.Status, text)
		}
	}
	if code, body := get(t, c, url+"/api/v1/state"); code != http.StatusOK || !strings.Contains(body, "line1") {
		t.Errorf("%d %s", code, body)
	}
}

// TestServeRefuses: a real station answers nobody who has not signed in, on this PC neither; and what cannot be served is told before anything is.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	p.expect(exitRefused, "serve", "--data", "none")
	_, said := p.expect(exitRefused, "serve", "--listen", "8080")
	if !strings.Contains(said, `listen "8080" is not an address such as 127.0.0.1:8080`) {
		t.Error(said)
	}
	_, said = p.expect(exitError, "serve", "--listen", "192.0.2.1:1")
	if !strings.Contains(said, "the page cannot be served") {
		t.Error(said)
	}
	p.expect(exitDone, "init", "--data", "real")
	if err := os.WriteFile(filepath.Join(p.dir, "net.yaml"), []byte("station: line1\ndata: real\nslots:\n  - {name: \"1\", port: \"tcp:127.0.0.1:1\", volts: \"3.3\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.expect(exitRefused, "serve", "--config", "net.yaml", "--listen", "127.0.0.1:0", "--sim-hands")
	s := p.serveStation("--config", "net.yaml", "--listen", "127.0.0.1:0")
	if s.said.SetUp == "" || s.said.Certificate != "" {
		t.Errorf("%+v", s.said)
	}
	if code, _ := get(t, http.DefaultClient, s.said.URL+"/api/v1/state"); code != http.StatusUnauthorized {
		t.Errorf("%d", code)
	}
	s.stop(exitDone)
}

// TestServeStops: what runs when the station is told to stop ends ABORTED, and it says so by its code; whoever watches hears of all until then; and the next start goes on
// with the job.
func TestServeStops(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	config, err := os.OpenFile(filepath.Join(p.dir, "config.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(config, "\npage: {recipes: .}\n")
	config.Close()
	s := p.serveStation("--listen", "127.0.0.1:0")
	at, ok := stationAt(t.Context(), p.data())
	if !ok {
		t.Fatal("no station is at work")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	watch := p.command(ctx, "status", "--watch", "--json")
	told, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	changes := json.NewDecoder(told)
	first := changed{}
	if err := changes.Decode(&first); err != nil || first.State == nil || first.State.Job != nil {
		t.Errorf("%+v, %v", first, err)
	}
	ask := func(path string, in any) {
		t.Helper()
		if err := at.ask(ctx, "op1", http.MethodPost, path, in, nil); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	ask("jobs", map[string]any{"recipe": "small.yaml", "quantity": 9})
	scan := func(code string) { t.Helper(); ask("scan", map[string]string{"code": code}) }
	for i := range 4 {
		scan(fmt.Sprintf("TB-000%d", i+1))
	}
	s.stop(exitAborted)
	began, ended := map[string]bool{}, map[string]ledger.Outcome{}
	for {
		var c changed
		if err := changes.Decode(&c); err != nil {
			break
		}
		for _, tile := range c.Tiles {
			began[tile.Serial] = began[tile.Serial] || tile.State == provision.Running
			if tile.Result != nil {
				ended[tile.Serial] = tile.Result.Outcome
			}
		}
	}
	watch.Wait()
	if code := watch.ProcessState.ExitCode(); code != exitNo {
		t.Errorf("status --watch ended with %d", code)
	}
	out, _ := p.expect(exitDone, "unit", "list", "--json")
	var units []struct {
		Serial, Operator string
		Outcome          ledger.Outcome
	}
	if err := json.Unmarshal([]byte(out), &units); err != nil {
		t.Fatal(err)
	}
	aborted := 0
	for _, u := range units {
		if u.Outcome == ledger.Aborted {
			aborted++
		}
		if u.Operator != "op1" || !began[u.Serial] || ended[u.Serial] != u.Outcome {
			t.Errorf("%+v; it began: %v, and ended %s", u, began[u.Serial], ended[u.Serial])
		}
	}
	if aborted == 0 {
		t.Errorf("none was aborted: %s", out)
	}

	again := p.serveStation("--listen", "127.0.0.1:0")
	if at, ok = stationAt(ctx, p.data()); !ok {
		t.Fatal("no station is at work")
	}
	if state, err := at.state(ctx); err != nil || state.Job == nil || state.Job.Quantity != 9 || state.Job.By != "op1" {
		t.Errorf("%+v, %v", state.Job, err)
	}
	ask("jobs/close", nil)
	again.stop(exitDone)
	p.close()
}
