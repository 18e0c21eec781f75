package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"station/spi"
)

// LockNonvolatile sets the nonvolatile lock bits of sectors (E3), one after the other, and reads them back (E2). Bad sector numbers, stacked parts (ErrStacked) and
// a frozen chip (ErrFrozen) are refused before anything is sent. Errors: those of Apply; ErrNotExecuted where a bit reads unlocked.
func (c *Chip) LockNonvolatile(ctx context.Context, sectors ...int) error {
	for _, s := range sectors {
		if s < 0 || s >= c.part.Sectors() {
			return fmt.Errorf("lock: %s has no sector %d", c.part.Name, s)
		}
	}
	if err := c.part.CanProtect(); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := c.unfrozen(ctx, "lock"); err != nil {
		return err
	}
	for _, s := range sectors {
		addr := int64(s) * c.part.Sector
		if err := c.execute(ctx, command{"lock", addr, address(opWriteLock, addr, 4), c.part.LockSet}); err != nil {
			return err
		}
	}
	return c.nonvolatile(ctx, "lock", sectors, true)
}

// EraseNonvolatileLocks clears all nonvolatile lock bits (E4) and reads them back (E2). Errors as LockNonvolatile.
func (c *Chip) EraseNonvolatileLocks(ctx context.Context) error {
	const op = "erase nonvolatile locks"
	if err := c.part.CanProtect(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := c.unfrozen(ctx, op); err != nil {
		return err
	}
	if err := c.execute(ctx, command{op, -1, []byte{opEraseLocks}, c.part.LockErase}); err != nil {
		return err
	}
	all := make([]int, c.part.Sectors())
	for i := range all {
		all[i] = i
	}
	return c.nonvolatile(ctx, op, all, false)
}

// unfrozen begins a change of nonvolatile lock bits, which a frozen chip does not take.
func (c *Chip) unfrozen(ctx context.Context, op string) error {
	is, err := c.Frozen(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if is {
		return fmt.Errorf("%s: %w", op, ErrFrozen)
	}
	return c.begin(ctx)
}

// nonvolatile reads back that the lock bits of sectors are as wanted.
func (c *Chip) nonvolatile(ctx context.Context, op string, sectors []int, want bool) error {
	got, err := c.twice(ctx, "read nonvolatile locks", len(sectors), func(in []byte) (frames []spi.Frame) {
		for i, s := range sectors {
			frames = append(frames, c.readLock(s, in[i:i+1]))
		}
		return frames
	})
	if err != nil {
		return err
	}
	for i, s := range sectors {
		if c.part.locked(got[i]) != want {
			return fmt.Errorf("%s: the lock bit reads 0x%02X: %w", at(op, int64(s)*c.part.Sector), got[i], ErrNotExecuted)
		}
	}
	return nil
}

// LockVolatile sets the volatile lock bits (E1, E5) of all cells in ranges, and reads them back. down: their lock-down bits too, so that nothing but reset or
// power-off changes them again. Ranges that do not begin and end with cells, and stacked parts (ErrStacked), are refused before anything is sent. Errors as LockNonvolatile; ErrCells where the chip's cells are not those of the profile.
func (c *Chip) LockVolatile(ctx context.Context, down bool, ranges ...Range) error {
	cells, err := c.part.cells(ranges)
	if err == nil {
		err = c.part.CanProtect()
	}
	if err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	edges, before, err := c.edges(ctx, cells)
	if err != nil {
		return err
	}
	bits := byte(volatileLock)
	if down {
		bits |= volatileDown
	}
	for _, cell := range cells {
		out := append(c.addressed(opWriteVolatile, opWriteVolatile4, cell.Addr), bits)
		if err := c.execute(ctx, command{"volatile lock", cell.Addr, out, c.part.Register}); err != nil {
			return err
		}
	}
	got, err := c.twice(ctx, "read volatile locks", len(cells), func(in []byte) (frames []spi.Frame) {
		for i, cell := range cells {
			frames = append(frames, c.readVolatile(cell, in[i:i+1]))
		}
		return frames
	})
	if err != nil {
		return err
	}
	for i, cell := range cells {
		if got[i]&bits != bits {
			return fmt.Errorf("%s: the lock bits read 0x%02X: %w", at("volatile lock", cell.Addr), got[i], ErrNotExecuted)
		}
	}
	_, after, err := c.edges(ctx, cells)
	if err != nil {
		return err
	}
	for i, edge := range edges {
		want := before[i]
		if slices.ContainsFunc(cells, func(cell Range) bool { return cell.Addr <= edge.Addr && edge.Addr < cell.Addr+cell.Size }) {
			want |= bits
		}
		if after[i] != want {
			return fmt.Errorf("%s: the lock bits read 0x%02X, want 0x%02X: %w", at("volatile lock", edge.Addr), after[i], want, ErrCells)
		}
	}
	return nil
}

// edges are the smallest erase units of the first and of the last sector, as far as cells are in these, and their volatile lock bits. Whether each has
// its own is a value of the profile: so they are all looked at, before and after.
func (c *Chip) edges(ctx context.Context, cells []Range) (units []Range, got []byte, err error) {
	size := c.part.Erases[0].Size
	for _, sector := range slices.Compact([]int64{0, c.part.Size - c.part.Sector}) {
		if !slices.ContainsFunc(cells, func(cell Range) bool { return sector <= cell.Addr && cell.Addr < sector+c.part.Sector }) {
			continue
		}
		for addr := sector; addr < sector+c.part.Sector; addr += size {
			units = append(units, Range{addr, size})
		}
	}
	if len(units) == 0 {
		return nil, nil, nil
	}
	got, err = c.twice(ctx, "read volatile locks", len(units), func(in []byte) (frames []spi.Frame) {
		for i, unit := range units {
			frames = append(frames, c.readVolatile(unit, in[i:i+1]))
		}
		return frames
	})
	return units, got, err
}

// cells are the volatile cells that ranges consist of.
func (p *Part) cells(ranges []Range) ([]Range, error) {
	var cells []Range
	all := p.VolatileCells()
	for _, r := range ranges {
		from := slices.IndexFunc(all, func(c Range) bool { return c.Addr == r.Addr })
		to := slices.IndexFunc(all, func(c Range) bool { return c.Addr+c.Size == r.Addr+r.Size })
		if from < 0 || to < from {
			return nil, fmt.Errorf("volatile lock: %d bytes at 0x%06X are not whole cells of %s", r.Size, r.Addr, p.Name)
		}
		cells = append(cells, all[from:to+1]...)
	}
	return cells, nil
}

// Frozen tells whether the global freeze bit (A7) is 0. Errors are those of Read.
func (c *Chip) Frozen(ctx context.Context) (bool, error) {
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return false, err
	}
	got, err := c.twice(ctx, "read freeze bit", 1, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: []byte{opReadFreeze}, In: in}}
	})
	if err != nil {
		return false, err
	}
	return frozen(got[0])
}

// Freeze sets the global freeze bit to 0 (A6) and reads it back (A7): until power-off or reset, or in password mode until the password
// is given. Stacked parts are refused (ErrStacked). Errors: those of Apply; ErrNotExecuted where it reads not frozen.
func (c *Chip) Freeze(ctx context.Context) error {
	if err := c.part.CanProtect(); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := c.execute(ctx, command{"freeze", -1, []byte{opWriteFreeze}, c.part.Register}); err != nil {
		return err
	}
	is, err := c.Frozen(ctx)
	if err == nil && !is {
		err = fmt.Errorf("freeze: %w", ErrNotExecuted)
	}
	return err
}

// ProbeLocked programs the byte at addr with its own value, and wants to see that refused with data unchanged: so a chip that lies about its lock bits is
// found. Where the chip does not refuse: *UnprotectedError. The flags are clean afterwards. Other errors: those of Read and Apply.
func (c *Chip) ProbeLocked(ctx context.Context, addr int64) error {
	var first, second, after [1]byte
	if err := c.Read(ctx, addr, first[:]); err != nil {
		return err
	}
	if err := c.Read(ctx, addr, second[:]); err != nil {
		return err
	}
	if err := alike("probe", addr, first[:], second[:]); err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	out := append(c.addressed(opProgram, opProgram4, addr), first[0])
	s, err := c.send(ctx, command{"probe", addr, out, c.part.Program})
	if err != nil {
		return err
	}
	// The flags stay until they are cleaned: one sample of them condemns no chip.
	probed, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkLimit)
	defer cancel()
	if s, err = c.confirm(probed, s); err != nil {
		return c.cleanAfter(probed, fmt.Errorf("%s: %w", at("probe", addr), err))
	}
	if err := c.clean(probed); err != nil {
		return err
	}
	if err := c.Read(probed, addr, after[:]); err != nil {
		return err
	}
	if after != first { // nor does one reading of the data
		if err := c.Read(probed, addr, second[:]); err != nil {
			return err
		}
		if err := alike("probe", addr, after[:], second[:]); err != nil {
			return err
		}
	}
	unprotected := &UnprotectedError{Addr: addr, FSR: s.fsr, Changed: !bytes.Equal(after[:], first[:])}
	switch {
	case unprotected.Changed, s.fsr&fsrErrors == 0:
		return unprotected
	case s.fsr&c.part.ProgramRefused != c.part.ProgramRefused:
		return errors.Join(unprotected, &OperationError{"probe", addr, s.fsr})
	}
	return nil
}
