package flash

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"station/spi"
)

// Opcodes of recovery. FF is none: eight clocks of ones end a dual or quad protocol.
const (
	opRescue          = 0xFF
	opWake            = 0xAB // from deep power-down
	opResume          = 0x7A
	opWriteVCR        = 0x81
	vcrNoXIP          = 1 << 3 // execute in place is off
	vcrContinuous     = 0b11   // reads go on without wrapping; so it is after every power-up
	fsrEraseSuspend   = 1 << 6
	fsrProgramSuspend = 1 << 2
	fsrSuspended      = fsrEraseSuspend | fsrProgramSuspend
)

// Recovered is what the chip had to be recovered from when it was identified: "deep power-down", "quad or dual protocol", "suspended erase",
// "suspended program", "wrapped reads", "4-byte mode". nil: nothing.
func (c *Chip) Recovered() []string { return c.recovered }

// wake tries to make a chip answer that looks absent: interface rescue, release from deep power-down, interface rescue. Nothing else is sent,
// and after each it is looked whether a chip answers. lengths and wakeUp are those of all parts that it may be.
func (c *Chip) wake(ctx context.Context, parts []*Part) error {
	var lengths []int
	var wakeUp time.Duration
	for _, p := range parts {
		lengths = append(lengths, p.Rescue...)
		wakeUp = max(wakeUp, p.WakeUp)
	}
	slices.Sort(lengths)
	var rescue []spi.Frame
	for _, n := range slices.Compact(lengths) {
		rescue = append(rescue, spi.Frame{Out: bytes.Repeat([]byte{opRescue}, n)})
	}
	var words []string
	for _, try := range []struct {
		word   string
		frames []spi.Frame
	}{
		{"quad or dual protocol", rescue},
		{"deep power-down", []spi.Frame{{Out: []byte{opWake}, Idle: wakeUp}}},
		{"quad or dual protocol", rescue},
	} {
		if err := c.conn.Do(ctx, try.frames...); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		absent, err := c.absent(ctx)
		if err != nil {
			return err
		}
		if !absent {
			c.recovered = append(words, try.word)
			return nil
		}
		if words = nil; try.word == "deep power-down" {
			words = []string{try.word}
		}
	}
	return nil
}

// absent tells whether neither status registers nor ID are those of a chip.
func (c *Chip) absent(ctx context.Context) (bool, error) {
	s, _, err := c.poll(ctx)
	if err != nil || !s.floating() {
		return false, err
	}
	var id [20]byte
	if err := c.conn.Do(ctx, readID(&id)); err != nil {
		return false, fmt.Errorf("read ID: %w", err)
	}
	return floatingID(id), nil
}

// settle resumes what is suspended, awaits it, ends wrapped reads, and leaves 4-byte mode where the chip does not come up in it. The chip is identified.
func (c *Chip) settle(ctx context.Context) error {
	longest := c.part.Longest()
	s, err := c.ready(ctx, longest)
	if err != nil {
		return err
	}
	// A program may be suspended inside a suspended erase: one resume for each.
	for range 2 {
		if s.fsr&fsrSuspended == 0 {
			break
		}
		word := "suspended erase"
		if s.fsr&fsrProgramSuspend != 0 {
			word = "suspended program"
		}
		// Whether resume wants a write enable is not told everywhere; LLD sends one. What is left of it is cleared.
		if err := c.conn.Do(ctx, spi.Frame{Out: []byte{opWriteEnable}}, spi.Frame{Out: []byte{opResume}}); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		if s, err = c.ready(ctx, longest); err == nil && s.sr&statusWEL != 0 {
			err = c.conn.Do(ctx, spi.Frame{Out: []byte{opWriteDisable}})
		}
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		c.recovered = append(c.recovered, word)
	}
	if s.fsr&fsrSuspended != 0 {
		return fmt.Errorf("resume: flag status 0x%02X still tells of a suspended operation: %w", s.fsr, ErrNotExecuted)
	}
	if err := c.unwrap(ctx); err != nil {
		return err
	}
	if !c.wide {
		return nil
	}
	nvcr, err := c.nvcr(ctx)
	if err != nil || nvcr&nvcrThreeByte == 0 {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := c.mode(ctx, false); err != nil {
		return err
	}
	c.recovered = append(c.recovered, "4-byte mode")
	return nil
}

// unwrap makes reads go on (81) where another program made them wrap inside of 16 to 64 bytes, and reads the volatile configuration register back (85). Whether
// a plain read wraps, too, is told by no source. A value that says XIP is on is none of a chip that answers, and is left alone.
func (c *Chip) unwrap(ctx context.Context) error {
	const op = "end wrapped reads"
	vcr, err := c.vcr(ctx)
	if err != nil || vcr&vcrContinuous == vcrContinuous || vcr&vcrNoXIP == 0 {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	want := vcr | vcrContinuous
	if err := c.execute(ctx, command{op, -1, []byte{opWriteVCR, want}, c.part.Register}); err != nil {
		return err
	}
	if vcr, err = c.vcr(ctx); err == nil && vcr != want {
		err = fmt.Errorf("%s: the register reads 0x%02X, want 0x%02X: %w", op, vcr, want, ErrNotExecuted)
	}
	if err == nil {
		c.recovered = append(c.recovered, "wrapped reads")
	}
	return err
}

// vcr reads the volatile configuration register, twice between good ID reads.
func (c *Chip) vcr(ctx context.Context) (byte, error) {
	got, err := c.twice(ctx, "read volatile configuration", 1, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: []byte{opReadVCR}, In: in}}
	})
	if err != nil {
		return 0, err
	}
	return got[0], nil
}
