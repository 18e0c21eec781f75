package provision

import (
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// check looks whether the chip is as the recipe claims. For locks it does not believe the lock bits: it tries to program
// what is already there, and wants to see the chip refuse.
type check struct {
	r      *run
	s      recipes.Check
	now    flash.Protection
	probes int
}

func (c *check) observe(ctx context.Context) (err error) {
	c.now, err = c.r.chip.Protection(ctx)
	return err
}

func (c *check) decide() (bool, error) { return false, nil }

func (c *check) act(context.Context) error { return nil }

func (c *check) confirm(ctx context.Context) (proof, error) {
	p := proof{how: "read back", looked: true}
	locked := c.now.LockedRanges()
	sector := c.r.chip.Part().Sector
	for _, g := range c.s.Locked {
		if open := without(flash.Range{Addr: g.At, Size: g.Size}, locked); len(open) > 0 {
			return p, &verdict{ledger.Fail, "not-locked", fmt.Sprintf("Region %s is not locked at 0x%06X.", g.Name, open[0].Addr),
				"Put the board into the reject bin; it needs disposition."}
		}
		for at := g.At; at < g.At+g.Size; at += min(sector-at%sector, g.At+g.Size-at) {
			if err := c.r.chip.ProbeLocked(ctx, at); err != nil {
				return p, err
			}
			c.probes++
			c.r.progress("verifying")(at-g.At, g.Size)
		}
	}
	if c.probes > 0 {
		p.how = "refusal seen"
		p.facts = append(p.facts, ledger.Fact{Name: "refused writes", Value: fmt.Sprintf("%d, one a sector", c.probes)})
	}
	if c.s.Frozen != nil {
		if c.now.Frozen != *c.s.Frozen {
			return p, &verdict{ledger.Fail, "freeze", fmt.Sprintf("The chip's freeze is %t, the recipe wants %t.", c.now.Frozen, *c.s.Frozen),
				"Put the board into the reject bin; it needs disposition."}
		}
		p.facts = append(p.facts, ledger.Fact{Name: "frozen", Value: fmt.Sprint(c.now.Frozen)})
	}
	return p, nil
}
