package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// secretLine reads what may be neither seen nor an argument: from a terminal without echo and twice, else one line of standard input.
func (a *app) secretLine(ctx context.Context, what string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	show, terminal := hideTyping(a.stdin)
	defer show()
	lines := a.readLines(ctx)
	ask := func(prompt string) (string, error) {
		if terminal {
			fmt.Fprint(a.stderr, prompt)
			defer fmt.Fprintln(a.stderr) // the Enter was not seen either
		}
		select {
		case line, more := <-lines.lines:
			if !more {
				return "", exit(exitRefused, fmt.Errorf("no %s: it is read from the terminal, or is a line of standard input", what))
			}
			return line, nil
		case <-ctx.Done():
			return "", exit(exitAborted, ctx.Err())
		}
	}
	secret, err := ask(what + ": ")
	if err != nil || !terminal {
		return secret, err
	}
	again, err := ask(what + " again: ")
	if err == nil && again != secret {
		err = exit(exitRefused, errors.New("the two are not the same; nothing was changed"))
	}
	return secret, err
}

// hideTyping has a terminal not show what is typed, until show. What is no terminal shows nothing.
func hideTyping(in any) (show func(), terminal bool) {
	f, is := in.(*os.File)
	if !is {
		return func() {}, false
	}
	before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return func() {}, false
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &quiet); err != nil {
		return func() {}, false
	}
	return func() { unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, before) }, true
}
