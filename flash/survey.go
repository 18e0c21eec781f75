package flash

import (
	"bytes"
	"context"
	"fmt"
)

// Sample reads one page of every sector that want touches, the last one that is to hold anything, and takes it for the whole sector: right, blank, or neither, of which nothing is
// known. What it takes for granted only a reading of the whole can prove: see Prove. Errors are those of Read and NewPlan.
func (c *Chip) Sample(ctx context.Context, want []Extent) (Known, error) {
	want = sorted(want)
	if _, err := round(c.part, want); err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return nil, err
	}
	known := Known{}
	type sample struct {
		sector      int
		addr        int64
		wanted, got []byte
	}
	var batch []sample
	read := func() error {
		if len(batch) == 0 {
			return nil
		}
		c.reads, c.out = c.reads[:0], c.out[:0]
		for _, p := range batch {
			c.readFrame(p.addr, p.got)
		}
		if err := c.proven(ctx, "sample", batch[0].addr, c.reads...); err != nil {
			return err
		}
		for _, p := range batch {
			known[p.sector] = Knowledge{Right: bytes.Equal(p.got, p.wanted), Blank: blank(p.got)}
		}
		batch = batch[:0]
		return nil
	}
	page := c.part.Page
	for s, err := range sectors(c.part, want, unknown) {
		if err == nil && int64(len(batch))*page >= leastChunk {
			err = read()
		}
		if err != nil {
			return nil, err
		}
		lo := s.telling()
		batch = append(batch, sample{int(s.addr / c.part.Sector), s.addr + lo, bytes.Clone(s.want[lo : lo+page]), make([]byte, page)})
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
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return nil, err
	}
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
