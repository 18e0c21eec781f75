package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"station/provision"
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
