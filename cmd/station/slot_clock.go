package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"station/fixtures"
	"station/flash"
	"station/provision"
)

// clocks that `slot test` tries, rising: those below the programmers' own, and the quotients of 30 MHz that an FTDI chip has. Plain reads (03) end at 54 MHz.
var clocks = []string{"1MHz", "2MHz", "3MHz", "5MHz", "6MHz", "7.5MHz", "10MHz", "15MHz", "20MHz", "24MHz", "30MHz", "40MHz", "50MHz"}

// clockJSON is what the readings at one clock came to.
type clockJSON struct {
	Clock    string `json:"clock"`   // as it was asked for
	ByteNS   int64  `json:"byte_ns"` // eight clocks of what the programmer made of it
	ID       string `json:"id"`      // the first reading
	IDs      int    `json:"ids"`
	OtherIDs int    `json:"other_ids"`
	OK       bool   `json:"ok"` // all alike, and those at the clocks below
}

// tryClocks reads the ID many times at rising clocks, until the readings are not all the same any more. None are tried where the programmer's clock
// cannot be chosen. The slot is free when it is called.
func (a *app) tryClocks(ctx context.Context, b *bench, at seat, parts []*flash.Part, watch func(provision.Event)) ([]clockJSON, error) {
	tried := []clockJSON{}
	for _, clock := range clocks {
		at.clock = clock
		var c clockJSON
		err := a.leased(ctx, b, &at, parts, watch, func(s *seated) error {
			byteTime := s.conn.Limits().ByteTime
			if byteTime == 0 || len(tried) > 0 && byteTime.Nanoseconds() >= tried[len(tried)-1].ByteNS {
				return errSameClock
			}
			s.begins(fmt.Sprintf("read the ID %d times at %s", contactIDs, clock))
			m, err := flash.MeasureID(ctx, s.conn, contactIDs, s.progress("reading"))
			if err != nil {
				return err
			}
			c = clockJSON{Clock: clock, ByteNS: byteTime.Nanoseconds(), ID: hexBytes(m.ID[:]), IDs: m.IDs, OtherIDs: m.OtherIDs, OK: m.Err() == nil}
			c.OK = c.OK && (len(tried) == 0 || c.ID == tried[0].ID)
			return nil
		})
		switch {
		case errors.Is(err, errSameClock):
			continue
		case errors.Is(err, fixtures.ErrAbility): // higher than the programmer goes, or a clock of its own
			return tried, nil
		case err != nil:
			return nil, err
		}
		if tried = append(tried, c); !c.OK {
			return tried, nil
		}
	}
	return tried, nil
}

// errSameClock: the programmer's clock did not rise with what was asked for.
var errSameClock = exit(exitDone, nil)

// checkClock refuses to look for a clock that is to be kept where the programmer's cannot be chosen.
func (a *app) checkClock(ctx context.Context, b *bench, at seat, parts []*flash.Part, watch func(provision.Event)) error {
	own := exit(exitRefused, fmt.Errorf("REFUSED: slot %s: no clock can be kept: its programmer has one of its own; leave out --keep", at.slot))
	for _, clock := range []string{"", clocks[0]} { // what is wrong without a clock is no fault of it
		at.clock = clock
		err := a.leased(ctx, b, &at, parts, watch, func(s *seated) error {
			if s.conn.Limits().ByteTime == 0 {
				return own
			}
			return nil
		})
		switch {
		case clock != "" && errors.Is(err, fixtures.ErrAbility):
			return own
		case err != nil:
			return err
		}
	}
	return nil
}

// stable is the highest clock at which all readings were good, "" for none.
func stable(tried []clockJSON) string {
	for _, c := range slices.Backward(tried) {
		if c.OK {
			return c.Clock
		}
	}
	return ""
}

// hertz is the clock that the programmer made, in a few digits.
func (c clockJSON) hertz() string {
	mega := 8e3 / float64(c.ByteNS)
	asked := float64(fixtures.Hertz(c.Clock)) / 1e6
	if mega > 0.98*asked {
		return c.Clock
	}
	return fmt.Sprintf("%s (%.3gMHz)", c.Clock, mega)
}

// clockRows show the readings.
func clockRows(j contactJSON) [][]string {
	if len(j.Clocks) == 0 {
		return [][]string{{"clock", "the programmer's own; none can be chosen"}}
	}
	var good, bad []string
	for _, c := range j.Clocks {
		if c.OK {
			good = append(good, c.hertz())
		} else {
			bad = append(bad, fmt.Sprintf("BAD at %s, %d others", c.hertz(), c.OtherIDs))
		}
	}
	text := "good at " + strings.Join(good, ", ")
	if len(good) == 0 {
		text = "good at none"
	}
	highest := j.Stable
	if highest == "" {
		highest = "none"
	}
	return [][]string{
		{"clocks", strings.Join(append([]string{text}, bad...), "; ")},
		{"highest stable", fmt.Sprintf("%s; the slot has %s", highest, slotClock(j))},
	}
}

func slotClock(j contactJSON) string {
	if j.Clock == "" {
		return "the programmer's own, " + fmt.Sprintf("%.3gMHz", 8e3/float64(max(1, j.ByteNS)))
	}
	return j.Clock
}

// wire makes the wires of a simulated slot too long.
func (b *bench) wire(w wires) error {
	i := slices.IndexFunc(b.config.Slots, func(s slot) bool { return s.Name == w.slot })
	switch {
	case !b.simulated:
		return exit(exitRefused, errors.New("--sim-wires is for simulated stations; this one is real"))
	case i >= 0 && b.config.Slots[i].Channel == "":
		return exit(exitRefused, fmt.Errorf("--sim-wires is for slots with a channel, and slot %s has none", w.slot))
	}
	b.wires = w
	return nil
}

// tryClockEdits tells what would keep keepClock from writing any clock that may be found.
func tryClockEdits(path string, text []byte, slot string) error {
	for _, clock := range clocks {
		if _, _, err := editSlots(path, text, []slotEdit{{slot, map[string]string{"clock": clock}}}); err != nil {
			return exit(exitRefused, fmt.Errorf("no clock could be kept: %w", err))
		}
	}
	return tryConfig(path)
}

// keepClock writes the clock of a slot into the configuration that was read.
func (a *app) keepClock(path string, before []byte, slot, clock string) error {
	after, changes, err := editSlots(path, before, []slotEdit{{slot, map[string]string{"clock": clock}}})
	if err != nil {
		return exit(exitRefused, fmt.Errorf("the clock was not kept: %w", err))
	}
	said := path + " says so already"
	if len(changes) > 0 {
		if err := replaceConfig(path, before, after); err != nil {
			return err
		}
		said = "written to " + path
	}
	printf(a.stderr, "slot %s  clock: %s  %s\n", slot, clock, said)
	return nil
}
