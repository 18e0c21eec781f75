package flash

import (
	"context"
	"fmt"
	"time"

	"station/spi"
)

// Reset resets the chip (66, 99) and waits until it has recovered. Volatile state is as after power-up. The write enable latch, set before, is the witness:
// where it is still set the reset did not happen, ErrNotExecuted.
func (c *Chip) Reset(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := c.MarkPower(ctx); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	limit := c.part.Limit(c.part.ResetRecovery)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+linkLimit)
	defer cancel()
	start := time.Now()
	err := c.conn.Do(ctx, spi.Frame{Out: []byte{opResetEnable}}, spi.Frame{Out: []byte{opReset}, Idle: c.part.ResetRecovery})
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	s, err := c.wait(ctx, "reset", -1, start, limit, c.part.ResetRecovery)
	if err != nil {
		return err
	}
	c.wide = s.fsr&fsrFourByte != 0
	if s.sr&statusWEL != 0 {
		return c.cleanAfter(ctx, fmt.Errorf("reset: %w", ErrNotExecuted))
	}
	return c.Contact(ctx)
}

// MarkPower sets the write enable latch (06) as a witness: it is 0 after every power-up (DS p.23). PowerLost looks at it.
// Any write-type command in between takes it away too.
func (c *Chip) MarkPower(ctx context.Context) error {
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return err
	}
	if err := c.conn.Do(ctx, spi.Frame{Out: []byte{opWriteEnable}}); err != nil {
		return fmt.Errorf("mark power: %w", err)
	}
	lost, err := c.PowerLost(ctx)
	if err == nil && lost {
		err = fmt.Errorf("mark power: %w", ErrNotExecuted)
	}
	return err
}

// PowerLost tells whether the mark of MarkPower is gone, so that the chip was without power (or was reset) since. The same chip must answer.
func (c *Chip) PowerLost(ctx context.Context) (bool, error) {
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return false, err
	}
	got, err := c.twice(ctx, "read status", 1, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: []byte{opReadStatus}, In: in}}
	})
	if err != nil {
		return false, err
	}
	return got[0]&statusWEL == 0, nil
}
