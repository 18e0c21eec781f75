package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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

// climb is the test of a slot's contact by rising clocks, the slot's own among them, so that no chip hears more than READ ID over wires that are too long for a clock:
// it may take a command for another one, and from READ ID no short way leads to one that changes it. The slot is free between two steps.
type climb struct {
	app   *app
	bench *bench
	at    seat
	parts []*flash.Part
	watch func(provision.Event)

	own     time.Duration // eight clocks at the slot's own clock; 0 where nobody knows, and it is tried last
	greeted bool
	part    string // "" where no profile fits
	bad     bool   // at the clock that was tried last
	tried   []clockJSON
	contact contactJSON
	result  *flash.ContactTest // at the slot's own clock; nil before it was tried
}

// run climbs. Errors are those of the programmer, that no chip answers, and that it is one of another voltage.
func (c *climb) run(ctx context.Context) error {
	for i := 0; i < len(clocks) && !c.bad; {
		passed, err := c.try(ctx, clocks[i])
		switch {
		case errors.Is(err, fixtures.ErrAbility): // higher than the programmer goes
			i = len(clocks)
		case err != nil:
			return err
		case !passed:
			i++
		default:
			if err := c.tryOwn(ctx); err != nil {
				return err
			}
		}
	}
	if c.result != nil {
		return nil
	}
	return c.tryOwn(ctx)
}

// greet wakes a chip that sleeps, at the lowest clock. Where not even its ID is alike it sends nothing else.
func (c *climb) greet(ctx context.Context, s *seated) error {
	if c.greeted {
		return nil
	}
	c.greeted = true
	m, err := flash.MeasureID(ctx, s.conn, greetIDs, nil)
	if err != nil || m.OtherIDs > 0 {
		return err
	}
	if err := s.wake(ctx); err != nil {
		return err
	}
	if s.chip != nil {
		c.part = s.chip.Part().Name
	}
	return nil
}

// try reads the ID at a clock. passed tells that this would be higher than the slot's own clock, which was not tried yet, and that nothing was sent.
func (c *climb) try(ctx context.Context, clock string) (passed bool, err error) {
	c.at.clock = clock
	err = c.app.leased(ctx, c.bench, &c.at, c.parts, c.watch, func(s *seated) error {
		byteTime := s.conn.Limits().ByteTime
		switch {
		case byteTime == 0 || len(c.tried) > 0 && byteTime.Nanoseconds() >= c.tried[len(c.tried)-1].ByteNS:
			return nil // the programmer's clock did not rise with what was asked for
		case byteTime < c.own && c.result == nil:
			passed = true
			return nil
		}
		if err := c.greet(ctx, s); err != nil {
			return err
		}
		s.begins(fmt.Sprintf("read the ID %d times at %s", contactIDs, clock))
		m, err := flash.MeasureID(ctx, s.conn, contactIDs, s.progress("reading"))
		if err != nil {
			return err
		}
		j := clockJSON{Clock: clock, ByteNS: byteTime.Nanoseconds(), ID: hexBytes(m.ID[:]), IDs: m.IDs, OtherIDs: m.OtherIDs, OK: m.Err() == nil}
		j.OK = j.OK && (len(c.tried) == 0 || j.ID == c.tried[0].ID)
		c.tried, c.bad = append(c.tried, j), !j.OK
		return nil
	})
	return passed, err
}

// tryOwn reads the ID at the slot's own clock, and where that is alike there and at all clocks below also SFDP and status.
func (c *climb) tryOwn(ctx context.Context) error {
	c.at.clock = ""
	return c.app.leased(ctx, c.bench, &c.at, c.parts, c.watch, func(s *seated) (err error) {
		if err := c.greet(ctx, s); err != nil {
			return err
		}
		s.begins(fmt.Sprintf("read the ID %d times at the slot's own clock", contactIDs))
		if c.result, err = flash.MeasureID(ctx, s.conn, contactIDs, s.progress("reading")); err != nil {
			return err
		}
		c.bad = c.bad || c.result.Err() != nil || len(c.tried) > 0 && hexBytes(c.result.ID[:]) != c.tried[0].ID
		if c.contact = s.contactJSON(c.result); !c.bad {
			if c.contact, c.result, err = s.contact(ctx); err != nil {
				return err
			}
			c.bad = !c.contact.OK
		}
		if last := len(c.tried) - 1; c.bad && last >= 0 && c.tried[last].ByteNS == c.contact.ByteNS {
			c.tried[last].OK = false // whatever its ID
		}
		c.contact.Part, c.contact.OK = c.part, !c.bad
		return nil
	})
}

// err is what the readings at the slot's own clock came to.
func (c *climb) err() error {
	if err := c.result.Err(); err != nil || c.contact.OK {
		return err
	}
	return fmt.Errorf("the readings of the ID at a lower clock differ from each other or from these: %w", flash.ErrUnsteady)
}

// ownClock is the time of eight clocks at the slot's own clock, 0 where nobody knows it, and whether another one can be chosen. Nothing is sent to the chip.
func (a *app) ownClock(ctx context.Context, b *bench, at seat, parts []*flash.Part, watch func(provision.Event)) (own time.Duration, chosen bool, err error) {
	for _, clock := range []string{"", clocks[0]} { // what is wrong without a clock is no fault of it
		at.clock = clock
		err := a.leased(ctx, b, &at, parts, watch, func(s *seated) error {
			byteTime := s.conn.Limits().ByteTime
			if clock == "" {
				own = byteTime
			}
			chosen = clock != "" && byteTime != 0
			return nil
		})
		switch {
		case clock != "" && errors.Is(err, fixtures.ErrAbility):
			return own, false, nil
		case err != nil:
			return 0, false, err
		}
	}
	return own, chosen, nil
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
