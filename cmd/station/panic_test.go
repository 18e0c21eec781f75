package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"station/fixtures"
	"station/fixtures/usb"
	"station/flash"
	"station/provision"
	"station/sim"
	"station/sim/dediprog"
)

// faulty is an output that this program fails at.
type faulty struct{}

func (faulty) Write([]byte) (int, error) { panic("a fault of the program") }

// TestPanicIsAnError: it is told with its place, and is no refusal.
func TestPanicIsAnError(t *testing.T) {
	var said bytes.Buffer
	code := Main([]string{"version"}, strings.NewReader(""), faulty{}, &said)
	if text := said.String(); code != exitError || !strings.Contains(text, "station: panic: a fault of the program\n") || !strings.Contains(text, "faulty.Write") {
		t.Errorf("exit %d, %s", code, text)
	}
}

// TestPanicElsewhere is TestPanicIsAnError in another goroutine than the first, in a process of its own.
func TestPanicElsewhere(t *testing.T) {
	const inside = "STATION_TEST_PANIC"
	if os.Getenv(inside) != "" {
		go func() {
			defer crashed(os.Stderr)
			faulty{}.Write(nil)
		}()
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPanicElsewhere$")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != exitError || !strings.Contains(string(out), "station: panic: a fault of the program\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPanicInASlot: of what is done to a chip.
func TestPanicInASlot(t *testing.T) {
	s := &seated{seat: seat{slot: "1"}}
	err := s.fault(t.Context(), provision.Caught(func() error { panic("a fault of the program") }))
	var e *exitErr
	if !errors.As(err, &e) || e.code != exitError || !strings.Contains(err.Error(), "ERROR: slot 1: the program failed: panic: a fault of the program: call") {
		t.Errorf("error is %v", err)
	}
}

// stuck is a bus on which no programmer's supply can be switched off.
type stuck struct{ usb.Bus }

type stuckLink struct{ usb.Link }

func (s stuck) Open(ctx context.Context, port string, iface int) (usb.Link, error) {
	l, err := s.Bus.Open(ctx, port, iface)
	return stuckLink{l}, err
}

func (l stuckLink) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	const supply = 0x09
	if s.RequestType == 0x42 && s.Request == supply && s.Value == 0 {
		return 0, usb.ErrStall
	}
	return l.Link.Control(ctx, s, data)
}

// TestNotLetGo: a command about a chip ends in what it did, or in its panic, and warns of a board that may still have its supply.
func TestNotLetGo(t *testing.T) {
	for _, fault := range []string{"", "a fault of the program"} {
		line := sim.NewLine(sim.Options{})
		if err := line.Plug("1-1", dediprog.New(dediprog.SF100, dediprog.Options{})); err != nil {
			t.Fatal(err)
		}
		rack, err := fixtures.NewRack(stuck{line}, []fixtures.Slot{{Name: "1", Port: "1-1", Volts: "3.5"}})
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		a, b := &app{stdout: io.Discard, stderr: &said}, &bench{}
		b.rack = rack
		err = a.leased(t.Context(), b, &seat{slot: "1"}, []*flash.Part{{Name: "P", Volts: 3.3}}, func(provision.Event) {}, func(*seated) error {
			if fault != "" {
				panic(fault)
			}
			return nil
		})
		if (err == nil) != (fault == "") || strings.Contains(said.String(), "goroutine ") != (fault != "") {
			t.Errorf("%v: %s", err, &said)
		}
		if want := "warning: slot 1: the Dediprog at USB port 1-1 may not have let go of its board"; !strings.Contains(said.String(), want) {
			t.Errorf("said %q, want %q", &said, want)
		}
		if err := line.Close(); err != nil {
			t.Error(err)
		}
	}
}
