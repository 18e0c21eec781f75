package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// wedge is the lines of a scanner that types like a keyboard, blank ones left out.
type wedge struct {
	lines chan string // closed at the end of input
	err   error       // why it ended, nil for its end; settled before lines is closed
}

// longestLine is in bytes. No value that a scanner reads is near it.
const longestLine = 64 << 10

// readLines reads standard input, whose lines end with CR, LF or both. Reading cannot be cancelled, but nobody waits for it longer
// than ctx.
func (a *app) readLines(ctx context.Context) *wedge {
	w := &wedge{lines: make(chan string)}
	go func() {
		defer close(w.lines)
		in := bufio.NewReader(a.stdin)
		var line []byte
		for {
			c, err := in.ReadByte()
			if err == nil && c != '\r' && c != '\n' {
				if len(line) <= longestLine {
					line = append(line, c)
				}
				continue
			}
			text := strings.TrimSpace(string(line))
			switch {
			case err != nil && err != io.EOF:
				w.err = err
				return
			case len(line) > longestLine:
				fmt.Fprintf(a.stderr, "a line of more than %d bytes was dropped: nothing that is scanned is that long\n", longestLine)
			case text != "":
				select {
				case w.lines <- text:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
			line = line[:0]
		}
	}()
	return w
}
