package main

import (
	"io"
	"os"
	"runtime/debug"

	"station/provision"
)

// crashed, deferred by a goroutine, ends the process as an ERROR: Go would end it with the code of a refusal.
func crashed(stderr io.Writer) {
	if p := recover(); p != nil {
		tellPanic(stderr, &provision.PanicError{Value: p, Stack: debug.Stack()})
		os.Exit(exitError)
	}
}

// tellPanic says where in this program it was.
func tellPanic(stderr io.Writer, p *provision.PanicError) {
	printf(stderr, "station: %s\n", p)
	_, _ = stderr.Write(p.Stack)
}
