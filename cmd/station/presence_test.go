package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"station/fixtures"
	"station/sim"
	"station/sim/nor"
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

// lookedAt is a station whose slots are looked at every 2 ms, as on metal, and whose hands are the test's.
type lookedAt struct {
	*position
	*told
	bench   *bench
	line    *sim.Line
	scanner *io.PipeWriter
	faults  []*nor.Chip
	over    chan []outcome // when nothing is scanned any more, and nothing runs
}

func newLookedAt(t *testing.T, seated map[string]string) *lookedAt {
	t.Helper()
	l := &lookedAt{position: newPosition(t), told: &told{}, over: make(chan []outcome, 1)}
	in, scanner := io.Pipe()
	l.scanner = scanner
	a := &app{stdin: in, stdout: l.told, stderr: l.told, dataDir: l.data()}
	b, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	l.bench = b
	bus, err := b.bus(t.Context()) // the same line again, but one whose programmers and boards are ours
	if err != nil {
		t.Fatal(err)
	}
	l.line = bus.(*sim.Line)
	if b.rack, err = fixtures.NewRack(bus, b.config.rackSlots()); err != nil {
		t.Fatal(err)
	}
	recipe, err := loadRecipe(filepath.Join(l.dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for slot, serial := range seated {
		l.put(slot, serial)
	}
	watch, done := a.watch(t.Context())
	voice := &terminal{app: a}
	s := a.newScanning(t.Context(), b, voice, job{recipe: recipe, operator: "op"}, watch, nil)
	s.scanner, s.pause = true, 2*time.Millisecond
	go func() {
		s.work(t.Context(), a.readLines(t.Context()), false)
		done()
		l.over <- voice.results
	}()
	return l
}

func (l *lookedAt) scan(code string) { fmt.Fprintf(l.scanner, "%s\n", code) }

func (l *lookedAt) put(slot, serial string) {
	l.t.Helper()
	if err := l.bench.boards.Scan(slot, l.bench.places[slot], serial, "MT25QL256ABA"); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lookedAt) out(slot string) {
	l.t.Helper()
	if err := l.bench.boards.Remove(slot); err != nil {
		l.t.Fatal(err)
	}
}

// end ends the input, and returns the outcomes by serial, with their causes.
func (l *lookedAt) end() map[string]string {
	l.t.Helper()
	l.scanner.Close()
	words := map[string]string{}
	for _, o := range <-l.over {
		words[o.Serial] = strings.TrimSpace(string(o.Outcome) + " " + o.Cause)
	}
	if err := l.bench.Close(); err != nil {
		l.t.Fatal(err)
	}
	for _, chip := range l.faults {
		chip.Close()
	}
	return words
}

// TestPresence is a line whose slots are looked at, as on metal: boards come and go without a word, between looks that are 2 ms apart. What is
// only looked at is not changed by it, which the chip's own counts show.
func TestPresence(t *testing.T) {
	t.Parallel()
	l := newLookedAt(t, map[string]string{"2": "TB-0009"}) // left from before
	defer l.close()
	l.await(t, "slot 2: a board is in it", 1)
	l.await(t, "slot 1 is free: scan the serial", 1)
	l.scan("TB-0001")
	l.await(t, "slot 1: put the board of TB-0001 in", 1)
	l.put("1", "TB-0001")
	l.await(t, "slot 1: TB-0001 is done (PASS)", 1)
	// It is looked at on and on, and nothing happens before it is out.
	l.scan("SLOT:1")
	l.await(t, "slot 1: it takes no board now", 1)
	l.out("1")
	l.await(t, "slot 1 is free: scan the serial", 2)
	l.put("1", "TB-0002")
	l.await(t, "slot 1: a board was put in that nobody scanned", 1)
	l.put("3", "TB-0003")
	l.await(t, "slot 3: a board was put in that nobody scanned", 1)
	if words := l.end(); len(words) != 1 || words["TB-0001"] != "PASS" {
		t.Errorf("outcomes %v", words)
	}
	for _, serial := range []string{"TB-0009", "TB-0002", "TB-0003"} {
		chip := openBoard(t, l.board(serial))
		for op, n := range chip.Counters() {
			if n != 0 {
				t.Errorf("%s was only looked at, and its count of %v is %d", serial, op, n)
			}
		}
		chip.Close()
	}
}

// TestPresenceFaults is a line where a programmer is missing, a contact is bad and a chip sleeps: each slot has its own trouble, and the others go on.
func TestPresenceFaults(t *testing.T) {
	t.Parallel()
	l := newLookedAt(t, nil)
	defer l.close()
	l.await(t, "slot 1 is free: scan the serial", 1)
	// A board that answers differently each time is begun, and its run says why not.
	l.scan("SLOT:3")
	l.await(t, "slot 3 is free: scan the serial", 1)
	l.scan("TB-0001")
	l.await(t, "slot 3: put the board of TB-0001 in", 1)
	l.faulty("3", "TB-0001", nor.Faults{WeakContact: 2})
	l.await(t, "slot 3: TB-0001 is done (ERROR)", 1)
	// A programmer that is pulled out is said once; its slot takes no board while it is away, and is what it was when it is back.
	port := l.bench.places["4"].Port
	if err := l.line.Unplug(port); err != nil {
		t.Fatal(err)
	}
	l.await(t, "slot 4 cannot be looked at: ", 1)
	l.scan("TB-0002")
	l.await(t, "slot 1: put the board of TB-0002 in", 1)
	l.put("1", "TB-0002")
	l.await(t, "slot 1: TB-0002 is done (PASS)", 1)
	words := l.end()
	if len(words) != 2 || words["TB-0001"] != "ERROR contact-unstable" || words["TB-0002"] != "PASS" {
		t.Errorf("outcomes %v", words)
	}
	l.told.mu.Lock()
	defer l.told.mu.Unlock()
	if n := strings.Count(l.told.text.String(), "slot 4 cannot be looked at: "); n != 1 {
		t.Errorf("a missing programmer was said %d times", n)
	}
}

// faulty puts a board with a fault in. A look sees nothing before it is in.
func (l *lookedAt) faulty(slot, serial string, f nor.Faults) {
	l.t.Helper()
	chip, err := nor.Create(l.board(serial), "MT25QL256ABA", sim.UID(serial), nor.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.faults = append(l.faults, chip)
	chip.SetFaults(f)
	if err := l.line.Insert(l.bench.places[slot], chip); err != nil {
		l.t.Fatal(err)
	}
}
