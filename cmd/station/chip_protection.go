package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"station/flash"
)

type protectionJSON struct {
	Slot         string        `json:"slot"`
	Part         string        `json:"part"`
	UID          string        `json:"uid"`
	Nonvolatile  []flash.Range `json:"nonvolatile"`
	Volatile     []flash.Range `json:"volatile"`
	LockedDown   []flash.Range `json:"locked_down"` // those of volatile that stay until reset or power-off
	BlockProtect []flash.Range `json:"block_protect"`
	Locked       []flash.Range `json:"locked"` // for any reason
	Frozen       bool          `json:"frozen"`
	SPR          string        `json:"spr"`
	Mode         string        `json:"mode"`
}

func (a *app) chipProtection() *cobra.Command {
	c := &cobra.Command{Use: "protection --slot NAME", Short: "What is locked on the part, and how; changes nothing", Args: cobra.NoArgs}
	at := seatFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.onChip(c.Context(), at, func(s *seated) error {
			p, err := s.chip.Protection(c.Context())
			if err != nil {
				return err
			}
			j := protectionJSON{Slot: s.slot, Part: s.chip.Part().Name, UID: s.chip.UID(), Nonvolatile: append([]flash.Range{}, p.NonvolatileRanges()...),
				Volatile: append([]flash.Range{}, p.VolatileRanges()...), LockedDown: append([]flash.Range{}, p.LockedDownRanges()...), BlockProtect: []flash.Range{},
				Locked: append([]flash.Range{}, p.LockedRanges()...), Frozen: p.Frozen, SPR: fmt.Sprintf("%04X", p.SPR), Mode: protectionMode(p.SPR)}
			if b := p.BlockRange(); b.Size > 0 {
				j.BlockProtect = append(j.BlockProtect, b)
			}
			if a.json {
				return a.printJSON(j)
			}
			frozen := "not frozen: nonvolatile lock bits can be set and erased"
			if p.Frozen {
				frozen = "frozen: nonvolatile lock bits cannot change"
			}
			return a.printTable([][]string{
				{"part", j.Part + "  " + j.UID},
				{"nonvolatile", rangesText(j.Nonvolatile)},
				{"volatile", rangesText(j.Volatile)},
				{"locked down", rangesText(j.LockedDown)},
				{"block protection", rangesText(j.BlockProtect)},
				{"locked in all", rangesText(j.Locked)},
				{"freeze bit", frozen},
				{"SPR", j.SPR + "  " + j.Mode},
			})
		})
	}
	return c
}

// protectionMode is the sector protection register in words.
func protectionMode(spr uint16) string {
	switch spr {
	case 0xFFFF:
		return "as it left the factory: no mode was chosen"
	case flash.PasswordMode:
		return "password mode, for ever"
	case flash.PersistentMode:
		return "persistent mode, for ever: password mode can never be chosen"
	}
	return "a value that no mode has"
}

func rangesText(ranges []flash.Range) string {
	if len(ranges) == 0 {
		return "none"
	}
	var out []string
	for _, r := range ranges {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}
