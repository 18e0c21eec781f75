package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A PIN that is typed at a terminal does not show there, is asked for twice, and typing shows again afterwards.
func TestPINIsNotShown(t *testing.T) {
	for _, c := range []struct{ again, problem string }{
		{again: "0815"},
		{again: "0816", problem: "the two are not the same; nothing was changed"},
	} {
		keyboard, terminal := newTerminal(t)
		echo := func() bool {
			mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			return mode.Lflag&unix.ECHO != 0
		}
		var asked bytes.Buffer
		typed := make(chan string, 1)
		stderr := writerFunc(func(p []byte) (int, error) { // a person types once they are asked
			asked.Write(p)
			if strings.HasSuffix(asked.String(), "PIN: ") && !strings.Contains(asked.String(), "again") {
				fmt.Fprint(keyboard, "0815\n")
			} else if strings.HasSuffix(asked.String(), "again: ") {
				fmt.Fprint(keyboard, c.again+"\n")
			}
			return len(p), nil
		})
		a := &app{stdin: terminal, stderr: stderr}
		pin, err := a.secretLine(t.Context(), "PIN")
		switch {
		case c.problem == "" && (err != nil || pin != "0815"):
			t.Errorf("got %q, %v", pin, err)
		case c.problem != "" && (err == nil || err.Error() != c.problem):
			t.Errorf("got %v, want %s", err, c.problem)
		}
		if !echo() {
			t.Error("the terminal does not show what is typed any more")
		}
		fmt.Fprint(keyboard, "seen\n")
		go func() {
			var all []byte
			for p := make([]byte, 64); !bytes.Contains(all, []byte("seen")); {
				n, err := keyboard.Read(p)
				if err != nil {
					break
				}
				all = append(all, p[:n]...)
			}
			typed <- string(all)
		}()
		select {
		case all := <-typed:
			if strings.Contains(all, "08") || !strings.Contains(all, "seen") {
				t.Errorf("the terminal showed %q", all)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the terminal shows nothing at all")
		}
		if want := "PIN: \nPIN again: \n"; asked.String() != want {
			t.Errorf("asked %q, want %q", asked.String(), want)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// newTerminal is a terminal, and what types at it and sees what it shows.
func newTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}
