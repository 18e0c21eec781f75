package provision

import (
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
)

// persistent chooses the mode without password, for ever: password mode can never be switched on in this chip.
type persistent struct {
	r      *run
	spr    uint16
	intent bool // this run is about to choose the mode, or did
	proven bool
}

func (p *persistent) observe(ctx context.Context) (err error) {
	see := func(_ *ledger.Run, b ledger.Body) {
		switch b.(type) {
		case ledger.ModeIntent:
			p.intent = true
		case ledger.ModeProven:
			p.proven = true
		}
	}
	for _, b := range p.r.books {
		see(nil, b)
	}
	if !p.intent { // a rework finds the mode that an earlier run chose
		p.r.rework.each(see)
		p.proven = p.intent
	}
	p.spr, err = p.r.chip.SectorProtection(ctx)
	return err
}

func (p *persistent) decide() (bool, error) {
	switch {
	case p.spr == flash.PersistentMode && p.intent:
		return false, nil
	case p.spr == flash.PersistentMode:
		return false, stuck("persistent-mode-foreign", "Persistent protection is on, and this run did not switch it on.",
			"Find out where the board was before. Close the unit as scrapped, unless it may have this mode from elsewhere.")
	case p.spr == flash.FactoryMode:
		return true, nil
	}
	return false, stuck("protection-register", fmt.Sprintf("The sector protection register holds %04X: the mode was chosen already, or torn.", p.spr),
		"Close the unit as scrapped, unless its password is known.")
}

func (p *persistent) act(ctx context.Context) error {
	err := p.r.record(ctx, ledger.ModeIntent{Run: p.r.id, Serial: p.r.o.Serial, UID: p.r.chip.UID(), Mode: "persistent"})
	if err != nil {
		return err
	}
	return p.r.chip.ProgramSectorProtection(ctx, flash.PersistentMode)
}

func (p *persistent) confirm(ctx context.Context) (proof, error) {
	spr, err := p.r.chip.SectorProtection(ctx)
	if err != nil {
		return proof{}, err
	}
	if spr != flash.PersistentMode {
		return proof{}, fmt.Errorf("the sector protection register reads %04X: %w", spr, flash.ErrNotExecuted)
	}
	how := "register read back"
	if p.proven {
		return proof{how: how}, nil
	}
	return proof{how: how}, p.r.record(ctx, ledger.ModeProven{Run: p.r.id, Serial: p.r.o.Serial, UID: p.r.chip.UID(), Mode: "persistent", Grade: how})
}
