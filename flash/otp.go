package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"station/spi"
)

// Opcodes of the one-time programmable area. Their address width follows the address mode.
const (
	opReadOTP    = 0x4B // 8 dummy clocks
	opProgramOTP = 0x42
	otpUnlocked  = 1 << 0 // of the control byte, behind the data; 0 locks the area for ever
)

// OTP describes the one-time programmable area: Size bytes of data from address 0 on, and a control byte behind them.
type OTP struct {
	Size    int    `yaml:"size" json:"size"`
	Program Timing `yaml:"program" json:"program"` // 42
}

// OTPState is what the one-time programmable area holds.
type OTPState struct {
	Data    []byte
	Control byte // bit 0 = 0: locked for ever
}

// Locked tells whether the area can never be programmed again.
func (s OTPState) Locked() bool { return s.Control&otpUnlocked == 0 }

// ErrNoOTP: the part profile knows no one-time programmable area. Nothing was sent.
var ErrNoOTP = errors.New("no one-time programmable area")

// ErrOTPLocked: the one-time programmable area is locked for ever. Nothing was sent.
var ErrOTPLocked = errors.New("the one-time programmable area is locked")

// OTP reads the one-time programmable area (4B), twice between good ID reads. Errors: ErrNoOTP, and those of Read.
func (c *Chip) OTP(ctx context.Context) (OTPState, error) {
	if c.part.OTP == nil {
		return OTPState{}, fmt.Errorf("%s: %w", c.part.Name, ErrNoOTP)
	}
	if _, err := c.ready(ctx, c.part.Longest()); err != nil {
		return OTPState{}, err
	}
	size := c.part.OTP.Size
	got, err := c.twice(ctx, "read OTP", size+1, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: append(c.moded(opReadOTP, 0), 0), In: in}}
	})
	if err != nil {
		return OTPState{}, err
	}
	return OTPState{got[:size:size], got[size]}, nil
}

// ProgramOTP programs data from byte at of the area on (42), and reads all of the area back: permanent, sent once and never again by this call. Nothing is
// sent where data does not fit into the area, where the area is locked (ErrOTPLocked), on stacked parts (ErrStacked), where it holds data already, or a 0 would have to
// become 1 (ErrProgrammed). Every error is a *SentError, as those of ProgramPassword, and ErrNoOTP.
func (c *Chip) ProgramOTP(ctx context.Context, at int, data []byte) error {
	const op = "program OTP"
	s, err := c.openOTP(ctx)
	if err == nil && (at < 0 || len(data) == 0 || at > len(s.Data)-len(data)) {
		err = fmt.Errorf("%d bytes at byte %d are not within %d bytes", len(data), at, len(s.Data))
	}
	if err == nil {
		err = programmable(s.Data[at:at+len(data)], at, data)
	}
	if err != nil {
		return &SentError{op, spi.No, err}
	}
	want := OTPState{bytes.Clone(s.Data), s.Control}
	copy(want.Data[at:], data)
	return c.onceOTP(ctx, op, int64(at), data, want)
}

// LockOTP locks the one-time programmable area for ever (42 with the control byte), and reads it back: permanent, sent once and never again by this
// call. A locked area is not sent anything: ErrOTPLocked. Every error is a *SentError, as those of ProgramOTP.
func (c *Chip) LockOTP(ctx context.Context) error {
	const op = "lock OTP"
	s, err := c.openOTP(ctx)
	if err != nil {
		return &SentError{op, spi.No, err}
	}
	want := OTPState{s.Data, s.Control &^ otpUnlocked}
	return c.onceOTP(ctx, op, int64(len(s.Data)), []byte{want.Control}, want)
}

// openOTP reads an area that is to be programmed. Parts that have none (ErrNoOTP), stacked parts (ErrStacked), and locked areas (ErrOTPLocked) are refused,
// the former two before anything is sent.
func (c *Chip) openOTP(ctx context.Context) (OTPState, error) {
	if c.part.OTP != nil {
		if err := c.part.CanProtect(); err != nil {
			return OTPState{}, err
		}
	}
	s, err := c.OTP(ctx)
	if err == nil && s.Locked() {
		err = ErrOTPLocked
	}
	return s, err
}

// programmable tells whether a programming of old by data does something, and all that it is to.
func programmable(old []byte, at int, data []byte) error {
	if bytes.Equal(old, data) {
		return fmt.Errorf("it holds that: %w", ErrProgrammed)
	}
	for i := range data {
		if old[i]&data[i] != data[i] {
			return fmt.Errorf("byte %d is 0x%02X and cannot become 0x%02X: %w", at+i, old[i], data[i], ErrProgrammed)
		}
	}
	return nil
}

// onceOTP sends a program of the area and reads it back.
func (c *Chip) onceOTP(ctx context.Context, op string, addr int64, data []byte, want OTPState) error {
	cmd := command{op, addr, append(c.moded(opProgramOTP, addr), data...), c.part.OTP.Program}
	if err := c.once(ctx, cmd, false); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkLimit)
	defer cancel()
	got, err := c.OTP(bounded)
	if err == nil && (!bytes.Equal(got.Data, want.Data) || got.Control != want.Control) {
		err = fmt.Errorf("the area reads otherwise: %w", ErrNotExecuted)
	}
	if err != nil {
		return &SentError{op, spi.Yes, err}
	}
	return nil
}
