package flash

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// accepted sends a packet and insists on its status.
func (w *wire) accepted(t *testing.T, c *Chip, packet []byte, want byte) {
	t.Helper()
	status, err := c.SendRPMC(t.Context(), bytes.Clone(packet), false)
	must(t, err)
	if status != want {
		t.Fatalf("command %02X: status 0x%02X (%s), want 0x%02X", packet[1], status, ExplainRPMC(status), want)
	}
}

// A root key is proven by the reply whose digest was known before the key was sent, and by no other key's.
func TestRootKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, part := range []string{"MT25QL128ABB", "MT25QU128ABB"} {
			for _, v := range []vector{vectorA, vectorB} {
				c, w := identified(t, part, nor.Options{Pace: nor.Real})
				r, err := c.RPMC()
				must(t, err)
				if r.Counters != 4 || r.Initial != 0 || r.UpdateRate < 5*time.Second || r.Poll != time.Millisecond || r.Limit != time.Second {
					t.Errorf("%s: %+v", part, r)
				}
				key := HMACKey(&v.key, v.keyData)
				expected := ReplyFor(&key, v.tag, r.Initial)
				committed := sha256.Sum256(expected[:])

				w.accepted(t, c, v.update, RPMCRootKey) // no key yet
				w.accepted(t, c, v.rootKey, RPMCSuccess)
				if got, ok := w.chip.RootKey(int(v.index)); !ok || !bytes.Equal(got, v.key[:]) {
					t.Errorf("the chip holds %x", got)
				}
				w.accepted(t, c, v.rootKey, RPMCRootKey)
				w.accepted(t, c, v.request, RPMCNoHMACKey)
				w.accepted(t, c, UpdatePacket(r.Op1, v.index, &[32]byte{1}, v.keyData), RPMCSignature)
				w.accepted(t, c, v.update, RPMCSuccess)
				w.accepted(t, c, v.request, RPMCSuccess)
				reply, err := c.ReadRPMC(t.Context())
				must(t, err)
				if sha256.Sum256(reply[:]) != committed {
					t.Errorf("%s: another reply than foretold: %x", part, reply)
				}
				must(t, ParseReply(reply).Verify(&key, v.tag))
				if n := w.chip.Counters()[nor.CountRootKey]; n != 1 {
					t.Errorf("%d root keys", n)
				}
				w.idle(t)
			}
		}
	})
}

func TestCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := vectorA
		c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
		w.accepted(t, c, v.rootKey, RPMCSuccess)
		w.accepted(t, c, v.update, RPMCSuccess)
		w.accepted(t, c, v.increment, RPMCSuccess)
		w.accepted(t, c, v.increment, RPMCCounter) // replayed
		w.accepted(t, c, v.request, RPMCSuccess)
		reply, err := c.ReadRPMC(t.Context())
		must(t, err)
		if !bytes.Equal(reply[:], v.reply) {
			t.Errorf("reply %x", reply)
		}
		must(t, c.Reset(t.Context()))
		w.accepted(t, c, v.request, RPMCNoHMACKey)
		w.accepted(t, c, v.update, RPMCSuccess)
		w.accepted(t, c, v.request, RPMCSuccess)
		again, err := c.ReadRPMC(t.Context())
		must(t, err)
		if again != reply {
			t.Errorf("reply %x, then %x", reply, again)
		}
	})
}

// The first 28 bytes of the digest instead of the last: what the driver never builds, the chip does not take.
func TestRootKeyTruncatedWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for tail, v := range map[string]vector{
			"ee9023608282af340fadca1443a982955c55acee4e19a7a347e39313": vectorA,
			"1711b01ce23df5cbad56f44c695b0354c341436ebdb4d37f26e944a0": vectorB,
		} {
			for _, short := range []bool{false, true} {
				c, w := identified(t, "MT25QL128ABB", nor.Options{RPMC: nor.RPMC{ShortSignature02: short}})
				status, err := c.SendRPMC(t.Context(), append(bytes.Clone(v.rootKey[:36]), unhex(tail)...), true)
				must(t, err)
				if want := map[bool]byte{false: RPMCSignature, true: RPMCRootKey}[short]; status != want {
					t.Errorf("status 0x%02X", status)
				}
				if _, ok := w.chip.RootKey(int(v.index)); ok {
					t.Error("a key was stored")
				}
			}
		}
	})
}

// 9B and 96 mean other things on standard parts: they are sent only where profile and SFDP say RPMC, and the same.
func TestRPMCGate(t *testing.T) {
	refuses := func(c *Chip, w *wire) {
		t.Helper()
		_, err := c.RPMC()
		is(t, err, ErrNoRPMC)
		packet := bytes.Clone(vectorA.rootKey)
		_, err = c.SendRPMC(t.Context(), packet, true)
		is(t, err, ErrNoRPMC)
		if !notSent(err) {
			t.Errorf("%v", err)
		}
		silent(t, err.Error(), vectorA.key[:])
		_, err = c.ReadRPMC(t.Context())
		is(t, err, ErrNoRPMC)
		if w.trips != 0 || w.count(0x9B) != 0 || w.count(0x96) != 0 {
			t.Error("something was sent")
		}
	}
	for _, p := range single() {
		c, w := identified(t, p.Name, nor.Options{})
		if p.RPMC == nil {
			refuses(c, w)
			p.RPMC = &RPMC{4, 0x9B, 0x96, 0, 5 * time.Second, time.Millisecond, time.Second} // a profile that lies
			c.part = p
			refuses(c, w)
			continue
		}
		if w.count(0x9B) != 0 || w.count(0x96) != 0 {
			t.Error("Identify poked")
		}
		c.part = p
		p.RPMC.Counters--
		refuses(c, w)
		p.RPMC.Counters++
		p.RPMC.Op2++
		refuses(c, w)
		p.RPMC.Op2--
		if _, err := c.RPMC(); err != nil {
			t.Fatal(err)
		}
		c.sfdp.RPMC.UpdateRate = time.Hour
		if r, err := c.RPMC(); err != nil || r.UpdateRate != time.Hour || p.RPMC.UpdateRate != 5*time.Second {
			t.Errorf("%+v, %v", r, err)
		}
		p.RPMC = nil
		refuses(c, w)
	}
}

// A chip that a crash left busy is awaited before the next packet, and that packet goes out once.
func TestRPMCBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real, RPMC: nor.RPMC{WriteRootKey: 400 * time.Millisecond, UpdateKey: 30 * time.Millisecond}})
		start := time.Now()
		w.frame(spi.Frame{Out: vectorA.rootKey})
		w.accepted(t, c, vectorA.update, RPMCSuccess)
		if took := time.Since(start); took < 430*time.Millisecond || took > 440*time.Millisecond || w.count(0x9B) != 1 {
			t.Errorf("%v, %d packets", took, w.count(0x9B))
		}
		// Likewise where the status register says nothing of it.
		c, w = identified(t, "MT25QL128ABB", nor.Options{})
		start = time.Now()
		var sent time.Duration
		w.forge = func(out, in []byte) {
			if out[0] == 0x96 && time.Since(start) < 300*time.Millisecond {
				in[0] = RPMCBusy
			} else if out[0] == 0x9B {
				sent = time.Since(start)
			}
		}
		w.accepted(t, c, vectorA.rootKey, RPMCSuccess)
		if sent < 300*time.Millisecond || sent > 310*time.Millisecond {
			t.Errorf("sent after %v", sent)
		}
		// Beyond the limit nothing is sent.
		c, w = identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real, RPMC: nor.RPMC{WriteRootKey: 5 * time.Second}})
		w.frame(spi.Frame{Out: vectorA.rootKey})
		start = time.Now()
		_, err := c.SendRPMC(t.Context(), bytes.Clone(vectorB.rootKey), true)
		if took := time.Since(start); !as[*BusyError](t, err).StuckBusy || !notSent(err) || took > 3500*time.Millisecond || w.count(0x9B) != 0 {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// Where SFDP says that busy is told by the status register, the extended status is looked at only behind it.
func TestRPMCStatusPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABB", nor.Options{})
		c.sfdp.RPMC.StatusPolled = true
		over := time.Now().Add(time.Hour)
		w.forge = func(out, in []byte) {
			if out[0] == 0x9B {
				over = time.Now().Add(200 * time.Millisecond)
			}
			if busy := w.count(0x9B) > 0 && time.Now().Before(over); busy && out[0] == 0x05 {
				for i := range in {
					in[i] |= 1
				}
			} else if busy && out[0] == 0x96 {
				in[0] = 0x44 // means nothing yet
			}
		}
		start := time.Now()
		w.accepted(t, c, vectorA.rootKey, RPMCSuccess)
		if took := time.Since(start); took < 200*time.Millisecond || took > 210*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// What floats is no status: a chip that is gone after the packet is absent, not busy and not idle.
func TestRPMCGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, level := range []byte{0x00, 0xFF} {
			c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
			gone := false
			w.forge = func(out, in []byte) {
				if gone = gone || out[0] == 0x9B; gone {
					copy(in, bytes.Repeat([]byte{level}, len(in)))
				}
			}
			start := time.Now()
			_, err := c.SendRPMC(t.Context(), bytes.Clone(vectorA.rootKey), true)
			is(t, err, ErrAbsent)
			if b, ok := errors.AsType[*BusyError](err); ok && b.StuckBusy {
				t.Error("an absent chip is called stuck")
			}
			if e := as[*SentError](t, err); e.Sent != spi.Yes || time.Since(start) > 1100*time.Millisecond {
				t.Errorf("%v", err)
			}
			silent(t, fmt.Sprintf("%+v", err), vectorA.key[:])
			_, err = c.ReadRPMC(t.Context())
			is(t, err, ErrAbsent)
		}
	})
}

// A board that was out until the limit and is back behind it is no chip that stays busy: what floated meanwhile only looked like one.
func TestRPMCBackAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
		r, err := c.RPMC()
		must(t, err)
		gone, start := false, time.Now()
		w.forge = func(out, in []byte) {
			if out[0] == 0x9B {
				gone, start = true, time.Now()
			}
			if gone {
				copy(in, bytes.Repeat([]byte{0xFF}, len(in)))
				gone = out[0] != 0x96 || time.Since(start) < r.Limit
			}
		}
		_, err = c.SendRPMC(t.Context(), bytes.Clone(vectorA.rootKey), true)
		if e := as[*BusyError](t, err); e.StuckBusy || gone {
			t.Errorf("%v, still gone: %t", err, gone)
		}
		as[*UnstableError](t, err)
	})
}

// A garbled status is no answer: it is read until two readings agree.
func TestRPMCGarbledStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABB", nor.Options{Pace: nor.Real})
		n := 0
		w.forge = func(out, in []byte) {
			if out[0] == 0x96 && in[0] == 0x80 {
				if n++; n == 1 {
					in[0] = 0x02
				}
			}
		}
		w.accepted(t, c, vectorA.rootKey, RPMCSuccess)
		w.accepted(t, c, vectorA.update, RPMCSuccess)
		w.accepted(t, c, vectorA.request, RPMCSuccess)
		w.forge = func(out, in []byte) {
			if out[0] == 0x96 && len(in) == ReplySize {
				if n++; n%2 == 0 {
					in[48] ^= 1
				}
			}
		}
		_, err := c.ReadRPMC(t.Context())
		as[*UnstableError](t, err)
	})
}
