package provision

import "context"

// reset resets the chip by command (66, 99). Volatile locks and a freeze without password mode end with it.
type reset struct{ r *run }

func (s *reset) observe(ctx context.Context) error { return s.r.chip.Contact(ctx) }

func (s *reset) decide() (bool, error) { return true, nil }

// act's Reset looks at its own witness: the write enable latch, set before, is clear afterwards or it fails.
func (s *reset) act(ctx context.Context) error { return s.r.chip.Reset(ctx) }

func (s *reset) confirm(ctx context.Context) (proof, error) {
	if err := s.r.chip.Contact(ctx); err != nil {
		return proof{}, err
	}
	return proof{how: "write enable latch found clear"}, nil
}
