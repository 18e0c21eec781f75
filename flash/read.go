package flash

import (
	"bytes"
	"context"
	"fmt"

	"station/spi"
)

// chunk is how many bytes one Do reads at most: the step of progress and of cancellation.
const chunk = 64 << 10

// Read fills p from addr on. Every batch of it is proven to come from the identified chip. It waits for a busy chip first.
// Errors: out of range, *BusyError, ErrAbsent, *UnstableError, *OtherChipError, and those of spi, wrapped.
func (c *Chip) Read(ctx context.Context, addr int64, p []byte) error {
	if addr < 0 || addr > c.part.Size-int64(len(p)) {
		return fmt.Errorf("read: 0x%X bytes at 0x%06X are not within a %s", len(p), addr, c.part.Name)
	}
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return err
	}
	for len(p) > 0 {
		n := min(len(p), chunk)
		if err := c.read(ctx, addr, p[:n]); err != nil {
			return err
		}
		p, addr = p[n:], addr+int64(n)
	}
	return nil
}

// read is one batch of Read, on a chip that is ready.
func (c *Chip) read(ctx context.Context, addr int64, p []byte) error {
	most := c.conn.Limits().MaxFrame - 5
	if most < 1 {
		return fmt.Errorf("read: the link's frames of %d bytes hold no data", most+5)
	}
	var frames []spi.Frame
	for at := addr; len(p) > 0; {
		n := min(len(p), most)
		frames = append(frames, spi.Frame{Out: c.addressed(opRead, opRead4, at), In: p[:n:n]})
		p, at = p[n:], at+int64(n)
	}
	return c.proven(ctx, "read", addr, frames...)
}

// Verify reads want back and compares, FF where an extent has no data. A mismatch is read again: *MismatchError where it is steady, else
// *UnstableError. progress may be nil; it gets bytes done and bytes in all. Other errors are those of Read.
func (c *Chip) Verify(ctx context.Context, want []Extent, progress func(done, total int64)) error {
	var done, total int64
	for _, e := range want {
		if err := e.check(c.part); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		total += e.Size
	}
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return err
	}
	got, wanted, again := make([]byte, chunk), make([]byte, chunk), make([]byte, chunk)
	for _, e := range want {
		for addr := e.Addr; addr < e.Addr+e.Size; {
			n := min(chunk, e.Addr+e.Size-addr)
			if err := c.read(ctx, addr, got[:n]); err != nil {
				return fmt.Errorf("verify: %w", err)
			}
			e.fill(wanted[:n], addr)
			if !bytes.Equal(got[:n], wanted[:n]) {
				if err := c.read(ctx, addr, again[:n]); err != nil {
					return fmt.Errorf("verify: %w", err)
				}
				return mismatch(addr, wanted[:n], got[:n], again[:n])
			}
			addr, done = addr+n, done+n
			if progress != nil {
				progress(done, total)
			}
		}
	}
	return nil
}

// mismatch is the verdict on bytes that were read twice, and at least once not as wanted.
func mismatch(addr int64, want, first, second []byte) error {
	if err := alike("verify", addr, first, second); err != nil {
		return err
	}
	for i := range want {
		if first[i] != want[i] {
			return &MismatchError{addr + int64(i), want[i], first[i]}
		}
	}
	return nil
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
