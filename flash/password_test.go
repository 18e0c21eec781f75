package flash

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// 0x1122334455667788, least-significant byte first.
var testPassword = Password{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}

// silent insists that text tells nothing of secret, in any common spelling.
func silent(t *testing.T, text string, secret []byte) {
	t.Helper()
	for _, s := range []string{
		hex.EncodeToString(secret), fmt.Sprintf("% x", secret), fmt.Sprint(secret), fmt.Sprintf("%q", secret), string(secret),
		strings.Trim(fmt.Sprintf("%#v", secret), "[]byte{}"),
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Fatalf("a secret is in %q", text)
		}
	}
}

func TestPasswordPrintsNothing(t *testing.T) {
	p := testPassword
	holder := struct {
		P Password
		Q *Password
	}{p, &p}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", p, "q", &p, "h", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "p", p, "q", &p, "h", holder)
	text, err := json.Marshal(map[string]any{"p": p, "q": &p, "h": holder, "m": map[Password]int{p: 1}})
	must(t, err)
	all := log.String() + string(text) + p.String() + p.GoString()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%08b", "%c", "%U"} {
		all += fmt.Sprintf(verb, p) + fmt.Sprintf(verb, []Password{p}) + fmt.Sprintf(verb, holder.P) + fmt.Sprintf(verb, &p)
	}
	silent(t, all, p[:])
	silent(t, fmt.Sprintf("%v %+v", holder, holder), p[:])
	if fmt.Sprint(p) != "[secret]" || fmt.Sprintf("%x", &p) != "[secret]" || string(text[len(text)-11:]) != `"[secret]"}` {
		t.Errorf("%v, %s", p, text)
	}
	p.Wipe()
	if p != (Password{}) || p.Blank() || !(Password{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}).Blank() {
		t.Error("not wiped, or blank")
	}
}

// The whole life of a password, on every part: each permanent command takes effect once, and is refused from then on.
func TestPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, part := range Parts() {
			ctx := t.Context()
			c, w := identified(t, part.Name, nor.Options{Pace: nor.Real, UndrivenReads00: i%2 == 0})
			var wire [][]byte
			w.onDo = func(frames ...spi.Frame) {
				for _, f := range frames {
					if op := f.Out[0]; op == 0x28 || op == 0x29 || op == 0x2C {
						wire = append(wire, bytes.Clone(f.Out))
					}
				}
			}
			p := testPassword
			read := func(want bool) {
				t.Helper()
				var got Password
				must(t, c.ReadPassword(ctx, &got))
				if (got == p) != want {
					t.Errorf("%s: tells its password: %v", part.Name, !want)
				}
			}
			var got Password
			must(t, c.ReadPassword(ctx, &got))
			if !got.Blank() {
				t.Errorf("%s: a factory chip has a password", part.Name)
			}
			must(t, c.ProgramPassword(ctx, &p))
			if w.chip.Password() != testPassword || p != testPassword {
				t.Fatalf("%s holds another password", part.Name)
			}
			read(true)
			other := Password{1, 2, 3}
			err := c.ProgramPassword(ctx, &other)
			is(t, err, ErrProgrammed)
			if !NotSent(err) {
				t.Errorf("%v", err)
			}
			_, err = c.UnlockPassword(ctx, &p)
			is(t, err, ErrNotFrozen)

			if mode, err := c.SectorProtection(ctx); mode != FactoryMode || err != nil {
				t.Errorf("%04X, %v", mode, err)
			}
			must(t, c.ProgramSectorProtection(ctx, PasswordMode))
			if mode, err := c.SectorProtection(ctx); mode != PasswordMode || w.chip.SPR() != PasswordMode || err != nil {
				t.Errorf("%04X, %v", mode, err)
			}
			read(false)
			for _, again := range []uint16{PasswordMode, PersistentMode} {
				err := c.ProgramSectorProtection(ctx, again)
				is(t, err, ErrProgrammed)
				if !NotSent(err) {
					t.Errorf("%v", err)
				}
			}
			is(t, c.ProgramPassword(ctx, &other), ErrProgrammed)

			must(t, c.Reset(ctx))
			is(t, c.LockNonvolatile(ctx, 1), ErrFrozen)
			if open, err := c.UnlockPassword(ctx, &other); open || err != nil || !w.chip.Frozen() {
				t.Errorf("%s opened with a wrong password: %v, %v", part.Name, open, err)
			}
			w.idle(t)
			if open, err := c.UnlockPassword(ctx, &p); !open || err != nil || w.chip.Frozen() {
				t.Errorf("%s: opened %v, %v", part.Name, open, err)
			}
			must(t, c.LockNonvolatile(ctx, 1))
			must(t, c.Freeze(ctx))
			w.idle(t)
			want := [][]byte{
				{0x28, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}, {0x2C, 0xFB, 0xFF},
				append([]byte{0x29}, other[:]...), append([]byte{0x29}, testPassword[:]...),
			}
			if n := w.chip.Counters(); n[nor.CountPassword] != 1 || n[nor.CountSectorProtection] != 1 || fmt.Sprint(wire) != fmt.Sprint(want) {
				t.Errorf("%s: %v, % X", part.Name, n, wire)
			}
		}
	})
}

func TestPersistentMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		must(t, c.ProgramSectorProtection(t.Context(), PersistentMode))
		is(t, c.ProgramPassword(t.Context(), &testPassword), ErrProgrammed)
		is(t, c.ProgramSectorProtection(t.Context(), PasswordMode), ErrProgrammed)
		if w.chip.SPR() != 0xFFFD || w.count(0x2C) != 1 || w.count(0x28) != 0 {
			t.Errorf("SPR %04X", w.chip.SPR())
		}
	})
}

func TestPermanentRefusesBadInput(t *testing.T) {
	c, w := identified(t, "MT25QL128ABB", nor.Options{})
	for _, v := range []uint16{0xFFFF, 0xFFF9, 0, 0xFBFF, 0xFFFE, 0x7FFB} {
		if err := c.ProgramSectorProtection(t.Context(), v); !NotSent(err) || !strings.Contains(err.Error(), fmt.Sprintf("0x%04X", v)) {
			t.Errorf("%04X: %v", v, err)
		}
	}
	for _, p := range []Password{{}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}} {
		if err := c.ProgramPassword(t.Context(), &p); !NotSent(err) {
			t.Errorf("%v", err)
		}
	}
	if w.trips != 0 {
		t.Error("bad input reached the chip")
	}
}

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
					if f := as[*spi.FrameError](t, err); f.Sent != e.Sent || NotSent(err) != (e.Sent == spi.No) {
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
					if NotSent(err) {
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
	for seed := range uint64(90) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			cmd := permanent[seed%3]
			c, w := identified(t, "MT25QU128ABB", nor.Options{Seed: seed, Pace: nor.Real})
			if seed%2 == 0 {
				w.chip.SetFaults(nor.Faults{WeakContact: 20 + r.IntN(5000)})
			} else {
				odds := 5 + r.IntN(60)
				w.drop = func([]byte) bool { return r.IntN(odds) == 0 }
			}
			err := cmd.send(t.Context(), c)
			if times := w.count(cmd.op); times > 1 || NotSent(err) && times > 0 {
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
	if done < 10 || done > 80 {
		t.Errorf("%d of 90 came through", done)
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
				if !NotSent(err) {
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
			limit := []time.Duration{100 * time.Millisecond, 100 * time.Millisecond, time.Second}[i]
			if took := time.Since(start); !e.StuckBusy || e.Limit != limit || took < limit || took > limit+50*time.Millisecond {
				t.Errorf("%s: %v after %v", cmd.name, e, took)
			}
			if as[*SentError](t, err).Sent != spi.Yes || w.count(cmd.op) != 1 {
				t.Errorf("%v", err)
			}
		}
	})
}

// Of two readings of a password that differ none counts, and neither is told.
func TestReadPasswordUnstable(t *testing.T) {
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	must(t, c.ProgramPassword(t.Context(), &testPassword))
	n := 0
	w.forge = func(out, in []byte) {
		if n++; out[0] == 0x27 && n%2 == 0 {
			in[7] ^= 1
		}
	}
	got := Password{9}
	err := c.ReadPassword(t.Context(), &got)
	as[*UnstableError](t, err)
	silent(t, fmt.Sprintf("%v %+v %#v", err, err, err), testPassword[:7])
	if got != (Password{9}) {
		t.Error("a doubtful password was handed out")
	}
	// Another chip in the middle of it.
	w.forge = func(out, in []byte) {
		if out[0] == 0x9F {
			in[19] ^= 1
		}
	}
	as[*OtherChipError](t, c.ReadPassword(t.Context(), &got))
	w.forge, w.drop = nil, func([]byte) bool { return true }
	is(t, c.ReadPassword(t.Context(), &got), ErrAbsent)
}

func TestPermanentRefusedByTheChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cmd := range permanent[:2] {
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
			if err = cmd.send(t.Context(), c); !NotSent(err) || w.count(cmd.op) != before {
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
		for _, cmd := range permanent[:2] {
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

// 29 that vanishes is neither accepted nor refused.
func TestUnlockPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		must(t, c.ProgramPassword(t.Context(), &testPassword))
		must(t, c.ProgramSectorProtection(t.Context(), PasswordMode))
		must(t, c.Reset(t.Context()))
		w.drop = dropping(0x29)
		if open, err := c.UnlockPassword(t.Context(), &testPassword); open {
			t.Error("opened by nothing")
		} else {
			is(t, err, ErrNotExecuted)
		}
		w.drop = nil
		// Another error than that of a wrong password is no answer to it.
		w.forge = func(out, in []byte) {
			if out[0] == 0x70 && w.sent[len(w.sent)-2] == 0x05 && w.count(0x29) == 2 && w.count(0x50) == 0 {
				for i := range in {
					in[i] |= 0x20
				}
			}
		}
		_, err := c.UnlockPassword(t.Context(), &testPassword)
		as[*OperationError](t, err)
		silent(t, err.Error(), testPassword[:])
		w.forge = nil
		must(t, c.Freeze(t.Context()))
		w.fail = func(out []byte) error {
			if out[0] == 0x29 {
				return fmt.Errorf("unplugged")
			}
			return nil
		}
		_, err = c.UnlockPassword(t.Context(), &testPassword)
		as[*spi.FrameError](t, err)
		silent(t, err.Error(), testPassword[:])
	})
}

// Frames with secrets are marked, no other is, and the buffers of this room are wiped when it returns.
func TestSecretFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
		var buffers [][]byte
		marked := map[byte]int{}
		w.onDo = func(frames ...spi.Frame) {
			for _, f := range frames {
				op := f.Out[0]
				holds := op == 0x27 || op == 0x28 || op == 0x29 || op == 0x9B && f.Out[1] == 0
				if f.Secret != holds {
					t.Errorf("opcode %02X: secret %v", op, f.Secret)
				}
				if holds {
					marked[op]++
					if len(f.Out) > 1 {
						buffers = append(buffers, f.Out)
					}
					if len(f.In) > 0 {
						buffers = append(buffers, f.In)
					}
				}
			}
		}
		var p Password
		must(t, c.ProgramPassword(t.Context(), &testPassword))
		must(t, c.ReadPassword(t.Context(), &p))
		must(t, c.ProgramSectorProtection(t.Context(), PasswordMode))
		must(t, c.Reset(t.Context()))
		_, err := c.UnlockPassword(t.Context(), &testPassword)
		must(t, err)
		packet, err := RootKeyPacket(0x9B, 1, &vectorA.key)
		must(t, err)
		_, err = c.SendRPMC(t.Context(), packet, false) // secret all the same
		must(t, err)
		_, err = c.SendRPMC(t.Context(), UpdatePacket(0x9B, 1, &vectorA.key, [4]byte{1}), false)
		must(t, err)
		for _, b := range buffers {
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("% X was left behind", b)
			}
		}
		if marked[0x27] != 4 || marked[0x28] != 1 || marked[0x29] != 1 || marked[0x9B] != 1 {
			t.Errorf("%v", marked)
		}
		// Where nothing is sent a secret packet is wiped too.
		bad, err := RootKeyPacket(0x9B, 200, &vectorA.key)
		must(t, err)
		if _, err = c.SendRPMC(t.Context(), bad, true); !NotSent(err) || !bytes.Equal(bad, make([]byte, 64)) {
			t.Errorf("%v", err)
		}
	})
}
