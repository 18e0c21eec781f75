package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"station/fixtures"
	"station/fixtures/usb"
	"station/flash"
	"station/provision"
)

// How often `slot test` reads: enough for a contact that fails once in some hundred times, in seconds on any programmer.
const (
	contactIDs   = 1000
	contactSFDPs = 10
	greetIDs     = 100 // before anything else is sent
)

func (a *app) slotTest() *cobra.Command {
	var at seat
	var area string
	var destructive, yes, force, keep bool
	var wiring string
	c := &cobra.Command{
		Use:   "test NAME",
		Short: "Test the contact of a slot, and up to which SPI clock it is good; with --destructive test the part itself against the data sheet",
		Example: "  station slot test 1\n" +
			"  station slot test 1 --keep\n" +
			"  station slot test 1 --destructive --area 0x0..0x3FFFF --yes",
		Args: cobra.ExactArgs(1),
	}
	f := c.Flags()
	f.StringVar(&at.board, "sim-board", "", "insert this board `FILE` into the slot first (simulated stations only)")
	f.StringVar(&at.part, "part", "", "`PART` that it has to be (default: any that the station knows)")
	at.recipes = "recipes"
	f.StringVar(&at.recipes, "recipes", at.recipes, "`DIR`ectory of the recipes; its parts/*.yaml are profiles, too")
	f.BoolVar(&keep, "keep", false, "write the highest stable clock into the configuration, as the slot's `clock`")
	f.StringVar(&wiring, "sim-wires", "", "the slot's wires are bad above this `CLOCK` (simulated stations only)")
	f.BoolVar(&destructive, "destructive", false, "try every statement of the data sheet that can be undone; what the area holds is lost")
	f.StringVar(&area, "area", "", "`FIRST..LAST` address that may be destroyed (default: the first 256KiB); the whole part adds bulk and die erase, which take minutes")
	f.BoolVar(&yes, "yes", false, "do it (with --destructive)")
	f.BoolVar(&force, "force", false, "even to a chip that the ledger knows as passed, or has an open run of")
	c.RunE = func(c *cobra.Command, args []string) error {
		at.slot = args[0]
		if !destructive && (area != "" || yes || force) {
			return exit(exitRefused, errors.New("--area, --yes and --force go with --destructive"))
		}
		switch {
		case destructive && (keep || wiring != ""):
			return exit(exitRefused, errors.New("--keep and --sim-wires are for the test of the contact, not for --destructive"))
		case destructive:
			return a.conform(c.Context(), &at, area, yes, force)
		}
		return a.testContact(c.Context(), &at, wiring, keep)
	}
	return c
}

type contactJSON struct {
	Slot       string `json:"slot"`
	Part       string `json:"part"` // "" where no profile fits
	ID         string `json:"id"`
	OK         bool   `json:"ok"`
	IDs        int    `json:"ids"`
	OtherIDs   int    `json:"other_ids"` // that differ from the first
	SFDPs      int    `json:"sfdps"`     // 0 where the ID alone was read, since that was bad at the slot's clock or below
	OtherSFDPs int    `json:"other_sfdps"`
	SR         string `json:"sr"`
	FSR        string `json:"fsr"`
	Unstable   int    `json:"unstable_status"`
	Fastest    int64  `json:"fastest_us"`
	Median     int64  `json:"median_us"`
	Slowest    int64  `json:"slowest_us"`

	Clock  string      `json:"clock"`   // of all that, as the configuration has it; "" is the programmer's own
	ByteNS int64       `json:"byte_ns"` // eight clocks of it; 0 where nobody knows
	Clocks []clockJSON `json:"clocks"`  // tried beside that, rising up to the first that was bad; none where no clock can be chosen
	Stable string      `json:"stable"`  // the highest good one of these; "" for none
}

// testContact tests the contact at rising clocks, the slot's own among them, and keeps the best where it is told to.
func (a *app) testContact(ctx context.Context, at *seat, wiring string, keep bool) error {
	var path string
	var text []byte
	if keep {
		var err error
		if path, text, err = a.configFileText(); err == nil { // before minutes of reading
			err = tryClockEdits(path, text, at.slot)
		}
		if err != nil {
			return err
		}
	}
	w := wires{at.slot, fixtures.Hertz(wiring)}
	if wiring != "" && w.clock == 0 {
		return exit(exitRefused, fmt.Errorf("--sim-wires %q: want a clock such as 12MHz", wiring))
	}
	bus := func(b *bench, ctx context.Context) (usb.Bus, error) {
		if wiring != "" {
			if err := b.wire(w); err != nil {
				return nil, err
			}
		}
		return b.bus(ctx)
	}
	return a.onBench(ctx, at, bus, func(b *bench, parts []*flash.Part, watch func(provision.Event)) error {
		own, chosen, err := a.ownClock(ctx, b, *at, parts, watch)
		var j contactJSON
		var bad error
		switch {
		case err != nil:
			return err
		case chosen:
			c := &climb{app: a, bench: b, at: *at, parts: parts, watch: watch, own: own}
			if err := c.run(ctx); err != nil {
				return err
			}
			j, bad = c.contact, c.err()
			j.Clocks = append(j.Clocks, c.tried...)
		case keep:
			return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: no clock can be kept: its programmer has one of its own; leave out --keep", at.slot))
		default:
			err := a.leased(ctx, b, at, parts, watch, func(s *seated) error {
				if err := s.wake(ctx); err != nil {
					return err
				}
				var m *flash.ContactTest
				if j, m, err = s.contact(ctx); err == nil {
					bad = m.Err()
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		for _, s := range b.rack.Slots() {
			if s.Name == at.slot {
				j.Clock = s.Clock
			}
		}
		j.Stable = stable(j.Clocks)
		if err := a.printContact(j); err != nil {
			return err
		}
		switch {
		case !keep:
			return (&seated{seat: *at, app: a, bench: b}).fault(ctx, bad)
		case j.Stable == "":
			return exit(exitError, fmt.Errorf("ERROR: slot %s: no clock was kept, since none is stable: reseat the board; if it happens again, clean the slot", at.slot))
		}
		return a.keepClock(path, text, at.slot, j.Stable)
	})
}

// wake wakes a chip that sleeps, and finds out what it is. A contact can be tested on a part that nobody knows, and on one that answers otherwise each time; only one that
// does not answer at all cannot be, and one of another voltage is not to be fed any longer.
func (s *seated) wake(ctx context.Context) error {
	if err := s.identify(ctx); err != nil && (errors.Is(err, flash.ErrAbsent) || errors.Is(err, errTakeOut) || ctx.Err() != nil) {
		return err
	}
	return nil
}

// contact reads the same things many times.
func (s *seated) contact(ctx context.Context) (contactJSON, *flash.ContactTest, error) {
	s.begins(fmt.Sprintf("test the contact by %d readings", contactIDs+contactSFDPs))
	m, err := flash.MeasureContact(ctx, s.conn, contactIDs, contactSFDPs, s.progress("reading"))
	if err != nil {
		return contactJSON{}, nil, err
	}
	j := s.contactJSON(m)
	j.SR, j.FSR = hexBytes(m.Status[:1]), hexBytes(m.Status[1:])
	return j, m, nil
}

// contactJSON is what readings at the slot's clock came to, the status left out.
func (s *seated) contactJSON(m *flash.ContactTest) contactJSON {
	j := contactJSON{Clocks: []clockJSON{}, ByteNS: s.conn.Limits().ByteTime.Nanoseconds(), Slot: s.slot, ID: hexBytes(m.ID[:]), OK: m.Err() == nil, IDs: m.IDs, OtherIDs: m.OtherIDs, SFDPs: m.SFDPs, OtherSFDPs: m.OtherSFDPs,
		Unstable: m.Unstable, Fastest: m.Fastest.Microseconds(), Median: m.Median.Microseconds(), Slowest: m.Slowest.Microseconds()}
	if s.chip != nil {
		j.Part = s.chip.Part().Name
	}
	return j
}

func (a *app) printContact(j contactJSON) error {
	if a.json {
		return a.printJSON(j)
	}
	part, contact := j.Part, "good"
	if part == "" {
		part = "unknown: `station chip info` tells more"
	}
	if !j.OK {
		contact = "BAD"
	}
	rows := [][]string{{"contact", contact}, {"part", part}, {"ID", fmt.Sprintf("%s, %d times; %d others", spaced(j.ID), j.IDs-j.OtherIDs, j.OtherIDs)}}
	if j.SFDPs == 0 {
		return a.printTable(append(append(rows, []string{"SFDP, status", "not read: nothing but READ ID is sent at a clock that may be too high"}), clockRows(j)...))
	}
	micro := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return a.printTable(slices.Concat(rows, [][]string{
		{"SFDP", fmt.Sprintf("alike %d times; %d others", j.SFDPs-j.OtherSFDPs, j.OtherSFDPs)},
		{"status", fmt.Sprintf("SR %s, FSR %s; %d others", j.SR, j.FSR, j.Unstable)},
		{"round trip", fmt.Sprintf("%v median, %v to %v", micro(j.Median), micro(j.Fastest), micro(j.Slowest))},
	}, clockRows(j)))
}
