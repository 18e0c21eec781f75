package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"station/flash"
	"station/ledger"
)

func (a *app) chipWrite() *cobra.Command {
	var where span
	var yes, force bool
	c := &cobra.Command{
		Use:   "write FILE --slot NAME",
		Short: "Write a file to the part, and verify it; nothing beside it changes. Without --yes: only tell what would be done",
		Args:  cobra.ExactArgs(1),
	}
	at := seatFlags(c)
	at.changes = true
	where.flags(c, false)
	changeFlags(c, &yes, &force)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.withContent(c.Context(), at, &where, args[0], func(s *seated, content flash.Extent) error {
			return s.change(c.Context(), "write", content, yes, force)
		})
	}
	return c
}

func (a *app) chipErase() *cobra.Command {
	var where span
	var yes, force bool
	c := &cobra.Command{
		Use:   "erase --slot NAME",
		Short: "Make the part, or a range of it, FF, and verify it; nothing beside it changes. Without --yes: only tell what would be done",
		Args:  cobra.NoArgs,
	}
	at := seatFlags(c)
	at.changes = true
	where.flags(c, true)
	changeFlags(c, &yes, &force)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, err := where.start(); err != nil {
			return err
		}
		return a.onChip(c.Context(), at, func(s *seated) error {
			r, err := where.of(s.chip.Part())
			if err != nil {
				return err
			}
			return s.change(c.Context(), "erase", flash.Extent{Addr: r.Addr, Size: r.Size}, yes, force)
		})
	}
	return c
}

func changeFlags(c *cobra.Command, yes, force *bool) {
	c.Flags().BoolVar(yes, "yes", false, "do it")
	c.Flags().BoolVar(force, "force", false, "even to a chip that the ledger knows as passed, or has an open run of")
}

type changeJSON struct {
	Slot         string        `json:"slot"`
	Part         string        `json:"part"`
	UID          string        `json:"uid"`
	Action       string        `json:"action"` // write, erase
	At           int64         `json:"at"`
	Size         int64         `json:"size"`
	Kept         []flash.Range `json:"kept"`   // neighbours in the same erase units, which are as before
	Erases       []string      `json:"erases"` // "3 x 64KiB"
	EraseBytes   int64         `json:"erase_bytes"`
	Programs     int           `json:"programs"` // pages
	ProgramBytes int64         `json:"program_bytes"`
	Typical      int64         `json:"typical_ms"`
	Done         bool          `json:"done"`
}

// change makes the chip hold want, and all else as it is.
func (s *seated) change(ctx context.Context, action string, want flash.Extent, yes, force bool) error {
	if !force {
		if err := s.free(); err != nil {
			return err
		}
	}
	p := s.chip.Part()
	s.begins(fmt.Sprintf("%s %s from 0x%06X on", action, sizeText(want.Size), want.Addr))
	known, err := s.chip.Survey(ctx, []flash.Extent{{Addr: want.Addr, Size: want.Size}}, s.progress("reading"))
	if err != nil {
		return err
	}
	all, edges, kept := keeping(p, want, known)
	plan, err := flash.NewPlan(p, all, known.Sector)
	if err != nil {
		return err
	}
	if err := s.unlocked(ctx, plan); err != nil {
		return err
	}
	j := changeJSON{Slot: s.slot, Part: p.Name, UID: s.chip.UID(), Action: action, At: want.Addr, Size: want.Size, Kept: append([]flash.Range{}, kept...), Erases: eraseTexts(plan),
		EraseBytes: plan.EraseBytes, Programs: plan.Programs, ProgramBytes: plan.ProgramBytes, Typical: plan.Typical(s.conn.Limits().ByteTime).Milliseconds(), Done: true}
	if len(plan.Ops) > 0 && !yes {
		j.Done = false
		if err := s.app.printChange(j); err != nil {
			return err
		}
		return exit(exitRefused, errors.New("nothing was touched: add --yes to do it"))
	}
	if err := s.apply(ctx, plan, all, edges); err != nil {
		return err
	}
	return s.app.printChange(j)
}

// apply carries the plan out and verifies. Whatever ends it early, the edges are then made whole: they held neighbours that were to be kept.
func (s *seated) apply(ctx context.Context, plan *flash.Plan, all, edges []flash.Extent) error {
	err := s.chip.Apply(ctx, plan, s.progress("writing"))
	if err == nil {
		return s.chip.Verify(ctx, all, s.progress("verifying"))
	}
	if len(edges) == 0 {
		return err
	}
	const limit = time.Minute // for two of the smallest erase units
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	known, lost := s.chip.Survey(bounded, edges, nil)
	if lost == nil {
		var again *flash.Plan
		if again, lost = flash.NewPlan(plan.Part, edges, known.Sector); lost == nil {
			lost = s.chip.Apply(bounded, again, nil)
		}
	}
	if lost == nil {
		lost = s.chip.Verify(bounded, edges, nil)
	}
	if lost != nil {
		var units []flash.Range
		for _, e := range edges {
			units = append(units, flash.Range{Addr: e.Addr, Size: e.Size})
		}
		return exit(exitError, fmt.Errorf("ERROR: slot %s: it ended early (%w), and what was to be kept in %s may be lost: %w", s.slot, err, rangesText(units), lost))
	}
	return err
}

// keeping widens want to whole erase units, with the bytes around it as they are. edges are those of all that hold such bytes, and kept is where.
func keeping(p *flash.Part, want flash.Extent, known flash.Known) (all, edges []flash.Extent, kept []flash.Range) {
	unit, end := p.Erases[0].Size, want.Addr+want.Size
	data := func(from, to int64) []byte { // of what is wanted
		n := int64(len(want.Data))
		return want.Data[min(from-want.Addr, n):min(to-want.Addr, n)]
	}
	for lo := want.Addr / unit * unit; lo < end; {
		hi := lo + unit
		if lo >= want.Addr && hi <= end {
			hi = end / unit * unit
			all = append(all, flash.Extent{Addr: lo, Size: hi - lo, Data: data(lo, hi)})
			lo = hi
			continue
		}
		a, b := max(lo, want.Addr), min(hi, end)
		bytes := present(p, known, lo, unit)
		for i := range bytes[a-lo : b-lo] {
			bytes[a-lo+int64(i)] = 0xFF
		}
		copy(bytes[a-lo:], data(a, b))
		for _, r := range []flash.Range{{Addr: lo, Size: a - lo}, {Addr: b, Size: hi - b}} {
			if r.Size > 0 {
				kept = append(kept, r)
			}
		}
		e := flash.Extent{Addr: lo, Size: unit, Data: bytes}
		all, edges = append(all, e), append(edges, e)
		lo = hi
	}
	return all, edges, kept
}

// present are n bytes of one sector as they were surveyed.
func present(p *flash.Part, known flash.Known, addr, n int64) []byte {
	if data := known.Sector(int(addr / p.Sector)).Data; data != nil {
		return slices.Clone(data[addr%p.Sector : addr%p.Sector+n])
	}
	out := make([]byte, n)
	for i := range out {
		out[i] = 0xFF
	}
	return out
}

// free refuses a chip that the ledger tells of: a change behind its back would make what it tells wrong.
func (s *seated) free() error {
	runs, err := s.bench.db.Runs("", s.chip.UID())
	if err != nil {
		return exit(exitError, err)
	}
	for _, r := range runs {
		switch {
		case r.Open():
			return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: unit %q has an open run on this chip: finish it with `station run`, or settle it with `station unit close`; --force changes the chip nevertheless", s.slot, r.Serial))
		case r.Outcome() == ledger.Pass:
			return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: this chip passed as unit %q, and its report tells what it holds; --force changes it nevertheless", s.slot, r.Serial))
		}
	}
	return nil
}

// unlocked refuses a plan that a lock would meet.
func (s *seated) unlocked(ctx context.Context, plan *flash.Plan) error {
	if len(plan.Ops) == 0 {
		return nil
	}
	var within []flash.Range
	for _, op := range plan.Ops {
		within = append(within, flash.Range{Addr: op.Addr, Size: op.Size})
	}
	protection, err := s.chip.ProtectionWithin(ctx, within...)
	if err != nil {
		return err
	}
	unit := plan.Part.Erases[0].Size // no lock is finer
	for _, op := range plan.Ops {
		for at := op.Addr; at < op.Addr+op.Size; at = (at/unit + 1) * unit {
			if protection.Touched(at, 1) {
				return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: 0x%06X is locked (`station chip protection` tells how, `station chip unlock` clears what can be); nothing was touched", s.slot, at))
			}
		}
	}
	return nil
}

func eraseTexts(plan *flash.Plan) []string {
	out := []string{}
	sizes := []int64{}
	for size := range plan.Erases {
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	for _, size := range sizes {
		out = append(out, fmt.Sprintf("%d x %s", plan.Erases[size], sizeText(size)))
	}
	return out
}

func (a *app) printChange(j changeJSON) error {
	if a.json {
		return a.printJSON(j)
	}
	r := flash.Range{Addr: j.At, Size: j.Size}
	rows := [][]string{{j.Action, r.String() + " of " + j.Part + " " + j.UID}}
	switch {
	case len(j.Erases) == 0 && j.Programs == 0:
		rows = append(rows, []string{"nothing to do", "the part holds that already"})
	default:
		erases := "nothing"
		if len(j.Erases) > 0 {
			erases = fmt.Sprintf("%s (%s)", strings.Join(j.Erases, ", "), sizeText(j.EraseBytes))
		}
		programs := "nothing"
		if j.Programs > 0 {
			programs = fmt.Sprintf("%s (%s)", count(int64(j.Programs), "page"), sizeText(j.ProgramBytes))
		}
		rows = append(rows, []string{"erases", erases}, []string{"programs", programs},
			[]string{"typical time", (time.Duration(j.Typical) * time.Millisecond).String()})
	}
	rows = append(rows, []string{"kept beside it", rangesText(j.Kept)})
	if j.Done {
		rows = append(rows, []string{"verified", "by reading back"})
	}
	return a.printTable(rows)
}
