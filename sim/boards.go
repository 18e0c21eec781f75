package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"station/sim/nor"
)

var (
	// ErrSerial says that a serial cannot name a board file.
	ErrSerial = errors.New("serial cannot name a board file")
	// ErrNoBoard says that there is no board in a slot.
	ErrNoBoard = errors.New("no board in this slot")
)

// outTime is how long a board is out of its slot when it is reseated: long enough for any supply to drain.
const outTime = 50 * time.Millisecond

// Boards are the boards of one data directory, and the hands that put them into slots. A board is a file, DIR/SERIAL.chip
// or any other; DIR/slots (slots.go) remembers which is where. Safe for concurrent use.
type Boards struct {
	dir  string
	line *Line
	opts nor.Options

	mu         sync.Mutex
	seated     map[string]seat   // by slot
	remembered map[string]string // path by slot, as in DIR/slots
}

// seat is a board in a slot.
type seat struct {
	place Place
	path  string
	chip  *nor.Chip
}

// OpenBoards opens the data directory dir, which is made where it is missing, for the places of line. Nothing is inserted
// before Restore or a scan. opts go to every chip.
func OpenBoards(dir string, line *Line, opts nor.Options) (*Boards, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("boards: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("boards: %w", err)
	}
	remembered, err := readSlots(dir)
	if err != nil {
		return nil, fmt.Errorf("boards: %w", err)
	}
	return &Boards{dir: dir, line: line, opts: opts, seated: map[string]seat{}, remembered: remembered}, nil
}

// Scan inserts the board with this serial into the place that slot is bound to, and removes the board that was there.
// A new board is made factory-blank, with this part and the UID that UID derives. The board that is there already is left
// untouched; one that is in another slot is taken out of it first. Errors wrap ErrSerial, nor.ErrPart, nor.ErrInUse,
// nor.ErrCorrupt and ErrOccupied (by another slot); then nothing has changed.
func (b *Boards) Scan(slot string, place Place, serial, part string) error {
	if err := checkSerial(serial); err != nil {
		return err
	}
	path := filepath.Join(b.dir, serial+".chip")
	return b.insert(slot, place, path, func() (*nor.Chip, error) {
		chip, err := nor.Open(path, b.opts)
		if errors.Is(err, fs.ErrNotExist) {
			chip, err = nor.Create(path, part, UID(serial), b.opts)
		}
		return chip, err
	})
}

// InsertFile is Scan for the board in any file, which must exist. A relative path is relative to the working directory.
func (b *Boards) InsertFile(slot string, place Place, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("slot %s: %w", slot, err)
	}
	return b.insert(slot, place, path, func() (*nor.Chip, error) { return nor.Open(path, b.opts) })
}

// UID is the factory UID of the simulated board with this serial: the first 14 bytes of the SHA-256 of the serial.
func UID(serial string) (uid [14]byte) {
	sum := sha256.Sum256([]byte(serial))
	copy(uid[:], sum[:])
	return uid
}

func (b *Boards) insert(slot string, place Place, path string, open func() (*nor.Chip, error)) error {
	if err := checkSlot(slot, path); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.seated[slot]; ok && s.path == path && s.place == place && b.line.holds(place, s.chip) {
		return nil
	}
	elsewhere := ""
	for name, s := range b.seated {
		if name != slot && s.place == place {
			return fmt.Errorf("slot %s: %v belongs to slot %s: %w", slot, place, name, ErrOccupied)
		}
		if s.path == path {
			elsewhere = name
		}
	}
	var chip *nor.Chip
	if elsewhere != "" {
		chip = b.takeOut(elsewhere)
	} else {
		var err error
		if chip, err = open(); err != nil {
			return fmt.Errorf("slot %s: board %s: %w", slot, filepath.Base(path), err)
		}
	}
	if old := b.takeOut(slot); old != nil {
		// Its state is in its file already; what failed in it before is past.
		_ = old.Close()
	}
	err := b.line.Insert(place, chip)
	if err != nil {
		_ = chip.Close()
		err = fmt.Errorf("slot %s: %w", slot, err)
	} else {
		b.seated[slot] = seat{place, path, chip}
		b.remembered[slot] = path
	}
	return errors.Join(err, b.writeSlots())
}

// Remove takes the board of a slot out, and lets go of its file. Errors are ErrNoBoard, and what keeps DIR/slots from being written.
func (b *Boards) Remove(slot string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	chip := b.takeOut(slot)
	if chip == nil {
		return fmt.Errorf("slot %s: %w", slot, ErrNoBoard)
	}
	_ = chip.Close() // its state is in its file already
	return b.writeSlots()
}

// takeOut removes the board of a slot, which cuts its power, and forgets it there; nil where there is none. b.mu is held.
func (b *Boards) takeOut(slot string) *nor.Chip {
	delete(b.remembered, slot)
	s, ok := b.seated[slot]
	if !ok {
		return nil
	}
	delete(b.seated, slot)
	if b.line.holds(s.place, s.chip) {
		b.line.Remove(s.place)
	}
	return s.chip
}

// Restore inserts at start what DIR/slots remembers, each into the place of its slot. A board that was left with power
// goes on with it. A board whose file is missing is forgotten; one that cannot be opened is reported, and the others are
// inserted nevertheless. Slots that places does not have keep what is remembered.
func (b *Boards) Restore(places map[string]Place) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed []error
	for _, slot := range slices.Sorted(maps.Keys(b.remembered)) {
		place, ok := places[slot]
		if _, seated := b.seated[slot]; !ok || seated {
			continue
		}
		path := b.remembered[slot]
		chip, err := nor.Open(path, b.opts)
		if errors.Is(err, fs.ErrNotExist) {
			delete(b.remembered, slot)
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("slot %s: board %s: %w", slot, filepath.Base(path), err))
			continue
		}
		if err := b.line.Insert(place, chip); err != nil {
			_ = chip.Close()
			failed = append(failed, fmt.Errorf("slot %s: %w", slot, err))
			continue
		}
		b.seated[slot] = seat{place, path, chip}
	}
	return errors.Join(append(failed, b.writeSlots())...)
}

// Reseat takes the board of a slot out and puts it back, which power-cycles it. Errors are ErrNoBoard and that of ctx; the
// board is back in either case.
func (b *Boards) Reseat(ctx context.Context, slot string) error {
	b.mu.Lock()
	s, ok := b.seated[slot]
	b.mu.Unlock()
	if !ok {
		return fmt.Errorf("slot %s: %w", slot, ErrNoBoard)
	}
	if err := b.line.Reseat(ctx, s.place, outTime); err != nil {
		return fmt.Errorf("slot %s: %w", slot, err)
	}
	return nil
}

// Close lets go of the board files. Boards stay in their slots, with power: so a station that died leaves them.
func (b *Boards) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed []error
	for slot, s := range b.seated {
		b.line.forget(s.place, s.chip)
		failed = append(failed, s.chip.Close())
		delete(b.seated, slot)
	}
	return errors.Join(failed...)
}

// checkSerial refuses serials that cannot be file names anywhere.
func checkSerial(serial string) error {
	bad := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`/\:*?"<>|`, r) }
	switch {
	case serial == "":
		return fmt.Errorf("%w: it is empty", ErrSerial)
	case len(serial) > 64:
		return fmt.Errorf("%w: it has %d characters, more than 64", ErrSerial, len(serial))
	case serial[0] == '.':
		return fmt.Errorf("%w: %q begins with a dot", ErrSerial, serial)
	case strings.ContainsFunc(serial, bad):
		return fmt.Errorf("%w: %q has a character that file names may not have", ErrSerial, serial)
	}
	return nil
}
