package flash

import (
	"context"
	"fmt"
	"slices"
)

// Apply carries out the erases and programs of a plan, in order. It does not verify; absence of an error proves nothing.
//
// The end of ctx acts between erases and between batches of page programs: what runs is awaited, within its limit, so that the chip is left ready. progress may be
// nil; it gets bytes erased and programmed, and how many there are in all. Errors: *ProtectedError, *OperationError, *BusyError,
// ErrNotExecuted, contact errors, and those of spi, wrapped.
func (c *Chip) Apply(ctx context.Context, plan *Plan, progress func(done, total int64)) error {
	if plan.Part != c.part && (plan.Part.Name != c.part.Name || plan.Part.Digest() != c.part.Digest()) {
		return fmt.Errorf("apply: the plan is for %s, the chip is %s of another profile", plan.Part.Name, c.part.Name)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	var done int64
	step := func(n int64) {
		if done += n; progress != nil {
			progress(done, plan.EraseBytes+plan.ProgramBytes)
		}
	}
	for ops := plan.Ops; len(ops) > 0; {
		if ops[0].Data == nil {
			if err := c.erase(ctx, ops[0]); err != nil {
				return err
			}
			step(ops[0].Size)
			ops = ops[1:]
			continue
		}
		n := slices.IndexFunc(ops, func(op Op) bool { return op.Data == nil })
		if n < 0 {
			n = len(ops)
		}
		if err := c.programs(ctx, ops[:n], step); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

// erase erases op.Size bytes at op.Addr. An erase without a 4-byte twin on a part that needs one is done in 4-byte mode, which is left
// again where it was not on before.
func (c *Chip) erase(ctx context.Context, op Op) error {
	i := slices.IndexFunc(c.part.Erases, func(e Erase) bool { return e.Size == op.Size })
	e := c.part.DieErase
	if i >= 0 {
		e = &c.part.Erases[i]
	}
	if e == nil || e.Size != op.Size {
		return fmt.Errorf("erase at 0x%06X: %s erases no 0x%X bytes at once", op.Addr, c.part.Name, op.Size)
	}
	cmd := command{"erase", op.Addr, nil, Timing{e.Typ, e.Max}}
	if i < 0 && c.part.Dies == 1 {
		cmd.out = []byte{e.Opcode} // bulk erase has no address
		return c.execute(ctx, cmd)
	}
	if c.part.AddressBytes == 3 || e.Opcode4 != 0 {
		cmd.out = c.addressed(e.Opcode, e.Opcode4, op.Addr)
		return c.execute(ctx, cmd)
	}
	cmd.out = address(e.Opcode, op.Addr, 4)
	return c.inWideMode(ctx, func() error { return c.execute(ctx, cmd) })
}

// inWideMode calls do in 4-byte mode, which is left again where it was not on before.
func (c *Chip) inWideMode(ctx context.Context, do func() error) error {
	if c.wide {
		return do()
	}
	if err := c.mode(ctx, true); err != nil {
		return err
	}
	err := do()
	if left := c.mode(context.WithoutCancel(ctx), false); err == nil {
		err = left
	}
	return err
}

// mode enters or leaves 4-byte address mode (B7, E9 behind a write enable) and reads back that it did.
func (c *Chip) mode(ctx context.Context, wide bool) error {
	cmd := command{"enter 4-byte mode", -1, []byte{opEnter4Byte}, c.part.Register}
	if !wide {
		cmd.op, cmd.out = "leave 4-byte mode", []byte{opExit4Byte}
	}
	if err := c.execute(ctx, cmd); err != nil {
		return err
	}
	if _, err := c.ready(ctx, c.part.Limit(c.part.Register.Max)); err != nil {
		return err
	}
	if c.wide != wide {
		return fmt.Errorf("%s: %w", cmd.op, ErrNotExecuted)
	}
	return nil
}
