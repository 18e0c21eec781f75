package performance

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	fullSize = flag.Bool("full", false, "sizes as promised; without it those that take seconds")
	write    = flag.Bool("write", false, "write the table of docs/performance.md anew; implies -full")
)

// The table stands between these lines of the document; all else there is written by hand.
const (
	document  = "../docs/performance.md"
	tableFrom = "<!-- written by `make bench`: from here -->"
	tableTo   = "<!-- written by `make bench`: to here -->"
)

// row is one promise, and what became of it.
type row struct {
	n        int // its place in the table
	what     string
	limit    string // the rival, or what physics allows
	reach    string // the promise
	measured string
	test     string
	missed   bool // not kept
}

var table struct {
	sync.Mutex
	rows []row
}

// hold enters a row and fails the test where the promise is not kept. A row that comes as missed is known to be so, and kept tells that it is no worse than it was.
func hold(t *testing.T, kept bool, r row) {
	t.Helper()
	r.test, _, _ = strings.Cut(t.Name(), "/")
	known := r.missed && kept
	r.missed = r.missed || !kept
	table.Lock()
	table.rows = append(table.rows, r)
	table.Unlock()
	text := fmt.Sprintf("%s: %s; %s; to reach %s", r.what, r.measured, r.limit, r.reach)
	switch {
	case known:
		t.Log("not reached, as known: " + text)
	case kept:
		t.Log(text)
	default:
		t.Error("NOT REACHED: " + text)
	}
}

// full tells whether sizes are those of the promise.
func full() bool { return *fullSize || *write }

// size is the promised size, or a smaller one where that one would take too long for every day.
func size(promised, daily int) int {
	if full() {
		return promised
	}
	return daily
}

// unraced skips a test under the race detector, which has time and memory of its own.
func unraced(t *testing.T) {
	t.Helper()
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("not under the race detector")
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *write {
		if err := writeTable(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// writeTable puts the rows into the document. Those that were not reached stand there like the others, and say so.
func writeTable() error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(tableFrom))
	_, after, ended := bytes.Cut(rest, []byte(tableTo))
	if !found || !ended {
		return fmt.Errorf("%s: no place for the table", document)
	}
	slices.SortStableFunc(table.rows, func(a, b row) int { return cmp.Compare(a.n, b.n) })
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s\n\n| what | rival / limit | to reach | measured | test |\n|---|---|---|---|---|\n", before, tableFrom)
	for _, r := range table.rows {
		measured := r.measured
		if r.missed {
			measured = "**not reached:** " + measured
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", r.what, r.limit, r.reach, measured, r.test)
	}
	fmt.Fprintf(&b, "\n%s%s", tableTo, after)
	return os.WriteFile(document, b.Bytes(), 0o644)
}
