package flash

import (
	"bytes"
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

func TestOTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			for _, wide := range []bool{false, true} {
				c, w := identified(t, p.Name, nor.Options{Pace: nor.Real})
				if wide {
					must(t, c.mode(t.Context(), true))
				}
				ctx := t.Context()
				s, err := c.OTP(ctx)
				must(t, err)
				if len(s.Data) != 64 || !blank(s.Data) || s.Locked() || s.Control != 0xFF {
					t.Fatalf("%s: a factory chip has %+v", p.Name, s)
				}
				must(t, c.ProgramOTP(ctx, 3, []byte("serial")))
				must(t, c.ProgramOTP(ctx, 63, []byte{0xF0}))
				must(t, c.ProgramOTP(ctx, 63, []byte{0x30})) // clears more bits
				s, err = c.OTP(ctx)
				must(t, err)
				chip := w.chip.OTP()
				if !bytes.Equal(s.Data, chip[:64]) || string(s.Data[3:9]) != "serial" || s.Data[63] != 0x30 || s.Locked() || s.Data[2] != 0xFF || s.Data[9] != 0xFF {
					t.Errorf("%s: %+v, % X", p.Name, s, chip)
				}
				sent := w.count(0x42)
				for name, err := range map[string]error{
					"the same again": c.ProgramOTP(ctx, 3, []byte("serial")),
					"a 0 to 1":       c.ProgramOTP(ctx, 63, []byte{0x31}),
				} {
					if is(t, err, ErrProgrammed); !notSent(err) {
						t.Errorf("%s: %v", name, err)
					}
				}
				for _, bad := range []struct {
					at   int
					data []byte
				}{{-1, []byte{0}}, {64, []byte{0xFE}}, {60, make([]byte, 5)}, {0, nil}, {1 << 62, []byte{0}}} {
					if err := c.ProgramOTP(ctx, bad.at, bad.data); !notSent(err) {
						t.Errorf("byte %d: %v", bad.at, err)
					}
				}
				if w.count(0x42) != sent {
					t.Error("bad input reached the chip")
				}
				must(t, c.LockOTP(ctx))
				s, err = c.OTP(ctx)
				must(t, err)
				if !s.Locked() || s.Control != 0xFE || string(s.Data[3:9]) != "serial" {
					t.Errorf("%s: %+v", p.Name, s)
				}
				sent = w.count(0x42)
				for _, err := range []error{c.LockOTP(ctx), c.ProgramOTP(ctx, 0, []byte{0})} {
					if is(t, err, ErrOTPLocked); !notSent(err) {
						t.Errorf("%v", err)
					}
				}
				if n := w.chip.Counters()[nor.CountOTP]; w.count(0x42) != sent || n != 4 {
					t.Errorf("%s: took effect %d times", p.Name, n)
				}
				w.idle(t)
			}
		}
	})
}

// An area that denies being locked, and is: the refusal or the reading back tells.
func TestOTPThatLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, silent := range []bool{false, true} {
			c, w := identified(t, "MT25QL128ABA", nor.Options{Pace: nor.Real, LockedOTPSilent: silent})
			must(t, c.LockOTP(t.Context()))
			w.forge = func(out, in []byte) {
				if out[0] == 0x4B {
					in[64] |= 1
				}
			}
			err := c.ProgramOTP(t.Context(), 0, []byte{0})
			if silent {
				is(t, err, ErrNotExecuted)
			} else {
				as[*ProtectedError](t, err)
			}
			if as[*SentError](t, err); notSent(err) {
				t.Errorf("%v", err)
			}
			w.forge = nil
			w.idle(t)
			if w.chip.OTP()[0] != 0xFF {
				t.Error("the byte was programmed")
			}
		}
	})
}

func TestOTPOfPartsWithout(t *testing.T) {
	c, w := identified(t, "MT25QL01GBBB", nor.Options{})
	_, err := c.OTP(t.Context())
	is(t, err, ErrNoOTP)
	if w.trips != 0 {
		t.Error("something was sent")
	}
}
