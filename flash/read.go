package flash

import (
	"context"
	"errors"
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
		return fmt.Errorf("read: 0x%X bytes at 0x%06X are not within %s", len(p), addr, c.part.Name)
	}
	c.look = true
	for len(p) > 0 {
		n := min(len(p), int(c.chunk()))
		if err := c.read(ctx, addr, p[:n]); err != nil {
			return err
		}
		p, addr = p[n:], addr+int64(n)
	}
	return nil
}

// read is one batch of Read.
func (c *Chip) read(ctx context.Context, addr int64, p []byte) error {
	return c.readPieces(ctx, "read", []piece{{addr, p}})
}

// piece is what is to be read from addr on.
type piece struct {
	addr int64
	p    []byte
}

// readPieces reads all pieces in one batch. Where c.look is set, it looks at the status in that same batch, and only for a chip that was busy, or in another address mode than it was known to be in,
// does it wait and read again.
func (c *Chip) readPieces(ctx context.Context, op string, pieces []piece) error {
	most := c.conn.Limits().MaxFrame - headerLen
	if most < 1 {
		return fmt.Errorf("%s: the link's frames of %d bytes hold no data", op, most+headerLen)
	}
	var l look
	if c.reads, c.out = c.reads[:0], c.out[:0]; c.look {
		var status []spi.Frame
		l, status = looking(c.dies, samples, samples)
		c.reads = append(c.reads, status...)
	}
	for _, piece := range pieces {
		for at, p := piece.addr, piece.p; len(p) > 0; {
			n, from := min(len(p), most), len(c.out)
			c.out = c.appendAddressed(c.out, opRead, opRead4, at)
			c.reads = append(c.reads, spi.Frame{Out: c.out[from:], In: p[:n:n]})
			p, at = p[n:], at+int64(n)
		}
	}
	err := c.proven(ctx, op, pieces[0].addr, c.reads...)
	if !c.look {
		return err
	}
	if _, link := errors.AsType[*spi.FrameError](err); link {
		return err
	}
	s, steady := l.status()
	if err == nil && steady && s.ready() && (s.fsr&fsrFourByte != 0) == c.wide {
		c.look = false
		return nil
	}
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return err
	}
	c.look = false
	return c.readPieces(ctx, op, pieces)
}
