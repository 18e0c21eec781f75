package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// network is a configuration whose slots are serprog programmers at these addresses.
func network(p *position, addresses ...string) {
	p.t.Helper()
	text := "station: line1\ndata: data\nslots:\n"
	for i, a := range addresses {
		text += fmt.Sprintf("  - {name: \"%d\", port: \"tcp:%s\", volts: \"3.3\", clock: 30MHz}\n", i+1, a)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "config.yaml"), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// TestNetwork is a station that is not simulated, whose programmer is a simulated one in another process: what is done on a line is done
// through it, no USB is asked for, and the record names it.
func TestNetwork(t *testing.T) {
	t.Parallel()
	p := &position{t: t, dir: t.TempDir()}
	if err := writeRecipe(p.dir); err != nil {
		t.Fatal(err)
	}
	board := filepath.Join(p.dir, "board.chip")
	addr, stop := p.serve(board, "--part", "MT25QL256ABA", "--clock", "30MHz")
	network(p, addr, "127.0.0.1:1")
	p.expect(exitDone, "init")

	out, _ := p.expect(exitDone, "slot", "list")
	for _, want := range []string{"tcp:" + addr + "  ", "  serprog  ", "no programmer takes a connection at tcp:127.0.0.1:1: start it"} {
		if !strings.Contains(out, want) {
			t.Errorf("slot list lacks %q:\n%s", want, out)
		}
	}
	if _, errs := p.expect(exitError, "slot", "test", "2"); !strings.Contains(errs, "no programmer takes a connection at tcp:127.0.0.1:1") {
		t.Errorf("slot test of nobody: %s", errs)
	}
	// The programmer goes no higher than 30 MHz, and makes its own quotients of that of what is asked for.
	if out, _ := p.expect(exitDone, "slot", "test", "1", "--keep"); !strings.Contains(out, "\nhighest stable  30MHz; the slot has 30MHz\n") || !strings.Contains(out, "good at 1MHz, ") {
		t.Errorf("slot test: %s", out)
	}
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	if out, _ := p.expect(exitDone, "unit", "show", "TB-0001", "--json"); !strings.Contains(out, "serprog (station sim) at tcp:"+addr) {
		t.Errorf("the record does not name the programmer:\n%s", out)
	}
	file := filepath.Join(p.dir, "read.bin")
	p.expect(exitDone, "chip", "read", "--slot", "1", "--at", "0", "--size", fmt.Sprint(bootSize), "-o", file)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, bootRegion()) {
		t.Errorf("chip read: %d bytes, %v", len(got), err)
	}
	stop()
	if _, errs := p.expect(exitError, "chip", "info", "--slot", "1"); !strings.Contains(errs, "no programmer takes a connection at tcp:"+addr) {
		t.Errorf("after its end: %s", errs)
	}
	provisioned(t, openBoard(t, board), bootRegion())
}

// TestNetworkOfASimulatedStation: boards there are files.
func TestNetworkOfASimulatedStation(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	network(p, "127.0.0.1:4000")
	for _, args := range [][]string{{"slot", "list"}, {"run", "small.yaml", "--slot", "1=TB-0001"}} {
		if _, errs := p.expect(exitRefused, args...); !strings.Contains(errs, "slot 1: its programmer is on a network (tcp:127.0.0.1:4000), but data is a simulated station's: its boards are files in data/sim") {
			t.Errorf("%q: %s", args, errs)
		}
	}
	if out, _ := p.expect(exitNo, "doctor"); !strings.Contains(out, "PROBLEM  slots") || !strings.Contains(out, "slot 1: its programmer is on a network (tcp:") || strings.Contains(out, "could be used") {
		t.Errorf("doctor: %s", out)
	}
}
