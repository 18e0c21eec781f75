package flash

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

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
	part, err := partNamed("MT25QL128ABA")
	must(t, err)
	unwritten := Password{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
	if p != (Password{}) || part.Blank(&p) || !part.Blank(&unwritten) {
		t.Error("not wiped, or blank")
	}
}

// The whole life of a password, on every part: each permanent command takes effect once, and is refused from then on.
func TestPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, part := range single() {
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
			if !part.Blank(&got) {
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
			if !notSent(err) {
				t.Errorf("%v", err)
			}
			_, err = c.UnlockPassword(ctx, &p)
			is(t, err, ErrNotFrozen)

			if mode, err := c.SectorProtection(ctx); mode != FactoryMode || err != nil {
				t.Errorf("%04X, %v", mode, err)
			}
			must(t, c.ProgramSectorProtection(ctx, PasswordMode))
			if p, err := c.Protection(ctx); p.SPR != PasswordMode || err != nil {
				t.Errorf("protection: SPR %04X, %v", p.SPR, err)
			}
			if mode, err := c.SectorProtection(ctx); mode != PasswordMode || w.chip.SPR() != PasswordMode || err != nil {
				t.Errorf("%04X, %v", mode, err)
			}
			read(false)
			for _, again := range []uint16{PasswordMode, PersistentMode} {
				err := c.ProgramSectorProtection(ctx, again)
				is(t, err, ErrProgrammed)
				if !notSent(err) {
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
		if err := c.ProgramSectorProtection(t.Context(), v); !notSent(err) || !strings.Contains(err.Error(), fmt.Sprintf("0x%04X", v)) {
			t.Errorf("%04X: %v", v, err)
		}
	}
	for _, p := range []Password{{}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}} {
		if err := c.ProgramPassword(t.Context(), &p); !notSent(err) {
			t.Errorf("%v", err)
		}
	}
	if w.trips != 0 {
		t.Error("bad input reached the chip")
	}
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
		if _, err = c.SendRPMC(t.Context(), bad, true); !notSent(err) || !bytes.Equal(bad, make([]byte, 64)) {
			t.Errorf("%v", err)
		}
	})
}
