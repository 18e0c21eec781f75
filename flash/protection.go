package flash

import (
	"context"
	"fmt"
	"slices"

	"station/spi"
)

// Protection is everything that the chip says about what is locked.
type Protection struct {
	SR          byte   // status register: BP3..0 in bits 6 and 4..2, TB in bit 5
	SPR         uint16 // sector protection register; FFFF = factory, bit 2 = 0 password mode, bit 1 = 0 persistent mode
	Frozen      bool   // global freeze bit is 0: nonvolatile lock bits cannot change
	Nonvolatile []bool // by sector; true = locked
	Volatile    []byte // by cell of the part (VolatileCells); bit 0 = locked, bit 1 = locked down until reset
	part        *Part
}

// VolatileCells are the ranges that have a volatile lock bit each, ascending: sectors, and where the profile says so
// smallest erase units in the first and in the last sector.
func (p *Part) VolatileCells() []Range {
	var cells []Range
	for s := range p.Sectors() {
		size := p.Sector
		if p.VLB4KBoundary && (s == 0 || s == p.Sectors()-1) {
			size = p.Erases[0].Size
		}
		for addr := int64(s) * p.Sector; addr < int64(s+1)*p.Sector; addr += size {
			cells = append(cells, Range{addr, size})
		}
	}
	return cells
}

// Protection reads status, sector protection register, freeze bit and all lock bits, each twice, in one batch between two ID reads.
// Errors are those of Read.
func (c *Chip) Protection(ctx context.Context) (Protection, error) {
	return c.ProtectionWithin(ctx, Range{0, c.part.Size})
}

// ProtectionWithin is Protection with the lock bits of what ranges touch alone, which spares a programmer without batches hundreds of round
// trips. All other bits tell unlocked.
func (c *Chip) ProtectionWithin(ctx context.Context, ranges ...Range) (Protection, error) {
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return Protection{}, err
	}
	touched := func(x Range) bool {
		return slices.ContainsFunc(ranges, func(r Range) bool { return r.Addr < x.Addr+x.Size && x.Addr < r.Addr+r.Size })
	}
	p := Protection{part: c.part, Nonvolatile: make([]bool, c.part.Sectors())}
	cells := c.part.VolatileCells()
	p.Volatile = make([]byte, len(cells))
	var sectors, of []int // indexes of the bits that are read
	for i := range p.Nonvolatile {
		if touched(Range{int64(i) * c.part.Sector, c.part.Sector}) {
			sectors = append(sectors, i)
		}
	}
	for i, cell := range cells {
		if touched(cell) {
			of = append(of, i)
		}
	}
	got, err := c.twice(ctx, "read protection", 4+len(sectors)+len(of), func(in []byte) []spi.Frame {
		frames := []spi.Frame{
			{Out: []byte{opReadStatus}, In: in[0:1]},
			{Out: []byte{opReadFreeze}, In: in[1:2]},
			{Out: []byte{opReadProtection}, In: in[2:4]},
		}
		in = in[4:]
		for i, sector := range sectors {
			frames = append(frames, c.readLock(sector, in[i:i+1]))
		}
		in = in[len(sectors):]
		for i, cell := range of {
			frames = append(frames, c.readVolatile(cells[cell], in[i:i+1]))
		}
		return frames
	})
	if err != nil {
		return Protection{}, err
	}
	p.SR, p.SPR = got[0], uint16(got[2])|uint16(got[3])<<8
	if p.Frozen, err = frozen(got[1]); err != nil {
		return Protection{}, err
	}
	got = got[4:]
	for i, sector := range sectors {
		p.Nonvolatile[sector] = c.part.locked(got[i])
	}
	got = got[len(sectors):]
	for i, cell := range of {
		p.Volatile[cell] = got[i]
	}
	return p, nil
}

func (c *Chip) readVolatile(cell Range, in []byte) spi.Frame {
	return spi.Frame{Out: c.addressed(opReadVolatile, opReadVolatile4, cell.Addr), In: in}
}

func (c *Chip) readLock(sector int, in []byte) spi.Frame {
	return spi.Frame{Out: address(opReadLock, int64(sector)*c.part.Sector, 4), In: in}
}

// locked decodes the byte of E2: 0 = locked in the bits that the profile counts.
func (p *Part) locked(b byte) bool { return b&p.NVLBMask == 0 }

// frozen decodes the byte of A7: bit 0 is the global freeze bit, 1 = not frozen; bits 7..1 are 0 (LLD).
func frozen(b byte) (bool, error) {
	if b > 1 {
		return false, fmt.Errorf("read freeze bit: 0x%02X is neither 00 nor 01", b)
	}
	return b == 0, nil
}

// BlockRange is what the block protection bits of the status register lock, Size 0 where nothing: 2^(n-1) sectors for
// BP = n, at the top, or with TB at the bottom (LLD).
func (p Protection) BlockRange() Range {
	n := p.SR>>2&7 | p.SR>>6&1<<3
	if n == 0 {
		return Range{}
	}
	size := min(p.part.Sector<<(n-1), p.part.Size)
	if p.SR&(1<<5) != 0 {
		return Range{0, size}
	}
	return Range{p.part.Size - size, size}
}

// NonvolatileRanges are the ranges that nonvolatile lock bits lock, ascending, neighbours joined.
func (p Protection) NonvolatileRanges() []Range {
	var ranges []Range
	for i, locked := range p.Nonvolatile {
		if locked {
			ranges = append(ranges, Range{int64(i) * p.part.Sector, p.part.Sector})
		}
	}
	return join(ranges)
}

// VolatileRanges are the ranges that volatile lock bits lock, ascending, neighbours joined.
func (p Protection) VolatileRanges() []Range { return p.volatile(volatileLock) }

// LockedDownRanges are those of them that stay locked until reset or power-off, whatever is written.
func (p Protection) LockedDownRanges() []Range { return p.volatile(volatileLock | volatileDown) }

// volatile are the ranges whose cells have all of bits.
func (p Protection) volatile(bits byte) []Range {
	var ranges []Range
	for i, cell := range p.part.VolatileCells() {
		if p.Volatile[i]&bits == bits {
			ranges = append(ranges, cell)
		}
	}
	return join(ranges)
}

// LockedRanges are the ranges where a program is refused for any reason, ascending, neighbours joined.
func (p Protection) LockedRanges() []Range {
	ranges := append(p.NonvolatileRanges(), p.VolatileRanges()...)
	if block := p.BlockRange(); block.Size > 0 {
		ranges = append(ranges, block)
	}
	slices.SortFunc(ranges, func(a, b Range) int { return int(max(-1, min(1, a.Addr-b.Addr))) })
	return join(ranges)
}

// join joins ranges, sorted by address, that touch or overlap.
func join(ranges []Range) []Range {
	var joined []Range
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.Addr <= joined[n-1].Addr+joined[n-1].Size {
			joined[n-1].Size = max(joined[n-1].Size, r.Addr+r.Size-joined[n-1].Addr)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// Locked tells whether all of size bytes from addr on are locked.
func (p Protection) Locked(addr, size int64) bool {
	return slices.ContainsFunc(p.LockedRanges(), func(r Range) bool {
		return r.Addr <= addr && addr+size <= r.Addr+r.Size
	})
}

// Touched tells whether any of size bytes from addr on is locked.
func (p Protection) Touched(addr, size int64) bool {
	return p.Refuses(Command{ActErase, Range{addr, size}}) != nil
}
