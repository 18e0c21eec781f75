package provision

import (
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// config sets the nonvolatile configuration register, which the chip loads with the next reset or power-up.
type config struct {
	r   *run
	s   recipes.Config
	now uint16
}

func (c *config) observe(ctx context.Context) error {
	registers, err := c.r.chip.Registers(ctx)
	c.now = registers.NVCR
	return err
}

func (c *config) decide() (bool, error) { return c.now != c.s.NVCR, nil }

func (c *config) act(ctx context.Context) error { return c.r.chip.WriteNVCR(ctx, c.s.NVCR) }

func (c *config) confirm(ctx context.Context) (proof, error) {
	before := c.now
	if err := c.observe(ctx); err != nil {
		return proof{}, err
	}
	if c.now != c.s.NVCR {
		return proof{}, fmt.Errorf("the nonvolatile configuration register reads back %04X: %w", c.now, flash.ErrNotExecuted)
	}
	return proof{how: "register read back", facts: []ledger.Fact{{Name: "register", Value: fmt.Sprintf("%04X, was %04X", c.now, before)}}}, nil
}
