package performance

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"station/fixtures"
	"station/keyring"
	"station/ledger"
	"station/provision"
	"station/recipes"
	"station/sim"
	simch341a "station/sim/ch341a"
	simdediprog "station/sim/dediprog"
	simftdi "station/sim/ftdi"
	"station/sim/nor"
	simpico "station/sim/pico"
	simserprog "station/sim/serprog"
	"station/store"
)

// partName is the part of every promise: 32 MiB, four address bytes.
const partName = "MT25QL256ABA"

// line is a station from the engine down to simulated chips. Everything above the USB is what ships.
type line struct {
	t      testing.TB
	paced  bool
	sim    *sim.Line
	rack   *fixtures.Rack
	db     *store.DB
	engine *provision.Engine
	places map[string]sim.Place
}

// programmer is what is plugged in for a slot.
type programmer struct {
	slot, port string
	ch341a     bool   // else
	pico       bool   // else
	dediprog   bool   // an SF600 that gives 3.5 V; else an FT232H
	clock      string // "" is the family's own
	packets    int    // in a frame of its bus, at full speed; 0 is what fits, 33
}

// fast is an FT232H at its highest clock.
func fast(slot, port string) programmer { return programmer{slot: slot, port: port, clock: "30MHz"} }

// newLine plugs programmers in. paced: time passes as wire, USB and flash let it, which belongs in a synctest bubble.
func newLine(t testing.TB, paced bool, programmers ...programmer) *line {
	t.Helper()
	l := &line{t: t, paced: paced, places: map[string]sim.Place{}}
	pace := simftdi.None
	if paced {
		pace = simftdi.Real
	}
	o := sim.Options{Pace: pace}
	for _, p := range programmers {
		o.FramePackets = max(o.FramePackets, p.packets)
	}
	l.sim = sim.NewLine(o)
	var slots []fixtures.Slot
	for _, p := range programmers {
		var dev sim.Device = simftdi.New(simftdi.FT232H, simftdi.Options{Pace: pace})
		switch {
		case p.ch341a:
			dev = simch341a.New(simch341a.Options{Pace: simch341a.Pace(pace)})
		case p.pico:
			dev = simpico.New(simpico.Options{Pace: simserprog.Pace(pace)})
		case p.dediprog:
			dev = simdediprog.New(simdediprog.SF600, simdediprog.Options{Pace: simdediprog.Pace(pace)})
		}
		must(t, l.sim.Plug(p.port, dev))
		volts := "3.3"
		if p.dediprog {
			volts = "3.5"
		}
		slots = append(slots, fixtures.Slot{Name: p.slot, Port: p.port, Volts: volts, Clock: p.clock})
		l.places[p.slot] = sim.Place{Port: p.port}
	}
	var err error
	l.rack, err = fixtures.NewRack(l.sim, slots)
	must(t, err)

	dir := t.TempDir()
	files, err := keyring.CreateFile(filepath.Join(dir, "keys"), nil)
	must(t, err)
	keys, err := keyring.Create(files, "bench")
	must(t, err)
	l.db, err = store.Create(filepath.Join(dir, "ledger.db"), store.Options{Station: "bench", Simulated: true, Software: "bench", Signer: keys.Signer(), VerifierKey: keys.VerifierKey()})
	must(t, err)
	l.watch(nil)
	return l
}

// watch makes the engine tell what it does.
func (l *line) watch(watch func(provision.Event)) {
	l.engine = provision.New(l.rack, l.db, provision.Options{Software: "bench", Watch: watch})
}

// close ends what runs, so that a bubble can end.
func (l *line) close() {
	must(l.t, l.sim.Close())
	must(l.t, l.db.Close())
}

// chip is a factory-blank one with a UID made from n.
func (l *line) chip(n int) *nor.Chip {
	l.t.Helper()
	chip, err := nor.New(partName, uid(n), l.chipOptions())
	must(l.t, err)
	return chip
}

func (l *line) chipOptions() nor.Options {
	if l.paced {
		return nor.Options{Pace: nor.Real}
	}
	return nor.Options{}
}

func uid(n int) (u [14]byte) {
	binary.BigEndian.PutUint32(u[:], uint32(n)+1)
	return u
}

// seat puts a board into a slot in place of the one that is there.
func (l *line) seat(slot string, chip *nor.Chip) {
	l.t.Helper()
	l.sim.Remove(l.places[slot])
	must(l.t, l.sim.Insert(l.places[slot], chip))
}

// run provisions the board in a slot and returns how long that took. Anything but PASS fails the test.
func (l *line) run(r *recipes.Recipe, slot string, serial int) time.Duration {
	began := time.Now()
	res := l.engine.Run(context.Background(), provision.Order{Recipe: r, Serial: fmt.Sprintf("P-%d", serial), Slot: slot, Operator: "op-1"})
	if res.Outcome != ledger.Pass {
		l.t.Errorf("slot %s: %s %s: %s (%v)", slot, res.Outcome, res.Cause, res.Message, res.Err)
	}
	return time.Since(began)
}

// image is n bytes that do not compress and of which no page is blank.
func image(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// recipe writes an image to the beginning of the part, and nothing else.
func recipe(t testing.TB, image []byte) *recipes.Recipe {
	t.Helper()
	r, err := recipes.Load(recipeFile(t, image))
	must(t, err)
	return r
}

// recipeFile is the path of such a recipe.
func recipeFile(t testing.TB, image []byte) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "all.bin"), image, 0o644))
	path := filepath.Join(dir, "bench.yaml")
	must(t, os.WriteFile(path, fmt.Appendf(nil, `schema: 1
recipe: bench
version: 1
title: One image
parts: [%s]
serial: '^P-[0-9]+$'
images:
  all: {file: all.bin, sha256: "%x"}
regions:
  all: {at: 0, size: %d}
elsewhere: keep
steps:
  - write: {region: all, image: all}
`, partName, sha256.Sum256(image), len(image)), 0o644))
	return path
}

// programmed is more than a page takes.
const programmed = 200 * time.Microsecond

// program puts data on a chip from its beginning on, at its pins, page by page with a pause after each: how a board comes to hold what it is to lose.
func program(chip *nor.Chip, data []byte, pause time.Duration) {
	frame := func(out []byte) {
		chip.Select()
		chip.Shift(out, nil)
		chip.Deselect()
	}
	const page = 256
	for addr := 0; addr < len(data); addr += page {
		frame([]byte{0x06})
		out := binary.BigEndian.AppendUint32([]byte{0x12}, uint32(addr))
		frame(append(out, data[addr:addr+page]...))
		time.Sleep(pause)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
