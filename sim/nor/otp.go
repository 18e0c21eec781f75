package nor

import (
	"bytes"
	"math/rand/v2"
)

// One-time-programmable memory, 4B and 42: 64 bytes and the control byte at 40h, whose bit 0 locks all of them for ever when
// it is 0. Stacked parts have one (assumed).
const (
	otpControl = 64
	otpSize    = otpControl + 1
)

// blankOTP is as from the factory: all ones (from memory).
var blankOTP = [otpSize]byte(bytes.Repeat([]byte{0xFF}, otpSize))

// OTP is a look behind the pins: the 64 bytes and the control byte.
func (c *Chip) OTP() [65]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.st.otp
}

// otpByte answers 4B. Of the address the low byte counts; past the control byte that one repeats (from memory).
func (c *Chip) otpByte(i int) byte {
	i += int(c.wire.addr & 0xFF)
	if c.opts.OTPWraps {
		return c.st.otp[i%otpSize]
	}
	return c.st.otp[min(i, otpControl)]
}

// runProgramOTP is 42. Data come as those of a page program do; what falls behind the control byte is dropped (assumed).
func (c *Chip) runProgramOTP(f *frame) {
	op := operation{kind: programOTP}
	copy(op.data[:otpSize], f.data[:])
	switch {
	case c.st.otp[otpControl]&1 != 0:
		c.start(op, c.part.times.programOTP)
	case !c.opts.LockedOTPSilent:
		c.raise(fsrProgram|fsrProtection, op)
	}
}

// applyOTP is the end of 42.
func (c *Chip) applyOTP() {
	for i := range c.st.otp {
		c.st.otp[i] &= c.st.op.data[i]
	}
	c.count(CountOTP)
}

// tearOTP is 42 without its power, as 28 is: the control byte is no exception.
func (c *Chip) tearOTP(dice *rand.Rand) {
	if tearBits(c.st.otp[:], c.st.op.data[:], dice) {
		c.count(CountOTP)
	}
}
