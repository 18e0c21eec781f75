package provision

import (
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
)

// freeze clears the global freeze bit, so that nonvolatile lock bits cannot be changed until it is set again.
type freeze struct {
	r      *run
	frozen bool
}

func (f *freeze) observe(ctx context.Context) (err error) {
	f.frozen, err = f.r.chip.Frozen(ctx)
	return err
}

func (f *freeze) decide() (bool, error) { return !f.frozen, nil }

func (f *freeze) act(ctx context.Context) error { return f.r.chip.Freeze(ctx) }

func (f *freeze) confirm(ctx context.Context) (proof, error) {
	frozen, err := f.r.chip.Frozen(ctx)
	if err != nil {
		return proof{}, err
	}
	if !frozen {
		return proof{}, fmt.Errorf("freeze bit reads back 1: %w", flash.ErrNotExecuted)
	}
	spr, err := f.r.chip.SectorProtection(ctx)
	if err != nil {
		return proof{}, err
	}
	return proof{how: "freeze bit read back", facts: []ledger.Fact{{Name: "lasts", Value: freezeLasts(flash.Protection{SPR: spr, Frozen: true})}}}, nil
}
