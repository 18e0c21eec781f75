package flash

import (
	"bytes"
	"context"
	"fmt"
)

// Sample reads one page of every sector that want touches, the last one that is to hold anything, and takes it for the whole sector: right, blank, or neither, of which nothing is
// known. What it takes for granted only a reading of the whole can prove: Compare. Errors are those of Read and NewPlan.
func (c *Chip) Sample(ctx context.Context, want []Extent) (Known, error) {
	want = sorted(want)
	if _, err := round(c.part, want); err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	c.look = true
	known := Known{}
	page := c.part.Page
	var batch []piece
	var wanted [][]byte
	read := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := c.readPieces(ctx, "sample", batch); err != nil {
			return err
		}
		for i, got := range batch {
			known[int(got.addr/c.part.Sector)] = Knowledge{Right: bytes.Equal(got.p, wanted[i]), Blank: blank(got.p)}
		}
		batch, wanted = batch[:0], wanted[:0]
		return nil
	}
	for s, err := range sectors(c.part, want, unknown) {
		if err == nil && int64(len(batch))*page >= leastChunk {
			err = read()
		}
		if err != nil {
			return nil, err
		}
		lo := s.telling()
		batch = append(batch, piece{s.addr + lo, make([]byte, page)})
		wanted = append(wanted, bytes.Clone(s.want[lo:lo+page]))
	}
	return known, read()
}

// telling is the offset of the last page that is to hold anything but FF, or else of the last page that is covered.
func (s *sector) telling() int64 {
	unit, page := s.part.Erases[0].Size, s.part.Page
	last := int64(-1)
	for lo := s.part.Sector - page; lo >= 0; lo -= page {
		if !s.covered[lo/unit] {
			continue
		}
		if !blank(s.want[lo : lo+page]) {
			return lo
		}
		last = max(last, lo)
	}
	return last
}

// Survey reads the sectors that want touches, so that NewPlan knows what is there. progress may be nil; it gets bytes done and bytes in all.
// Errors are those of Read.
func (c *Chip) Survey(ctx context.Context, want []Extent, progress func(done, total int64)) (Known, error) {
	touched := make([]bool, c.part.Sectors())
	var done, total int64
	for _, e := range want {
		if err := e.check(c.part); err != nil {
			return nil, fmt.Errorf("survey: %w", err)
		}
		for s := e.Addr / c.part.Sector; s <= (e.Addr+e.Size-1)/c.part.Sector; s++ {
			if !touched[s] {
				touched[s] = true
				total += c.part.Sector
			}
		}
	}
	c.look = true
	known := Known{}
	buffer := make([]byte, c.part.Sector)
	for s, touch := range touched {
		if !touch {
			continue
		}
		if err := c.read(ctx, int64(s)*c.part.Sector, buffer); err != nil {
			return nil, fmt.Errorf("survey: %w", err)
		}
		known[s] = Knowledge{Blank: true}
		if !blank(buffer) {
			known[s] = Knowledge{Data: bytes.Clone(buffer)}
		}
		if done += c.part.Sector; progress != nil {
			progress(done, total)
		}
	}
	return known, nil
}
