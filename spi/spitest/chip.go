package spitest

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"station/spi"
)

// Chip is the far side of the pins: it answers every byte by a rule and records what it sees. Its methods Select,
// Shift, ShiftBits and Deselect are what a simulated programmer calls. Safe for concurrent use.
type Chip struct {
	mu       sync.Mutex
	seen     []Seen
	selected bool
	stray    int
	onSelect func(frame int)
	at       time.Time // of the next call, where the programmer told it
}

// Seen is one assertion of chip select as the chip saw it.
type Seen struct {
	Number   int    // counted from 0 over the life of the chip
	Bytes    []byte // every byte that came in, whatever it meant
	Bits     int    // clocks behind the last whole byte
	Selected time.Time
	Released time.Time // zero while selected

	part byte // the Bits, the last one lowest
}

// answer is what the chip says at byte at of frame: neighbours in both differ, and no power of two is a period.
func answer(frame, at int) byte {
	return byte(at*5+at>>8*11+at>>16*37) ^ byte(frame*29+3)
}

// At is what a simulated programmer tells that runs ahead of time.Now: the next call happens at t.
func (c *Chip) At(t time.Time, _ time.Duration) {
	c.mu.Lock()
	c.at = t
	c.mu.Unlock()
}

// now is the time of the call under way. c.mu is held.
func (c *Chip) now() (t time.Time) {
	if t, c.at = c.at, t; t.IsZero() {
		t = time.Now()
	}
	return t
}

// Select is the falling edge of chip select.
func (c *Chip) Select() {
	c.mu.Lock()
	if c.selected {
		c.stray++
	}
	n := len(c.seen)
	c.selected = true
	c.seen = append(c.seen, Seen{Number: n, Selected: c.now()})
	f := c.onSelect
	c.mu.Unlock()
	if f != nil {
		f(n)
	}
}

// Shift moves whole bytes: out came in (zeros when nil), in is the answer (dropped when nil).
func (c *Chip) Shift(out, in []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := max(len(out), len(in))
	if !c.selected {
		c.stray += n
		return
	}
	s := &c.seen[len(c.seen)-1]
	if s.Bits != 0 { // bytes for the programmer, none for the chip
		c.stray += n
	}
	at := len(s.Bytes)
	for i := range in {
		in[i] = answer(s.Number, at+i)
	}
	s.Bytes = append(s.Bytes, out...)
	s.Bytes = append(s.Bytes, make([]byte, n-len(out))...)
}

// ShiftBits moves the n upper bits of out and returns as many bits of the answer, in the low bits.
func (c *Chip) ShiftBits(out byte, n int) (in byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.selected {
		c.stray++
		return 0xFF
	}
	s := &c.seen[len(c.seen)-1]
	for i := range n {
		in = in<<1 | answer(s.Number, len(s.Bytes))<<s.Bits>>7
		s.part = s.part<<1 | out<<i>>7
		if s.Bits++; s.Bits == 8 {
			s.Bytes, s.Bits = append(s.Bytes, s.part), 0
		}
	}
	return in
}

// Deselect is the rising edge of chip select.
func (c *Chip) Deselect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.selected {
		c.stray++
		return
	}
	c.selected = false
	c.seen[len(c.seen)-1].Released = c.now()
}

// OnSelect makes f hear of every further falling edge. f must not wait.
func (c *Chip) OnSelect(f func(frame int)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onSelect = f
}

// Count returns how many frames the chip saw so far.
func (c *Chip) Count() int { return len(c.Since(0)) }

// Since returns the frames that the chip saw from number n on.
func (c *Chip) Since(n int) []Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Seen(nil), c.seen[n:]...)
}

// Selected tells whether chip select is low.
func (c *Chip) Selected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.selected
}

// Stray returns how often something came that cannot be: data or a rising edge while not selected, a second falling one.
func (c *Chip) Stray() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stray
}

// differs compares what was seen with the frame that was asked for, and f.In with what the chip answered.
func (s Seen) differs(f spi.Frame) error {
	n := len(f.Out) + len(f.In)
	switch {
	case s.Released.IsZero():
		return fmt.Errorf("chip select never rose")
	case s.Bits != 0:
		return fmt.Errorf("%d single bits", s.Bits)
	case len(s.Bytes) != n:
		return fmt.Errorf("the chip saw %d bytes of %d", len(s.Bytes), n)
	case !bytes.Equal(s.Bytes[:len(f.Out)], f.Out):
		return fmt.Errorf("bytes out differ from byte %d on", firstDifference(s.Bytes, f.Out))
	}
	for i, b := range f.In {
		if want := answer(s.Number, len(f.Out)+i); b != want {
			return fmt.Errorf("byte in %d is %02x, want %02x", i, b, want)
		}
	}
	return nil
}

func firstDifference(a, b []byte) int {
	for i := range b {
		if a[i] != b[i] {
			return i
		}
	}
	return len(b)
}
