package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"station/spi"
)

// SentError is the failure of a permanent command: ProgramPassword, ProgramSectorProtection, SendRPMC, RelayStateChanging. Sent speaks of that command's frame alone; what
// became of the reads around it does not matter. Only No may be treated as not sent.
//
// As an *spi.FrameError it says the same, so that the failed read behind a command that was sent is never taken for a
// command that was not.
type SentError struct {
	Op   string
	Sent spi.Sent
	Err  error
}

func (e *SentError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Op, map[spi.Sent]string{spi.No: "not sent", spi.Maybe: "perhaps sent", spi.Yes: "sent"}[e.Sent], e.Err)
}

func (e *SentError) Unwrap() error { return e.Err }

// As tells errors.As what the first *spi.FrameError in the chain is to be.
func (e *SentError) As(target any) bool {
	f, ok := target.(**spi.FrameError)
	if ok {
		*f = &spi.FrameError{Sent: e.Sent, Err: e.Err}
	}
	return ok
}

// whetherSent is the failure of a Do whose only frame was a permanent command.
func whetherSent(op string, err error) error {
	e := &SentError{op, spi.Maybe, err}
	if f, ok := errors.AsType[*spi.FrameError](err); ok {
		e.Sent = f.Sent
	}
	return e
}

// once sends a permanent command, a single time, in a Do of its own behind a write enable that was seen on the very chip, and judges how it ended.
// The end of ctx acts before the command, never during it. Every error is a *SentError.
func (c *Chip) once(ctx context.Context, cmd command, secret bool) error {
	if err := c.enable(ctx); err != nil {
		return &SentError{cmd.op, spi.No, err}
	}
	limit := c.part.Limit(cmd.time.Max)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+2*linkLimit)
	defer cancel()
	start := time.Now()
	if err := c.conn.Do(ctx, spi.Frame{Out: cmd.out, Idle: cmd.time.Typ, Secret: secret}); err != nil {
		return whetherSent(cmd.op, err)
	}
	s, err := c.finished(ctx, cmd, start, limit)
	switch {
	case err != nil:
	case s.fsr&fsrProtection != 0:
		err = c.cleanAfter(ctx, &ProtectedError{cmd.op, cmd.addr, s.fsr})
	case s.fsr&fsrErrors != 0:
		err = c.cleanAfter(ctx, &OperationError{cmd.op, cmd.addr, s.fsr})
	case s.sr&statusWEL != 0:
		err = c.cleanAfter(ctx, fmt.Errorf("write enable is still set: %w", ErrNotExecuted))
	}
	if err != nil {
		return &SentError{cmd.op, spi.Yes, err}
	}
	return nil
}

// enable sets the write enable latch and sees it set, steadily and between two reads of the identified chip's ID. On failure the latch is cleared again.
func (c *Chip) enable(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	sr := make([]byte, samples)
	err := c.proven(ctx, "write enable", -1, spi.Frame{Out: []byte{opWriteEnable}}, spi.Frame{Out: []byte{opReadStatus}, In: sr})
	if err == nil && bytes.Count(sr, sr[:1]) != samples {
		err = &UnstableError{"write enable", -1, sr[:1], sr[1:]}
	}
	if err == nil && sr[0]&(statusWEL|statusWIP) != statusWEL {
		err = fmt.Errorf("write enable: %w", ErrNotExecuted)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return c.cleanAfter(ctx, err)
	}
	return nil
}

// finished waits for the end of a command that was sent at start, and returns status registers that were read twice alike.
func (c *Chip) finished(ctx context.Context, cmd command, start time.Time, limit time.Duration) (status, error) {
	s, err := c.wait(ctx, cmd.op, cmd.addr, start, limit, max(cmd.time.Typ/16, shortestPoll))
	if err != nil {
		return s, err
	}
	if s, err = c.confirm(ctx, s); err != nil {
		return s, fmt.Errorf("%s: %w", at(cmd.op, cmd.addr), err)
	}
	return s, nil
}
