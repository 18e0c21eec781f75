package provision

import (
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// lock sets the lock bits of regions: nonvolatile ones, volatile ones, or block protection.
type lock struct {
	r       *run
	s       recipes.Lock
	missing []flash.Range // of the regions, what was not locked when observed
	before  flash.Protection
}

func (l *lock) observe(ctx context.Context) (err error) {
	l.before, err = l.r.chip.Protection(ctx)
	return err
}

func (l *lock) decide() (bool, error) {
	l.missing = l.open(l.before)
	if l.s.Bits == recipes.Block { // setting it would lift what it protects elsewhere
		return len(l.missing) > 0, l.stray(l.before)
	}
	return len(l.missing) > 0, nil
}

func (l *lock) act(ctx context.Context) error {
	switch l.s.Bits {
	case recipes.Volatile:
		return l.r.chip.LockVolatile(ctx, l.s.Down, l.missing...)
	case recipes.Block:
		return l.r.chip.ProtectBlock(ctx, l.span())
	}
	var sectors []int
	size := l.r.chip.Part().Sector
	for _, x := range l.missing {
		for at := x.Addr; at < x.Addr+x.Size; at += size {
			sectors = append(sectors, int(at/size))
		}
	}
	return l.r.chip.LockNonvolatile(ctx, sectors...)
}

func (l *lock) confirm(ctx context.Context) (proof, error) {
	after, err := l.r.chip.Protection(ctx)
	if err != nil {
		return proof{}, err
	}
	if still := l.open(after); len(still) > 0 {
		return proof{}, fmt.Errorf("lock bits of 0x%06X read back open: %w", still[0].Addr, flash.ErrNotExecuted)
	}
	if err := l.stray(after); err != nil {
		return proof{}, err
	}
	how := "lock bits read back"
	if l.s.Bits == recipes.Block {
		how = "register read back"
	}
	return proof{how: how, facts: []ledger.Fact{
		{Name: "bits", Value: string(l.s.Bits)},
		{Name: "locked now", Value: fmt.Sprintf("%d KiB", total(l.missing)>>10)},
	}}, nil
}

// span is the range that the step's regions are together, which has no gaps where block protection is to cover it.
func (l *lock) span() flash.Range {
	from, to := l.s.Regions[0].At, int64(0)
	for _, g := range l.s.Regions {
		from, to = min(from, g.At), max(to, g.At+g.Size)
	}
	return flash.Range{Addr: from, Size: to - from}
}

// bits are the ranges that p shows locked by the kind of bit that this step sets.
func (l *lock) bits(p flash.Protection) []flash.Range {
	switch {
	case l.s.Down:
		return p.LockedDownRanges()
	case l.s.Bits == recipes.Volatile:
		return p.VolatileRanges()
	case l.s.Bits == recipes.Nonvolatile:
		return p.NonvolatileRanges()
	}
	if block := p.BlockRange(); block.Size > 0 {
		return []flash.Range{block}
	}
	return nil
}

// open is what of the step's regions p shows unlocked.
func (l *lock) open(p flash.Protection) (out []flash.Range) {
	for _, g := range l.s.Regions {
		out = append(out, without(flash.Range{Addr: g.At, Size: g.Size}, l.bits(p))...)
	}
	return out
}

// stray wants nothing locked now but what was locked when observed or is to be. Block protection is one range, so it is not to be anywhere else.
func (l *lock) stray(now flash.Protection) error {
	var wanted []flash.Range
	if l.s.Bits != recipes.Block {
		wanted = l.bits(l.before)
	}
	for _, g := range l.s.Regions {
		wanted = append(wanted, flash.Range{Addr: g.At, Size: g.Size})
	}
	for _, x := range l.bits(now) {
		if out := without(x, wanted); len(out) > 0 {
			return &verdict{ledger.Fail, "stray-lock", fmt.Sprintf("Locks outside the recipe's regions are set, from 0x%06X.", out[0].Addr),
				"Put the board into the reject bin; it needs disposition."}
		}
	}
	return nil
}
