package provision

import (
	"bytes"
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// otp programs the one-time-programmable area and, where the recipe says so, locks it for ever. Its content is no secret and is read back,
// so what a power loss cut off is completed: only bytes that are not right yet are programmed, each time under an intent of its own.
type otp struct {
	r   *run
	s   recipes.OTP
	now flash.OTPState
}

func (o *otp) observe(ctx context.Context) (err error) {
	o.now, err = o.r.chip.OTP(ctx)
	return err
}

func (o *otp) decide() (bool, error) {
	if why := foreignOTP(o.now, o.r.unit.OTP()); why != "" {
		return false, stuck("otp-foreign", why, "Find out where the board was before. Close the unit as scrapped, unless a recipe with that content is right for it.")
	}
	return !o.holds() || o.s.Lock && !o.now.Locked(), nil
}

// foreignOTP says why an area can never hold what is wanted of it; "" where it can, or does.
func foreignOTP(now flash.OTPState, want []byte) string {
	if bytes.HasPrefix(now.Data, want) {
		return ""
	}
	if now.Locked() {
		return "The OTP area is locked for ever and holds something else than the recipe wants."
	}
	for i, b := range want {
		if b&^now.Data[i] != 0 {
			return fmt.Sprintf("The OTP area holds %02X at 0x%02X and can never hold %02X there.", now.Data[i], i, b)
		}
	}
	return ""
}

func (o *otp) holds() bool { return bytes.HasPrefix(o.now.Data, o.r.unit.OTP()) }

func (o *otp) act(ctx context.Context) error {
	if !o.holds() {
		want := o.r.unit.OTP()
		first, last := 0, len(want)
		for want[first] == o.now.Data[first] {
			first++
		}
		for want[last-1] == o.now.Data[last-1] {
			last--
		}
		if err := o.r.intend(ctx, fmt.Sprintf("OTP area: bytes %d to %d", first, last-1)); err != nil {
			return err
		}
		if err := o.r.chip.ProgramOTP(ctx, first, want[first:last]); err != nil {
			return err
		}
		if err := o.readBack(ctx); err != nil {
			return err
		}
	}
	if !o.s.Lock || o.now.Locked() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := o.r.intend(ctx, "OTP area: lock"); err != nil {
		return err
	}
	return o.r.chip.LockOTP(ctx)
}

// readBack wants the area to hold what it should: nothing else is ever locked.
func (o *otp) readBack(ctx context.Context) error {
	if err := o.observe(ctx); err != nil {
		return err
	}
	if !o.holds() {
		return fmt.Errorf("the OTP area reads back otherwise than it was programmed: %w", flash.ErrNotExecuted)
	}
	return nil
}

func (o *otp) confirm(ctx context.Context) (proof, error) {
	if err := o.readBack(ctx); err != nil {
		return proof{}, err
	}
	if o.s.Lock && !o.now.Locked() {
		return proof{}, fmt.Errorf("the OTP area reads back open: %w", flash.ErrNotExecuted)
	}
	locked := "no"
	if o.now.Locked() {
		locked = "for ever"
	}
	return proof{how: "readback", facts: []ledger.Fact{
		{Name: "content", Value: fmt.Sprintf("%x", o.r.unit.OTP())},
		{Name: "locked", Value: locked},
	}}, nil
}
