package flash

import (
	"context"
	"fmt"
	"time"

	"station/spi"
)

// Bounds of one Do that reads: the step of progress and of cancellation.
const (
	leastChunk = 64 << 10
	mostChunk  = 1 << 20
	chunkTime  = 600 * time.Millisecond
)

// chunk is how many bytes one Do reads at most: as many as take about half a second.
func (c *Chip) chunk() int64 {
	n := int64(mostChunk)
	for t := c.conn.Limits().ByteTime; n > leastChunk && time.Duration(n)*t > chunkTime; {
		n /= 2
	}
	return n
}

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
		n := min(len(p), int(c.chunk()))
		if err := c.read(ctx, addr, p[:n]); err != nil {
			return err
		}
		p, addr = p[n:], addr+int64(n)
	}
	return nil
}

// read is one batch of Read, on a chip that is ready.
func (c *Chip) read(ctx context.Context, addr int64, p []byte) error {
	most := c.conn.Limits().MaxFrame - headerLen
	if most < 1 {
		return fmt.Errorf("read: the link's frames of %d bytes hold no data", most+headerLen)
	}
	c.reads, c.out = c.reads[:0], c.out[:0]
	for at := addr; len(p) > 0; {
		n := min(len(p), most)
		c.readFrame(at, p[:n:n])
		p, at = p[n:], at+int64(n)
	}
	return c.proven(ctx, "read", addr, c.reads...)
}

// readFrame appends to c.reads the frame that reads p.
func (c *Chip) readFrame(addr int64, p []byte) {
	from := len(c.out)
	c.out = c.appendAddressed(c.out, opRead, opRead4, addr)
	c.reads = append(c.reads, spi.Frame{Out: c.out[from:], In: p})
}
