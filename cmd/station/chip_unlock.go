package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"station/flash"
)

func (a *app) chipUnlock() *cobra.Command {
	var yes, force bool
	c := &cobra.Command{
		Use:   "unlock --slot NAME",
		Short: "Clear nonvolatile lock bits and block protection that another program left. Without --yes: only tell what would be cleared",
		Args:  cobra.NoArgs,
	}
	at := seatFlags(c)
	at.changes = true
	changeFlags(c, &yes, &force)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.onChip(c.Context(), at, func(s *seated) error { return s.unlock(c.Context(), yes, force) })
	}
	return c
}

type unlockJSON struct {
	Slot         string        `json:"slot"`
	Part         string        `json:"part"`
	UID          string        `json:"uid"`
	Nonvolatile  []flash.Range `json:"nonvolatile"`   // cleared
	BlockProtect []flash.Range `json:"block_protect"` // cleared
	Volatile     []flash.Range `json:"volatile"`      // which stay until reset or power-off
	Done         bool          `json:"done"`
}

// unlock clears what keeps sectors locked beyond power-off and can be cleared. What a password or the freeze bit keeps as it is stays.
func (s *seated) unlock(ctx context.Context, yes, force bool) error {
	refused := func(why string) error {
		return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: %s; nothing was touched", s.slot, why))
	}
	if !force {
		if err := s.free(); err != nil {
			return err
		}
	}
	part := s.chip.Part()
	if err := part.CanProtect(); err != nil {
		return refused(err.Error())
	}
	p, err := s.chip.Protection(ctx)
	if err != nil {
		return err
	}
	j := unlockJSON{Slot: s.slot, Part: part.Name, UID: s.chip.UID(), Nonvolatile: append([]flash.Range{}, p.NonvolatileRanges()...),
		BlockProtect: []flash.Range{}, Volatile: append([]flash.Range{}, p.VolatileRanges()...), Done: true}
	block := p.BlockRange()
	if block.Size > 0 {
		j.BlockProtect = append(j.BlockProtect, block)
	}
	something := len(j.Nonvolatile)+len(j.BlockProtect) > 0
	switch {
	case p.SPR != flash.FactoryMode && p.SPR != flash.PersistentMode:
		return refused(fmt.Sprintf("the chip's SPR is %04X, %s: its lock bits are to stay as they are", p.SPR, protectionMode(p.SPR)))
	case p.Frozen && something:
		return refused("the chip is frozen: take its power away and give it back, then try again")
	case something && !yes:
		j.Done = false
		if err := s.app.printUnlock(j); err != nil {
			return err
		}
		return exit(exitRefused, errors.New("nothing was touched: add --yes to do it"))
	}
	if len(j.Nonvolatile) > 0 {
		if err := s.chip.EraseNonvolatileLocks(ctx); err != nil {
			return err
		}
	}
	if block.Size > 0 {
		if err := s.chip.ProtectBlock(ctx, flash.Range{}); err != nil {
			return err
		}
	}
	return s.app.printUnlock(j)
}

func (a *app) printUnlock(j unlockJSON) error {
	if a.json {
		return a.printJSON(j)
	}
	rows := [][]string{{"unlock", j.Part + " " + j.UID}, {"nonvolatile", rangesText(j.Nonvolatile)}, {"block protection", rangesText(j.BlockProtect)}}
	if len(j.Volatile) > 0 {
		rows = append(rows, []string{"stays locked", rangesText(j.Volatile) + ", by volatile lock bits, until reset or power-off"})
	}
	switch {
	case len(j.Nonvolatile)+len(j.BlockProtect) == 0:
		rows = append(rows, []string{"nothing to do", "neither of them locks anything"})
	case j.Done:
		rows = append(rows, []string{"cleared", "and read back"})
	}
	return a.printTable(rows)
}
