package flash

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// A bad contact, whatever it garbles or swallows, never condemns the chip and never passes for success: what comes through without an
// error is on the chip, and no error is one that blames the chip for good.
func TestBadContactBlamesNoChip(t *testing.T) {
	for seed := range uint64(120) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			c, w := identified(t, "MT25QL256ABA", nor.Options{Seed: seed, Pace: nor.Real})
			data := noise(seed, 0x1800)
			want := []Extent{{0x20000, 0x2000, data}}
			if seed%2 == 0 {
				w.chip.SetFaults(nor.Faults{WeakContact: 20 + r.IntN(20000)})
			} else {
				odds := 3 + r.IntN(60)
				w.drop = func([]byte) bool { return r.IntN(odds) == 0 }
			}
			err := func() error {
				known, err := c.Survey(t.Context(), want, nil)
				if err != nil {
					return err
				}
				plan := mustPlan(t, c, known, want...)
				if err := c.Apply(t.Context(), plan, nil); err != nil {
					return err
				}
				if err := c.Verify(t.Context(), want, nil); err != nil {
					return err
				}
				if err := c.LockNonvolatile(t.Context(), 2); err != nil {
					return err
				}
				if err := c.Freeze(t.Context()); err != nil {
					return err
				}
				return c.ProbeLocked(t.Context(), 0x20000)
			}()
			w.drop = nil
			w.chip.SetFaults(nor.Faults{})
			if err == nil {
				if !bytes.Equal(w.chip.Bytes(0x20000, len(data)), data) || !w.chip.LockedNonvolatile(2) || !w.chip.Frozen() {
					t.Errorf("seed %d: success, and the chip is not as wanted", seed)
				}
				return
			}
			if b, ok := errors.AsType[*BusyError](err); ok && b.StuckBusy {
				t.Errorf("seed %d: a good chip is called stuck: %v", seed, err)
			}
			if _, ok := errors.AsType[*OperationError](err); ok {
				t.Errorf("seed %d: a good chip is said to have failed: %v", seed, err)
			}
			if _, ok := errors.AsType[*OtherChipError](err); ok {
				t.Errorf("seed %d: a good chip is taken for another: %v", seed, err)
			}
			if _, ok := errors.AsType[*ProtectedError](err); ok {
				t.Errorf("seed %d: nothing was locked: %v", seed, err)
			}
			if _, ok := errors.AsType[*UnprotectedError](err); ok {
				t.Errorf("seed %d: the lock is a good one: %v", seed, err)
			}
		})
	}
}

// A single garbled flag status is no refusal, whichever way it is garbled.
func TestGarbledFlags(t *testing.T) {
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	plan := mustPlan(t, c, Known{0: {Blank: true}}, Extent{0, 4096, []byte{1}})
	garble := func(mask byte) {
		programmed, once := false, true
		w.forge = func(out, in []byte) {
			programmed = programmed || out[0] == 0x12
			if programmed && once && out[0] == 0x70 {
				once = false
				in[len(in)-1] ^= mask
			}
		}
	}
	garble(0x12)
	as[*UnstableError](t, c.Apply(t.Context(), plan, nil))
	w.idle(t)
	must(t, c.LockNonvolatile(t.Context(), 0))
	garble(0x12)
	as[*UnstableError](t, c.ProbeLocked(t.Context(), 0))
	w.forge = nil
	w.idle(t)
}

// On parts of 16 MiB the address mode decides how long addresses are; taken wrong, a program lands elsewhere.
func TestGarbledAddressMode(t *testing.T) {
	c, w := identified(t, "MT25QL128ABA", nor.Options{})
	plan := mustPlan(t, c, Known{0: {Blank: true}}, Extent{0, 4096, []byte{1}})
	for sample := range samples {
		w.forge = func(out, in []byte) {
			if out[0] == 0x70 {
				in[sample] ^= 1
			}
		}
		as[*UnstableError](t, c.Apply(t.Context(), plan, nil))
	}
	if w.count(0x02)+w.count(0x06) != 0 {
		t.Error("something was programmed")
	}
}

func TestContactOfChipThatBecomesReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		w.byteTime = time.Microsecond
		w.raw([]byte{0x06}, []byte{0x12, 0, 0, 0, 0, 1})
		time.Sleep(90 * time.Microsecond)
		must(t, c.Contact(t.Context()))
		// Again and again is no becoming ready.
		flicker := byte(0)
		w.forge = func(out, in []byte) {
			if out[0] == 0x05 {
				flicker ^= 1
				in[0] ^= flicker
			}
		}
		as[*UnstableError](t, c.Contact(t.Context()))
	})
}

// An SFDP area whose tables lie behind the first 256 bytes is read again, longer.
func TestIdentifyLongSFDP(t *testing.T) {
	w := newWire(t, "MT25QU256ABA", nor.Options{})
	area := append(dump(t), bytes.Repeat([]byte{0xFF}, 1000)...)
	copy(area[0x300:], area[0x80:0x88])
	area[0x14], area[0x15] = 0x00, 0x03
	w.forge = func(out, in []byte) {
		if out[0] == 0x5A {
			copy(in, area)
		}
	}
	c, err := Identify(t.Context(), w)
	must(t, err)
	s, err := ParseSFDP(area)
	must(t, err)
	if c.SFDPDigest() != s.Digest() || len(c.SFDP().raw) != 0x308 {
		t.Errorf("%d bytes", len(c.SFDP().raw))
	}
	n := 0
	w.forge = func(out, in []byte) {
		if out[0] == 0x5A {
			copy(in, area)
			if n++; n == 4 {
				in[0x300] ^= 1
			}
		}
	}
	_, err = Identify(t.Context(), w)
	as[*UnstableError](t, err)
}

// The link may break at any frame of a run of operations, even ones before the chip got it, odd ones after: the error comes out
// wrapped, and the next call finds its way.
func TestLinkBreaksAnywhere(t *testing.T) {
	gone := errors.New("gone")
	run := func(c *Chip, ctx context.Context) error {
		plan, err := NewPlan(c.Part(), []Extent{{0x8000, 0x8000, []byte{1}}}, nil)
		if err != nil {
			return err
		}
		for _, step := range []func() error{
			func() error { return c.Apply(ctx, plan, nil) },
			func() error { return c.LockNonvolatile(ctx, 1) },
			func() error { return c.EraseNonvolatileLocks(ctx) },
			func() error { return c.LockVolatile(ctx, false, Range{0x20000, 0x10000}) },
			func() error { return c.ProbeLocked(ctx, 0x20000) },
			func() error { return c.Reset(ctx) },
			func() error { return c.MarkPower(ctx) },
			func() error { return c.Freeze(ctx) },
			func() error { _, err := c.Protection(ctx); return err },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	broken := 0
	for after := range 2 {
		for n := after; n < 1000; n += 2 {
			done := false
			synctest.Test(t, func(t *testing.T) {
				c, w := identified(t, "MT25QL128ABA", nor.Options{Pace: nor.Real})
				frame := 0
				w.fail = func(out []byte) error {
					if lockBit := out[0] == 0xE8 || out[0] == 0xE2; lockBit && frame > 0 {
						return nil // hundreds, all alike
					}
					if frame++; frame-1 != n {
						return nil
					}
					if after == 1 {
						w.raw(out)
					}
					return gone
				}
				err := run(c, t.Context())
				if done = err == nil; done {
					return
				}
				broken++
				is(t, err, gone)
				as[*spi.FrameError](t, err)
				w.fail = nil
				if err := c.Reset(t.Context()); err != nil {
					t.Fatalf("frame %d: reset %v", n, err)
				}
				if err := run(c, t.Context()); err != nil {
					t.Errorf("frame %d: afterwards %v", n, err)
				}
				w.idle(t)
			})
			if done {
				break
			}
		}
	}
	t.Logf("the link broke %d times", broken)
	if broken < 60 {
		t.Errorf("that is not everywhere")
	}
}

func TestErrorsReadWell(t *testing.T) {
	p, err := partNamed("MT25QL256ABA")
	must(t, err)
	for want, err := range map[string]error{
		"verify at 0x001234: two readings differ: 01, then 02":                                              &UnstableError{"verify", 0x1234, []byte{1}, []byte{2}},
		"wrong part: ID is 20BA19104473, want 20BA19104400 (MT25QL256ABA)":                                  &WrongPartError{DeviceID{0x20, 0xBA, 0x19, 0x10, 0x44, 0x73}, []*Part{p}},
		"wrong SFDP: size is 1, want 2":                                                                     &WrongSFDPError{"size", "1", "2"},
		"erase at 0x010000: not ready after 3s (status 0x03, flag status 0x00)":                             &BusyError{Op: "erase", Addr: 0x10000, Limit: 3 * time.Second, SR: 3},
		"freeze: not ready after 1s (status 0xFF, flag status 0xFF): no chip answers":                       &BusyError{Op: "freeze", Addr: -1, Limit: time.Second, SR: 255, FSR: 255, contact: ErrAbsent},
		"program at 0x000010: refused, protected (flag status 0x92)":                                        &ProtectedError{"program", 16, 0x92},
		"lock at 0x010000: failed (flag status 0x90)":                                                       &OperationError{"lock", 0x10000, 0x90},
		"mismatch at 0x001000: want 0x01, got 0xFF":                                                         &MismatchError{0x1000, 1, 0xFF},
		"0x001000 is not protected: a program was not refused (flag status 0x80)":                           &UnprotectedError{0x1000, 0x80, false},
		"another chip answers: ID is 0100000000000000000000000000000000000000, was 00000000000000000000000": &OtherChipError{Got: [20]byte{1}},
	} {
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// Busy tells of this moment, of any die, and waits for nothing.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, part := range []string{"MT25QL256ABA", "MT25QL02GCBB"} {
			c, w := identified(t, part, nor.Options{Pace: nor.Real})
			for i, want := range []bool{false, true, false} {
				before := time.Now()
				busy, err := c.Busy(t.Context())
				must(t, err)
				if busy != want || time.Since(before) > time.Millisecond {
					t.Errorf("%s: busy %v after %v, want %v", part, busy, time.Since(before), want)
				}
				if i == 0 {
					w.raw([]byte{0x06}, address(0xDC, c.part.Size-1, 4)) // in the last die
				} else {
					time.Sleep(time.Second)
				}
			}
			w.forge = func(out, in []byte) {
				if out[0] == 0x70 && len(in) > 0 {
					in[0] ^= 0x20
				}
			}
			_, err := c.Busy(t.Context())
			if _, ok := errors.AsType[*UnstableError](err); !ok {
				t.Errorf("%s: a bad contact: %v", part, err)
			}
			w.forge = func(_, in []byte) { clear(in) }
			_, err = c.Busy(t.Context())
			is(t, err, ErrAbsent)
		}
	})
}
