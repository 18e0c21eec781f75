package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"station/ledger"
	"station/recipes"
	"station/sim/nor"
	"station/spi"
)

// socket is a Bench with a simulated chip straight under its pins.
type socket struct {
	mu     sync.Mutex
	chips  map[string]*nor.Chip
	broken error                                // what every Do answers, when set
	before func(slot string, f spi.Frame) error // called before each frame
	after  func(slot string, f spi.Frame) error // called after each frame, which reached the chip
	leased map[string]int
	given  func() error // called when a slot was given back
	timed  bool         // Idle takes its time; inside a synctest bubble only
}

func newSocket() *socket { return &socket{chips: map[string]*nor.Chip{}, leased: map[string]int{}} }

func (s *socket) Lease(_ context.Context, slot string) (spi.Conn, func() error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.chips[slot]; !ok {
		return nil, nil, fmt.Errorf("no slot %q", slot)
	}
	s.leased[slot]++
	return &pins{s, slot}, func() error {
		s.mu.Lock()
		s.leased[slot]--
		s.mu.Unlock()
		if s.given != nil {
			return s.given()
		}
		return nil
	}, nil
}

func (s *socket) Describe(slot string) string { return "test socket " + slot }

func (s *socket) Volts(string) float64 { return 3.3 }

func (s *socket) put(slot string, c *nor.Chip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chips[slot] = c
}

func (s *socket) chip(slot string) *nor.Chip {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chips[slot]
}

type pins struct {
	s    *socket
	slot string
}

func (p *pins) Limits() spi.Limits {
	return spi.Limits{ByteTime: 500 * time.Nanosecond, MaxFrame: 1 << 24, Grain: 1}
}

func (p *pins) Do(ctx context.Context, frames ...spi.Frame) error {
	if err := ctx.Err(); err != nil {
		return &spi.FrameError{Sent: spi.No, Err: err}
	}
	p.s.mu.Lock()
	leased := p.s.leased[p.slot]
	p.s.mu.Unlock()
	if leased == 0 {
		return &spi.FrameError{Sent: spi.No, Err: errors.New("the slot is not leased")}
	}
	for i, f := range frames {
		if p.s.broken != nil {
			return &spi.FrameError{Index: i, Sent: spi.No, Err: p.s.broken}
		}
		if p.s.before != nil {
			if err := p.s.before(p.slot, f); err != nil {
				return &spi.FrameError{Index: i, Sent: spi.No, Err: err}
			}
		}
		c := p.s.chip(p.slot)
		if c == nil { // an empty socket floats
			for j := range f.In {
				f.In[j] = 0xFF
			}
			continue
		}
		c.Select()
		c.Shift(f.Out, nil)
		c.Shift(nil, f.In)
		c.Deselect()
		if p.s.after != nil {
			if err := p.s.after(p.slot, f); err != nil {
				return &spi.FrameError{Index: i, Err: err}
			}
		}
		if p.s.timed {
			time.Sleep(f.Idle)
		}
	}
	return nil
}

// account is a Journal in memory. Every test looks at it as the auditor would: through the fold of its records.
type account struct {
	mu      sync.Mutex
	records []ledger.Record
	escrow  map[string][]byte
	notes   map[string][]byte // run and name
	fail    error
	full    error                           // what Room says
	retired map[string]bool                 // masters
	reads   func(n int, text []byte) []byte // what the n-th read of an escrow tells, when set
	readN   int
	before  func(ledger.Change) error // called before each change
	after   func(ledger.Change) error // called after it, when it is durable
}

func (a *account) Commit(_ context.Context, c ledger.Change) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return 0, a.fail
	}
	if a.before != nil {
		if err := a.before(c); err != nil {
			return 0, err
		}
	}
	// As the store: entries that are out of order are refused whole, notes are the run's, and end with it.
	var bodies []ledger.Body
	for _, rec := range a.records {
		bodies = append(bodies, rec.Entry.Body)
	}
	runs := map[string]ledger.Progress{}
	var reworks ledger.Reworks
	for i, b := range append(bodies, c.Bodies...) {
		run, _, _ := ledger.RunOf(b)
		if err := reworks.After(ledger.Record{Index: int64(i) + firstIndex, Entry: ledger.Entry{Body: b}}); err != nil {
			return 0, err
		}
		if run == "" {
			continue
		}
		next, err := runs[run].After(b)
		if err != nil {
			return 0, err
		}
		runs[run] = next
	}
	for id, text := range c.Escrow {
		a.escrow[id] = text
	}
	run, _, _ := ledger.RunOf(c.Bodies[0])
	for name, note := range c.Notes {
		a.notes[run+name] = note
	}
	for _, name := range c.Forget {
		delete(a.notes, run+name)
	}
	first := int64(len(a.records)) + firstIndex
	for _, b := range c.Bodies {
		e := ledger.Entry{Station: "test", Time: time.Now(), Body: b}
		raw, err := e.Encode()
		if err != nil {
			return 0, err
		}
		if _, err := ledger.Decode(raw); err != nil {
			return 0, fmt.Errorf("what was written does not read back: %w", err)
		}
		a.records = append(a.records, ledger.Record{Index: int64(len(a.records)) + firstIndex, Entry: e, Bytes: raw})
	}
	if !runs[run].Open() {
		maps.DeleteFunc(a.notes, func(name string, _ []byte) bool { return strings.HasPrefix(name, run) })
	}
	if a.after != nil {
		return first, a.after(c)
	}
	return first, nil
}

func (a *account) Room() error { return a.full }

func (a *account) Escrow(id string) ([]byte, error) {
	text, err := kept(a, a.escrow, id)
	if a.readN++; err == nil && a.reads != nil {
		text = a.reads(a.readN, text)
	}
	return text, err
}

func (a *account) Note(run, name string) ([]byte, error) { return kept(a, a.notes, run+name) }

func kept(a *account, from map[string][]byte, name string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := from[name]
	if !ok {
		return nil, fmt.Errorf("no %s", name)
	}
	return b, nil
}

// firstIndex is that of an account's first entry: at 0 a ledger has station.init.
const firstIndex = 1

func (a *account) Permissions(serial string) (out []ledger.Record, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, rec := range a.records {
		if run, of, _ := ledger.RunOf(rec.Entry.Body); run == "" && of == serial {
			out = append(out, rec)
		}
	}
	return out, nil
}

func (a *account) Master(name string) (fingerprint string, used, retired bool, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, rec := range a.records {
		if b, is := rec.Entry.Body.(ledger.RootKeyIntent); is && b.MasterKey() == name {
			fingerprint, used = b.Master, true
		}
	}
	return fingerprint, used, a.retired[name], nil
}

func (a *account) Runs(serial, uid string) ([]ledger.Run, error) {
	var out []ledger.Run
	for _, r := range a.all() {
		if r.Serial == serial || r.Chip() != nil && r.Chip().UID == uid || r.Start != nil && uid != "" && r.Start.Retires == uid {
			out = append(out, r)
		}
	}
	return out, nil
}

func (a *account) all() []ledger.Run {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ledger.Runs(slices.Clone(a.records))
}

// line is a socket, an account and the engine between them.
type line struct {
	t      *testing.T
	socket *socket
	books  *account
	engine *Engine
	events []Event
	mu     sync.Mutex
}

// newTimedLine is a line for synctest bubbles, where waiting is free and has to be real.
func newTimedLine(t *testing.T, o Options) *line {
	l := newLine(t, o)
	l.socket.timed = true
	return l
}

func newLine(t *testing.T, o Options) *line {
	l := &line{t: t, socket: newSocket(), books: &account{escrow: map[string][]byte{}, notes: map[string][]byte{}}}
	watch := o.Watch
	o.Software = "station test"
	o.Watch = func(ev Event) {
		l.mu.Lock()
		l.events = append(l.events, ev)
		l.mu.Unlock()
		if watch != nil {
			watch(ev)
		}
	}
	l.engine = New(l.socket, l.books, o)
	return l
}

func (l *line) run(r *recipes.Recipe, slot, serial string) Result {
	return l.engine.Run(l.t.Context(), Order{Recipe: r, Serial: serial, Slot: slot, Operator: "op-1"})
}

// want fails the test when a result is not as expected, and returns it.
func (l *line) want(res Result, out ledger.Outcome, cause string) Result {
	l.t.Helper()
	if res.Outcome != out || res.Cause != cause {
		l.t.Fatalf("%s in slot %s: %s %q (%s; %v), want %s %q", res.Serial, res.Slot, res.Outcome, res.Cause, res.Message, res.Err, out, cause)
	}
	if out != ledger.Pass && (res.Message == "" || res.Next == "" && out != ledger.Pass) {
		l.t.Fatalf("%s: no sentence or no next action: %+v", res.Serial, res)
	}
	return res
}

// fresh is a factory-blank chip of the recipe's part; n makes its UID.
func fresh(t testing.TB, n byte, o nor.Options) *nor.Chip {
	t.Helper()
	c, err := nor.New("MT25QL256ABA", [14]byte{n, 1, 2, 3}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const head = `schema: 1
recipe: small
version: %d
title: Small test recipe
parts: [%s]
serial: '^S[0-9]+$'
images:
  boot: {file: boot.bin, sha256: "%s"}
regions:
  boot: {at: 0x10000, size: 128KiB}
elsewhere: keep
steps:
`

const full = `  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: nonvolatile}
  - freeze
  - check: {locked: [boot], frozen: true}
`

// image is what recipe writes: 20 KiB, so that the region's rest is blank.
func image() []byte {
	b := make([]byte, 20<<10)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i*7) | 1
	}
	return b
}

// recipe makes a recipe with these steps.
func recipe(t testing.TB, version int, steps string) *recipes.Recipe {
	return recipeFor(t, "MT25QL256ABA", version, steps)
}

func recipeFor(t testing.TB, part string, version int, steps string) *recipes.Recipe {
	t.Helper()
	return editedRecipe(t, part, steps, "version: 1\n", fmt.Sprintf("version: %d\n", version))
}

// editedRecipe is a recipe in whose text old becomes new.
func editedRecipe(t testing.TB, part, steps, old, new string) *recipes.Recipe {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "boot.bin"), image(), 0o644); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(fmt.Sprintf(head, 1, part, regionDigest(image(), int64(len(image()))))+steps, old, new, 1)
	if !strings.Contains(steps, "image: boot") {
		text = strings.Replace(text, text[strings.Index(text, "images:"):strings.Index(text, "regions:")], "", 1)
	}
	path := filepath.Join(dir, "small.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := recipes.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var errUnplugged = errors.New("unplugged")
