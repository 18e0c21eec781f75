package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is what a station says, for whoever waits for it.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *told) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// await waits until something was said for the n-th time.
func (w *told) await(t *testing.T, text string, n int) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		all := w.text.String()
		w.mu.Unlock()
		if strings.Count(all, text) >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never said %q %d times:\n%s", text, n, all)
		}
	}
}

// TestPresence is a line whose slots are looked at, as on metal: boards come and go without a word, between looks that are 2 ms apart. What is
// only looked at is not changed by it, which the chip's own counts show.
func TestPresence(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	defer p.close()
	said := &told{}
	in, scanner := io.Pipe()
	a := &app{stdin: in, stdout: said, stderr: said, dataDir: p.data()}
	b, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	recipe, err := loadRecipe(filepath.Join(p.dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(slot, serial string) {
		t.Helper()
		if err := b.boards.Scan(slot, b.places[slot], serial, "MT25QL256ABA"); err != nil {
			t.Fatal(err)
		}
	}
	out := func(slot string) {
		t.Helper()
		if err := b.boards.Remove(slot); err != nil {
			t.Fatal(err)
		}
	}
	put("2", "TB-0009") // left from before

	watch, done := a.watch(t.Context())
	s := a.newScanning(t.Context(), b, job{recipe: recipe, operator: "op"}, watch, nil)
	s.scanner, s.pause = true, 2*time.Millisecond
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.work(t.Context(), a.readLines(t.Context()), false)
		done()
	}()
	scan := func(code string) { fmt.Fprintf(scanner, "%s\n", code) }

	said.await(t, "slot 2: a board is in it", 1)
	said.await(t, "slot 1 is free: scan the serial", 1)
	scan("TB-0001")
	said.await(t, "slot 1: put the board of TB-0001 in", 1)
	put("1", "TB-0001")
	said.await(t, "slot 1: TB-0001 is done (PASS)", 1)
	// It is looked at on and on, and nothing happens before it is out.
	scan("SLOT:1")
	said.await(t, "slot 1: it takes no board now", 1)
	out("1")
	said.await(t, "slot 1 is free: scan the serial", 2)
	put("1", "TB-0002")
	said.await(t, "slot 1: a board was put in that nobody scanned", 1)
	put("3", "TB-0003")
	said.await(t, "slot 3: a board was put in that nobody scanned", 1)
	scanner.Close()
	<-over

	words := map[string]string{}
	for _, o := range s.results {
		words[o.Serial] = string(o.Outcome)
	}
	if len(words) != 1 || words["TB-0001"] != "PASS" {
		t.Errorf("outcomes %v", words)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, serial := range []string{"TB-0009", "TB-0002", "TB-0003"} {
		chip := openBoard(t, p.board(serial))
		for op, n := range chip.Counters() {
			if n != 0 {
				t.Errorf("%s was only looked at, and its count of %v is %d", serial, op, n)
			}
		}
		chip.Close()
	}
}
