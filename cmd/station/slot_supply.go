package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"station/spi"
)

// limitPower is how long a fixture, or the simulator, may take to switch the supply. A person may take any time.
const limitPower = time.Minute

// errNobody: the board was to be reseated, and the input has ended.
var errNobody = errors.New("nobody is there to reseat the board")

// supply switches the part's supply: the programmer does, where it can, else the simulator's hands or a person reseat the board. nil: nobody is there.
func (s *seated) supply() (power func(context.Context, bool) error, person bool) {
	limited := func(ctx context.Context, do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, limitPower)
		defer cancel()
		return do(ctx)
	}
	if p, ok := s.conn.(spi.Powered); ok {
		return func(ctx context.Context, on bool) error {
			return limited(ctx, func(ctx context.Context) error { return p.Power(ctx, on) })
		}, false
	}
	var reseat func(context.Context) error
	if s.bench.simulated {
		reseat = func(ctx context.Context) error {
			return limited(ctx, func(ctx context.Context) error { return s.bench.boards.Reseat(ctx, s.slot) })
		}
	} else if f, ok := s.app.stdin.(*os.File); ok && isTerminal(f) {
		reseat, person = s.askReseat(bufio.NewReader(f)), true
	} else {
		return nil, false
	}
	// Out and back are one motion, and nothing is asked of the chip in between.
	return func(ctx context.Context, on bool) error {
		if !on {
			return nil
		}
		return reseat(ctx)
	}, person
}

// askReseat asks a person until the board makes good contact again.
func (s *seated) askReseat(in *bufio.Reader) func(context.Context) error {
	return func(ctx context.Context) error {
		s.app.clearLine()
		for {
			printf(s.app.stderr, "Take the board out of slot %s, put the same board back, and press Enter.\n", s.slot)
			if err := readLine(ctx, in); err != nil {
				return err
			}
			err := s.settles(ctx)
			if err == nil || ctx.Err() != nil {
				return err
			}
			printf(s.app.stderr, "slot %s: %v\n", s.slot, err)
		}
	}
}

// readLine waits for a person's Enter.
func readLine(ctx context.Context, in *bufio.Reader) error {
	line := make(chan error, 1)
	go func() {
		_, err := in.ReadString('\n')
		line <- err
	}()
	select {
	case err := <-line:
		if err != nil {
			return fmt.Errorf("%w: %w", errNobody, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settles waits some seconds for a good contact.
func (s *seated) settles(ctx context.Context) (err error) {
	for range 100 {
		if err = s.chip.Contact(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}
