package flash

import (
	"bytes"
	"context"
	"fmt"
	"iter"
)

// scan are the sectors that want touches, read: present holds the bytes as they are, rounded as a plan rounds want, and FF where nothing was read. progress may be nil; it gets bytes done and
// bytes in all. An error is the last.
func (c *Chip) scan(ctx context.Context, want []Extent, progress func(done, total int64)) iter.Seq2[*sector, error] {
	return func(yield func(*sector, error) bool) {
		want = sorted(want)
		rounded, err := round(c.part, want)
		if err != nil {
			yield(nil, err)
			return
		}
		c.look = true
		w := window{chip: c, ranges: join(rounded.Ranges)}
		read := func(addr int64, p []byte) error { return w.read(ctx, addr, p) }
		var done, total int64
		for _, r := range w.ranges {
			total += r.Size
		}
		for s, err := range sectors(c.part, want, unknown) {
			if err == nil {
				var n int64
				n, err = s.fill(read)
				done += n
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if progress != nil {
				progress(done, total)
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// window is what has been read of ranges last; addresses are asked for in ascending order.
type window struct {
	chip   *Chip
	ranges []Range
	addr   int64 // of the first byte
	held   []byte
}

// read copies to p, which lies in one sector and one of the ranges, what is there.
func (w *window) read(ctx context.Context, addr int64, p []byte) error {
	if addr >= w.addr+int64(len(w.held)) {
		for addr >= w.ranges[0].Addr+w.ranges[0].Size {
			w.ranges = w.ranges[1:]
		}
		c, r := w.chip, w.ranges[0]
		// Up to the end of a sector, so that none is held in two pieces.
		n := min(r.Addr+r.Size, (addr+c.chunk())/c.part.Sector*c.part.Sector) - addr
		if int64(len(c.buffer)) < n {
			c.buffer = make([]byte, min(c.chunk(), r.Size))
		}
		w.addr, w.held = addr, c.buffer[:n]
		if err := c.read(ctx, addr, w.held); err != nil {
			return err
		}
	}
	copy(p, w.held[addr-w.addr:])
	return nil
}

// fill reads into present what is covered, piece by piece, and returns how many bytes that is.
func (s *sector) fill(read func(addr int64, p []byte) error) (n int64, err error) {
	unit := s.part.Erases[0].Size
	fillFF(s.present)
	for u := 0; u < len(s.covered) && err == nil; u++ {
		lo := int64(u) * unit
		for u < len(s.covered) && s.covered[u] {
			u++
		}
		if hi := int64(u) * unit; hi > lo {
			err = read(s.addr+lo, s.present[lo:hi])
			n += hi - lo
		}
	}
	return n, err
}

// differs is the offset of the first byte of a sector that was read and is not as wanted, -1 where all is right.
func (s *sector) differs() int {
	if bytes.Equal(s.present, s.want) {
		return -1
	}
	i := 0
	for s.present[i] == s.want[i] {
		i++
	}
	return i
}

// wrong is differs, for a sector of which what is wrong is read a second time; an *UnstableError where that reads differently.
func (c *Chip) wrong(ctx context.Context, s *sector) (int, error) {
	if s.differs() < 0 {
		return -1, nil
	}
	first := bytes.Clone(s.present)
	if _, err := s.fill(func(addr int64, p []byte) error { return c.read(ctx, addr, p) }); err != nil {
		return 0, err
	}
	return s.differs(), alike("verify", s.addr, first, s.present)
}

// ignoreRounding takes whatever is between the extents for wanted.
func (s *sector) ignoreRounding() {
	end := int64(0)
	for _, e := range s.extents {
		lo := e.Addr - s.addr
		copy(s.want[end:lo], s.present[end:lo])
		end = min(lo+e.Size, s.part.Sector)
	}
	copy(s.want[end:], s.present[end:])
}

// Verify reads want back and compares: FF where an extent has no data. A mismatch is read again: *MismatchError where it is steady, else
// *UnstableError. progress may be nil; it gets bytes done and bytes in all. Other errors are those of Read and NewPlan.
func (c *Chip) Verify(ctx context.Context, want []Extent, progress func(done, total int64)) error {
	for s, err := range c.scan(ctx, want, progress) {
		i := -1
		if err == nil {
			s.ignoreRounding()
			i, err = c.wrong(ctx, s)
		}
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if i >= 0 {
			return &MismatchError{s.addr + int64(i), s.want[i], s.present[i]}
		}
	}
	return nil
}

// keptSectors is of how many sectors Compare keeps the bytes. Where more are wrong it is cheaper to write them whole than to hold them.
const keptSectors = 16

// Compare reads want, rounded as a plan rounds it, and tells of every sector that it touches whether it is right. Of what is wrong it keeps the bytes, so that NewPlan
// erases and programs no more than it must; beyond sixteen such sectors that are not blank, nothing is known of them. Errors: *UnstableError where a wrong sector reads differently a second time,
// and those of Read and NewPlan.
func (c *Chip) Compare(ctx context.Context, want []Extent, progress func(done, total int64)) (Known, error) {
	known, kept := Known{}, 0
	for s, err := range c.scan(ctx, want, progress) {
		i := -1
		if err == nil {
			i, err = c.wrong(ctx, s)
		}
		if err != nil {
			return nil, fmt.Errorf("compare: %w", err)
		}
		k := Knowledge{Right: i < 0}
		switch {
		case k.Right:
		case blank(s.present):
			k.Blank = true
		case kept < keptSectors:
			kept++
			k.Data = bytes.Clone(s.present)
		}
		known[int(s.addr/c.part.Sector)] = k
	}
	return known, nil
}
