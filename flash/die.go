package flash

import (
	"slices"
	"time"
)

// dieSize is the size of one die.
func (p *Part) dieSize() int64 { return p.Size / int64(p.Dies) }

// swept are the dies, by number, that a plan erases as a whole: every byte of them is wanted, none holds content that needs no
// erase, and by typical time it is cheaper than the erases of their sectors.
func swept(part *Part, want []Extent, ranges []Range, known func(sector int) Knowledge) (map[int64]bool, error) {
	e := part.DieErase
	if e == nil {
		return nil, nil
	}
	costs := map[int64]time.Duration{} // of the sectors
	ranges = join(ranges)
	for die := range int64(part.Dies) {
		if slices.ContainsFunc(ranges, func(r Range) bool { return r.Addr <= die*e.Size && (die+1)*e.Size <= r.Addr+r.Size }) {
			costs[die] = 0
		}
	}
	if len(costs) == 0 {
		return nil, nil
	}
	for s, err := range sectors(part, want, known) {
		if err != nil {
			return nil, err
		}
		die := s.addr / e.Size
		if _, ok := costs[die]; !ok {
			continue
		}
		needs := s.needs()
		if slices.Contains(needs, forbidden) {
			delete(costs, die)
			continue
		}
		cost, _ := s.erase(needs, 0, len(part.Erases)-1)
		costs[die] += cost
	}
	dies := map[int64]bool{}
	for die, cost := range costs {
		dies[die] = cost > e.Typ
	}
	return dies, nil
}
