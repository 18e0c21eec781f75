package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCommandsAtWork: beside a station at work, commands that change something have it do so, and print what they print without one; what they are refused has the same code.
func TestCommandsAtWork(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	s := p.serveStation("--listen", "127.0.0.1:0")
	contains := func(text string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	out, _ := p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001", "--slot", "2=TB-0002", "--operator", "op7", "--json")
	for dec, n := json.NewDecoder(strings.NewReader(out)), 0; n < 2; n++ {
		var r runJSON
		if err := dec.Decode(&r); err != nil || r.Outcome != "PASS" || r.Already || r.Report == "" || r.Error != "" {
			t.Errorf("%+v, %v", r, err)
		}
	}
	out, _ = p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	contains(out, "PASS (before)")
	_, said := p.expect(exitRefused, "run", "small.yaml", "--slot", "3=TB-0003", "--sim-board", "3=data/sim/TB-0002.chip")
	contains(said, "slot 3  TB-0003  REFUSED", "this chip belongs to serial TB-0002 (PASS), not to TB-0003")
	_, said = p.expect(exitRefused, "run", "small.yaml", "--slot", "9=TB-0003")
	contains(said, `there is no slot "9"`)
	for _, flag := range []string{"--scan", "--resume"} {
		_, said = p.expect(exitRefused, "run", "small.yaml", flag)
		contains(said, "its page takes scans")
	}

	out, _ = p.expect(exitDone, "unit", "rework", "TB-0001", "--reason", "scratched", "--by", "op8", "--new-chip")
	contains(out, "TB-0001 may be run once more, on a new chip: permission ", "by op8 (unauthenticated)\nchip ")
	_, said = p.expect(exitRefused, "unit", "rework", "TB-0001", "--reason", "again", "--by", "op8")
	contains(said, "TB-0001 may be run once more already, on a new chip")
	p.expect(exitError, "unit", "rework", "TB-0001", "--reason", "no", "--by", "op8", "--withdraw") // not beside a station
	_, said = p.expect(exitRefused, "unit", "close", "TB-0001", "--as", "lost", "--reason", "gone", "--by", "op8")
	contains(said, "TB-0001 has no open run; nothing was changed")
	p.expect(exitNo, "unit", "close", "TB-0009", "--as", "lost", "--reason", "gone", "--by", "op8")

	out, _ = p.expect(exitDone, "status")
	contains(out, "station line1 (SIMULATED), since ", "\nSLOT  STATE ", "\n4     ")
	out, _ = p.expect(exitDone, "status", "--json")
	var state struct {
		Simulated bool
		Rows      [][]any
	}
	if err := json.Unmarshal([]byte(out), &state); err != nil || !state.Simulated || len(state.Rows) != 2 {
		t.Errorf("%s, %v", out, err)
	}
	out, _ = p.expect(exitDone, "slot", "list")
	contains(out, "PROBLEM  STATE      SERIAL   DOES\n1  ", "  unwatched  TB-0003  REFUSED: this chip belongs to serial TB-0002 (PASS)")

	pin := filepath.Join(p.dir, "pin")
	if err := os.WriteFile(pin, []byte("824913\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.in, err = os.Open(pin); err != nil {
		t.Fatal(err)
	}
	defer p.in.Close()
	out, _ = p.expect(exitDone, "user", "add", "boss", "--name", "B. Oss", "--role", "admin")
	contains(out, "boss may sign in as admin")
	out, _ = p.expect(exitDone, "user", "add", "op7", "--name", "O. Perator", "--role", "operator", "--badge")
	contains(out, "BADGE:")
	_, said = p.expect(exitRefused, "user", "remove", "boss")
	contains(said, "boss is the last admin")
	p.expect(exitDone, "user", "role", "op7", "supervisor")
	out, _ = p.expect(exitDone, "user", "list")
	contains(out, "boss", "supervisor", "O. Perator")

	s.stop(exitDone)
	_, said = p.expect(exitNo, "status")
	contains(said, "no station is at work in data")
	out, _ = p.expect(exitDone, "unit", "show", "TB-0002", "--json")
	contains(out, `"operator": "op7"`)
	p.close()
}

// TestDecideAtWork: beside a station at work a unit that only a person can decide about ends with 4, and is closed with the words that a station without one has.
func TestDecideAtWork(t *testing.T) {
	t.Parallel()
	said := map[bool]string{}
	for _, atWork := range []bool{false, true} {
		p := newAudited(t)
		p.foreign("TB-0001")
		if atWork {
			defer p.serveStation("--listen", "127.0.0.1:0").stop(exitDone)
		}
		_, why := p.expect(exitDecision, "run", "secret.yaml", "--slot", "1=TB-0001", "--value", "1.mac=020000000001")
		if !strings.Contains(why, "The chip holds a password that this station did not write.\n  Find out where the board was before.") {
			t.Error(why)
		}
		out, _ := p.expect(exitDone, "unit", "close", "TB-0001", "--as", "scrapped", "--reason", "a foreign password", "--by", "sup1")
		said[atWork] = out
		out, _ = p.expect(exitDone, "unit", "show", "TB-0001")
		if !strings.Contains(out, "closed as scrapped by sup1: a foreign password") {
			t.Error(out)
		}
	}
	if said[false] == "" || said[false] != said[true] {
		t.Errorf("it says\n%s\nand beside a station at work\n%s", said[false], said[true])
	}
}

// TestRunAtWorkStops: who stops waiting for runs of a station at work stops them, with the code for that, and the station goes on.
func TestRunAtWorkStops(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	s := p.serveStation("--listen", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := p.command(ctx, "run", "small.yaml", "--slot", "1=TB-0001", "--slot", "2=TB-0002", "--slot", "3=TB-0003", "--slot", "4=TB-0004")
	events, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(events).ReadString('\n')
	cmd.Process.Signal(syscall.SIGINT)
	io.Copy(io.Discard, events)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitAborted {
		t.Errorf("it ended with %d", code)
	}
	for { // until the station has let go of the slots
		code, _, said := p.station("run", "small.yaml", "--slot", "1=TB-0009")
		if code == exitDone {
			break
		}
		if !strings.Contains(said, "the station is busy") {
			t.Fatalf("%d: %s", code, said)
		}
	}
	if out, _ := p.expect(exitDone, "unit", "list"); !strings.Contains(out, " ABORTED ") {
		t.Errorf("none was aborted:\n%s", out)
	}
	s.stop(exitDone)
	p.close()
}
