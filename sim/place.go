package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"station/fixtures/usb"
	"station/sim/nor"
)

// ErrOccupied says that there is a board in the place already, or that the board is in another place.
var ErrOccupied = errors.New("place is occupied")

// Place is where a board goes: the socket on one channel of the programmer at a port.
type Place struct {
	Port    string
	Channel int // counted from 0
}

func (p Place) String() string { return fmt.Sprintf("port %s channel %d", p.Port, p.Channel) }

// Insert puts a board into a place and powers it, unless a programmer there does. A board that has power stays as it is: it never left, only the station
// was restarted. Errors are ErrOccupied, or that the programmer has no such channel; the place may be without a programmer.
func (l *Line) Insert(place Place, chip *nor.Chip) error {
	if chip == nil {
		return fmt.Errorf("%v: no board to insert", place)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, c := range l.places {
		if at == place || c == chip {
			return fmt.Errorf("%v: %w", at, ErrOccupied)
		}
	}
	fed := false
	if p := l.ports[place.Port]; p != nil {
		if err := p.dev.Attach(place.Channel, l.target(chip)); err != nil {
			return fmt.Errorf("%v: %w", place, err)
		}
		f, ok := p.dev.(interface{ Feeds() bool })
		fed = ok && f.Feeds()
	}
	if !fed {
		chip.Power(true)
	}
	l.places[place] = chip
	return nil
}

// Remove takes the board out of a place, which cuts its power, and returns it; nil where there is none.
func (l *Line) Remove(place Place) *nor.Chip {
	l.mu.Lock()
	defer l.mu.Unlock()
	chip := l.places[place]
	if chip == nil {
		return nil
	}
	chip.Power(false)
	l.letGo(place)
	return chip
}

// letGo takes a board off the pins and leaves its power as it is. l.mu is held.
func (l *Line) letGo(place Place) {
	delete(l.places, place)
	if p := l.ports[place.Port]; p != nil {
		// It was attached there, so the channel exists.
		_ = p.dev.Attach(place.Channel, nil)
	}
}

// Reseat takes the board out of a place for a while and puts it back, also when ctx ends meanwhile: then its error is returned.
func (l *Line) Reseat(ctx context.Context, place Place, out time.Duration) error {
	chip := l.Remove(place)
	if chip == nil {
		return fmt.Errorf("%v: no board to reseat: %w", place, usb.ErrNotFound)
	}
	t := time.NewTimer(out)
	defer t.Stop()
	var ended error
	select {
	case <-t.C:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	return errors.Join(ended, l.Insert(place, chip))
}

// holds tells whether this board is in this place.
func (l *Line) holds(place Place, chip *nor.Chip) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.places[place] == chip
}

// forget takes a board off the pins with its power on: the line ends, the board's life goes on.
func (l *Line) forget(place Place, chip *nor.Chip) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places[place] == chip {
		l.letGo(place)
	}
}
