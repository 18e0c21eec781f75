package provision

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// The ledger's words for what the other rooms know.

func recipeFacts(r *recipes.Recipe) ledger.Recipe {
	return ledger.Recipe{ID: r.ID(), Version: r.Version(), Title: r.Title(), Digest: r.Digest()}
}

// values are what the recipe writes of this unit besides its serial.
func (r *run) values() []ledger.Fact {
	out := []ledger.Fact{}
	all := r.unit.Values()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, ledger.Fact{Name: name, Value: all[name]})
	}
	return out
}

func (r *run) chipFacts() *ledger.Chip {
	if r.chip == nil {
		return nil
	}
	id := r.chip.ID()
	return &ledger.Chip{ID: strings.ToUpper(hex.EncodeToString(id[:6])), UID: r.chip.UID(), SFDP: r.chip.SFDPDigest()}
}

func locksOf(p flash.Protection) *ledger.Locks {
	return &ledger.Locks{Nonvolatile: rangesOf(p.NonvolatileRanges()), Volatile: rangesOf(p.VolatileRanges()),
		BlockProtect: blockRanges(p), Frozen: p.Frozen, SPR: fmt.Sprintf("%04X", p.SPR)}
}

// freezeLasts says how long a freeze that was read back holds.
func freezeLasts(p flash.Protection) string {
	switch {
	case p.SPR == flash.PasswordMode:
		return "until the password is given" // frozen from every power-up on
	case p.Frozen:
		return "until power-off"
	}
	return "none"
}

func blockRanges(p flash.Protection) []ledger.Range {
	if b := p.BlockRange(); b.Size > 0 {
		return rangesOf([]flash.Range{b})
	}
	return []ledger.Range{}
}

func rangesOf(in []flash.Range) []ledger.Range {
	out := []ledger.Range{}
	for _, x := range in {
		out = append(out, ledger.Range{At: x.Addr, Size: x.Size})
	}
	return out
}

// locked completes the proofs with the locks that hold at the end.
func (r *run) locked(after *ledger.Locks) []ledger.RegionProof {
	cover := func(g recipes.Region, by []ledger.Range) bool {
		ranges := make([]flash.Range, len(by))
		for i, x := range by {
			ranges[i] = flash.Range{Addr: x.At, Size: x.Size}
		}
		return len(without(flash.Range{Addr: g.At, Size: g.Size}, ranges)) == 0
	}
	out := []ledger.RegionProof{}
	for _, g := range r.o.Recipe.Regions() {
		i := slices.IndexFunc(r.proven, func(p ledger.RegionProof) bool { return p.Region == g.Name })
		if i < 0 {
			continue
		}
		p := r.proven[i]
		switch {
		case cover(g, after.Nonvolatile):
			p.Lock = "nonvolatile"
		case cover(g, after.Volatile):
			p.Lock = "volatile"
		case cover(g, after.BlockProtect):
			p.Lock = "block"
		default:
			p.Lock = "none"
		}
		out = append(out, p)
	}
	return out
}

// without is what is left of x when the ranges of cut are taken out of it.
func without(x flash.Range, cut []flash.Range) []flash.Range {
	left := []flash.Range{x}
	for _, c := range cut {
		var next []flash.Range
		for _, l := range left {
			if head := min(l.Addr+l.Size, c.Addr) - l.Addr; head > 0 {
				next = append(next, flash.Range{Addr: l.Addr, Size: head})
			}
			if from := max(l.Addr, c.Addr+c.Size); from < l.Addr+l.Size {
				next = append(next, flash.Range{Addr: from, Size: l.Addr + l.Size - from})
			}
		}
		left = next
	}
	return left
}

func total(ranges []flash.Range) (n int64) {
	for _, x := range ranges {
		n += x.Size
	}
	return n
}
