package flash

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"time"

	"station/spi"
)

// Password is the 64-bit password of password protection mode, in wire order: least-significant byte first (LLD). A secret:
// every way of printing it prints "[secret]". Who holds one wipes it.
type Password [8]byte

const secret = "[secret]"

func (Password) String() string               { return secret }
func (Password) GoString() string             { return secret }
func (Password) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, secret) }
func (Password) MarshalJSON() ([]byte, error) { return []byte(`"` + secret + `"`), nil }
func (Password) MarshalText() ([]byte, error) { return []byte(secret), nil }

// Wipe overwrites the password with zeros.
func (p *Password) Wipe() { clear(p[:]) }

// Blank tells whether pw reads as one that never was programmed. So does one that password mode hides, and a floating bus.
func (p *Part) Blank(pw *Password) bool {
	return bytes.Count(pw[:], []byte{p.BlankPassword}) == len(pw)
}

// ErrNotFrozen: the global freeze bit is 1, so that giving the password would prove nothing. It was not sent.
var ErrNotFrozen = errors.New("the chip is not frozen")

// ErrProgrammed: what can be programmed only once is not in its factory state. Nothing was sent.
var ErrProgrammed = errors.New("already programmed")

// Values of the sector protection register (DS p.35). Modes exclude each other, and none can be left.
const (
	FactoryMode    = 0xFFFF
	PasswordMode   = 0xFFFB // bit 2: nonvolatile lock bits are frozen from power-up on, until the password is given
	PersistentMode = 0xFFFD // bit 1: password mode is unavailable for ever
)

// ReadPassword reads the password (27) into p, twice between good ID reads in one batch. p is changed only where err is nil.
// In password mode the chip ignores the command (LLD), which reads as all FF or as all 00. Errors are those of Read, without values.
func (c *Chip) ReadPassword(ctx context.Context, p *Password) error {
	const op = "read password"
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	var first, second Password
	defer first.Wipe()
	defer second.Wipe()
	out := []byte{opReadPassword}
	err := c.proven(ctx, op, -1, spi.Frame{Out: out, In: first[:], Secret: true}, spi.Frame{Out: out, In: second[:], Secret: true})
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(first[:], second[:]) == 0 {
		return &UnstableError{Op: op, Addr: -1}
	}
	*p = first
	return nil
}

// ProgramPassword programs p (28): permanent, sent once and never again by this call. It is refused where p is all 00 or all FF, which a floating
// bus reads as, and with ErrProgrammed where the chip has a password or has left the factory mode. It does not read p back: that is the
// caller's proof, and p stays the caller's to wipe. Every error is a *SentError: ErrProgrammed, ErrNotExecuted, *OperationError, *ProtectedError,
// *BusyError, contact and link errors.
func (c *Chip) ProgramPassword(ctx context.Context, p *Password) error {
	const op = "program password"
	if uniform(p[:]) {
		return &SentError{op, spi.No, errors.New("a password of all 00 or all FF is none")}
	}
	if err := c.part.CanProtect(); err != nil {
		return &SentError{op, spi.No, err}
	}
	if mode, err := c.SectorProtection(ctx); err != nil {
		return &SentError{op, spi.No, err}
	} else if mode != FactoryMode {
		return &SentError{op, spi.No, fmt.Errorf("the sector protection register reads 0x%04X: %w", mode, ErrProgrammed)}
	}
	var old Password
	defer old.Wipe()
	if err := c.ReadPassword(ctx, &old); err != nil {
		return &SentError{op, spi.No, err}
	}
	if !c.part.Blank(&old) {
		return &SentError{op, spi.No, ErrProgrammed}
	}
	out := append(make([]byte, 0, 1+len(p)), opProgramPassword)
	out = append(out, p[:]...)
	defer clear(out)
	return c.once(ctx, command{op, -1, out, c.part.Password}, true)
}

// UnlockPassword gives the password (29; no write enable, LLD) to a frozen chip. true: the chip took it, and the global freeze bit reads 1.
// false: the chip refused it (flag status bit 4, cleaned). A chip that is not frozen is not asked: ErrNotFrozen. Other errors: ErrNotExecuted where
// the chip neither refused nor opened, *OperationError, *BusyError, contact and link errors, all without values.
func (c *Chip) UnlockPassword(ctx context.Context, p *Password) (unlocked bool, err error) {
	const op = "unlock password"
	if err := c.part.CanProtect(); err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	is, err := c.Frozen(ctx)
	if err == nil && !is {
		err = ErrNotFrozen
	}
	if err == nil {
		err = c.begin(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	limit := c.part.Limit(c.part.Unlock.Max)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+linkLimit)
	defer cancel()
	out := append(make([]byte, 0, 1+len(p)), opUnlockPassword)
	out = append(out, p[:]...)
	defer clear(out)
	start := time.Now()
	if err := c.conn.Do(ctx, spi.Frame{Out: out, Idle: c.part.Unlock.Typ, Secret: true}); err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	s, err := c.finished(ctx, command{op, -1, nil, c.part.Unlock}, start, limit)
	if err != nil {
		return false, err
	}
	if s.fsr&fsrErrors != 0 {
		if err := c.clean(ctx); err != nil {
			return false, fmt.Errorf("%s: %w", op, err)
		}
		if s.fsr&fsrErrors != fsrProgramError {
			return false, &OperationError{op, -1, s.fsr}
		}
		return false, nil
	}
	if is, err = c.Frozen(ctx); err == nil && is {
		err = ErrNotExecuted
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	return true, nil
}

// SectorProtection reads the sector protection register (2D), twice between good ID reads. Errors are those of Read.
func (c *Chip) SectorProtection(ctx context.Context) (uint16, error) {
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return 0, err
	}
	got, err := c.twice(ctx, "read sector protection", 2, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: []byte{opReadProtection}, In: in}}
	})
	if err != nil {
		return 0, err
	}
	return uint16(got[0]) | uint16(got[1])<<8, nil
}

// ProgramSectorProtection writes PasswordMode or PersistentMode (2C) to a register that reads FactoryMode, and reads it back: permanent, sent once and
// never again by this call. Other values are refused, other states with ErrProgrammed. That a password was proven first is
// the caller's duty (DS p.35 note 2). Every error is a *SentError, as those of ProgramPassword.
func (c *Chip) ProgramSectorProtection(ctx context.Context, value uint16) error {
	const op = "program sector protection"
	if value != PasswordMode && value != PersistentMode {
		return &SentError{op, spi.No, fmt.Errorf("0x%04X is neither 0x%04X nor 0x%04X", value, PasswordMode, PersistentMode)}
	}
	if err := c.part.CanProtect(); err != nil {
		return &SentError{op, spi.No, err}
	}
	mode, err := c.SectorProtection(ctx)
	if err == nil && mode != FactoryMode {
		err = fmt.Errorf("the register reads 0x%04X: %w", mode, ErrProgrammed)
	}
	if err != nil {
		return &SentError{op, spi.No, err}
	}
	if err := c.once(ctx, command{op, -1, []byte{opProgramProtection, byte(value), byte(value >> 8)}, c.part.Protection}, false); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkLimit)
	defer cancel()
	if mode, err = c.SectorProtection(bounded); err == nil && mode != value {
		err = fmt.Errorf("the register reads 0x%04X, want 0x%04X: %w", mode, value, ErrNotExecuted)
	}
	if err != nil {
		return &SentError{op, spi.Yes, err}
	}
	return nil
}

// uniform tells whether b is all 00 or all FF.
func uniform(b []byte) bool {
	var or, and byte = 0, 0xFF
	for _, v := range b {
		or, and = or|v, and&v
	}
	return or == 0 || and == 0xFF
}
