package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"station/flash"
)

// How often `slot test` reads: enough for a contact that fails once in some hundred times, in seconds on any programmer.
const (
	contactIDs   = 1000
	contactSFDPs = 10
)

func (a *app) slotTest() *cobra.Command {
	var at seat
	var area string
	var destructive, yes, force bool
	c := &cobra.Command{
		Use:   "test NAME",
		Short: "Test the contact of a slot; with --destructive test the part itself against the data sheet",
		Example: "  station slot test 1\n" +
			"  station slot test 1 --destructive --area 0x0..0x3FFFF --yes",
		Args: cobra.ExactArgs(1),
	}
	f := c.Flags()
	f.StringVar(&at.board, "sim-board", "", "insert this board `FILE` into the slot first (simulated stations only)")
	f.StringVar(&at.part, "part", "", "`PART` that it has to be (default: any that the station knows)")
	at.recipes = "recipes"
	f.StringVar(&at.recipes, "recipes", at.recipes, "`DIR`ectory of the recipes; its parts/*.yaml are profiles, too")
	f.BoolVar(&destructive, "destructive", false, "try every statement of the data sheet that can be undone; what the area holds is lost")
	f.StringVar(&area, "area", "", "`FIRST..LAST` address that may be destroyed (default: the first 256KiB); the whole part adds bulk and die erase, which take minutes")
	f.BoolVar(&yes, "yes", false, "do it (with --destructive)")
	f.BoolVar(&force, "force", false, "even to a chip that the ledger knows as passed, or has an open run of")
	c.RunE = func(c *cobra.Command, args []string) error {
		at.slot = args[0]
		if !destructive && (area != "" || yes || force) {
			return exit(exitRefused, errors.New("--area, --yes and --force go with --destructive"))
		}
		if destructive {
			return a.conform(c.Context(), &at, area, yes, force)
		}
		return a.inSlot(c.Context(), &at, func(s *seated) error { return s.contact(c.Context()) })
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
	SFDPs      int    `json:"sfdps"`
	OtherSFDPs int    `json:"other_sfdps"`
	SR         string `json:"sr"`
	FSR        string `json:"fsr"`
	Unstable   int    `json:"unstable_status"`
	Fastest    int64  `json:"fastest_us"`
	Median     int64  `json:"median_us"`
	Slowest    int64  `json:"slowest_us"`
}

// contact reads the same things many times.
func (s *seated) contact(ctx context.Context) error {
	// A contact can be tested on a part that nobody knows, and on one that answers otherwise each time; only a chip that sleeps has to be woken.
	if err := s.identify(ctx); err != nil && (errors.Is(err, flash.ErrAbsent) || ctx.Err() != nil) {
		return err
	}
	s.begins(fmt.Sprintf("test the contact by %d readings", contactIDs+contactSFDPs))
	m, err := flash.MeasureContact(ctx, s.conn, contactIDs, contactSFDPs, s.progress("reading"))
	if err != nil {
		return err
	}
	j := contactJSON{Slot: s.slot, ID: hexBytes(m.ID[:]), OK: m.Err() == nil, IDs: m.IDs, OtherIDs: m.OtherIDs, SFDPs: m.SFDPs, OtherSFDPs: m.OtherSFDPs,
		SR: hexBytes(m.Status[:1]), FSR: hexBytes(m.Status[1:]), Unstable: m.Unstable, Fastest: m.Fastest.Microseconds(), Median: m.Median.Microseconds(), Slowest: m.Slowest.Microseconds()}
	if s.chip != nil {
		j.Part = s.chip.Part().Name
	}
	if err := s.app.printContact(j); err != nil {
		return err
	}
	return m.Err()
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
	micro := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return a.printTable([][]string{
		{"contact", contact},
		{"part", part},
		{"ID", fmt.Sprintf("%s, %d times; %d others", spaced(j.ID), j.IDs-j.OtherIDs, j.OtherIDs)},
		{"SFDP", fmt.Sprintf("alike %d times; %d others", j.SFDPs-j.OtherSFDPs, j.OtherSFDPs)},
		{"status", fmt.Sprintf("SR %s, FSR %s; %d others", j.SR, j.FSR, j.Unstable)},
		{"round trip", fmt.Sprintf("%v median, %v to %v", micro(j.Median), micro(j.Fastest), micro(j.Slowest))},
	})
}
