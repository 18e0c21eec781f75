package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"station/fixtures"
	"station/fixtures/libusb"
	"station/fixtures/usb"
	"station/keyserver"
	"station/ledger"
	"station/sim"
	"station/sim/ch341a"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/nor"
	"station/store"
)

// Where things are in a data directory.
func ledgerFile(data string) string { return filepath.Join(data, "ledger.db") }
func keysDir(data string) string    { return filepath.Join(data, "keys") }
func reportsDir(data string) string { return filepath.Join(data, "reports") }
func boardsDir(data string) string  { return filepath.Join(data, "sim") }

// bench is an opened station: its ledger and its slots.
type bench struct {
	stderr    io.Writer
	data      string
	config    *config
	db        *store.DB
	rack      *fixtures.Rack
	secrets   secrets
	server    *keyserver.Client // nil where the configuration names no key server
	simulated bool
	lost      int64       // the station.epoch before which entries may be missing, 0 for none
	boards    *sim.Boards // nil on metal
	places    map[string]sim.Place
	wires     wires // simulated stations only
	closers   []func() error
}

func (b *bench) Close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i]())
	}
	return errors.Join(errs...)
}

// initialise makes a data directory, real or simulated for ever.
func initialise(data string, cfg *config, simulated bool) error {
	if _, err := os.Stat(ledgerFile(data)); err == nil {
		return exit(exitRefused, fmt.Errorf("%s is a data directory already; nothing was changed", data))
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return exit(exitError, err)
	}
	keys, err := createKeys(cfg)
	if errors.Is(err, errKeysOfOther) {
		return exit(exitRefused, err)
	} else if err != nil {
		return exit(exitError, err)
	}
	defer keys.Close()
	db, err := store.Create(ledgerFile(data), storeOptions(cfg, keys, simulated))
	if err != nil {
		return exit(exitError, err)
	}
	return db.Close()
}

// ledgerLost says so of a directory without a ledger that has had one. A key alone is what an init leaves that died in between; it has signed nothing. A key beside
// traces of work is what is left of a station whose ledger was lost.
func ledgerLost(data string) error {
	if _, err := os.Stat(keysDir(data)); err != nil {
		return nil
	}
	for _, trace := range []string{reportsDir(data), boardsDir(data)} {
		if _, err := os.Stat(trace); err == nil {
			return fmt.Errorf("%s has a key and %s, but no ledger: restore %s from the backup; a new one is never made beside an old key", data, filepath.Base(trace), filepath.Base(ledgerFile(data)))
		}
	}
	return nil
}

func storeOptions(cfg *config, keys keyholder, simulated bool) store.Options {
	return store.Options{Station: cfg.Station, Simulated: simulated, Software: software(), Signer: keys.Signer(), VerifierKey: keys.VerifierKey(),
		Earlier: keys.SignerOf, Mirror: cfg.Mirror, Tell: cfg.tell}
}

// openLedgerReadOnly opens the ledger for whoever only looks.
func (a *app) openLedgerReadOnly() (*store.DB, string, error) {
	data, err := a.data()
	if err != nil {
		return nil, "", err
	}
	db, err := store.OpenReadOnly(ledgerFile(data))
	return db, data, ledgerErr(data, err)
}

func ledgerErr(data string, err error) error {
	switch {
	case err == nil, errors.As(err, new(*exitErr)): // which names another culprit than the ledger
		return err
	case errors.Is(err, fs.ErrNotExist):
		if lost := ledgerLost(data); lost != nil {
			return exit(exitError, lost)
		}
		return exit(exitRefused, fmt.Errorf("%s is not a data directory: run `station init` (or `station init --simulated`) first", data))
	case errors.Is(err, store.ErrMismatch):
		return exit(exitRefused, err)
	case goesBack(err) != nil: // once, though the tail was tried twice
		return exit(exitError, goesBack(err))
	}
	return exit(exitError, err)
}

// open opens the station for work.
func (a *app) open(ctx context.Context) (*bench, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, cfg)
}

// openWith opens the station that a configuration describes.
func (a *app) openWith(ctx context.Context, cfg *config) (*bench, error) {
	return a.openOver(ctx, cfg, (*bench).bus)
}

// openOver is openWith over another bus.
func (a *app) openOver(ctx context.Context, cfg *config, overBus func(*bench, context.Context) (usb.Bus, error)) (_ *bench, err error) {
	b := &bench{stderr: a.stderr, data: cfg.Data, config: cfg, places: map[string]sim.Place{}}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.simulated, err = isSimulated(b.data); err != nil {
		return nil, ledgerErr(b.data, err)
	}
	if err := b.checkSlots(); err != nil {
		return nil, err
	}
	keys, err := keysOf(cfg, ledgerFile(b.data))
	if err != nil {
		return nil, ledgerErr(b.data, err)
	}
	b.closers = append(b.closers, keys.Close)
	b.secrets = secrets{keys, cfg.Escrow}
	if cfg.KeyServer != nil {
		client, err := cfg.connect()
		if err != nil {
			return nil, exit(exitRefused, err)
		}
		b.server, b.closers = client, append(b.closers, client.Close)
	}
	if b.db, err = store.Open(ledgerFile(b.data), storeOptions(cfg, keys, b.simulated)); err != nil {
		return nil, ledgerErr(b.data, err)
	}
	b.closers = append(b.closers, b.db.Close)
	if err := destroyEarlier(b.db, keys); err != nil {
		fmt.Fprintf(b.stderr, "an earlier checkpoint key is still there: %v\n", err)
	}
	epochs, err := b.db.Epochs()
	if err != nil {
		return nil, exit(exitError, err)
	}
	b.lost = ledger.LostAt(epochs)
	bus, err := overBus(b, ctx)
	if errors.As(err, new(*exitErr)) {
		return nil, err
	} else if err != nil {
		return nil, exit(exitError, err)
	}
	if b.rack, err = fixtures.NewRack(bus, cfg.rackSlots()); err != nil {
		return nil, exit(exitRefused, err)
	}
	return b, nil
}

// checkSlots refuses slots that a simulated station cannot have.
func (b *bench) checkSlots() error {
	for _, s := range b.config.rackSlots() {
		if b.simulated && s.OnNetwork() {
			return exit(exitRefused, &fixtures.SlotError{Slot: s.Name, Err: fmt.Errorf("its programmer is on a network (%s), but %s is a simulated station's: its boards are files in %s; "+
				"use a data directory that `station init` made, or give the slot a USB port path", s.Port, b.data, boardsDir(b.data))})
		}
	}
	return nil
}

func isSimulated(data string) (bool, error) { return isSimulatedFile(ledgerFile(data)) }

func isSimulatedFile(path string) (bool, error) {
	db, err := store.OpenReadOnly(path)
	if err != nil {
		return false, err
	}
	defer db.Close()
	first, err := db.Entry(0)
	return first.Entry.Simulated, err
}

// bus is the metal, or a virtual line with the programmers that the configuration names. A station without slots at USB ports needs none.
func (b *bench) bus(ctx context.Context) (usb.Bus, error) {
	if !b.simulated {
		if !b.onUSB() {
			return nil, nil
		}
		return libusb.New()
	}
	line := sim.NewLine(sim.Options{})
	if err := b.plug(line, ftdi.None); err != nil {
		return nil, err
	}
	boards, err := sim.OpenBoards(boardsDir(b.data), line, nor.Options{})
	if err != nil {
		return nil, err
	}
	b.boards = boards
	b.closers = append(b.closers, boards.Close)
	if err := boards.Restore(b.places); err != nil {
		// One board that cannot be opened leaves its own slot empty, and the others alone.
		fmt.Fprintf(b.stderr, "simulated boards: %v\n", err)
	}
	return line, nil
}

// onUSB tells whether a slot is at a USB port.
func (b *bench) onUSB() bool {
	return slices.ContainsFunc(b.config.rackSlots(), func(s fixtures.Slot) bool { return !s.OnNetwork() })
}

// wires of a slot that are too long for some clocks; without a slot there are none.
type wires struct {
	slot  string
	clock int // Hz, above which the simulated programmer reads wrong bits now and then
}

// plug plugs in the programmers that the configuration names.
func (b *bench) plug(line *sim.Line, pace ftdi.Pace) error {
	plugged := map[string]bool{}
	for _, s := range b.config.Slots {
		// A slot on a channel has a two-channel programmer, one whose supply is switched the only programmer that can, one that holds its board in reset the
		// smallest that can, and any other the simplest of all.
		place := sim.Place{Port: s.Port}
		var programmer sim.Device
		switch {
		case s.Channel != "":
			place.Channel = int(s.Channel[0] - 'A')
			programmer = ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: pace, Faults: b.faults(s.Port)})
		case s.Power == fixtures.PowerSwitched:
			programmer = dediprog.New(dediprog.SF600, dediprog.Options{Pace: dediprog.Pace(pace)})
		case s.HoldReset:
			programmer = ftdi.New(ftdi.FT232H, ftdi.Options{Pace: pace})
		default:
			programmer = ch341a.New(ch341a.Options{Pace: ch341a.Pace(pace)})
		}
		b.places[s.Name] = place
		if !plugged[s.Port] {
			plugged[s.Port] = true
			if err := line.Plug(s.Port, programmer); err != nil {
				return err
			}
		}
	}
	return nil
}

// faults of the programmer at a port.
func (b *bench) faults(port string) ftdi.Faults {
	const bits, every = 0x41, 37 // not a divisor of an ID's length, so that no two readings are wrong alike
	for _, s := range b.config.Slots {
		if s.Port == port && s.Name == b.wires.slot {
			return ftdi.Faults{Channel: int(s.Channel[0] - 'A'), FlipAbove: b.wires.clock, FlipBits: bits, FlipEvery: every}
		}
	}
	return ftdi.Faults{}
}
