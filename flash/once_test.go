package flash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// permanent commands, each on a chip that is ready for it, and how often it took effect.
var permanent = []struct {
	name   string
	op     byte
	secret []byte
	send   func(context.Context, *Chip) error
	count  func(*nor.Chip) uint64
}{
	{"password", 0x28, testPassword[:], func(ctx context.Context, c *Chip) error {
		p := testPassword
		return c.ProgramPassword(ctx, &p)
	}, func(c *nor.Chip) uint64 { return c.Counters()[nor.CountPassword] }},
	{"sector protection", 0x2C, []byte("no secret"), func(ctx context.Context, c *Chip) error {
		return c.ProgramSectorProtection(ctx, PasswordMode)
	}, func(c *nor.Chip) uint64 { return c.Counters()[nor.CountSectorProtection] }},
	{"OTP", 0x42, []byte("no secret"), func(ctx context.Context, c *Chip) error {
		return c.ProgramOTP(ctx, 5, []byte{1, 2, 3})
	}, func(c *nor.Chip) uint64 { return c.Counters()[nor.CountOTP] }},
	{"OTP lock", 0x42, []byte("no secret"), func(ctx context.Context, c *Chip) error {
		return c.LockOTP(ctx)
	}, func(c *nor.Chip) uint64 { return c.Counters()[nor.CountOTP] }},
	{"root key", 0x9B, vectorA.key[:], func(ctx context.Context, c *Chip) error {
		packet, err := RootKeyPacket(0x9B, 0, &vectorA.key)
		if err != nil {
			return err
		}
		status, err := c.SendRPMC(ctx, packet, true)
		if err == nil && status != RPMCSuccess {
			err = fmt.Errorf("%s: %w", ExplainRPMC(status), ErrNotExecuted)
		}
		return err
	}, func(c *nor.Chip) uint64 { return c.Counters()[nor.CountRootKey] }},
}

// cut is a link that fails once: at its n-th frame, which reaches the chip or not, and is said to have or not.
type cut struct {
	*wire
	n       int
	sent    spi.Sent
	reaches bool
	op      byte // of the frame that failed
}

func (l *cut) Do(ctx context.Context, frames ...spi.Frame) error {
	if l.n < 0 || l.n >= len(frames) {
		l.n -= len(frames)
		return l.wire.Do(ctx, frames...)
	}
	index := l.n
	l.n, l.op = -1, frames[index].Out[0]
	send := frames[:index]
	if l.reaches {
		send = frames[:index+1]
	}
	if err := l.wire.Do(ctx, send...); err != nil {
		return err
	}
	return &spi.FrameError{Index: index, Sent: l.sent, Err: context.DeadlineExceeded}
}

// Whatever frame the link fails at, and whatever it knows about that: the command is sent at most once, "not sent" is never a lie, and where it is told
// the next try takes effect.
func TestPermanentTellsWhetherSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cmd := range permanent {
			for _, mode := range []struct {
				sent    spi.Sent
				reaches bool
			}{{spi.No, false}, {spi.Maybe, false}, {spi.Maybe, true}, {spi.Yes, true}} {
				var failed int
				for n := 0; ; n++ {
					c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
					link := &cut{wire: w, n: n, sent: mode.sent, reaches: mode.reaches}
					c.conn = link
					err := cmd.send(t.Context(), c)
					if link.n >= 0 {
						must(t, err)
						break
					}
					time.Sleep(time.Second)
					failed++
					if err == nil {
						t.Fatalf("%s: frame %d failed, and nobody tells", cmd.name, n)
					}
					e := as[*SentError](t, err)
					silent(t, fmt.Sprintf("%v %+v", err, err), cmd.secret)
					is(t, err, context.DeadlineExceeded)
					times := w.count(cmd.op)
					if f := as[*spi.FrameError](t, err); f.Sent != e.Sent || notSent(err) != (e.Sent == spi.No) {
						t.Errorf("%s: frame %d: %v against %v", cmd.name, n, f.Sent, e.Sent)
					}
					want := spi.No
					if link.op == cmd.op {
						want = mode.sent
					} else if times > 0 {
						want = spi.Yes
					}
					if e.Sent != want || times > 1 || times == 1 && e.Sent == spi.No || times == 0 && e.Sent == spi.Yes {
						t.Errorf("%s: frame %d: on the wire %d times, and said to be %v", cmd.name, n, times, err)
					}
					if notSent(err) {
						must(t, cmd.send(t.Context(), c))
					}
					if got := cmd.count(w.chip); got != uint64(w.count(cmd.op)) || got > 1 {
						t.Errorf("%s: took effect %d times", cmd.name, got)
					}
				}
				if failed < 5 {
					t.Errorf("%s: only %d frames failed", cmd.name, failed)
				}
			}
		}
	})
}

// A contact that garbles answers or swallows frames: success means that it took effect, "not sent" that it did not, and nothing is
// sent twice.
func TestPermanentOnBadContact(t *testing.T) {
	done := 0
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			cmd := permanent[seed%uint64(len(permanent))]
			c, w := identified(t, "MT25QU128ABB", nor.Options{Seed: seed, Pace: nor.Real})
			if seed%2 == 0 {
				w.chip.SetFaults(nor.Faults{WeakContact: 20 + r.IntN(5000)})
			} else {
				odds := 5 + r.IntN(60)
				w.drop = func([]byte) bool { return r.IntN(odds) == 0 }
			}
			err := cmd.send(t.Context(), c)
			if times := w.count(cmd.op); times > 1 || notSent(err) && times > 0 {
				t.Errorf("seed %d: %s: on the wire %d times: %v", seed, cmd.name, times, err)
			}
			if b, ok := errors.AsType[*BusyError](err); ok && b.StuckBusy {
				t.Errorf("seed %d: a good chip is called stuck: %v", seed, err)
			}
			if err != nil {
				silent(t, err.Error(), cmd.secret)
				return
			}
			done++
			if cmd.count(w.chip) != 1 {
				t.Errorf("seed %d: %s: success, and no effect", seed, cmd.name)
			}
		})
	}
	if done < 10 || done > 140 {
		t.Errorf("%d of 150 came through", done)
	}
}

// The end of ctx keeps a command from being sent, and never interrupts one.
func TestPermanentAndTheEndOfCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cmd := range permanent {
			c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
			for n := 0; ; n++ {
				ctx, cancel := context.WithCancel(t.Context())
				seen, sent := 0, false
				w.onDo = func(frames ...spi.Frame) {
					if seen++; seen == n+1 || frames[0].Out[0] == cmd.op {
						cancel()
					}
					sent = sent || frames[0].Out[0] == cmd.op
				}
				err := cmd.send(ctx, c)
				cancel()
				if sent {
					must(t, err)
					break
				}
				is(t, err, context.Canceled)
				if !notSent(err) {
					t.Errorf("%s: %v", cmd.name, err)
				}
				if sr, _ := w.status(); sr&2 != 0 {
					t.Errorf("%s: write enable was left set", cmd.name)
				}
			}
			if cmd.count(w.chip) != 1 || w.count(cmd.op) != 1 {
				t.Errorf("%s: %d times", cmd.name, cmd.count(w.chip))
			}
		}
	})
}

func TestPermanentStuckBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, cmd := range permanent {
			c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real, Faults: nor.Faults{StuckBusy: true}})
			start := time.Now()
			err := cmd.send(t.Context(), c)
			e := as[*BusyError](t, err)
			limit := []time.Duration{100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, time.Second}[i]
			if took := time.Since(start); !e.StuckBusy || e.Limit != limit || took < limit || took > limit+50*time.Millisecond {
				t.Errorf("%s: %v after %v", cmd.name, e, took)
			}
			if as[*SentError](t, err).Sent != spi.Yes || w.count(cmd.op) != 1 {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestPermanentRefusedByTheChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cmd := range permanent[:4] {
			c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real, Faults: nor.Faults{FailProgram: true}})
			err := cmd.send(t.Context(), c)
			as[*OperationError](t, err)
			if as[*SentError](t, err).Sent != spi.Yes {
				t.Errorf("%v", err)
			}
			w.idle(t)
			// A frame that vanishes leaves the write enable set.
			w.chip.SetFaults(nor.Faults{})
			w.drop = dropping(cmd.op)
			is(t, cmd.send(t.Context(), c), ErrNotExecuted)
			w.idle(t)
			// A write enable that vanishes: nothing is sent behind it.
			before := w.count(cmd.op)
			w.drop = dropping(0x06)
			if err = cmd.send(t.Context(), c); !notSent(err) || w.count(cmd.op) != before {
				t.Errorf("%v", err)
			}
			is(t, err, ErrNotExecuted)
			w.drop = nil
			w.idle(t)
		}
		// A register that denies what was programmed.
		c, w := identified(t, "MT25QL256ABA", nor.Options{})
		w.chip.SetFaults(nor.Faults{SPRReadsFFFF: true})
		err := c.ProgramSectorProtection(t.Context(), PasswordMode)
		is(t, err, ErrNotExecuted)
		if as[*SentError](t, err).Sent != spi.Yes || w.chip.SPR() != PasswordMode {
			t.Errorf("%v", err)
		}
	})
}

// A single garbled flag is no refusal.
func TestPermanentGarbledFlag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cmd := range permanent[:4] {
			c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
			n := 0
			w.forge = func(out, in []byte) {
				if out[0] == 0x70 && w.count(cmd.op) == 1 && in[len(in)-1]&0x80 != 0 {
					if n++; n == 1 {
						in[len(in)-1] |= 0x10
					}
				}
			}
			err := cmd.send(t.Context(), c)
			as[*UnstableError](t, err)
			if e := as[*SentError](t, err); e.Sent != spi.Yes || cmd.count(w.chip) != 1 {
				t.Errorf("%s: %v", cmd.name, err)
			}
		}
	})
}

// notSent tells whether the permanent command that failed with err certainly did not reach the chip.
func notSent(err error) bool {
	e, ok := errors.AsType[*SentError](err)
	return ok && e.Sent == spi.No
}
