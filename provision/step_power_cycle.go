package provision

import (
	"context"
	"fmt"
	"time"

	"station/flash"
	"station/ledger"
	"station/spi"
)

const (
	offTime      = 200 * time.Millisecond // long enough for a board's supply to fall
	presencePoll = 20 * time.Millisecond
)

// powerCycle takes the chip's supply away and gives it back: by the fixture where it can, otherwise by a person who
// reseats the board. The write enable latch is the witness: set before, it must be clear afterwards.
type powerCycle struct {
	r   *run
	how string
}

func (p *powerCycle) observe(ctx context.Context) error { return p.r.chip.MarkPower(ctx) }

func (p *powerCycle) decide() (bool, error) { return true, nil }

func (p *powerCycle) act(ctx context.Context) error {
	if supply, ok := p.r.conn.(spi.Powered); ok {
		p.how = "switched by the fixture"
		return p.switchSupply(ctx, supply)
	}
	p.how = "reseated by " + p.r.e.o.Reseater
	return p.reseat(ctx)
}

func (p *powerCycle) switchSupply(ctx context.Context, supply spi.Powered) error {
	if err := supply.Power(ctx, false); err != nil {
		return &stationError{"fixture", err}
	}
	// Once it is off it comes on again, whatever became of the run.
	ctx = context.WithoutCancel(ctx)
	time.Sleep(offTime)
	if err := supply.Power(ctx, true); err != nil {
		return &stationError{"fixture", err}
	}
	return nil
}

// reseat asks for the board to be taken out and put back, and watches it happen.
func (p *powerCycle) reseat(ctx context.Context) error {
	r := p.r
	r.emit(Event{Kind: Reseat, Title: fmt.Sprintf("Take the board out of slot %s and put the same board back.", r.o.Slot)})
	ctx, cancel := context.WithTimeoutCause(ctx, r.e.o.ReseatLimit, &verdict{ledger.Error, "not-reseated",
		fmt.Sprintf("Nobody reseated the board within %s.", r.e.o.ReseatLimit), "Scan the unit again, and reseat the board when asked."})
	defer cancel()
	for _, want := range []bool{false, true} {
		for {
			present, err := flash.Present(ctx, r.conn, r.chip.Part())
			if err != nil {
				return cause(ctx, err)
			}
			if present == want {
				break
			}
			if present && p.missed(ctx) {
				return nil
			}
			select {
			case <-ctx.Done():
				return cause(ctx, ctx.Err())
			case <-time.After(presencePoll):
			}
		}
	}
	return nil
}

// missed says that the board was out and is back between two looks: the chip is there, and its power was away. Springs and fingers bounce, so
// only an answer over a good contact counts; everything else is for the next look.
func (p *powerCycle) missed(ctx context.Context) bool {
	if p.r.chip.Contact(ctx) != nil {
		return false
	}
	lost, err := p.r.chip.PowerLost(ctx)
	return err == nil && lost
}

// cause prefers what ended ctx to what that did to err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// run is the whole cycle, for steps that need one on their way.
func (p *powerCycle) run(ctx context.Context) error {
	if err := p.observe(ctx); err != nil {
		return err
	}
	if err := p.act(ctx); err != nil {
		return err
	}
	_, err := p.confirm(ctx)
	return err
}

func (p *powerCycle) confirm(ctx context.Context) (proof, error) {
	if err := p.r.settled(ctx); err != nil {
		return proof{}, err
	}
	lost, err := p.r.chip.PowerLost(ctx)
	if err != nil {
		return proof{}, err
	}
	if !lost {
		return proof{}, &verdict{ledger.Error, "power-not-lost", "The chip kept its power: its write enable latch is still set.",
			"Check that the fixture feeds the board alone, then scan the unit again."}
	}
	return proof{how: "write enable latch found clear", facts: []ledger.Fact{{Name: "supply", Value: p.how}}}, nil
}

// settled waits until a board that was just put back makes good contact: springs and fingers bounce.
func (r *run) settled(ctx context.Context) error {
	var err error
	for range 100 {
		if err = r.chip.Contact(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(presencePoll):
		}
	}
	return err
}
