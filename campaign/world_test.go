package campaign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"station/fixtures"
	"station/ledger"
	"station/provision"
	"station/sim"
	simch341a "station/sim/ch341a"
	simftdi "station/sim/ftdi"
	"station/store"
)

// world is the line of one seed: a station, which lives several times, its programmers, and the boards.
type world struct {
	t *testing.T
	*work
	seed   uint64
	dice   *rand.Rand    // of the operator and of fate, who take turns with the slots
	path   string        // of the ledger
	mirror string        // its directory, "" for none
	away   bool          // the mirror is gone
	report ledger.Report // of the audit at the end

	sim    *sim.Line
	slots  []*slot
	boards []*board
	db     *store.DB
	engine *provision.Engine

	tickets chan *ticket
	over    chan *slot
	grants  int
	dead    atomic.Bool
	clock   atomic.Int64 // how far the wall clock is off
	disk    diskFault    // of the next commit
	before  []byte       // the ledger file as it is after a lost commit
	swaps   []swap
	upset   bool // a fault of the station in this round
	faulty  bool // there are faults in this round

	paced       bool
	heard28     func() // for the table
	heardCommit func(kind string)
	faults      map[string]int // by name
	ends        map[string]int // outcomes and causes

	mu      sync.Mutex
	intents []*intent
	escrow  map[string]*escrow // by id
	acked   map[int64]string
	void    map[string]bool   // escrows that a durable entry says no chip learned
	notes   [][]byte          // of all runs
	known   []ledger.Record   // as it was read last
	passes  map[string]string // run id of a PASS that somebody saw -> serial
	bad     []string
}

// slot is one place on the line.
type slot struct {
	w        *world
	n        int
	name     string
	place    sim.Place
	span     int // moments of a whole run, about
	board    *board
	plan     []*fault
	hit      bool // a fault happened to it in this round
	moments  int
	intent   string // kind of the last that was committed in this run
	intended int    // at this moment
	cancel   context.CancelFunc
	result   *provision.Result
	serial   string // that was scanned

	mu    sync.Mutex
	trace hash.Hash
	tail  []string
}

const (
	tailLines = 400
	step      = "at %s" // of a moment
)

// note adds a line to the slot's story.
func (s *slot) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s %3d %s", s.name, s.moments, fmt.Sprintf(format, args...))
	s.trace.Write([]byte(line))
	if format == step { // too many to tell
		return
	}
	if len(s.tail) >= tailLines {
		s.tail = slices.Delete(s.tail, 0, tailLines/2)
	}
	s.tail = append(s.tail, fmt.Sprintf("%012d %s", time.Since(epoch).Microseconds(), line))
}

// epoch is when the clock of a bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violateLocked(format, args...)
}

func (w *world) violateLocked(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

// digest is that of the whole story.
func (w *world) digest() string {
	sum := sha256.New()
	for _, s := range w.slots {
		sum.Write(s.trace.Sum(nil))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// story is the end of what happened, all slots by time.
func (w *world) story(lines int) string {
	var all []string
	for _, s := range w.slots {
		all = append(all, s.tail...)
	}
	slices.Sort(all)
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

const boardCount = 4

func newWorld(t *testing.T, dir string, seed uint64, of *work) *world {
	return makeWorld(t, dir, seed, of, false)
}

// newPacedWorld is a world in which time passes as wire, USB and flash let it, and a mirror is there.
func newPacedWorld(t *testing.T, dir string, seed uint64, of *work) *world {
	return makeWorld(t, dir, seed, of, true)
}

func makeWorld(t *testing.T, dir string, seed uint64, of *work, paced bool) *world {
	w := &world{t: t, work: of, seed: seed, dice: rand.New(rand.NewPCG(seed, 1)), path: filepath.Join(dir, "ledger.db"),
		paced: paced, tickets: make(chan *ticket), over: make(chan *slot), faults: map[string]int{}, ends: map[string]int{}, acked: map[int64]string{}, escrow: map[string]*escrow{}, void: map[string]bool{}, passes: map[string]string{}}
	for i, place := range []sim.Place{{Port: "1-1"}, {Port: "1-2"}, {Port: "1-3"}, {Port: "1-3", Channel: 1}} {
		w.slots = append(w.slots, &slot{w: w, n: i, name: fmt.Sprint(i + 1), place: place, trace: sha256.New(), span: 300})
	}
	w.sim = sim.NewLine(sim.Options{Pace: w.pace()})
	for n := range boardCount {
		w.boards = append(w.boards, w.newBoard(n))
	}
	w.plug()
	if seed%4 == 0 || paced {
		w.mirror = filepath.Join(dir, "mirror")
		if err := os.Mkdir(w.mirror, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) pace() simftdi.Pace {
	if w.paced {
		return simftdi.Real
	}
	return simftdi.None
}

// plug plugs in the programmers that are missing.
func (w *world) plug() {
	there, err := w.sim.List(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for port, make := range map[string]func() sim.Device{
		"1-1": func() sim.Device { return simftdi.New(simftdi.FT232H, simftdi.Options{Pace: w.pace()}) },
		"1-2": func() sim.Device { return simch341a.New(simch341a.Options{Pace: simch341a.Pace(w.pace())}) },
		"1-3": func() sim.Device { return simftdi.New(simftdi.FT2232H, simftdi.Options{Pace: w.pace()}) },
	} {
		missing := true
		for _, d := range there {
			missing = missing && d.Port != port
		}
		if missing {
			if err := w.sim.Plug(port, make()); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) slotAt(port string, iface int) *slot {
	return w.slots[slices.IndexFunc(w.slots, func(s *slot) bool { return s.place == sim.Place{Port: port, Channel: iface} })]
}

func (w *world) slotOf(serial string) *slot {
	return w.slots[slices.IndexFunc(w.slots, func(s *slot) bool { return s.serial == serial })]
}

func (w *world) boardOf(serial string) *board {
	return w.boards[slices.IndexFunc(w.boards, func(b *board) bool { return b.serial == serial })]
}

// takeOut takes the board out of a slot.
func (w *world) takeOut(s *slot) {
	w.sim.Remove(s.place)
	if s.board != nil {
		s.board.slot, s.board = nil, nil
	}
}

// putIn puts a board into a slot, where it gets power.
func (w *world) putIn(s *slot, b *board) {
	if err := w.sim.Insert(s.place, b.chip); err != nil {
		w.violate("putting board %d in: %v", b.n, err)
	}
	s.board, b.slot = b, s
}

// pull takes the mirror's disk away, or brings it back.
func (w *world) pull(away bool) {
	if w.mirror == "" || w.away == away {
		return
	}
	from, to := w.mirror, w.mirror+".away"
	if !away {
		from, to = to, from
	}
	if err := os.Rename(from, to); err != nil {
		w.t.Fatal(err)
	}
	w.away = away
}

// kill is the death of the station, at once.
func (w *world) kill() { w.dead.Store(true) }

func (w *world) storeOptions() store.Options {
	return store.Options{Station: "campaign", Simulated: true, Software: "campaign", Signer: w.keys.Signer(), VerifierKey: w.keys.VerifierKey(),
		Now: func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }, Boot: func() time.Duration { return time.Since(epoch) }, Disk: w.onDisk, Mirror: w.mirror}
}

// start begins a life of the station over what is durable.
func (w *world) start() {
	w.dead.Store(false)
	w.disk = 0
	if w.before != nil {
		// What was not synced is gone.
		if err := os.WriteFile(w.path, w.before, 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.before = nil
	}
	w.swaps = nil
	open := store.Open
	if _, err := os.Stat(w.path); err != nil {
		open = store.Create
	}
	var err error
	if w.db, err = open(w.path, w.storeOptions()); err != nil {
		w.t.Fatalf("seed %d: opening the ledger: %v", w.seed, err)
	}
	var slots []fixtures.Slot
	for _, s := range w.slots {
		slot := fixtures.Slot{Name: s.name, Port: s.place.Port, Volts: "3.3"}
		if s.place.Port == "1-3" {
			slot.Channel = string(rune('A' + s.place.Channel))
		}
		slots = append(slots, slot)
	}
	rack, err := fixtures.NewRack(bus{w}, slots)
	if err != nil {
		w.t.Fatal(err)
	}
	o := provision.Options{Software: "campaign", Secrets: w.work, Watch: w.watch, Simulated: true}
	if w.settings != nil {
		o.Signer = &keyServer{w: w, talks: map[string]*talk{}}
	}
	w.engine = provision.New(rack, w, o)
	w.checkStart()
}

// watch is a person who reseats a board when asked.
func (w *world) watch(ev provision.Event) {
	if ev.Kind != provision.Reseat || w.dead.Load() {
		return
	}
	s := w.slots[slices.IndexFunc(w.slots, func(s *slot) bool { return s.name == ev.Slot })]
	if b := s.board; b != nil {
		w.takeOut(s)
		w.swaps = append(w.swaps, swap{s, b, time.Now().Add(swapTime)})
	}
}

// stop ends a life of the station. What a dead one would still write the disk refuses.
func (w *world) stop() {
	if err := w.db.Close(); err != nil && !w.upset {
		w.violate("closing the ledger: %v", err)
	}
}
