package flash

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// signer makes blocks of the invented map, from its page alone (docs/acrtm-invented.md).
type signer struct {
	c                *Chip
	powerOn, counter uint64
	factory          [32]byte
}

func hmacOf(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func (s *signer) key() []byte {
	return hmacOf(hmacOf(s.factory[:], s.c.id[6:]), binary.BigEndian.AppendUint64(nil, s.powerOn))
}

func (s *signer) block(name uint16, payload ...[]byte) Block {
	p := slices.Concat(payload...)
	b := binary.BigEndian.AppendUint16(nil, name)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	b = append(binary.BigEndian.AppendUint64(b, s.counter), p...)
	return Block{ID: DeviceID(s.c.id[:6]), UID: s.c.UID(), Bytes: append(b, hmacOf(s.key(), b)...)}
}

func be4(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// signing is an identified chip, and a signer that knows its counters.
func signing(t *testing.T, o nor.Options) (*Chip, *wire, *signer) {
	t.Helper()
	c, w := identified(t, "MT25QL128ABB", o)
	s := &signer{c: c, factory: sha256.Sum256([]byte("station simulated factory key"))}
	s.ask(t)
	w.trips, w.sent = 0, nil
	return c, w, s
}

func (s *signer) ask(t *testing.T) {
	t.Helper()
	var err error
	s.powerOn, s.counter, err = s.c.ACRTMCounters(t.Context())
	must(t, err)
}

var everyCommand = Authorisation{[]string{"counters", "measure", "write", "erase", "protect"}, true}

// status relays a block and insists on the chip's status.
func (s *signer) status(t *testing.T, b Block, want byte) ACRTMReply {
	t.Helper()
	r, err := s.c.RelayStateChanging(t.Context(), b, everyCommand)
	must(t, err)
	if r.Status != want {
		t.Fatalf("%s: status 0x%02X, want 0x%02X", r.Command.Name, r.Status, want)
	}
	if want == 0x80 && r.Command.Class == StateChanging {
		s.counter++
		digest := sha256.Sum256(b.Bytes)
		counter := binary.BigEndian.AppendUint64(nil, s.counter)
		if !bytes.Equal(r.Reply, append(counter, hmacOf(s.key(), b.Bytes[:2], counter, digest[:])...)) {
			t.Errorf("%s: reply %X", r.Command.Name, r.Reply)
		}
	}
	return r
}

// TestRelaySimulatedChip: a signed write behind a protect, measured, against the engine of the simulated chip, at its pace.
func TestRelaySimulatedChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, part := range []string{"MT25QL128ABB", "MT25QU128ABB"} {
			c, w := identified(t, part, nor.Options{Pace: nor.Real})
			s := &signer{c: c, factory: sha256.Sum256([]byte("station simulated factory key"))}
			s.ask(t)
			if s.powerOn != w.chip.PowerOnCounter() || s.counter != 0 {
				t.Fatalf("counters %d, %d", s.powerOn, s.counter)
			}
			s.status(t, s.block(0xF200, be4(0x20000), be4(0x10000)), 0x80)
			if at, size := w.chip.ProtectedRange(); at != 0x20000 || size != 0x10000 {
				t.Errorf("protected: %X, %X", at, size)
			}
			data := bytes.Repeat([]byte{0xA5, 0x5A}, 128)
			start := time.Now()
			s.status(t, s.block(0xF101, be4(0x20000)), 0x80)
			if took := time.Since(start); took < 50*time.Millisecond || took > 60*time.Millisecond {
				t.Errorf("an erase of 50 ms took %v", took)
			}
			s.status(t, s.block(0xF100, be4(0x20100), data), 0x80)
			want := slices.Concat(bytes.Repeat([]byte{0xFF}, 256), data)
			if got := w.chip.Bytes(0x20000, 512); !bytes.Equal(got, want) {
				t.Error("the chip holds something else")
			}
			// A plain program is refused there, and the driver says so.
			as[*ProtectedError](t, c.program(t.Context(), 0x20000, []byte{0}))
			nonce := bytes.Repeat([]byte{7}, 16)
			b := s.block(0xF001, be4(0x20000), be4(512), nonce)
			r, err := c.RelayReadOnly(t.Context(), b)
			must(t, err)
			digest, counter := sha256.Sum256(want), binary.BigEndian.AppendUint64(nil, s.counter)
			signature := hmacOf(s.key(), []byte{0xF0, 0x01}, nonce, counter, be4(0x20000), be4(512), digest[:])
			if r.Status != 0x80 || !bytes.Equal(r.Reply, slices.Concat(counter, digest[:], signature)) {
				t.Errorf("measured: %+v", r)
			}
			if w.chip.CommandCounter() != 3 || w.chip.Counters()[nor.CountProtect] != 1 {
				t.Errorf("%d commands, %v", w.chip.CommandCounter(), w.chip.Counters())
			}
			w.idle(t)
		}
	})
}

// TestRelaySimulatedRefusals: replay, reorder, a stale session, another chip's key and another address: the chip refuses, and nothing changes.
func TestRelaySimulatedRefusals(t *testing.T) {
	c, w, s := signing(t, nor.Options{})
	page := bytes.Repeat([]byte{0}, 256)
	first := s.block(0xF100, be4(0), page)
	ahead := *s
	ahead.counter++
	second := ahead.block(0xF100, be4(256), page)
	s.status(t, second, 0x10) // before its turn
	s.status(t, first, 0x80)
	s.status(t, first, 0x10) // replayed
	s.status(t, second, 0x80)
	foreign := *s
	foreign.factory[0] ^= 1
	s.status(t, foreign.block(0xF101, be4(0)), 0x04)
	garbled := s.block(0xF101, be4(0))
	garbled.Bytes[15] ^= 0x10
	s.status(t, garbled, 0x04)
	s.status(t, s.block(0xF101, be4(0x100)), 0x04)
	s.status(t, s.block(0xF200, be4(0), be4(0x10000)), 0x80)
	s.status(t, s.block(0xF200, be4(0x10000), be4(0x10000)), 0x02)
	stale := s.block(0xF101, be4(0))
	w.chip.Power(false)
	w.chip.Power(true)
	s.status(t, stale, 0x04) // the session is over
	if w.chip.CommandCounter() != 3 || !bytes.Equal(w.chip.Bytes(0, 512), make([]byte, 512)) {
		t.Errorf("%d commands", w.chip.CommandCounter())
	}
	// A counter that is named is looked at before the block goes out.
	s.ask(t)
	named := s.block(0xF101, be4(0))
	n := s.counter + 1
	named.Counter, w.sent = &n, nil
	_, err := c.RelayStateChanging(t.Context(), named, everyCommand)
	is(t, err, ErrBlock)
	if !notSent(err) || w.count(0x9B) != 1 { // the question for the counters
		t.Errorf("%v, %d packets", err, w.count(0x9B))
	}
}

// TestRelaySimulatedCut: power that goes between command and answer leaves an error that says so, one block on the wire, and counters that tell, as far as they can.
func TestRelaySimulatedCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		executed := map[bool]int{}
		for seed := range 16 {
			for _, done := range []bool{false, true} {
				c, w, s := signing(t, nor.Options{Seed: uint64(seed)})
				before := s.counter
				w.chip.SetFaults(nor.Faults{Cut: 1, CutDone: done})
				_, err := c.RelayStateChanging(t.Context(), s.block(0xF101, be4(0)), everyCommand)
				if e := as[*SentError](t, err); e.Sent != spi.Yes || !errors.Is(err, ErrAbsent) || w.count(0x9B) != 1 {
					t.Fatalf("%v, %d packets", err, w.count(0x9B))
				}
				w.chip.SetFaults(nor.Faults{})
				w.chip.Power(true)
				s.ask(t)
				if s.counter != w.chip.CommandCounter() || s.counter-before > 1 || done && s.counter != before+1 {
					t.Errorf("counter %d, was %d", s.counter, before)
				}
				executed[s.counter == before+1]++
			}
		}
		if executed[true] <= 16 || executed[false] == 0 {
			t.Errorf("executed: %v", executed)
		}
		// An answer that is lost is a status that is none of success, and the counter tells that the block took effect.
		c, _, s := signing(t, nor.Options{Faults: nor.Faults{ACRTM: nor.ACRTMFaults{LoseAnswer: 1}}})
		before := s.counter
		r, err := c.RelayStateChanging(t.Context(), s.block(0xF101, be4(0)), everyCommand)
		must(t, err)
		s.ask(t)
		if r.Status != 0 || s.counter != before+1 {
			t.Errorf("status 0x%02X, counter %d", r.Status, s.counter)
		}
	})
}

// What the driver refuses, the simulated chip never sees; what it never was asked for, likewise.
func TestRelaySimulatedSilence(t *testing.T) {
	c, w, s := signing(t, nor.Options{})
	write := s.block(0xF100, be4(0), make([]byte, 256))
	for _, spoil := range []func(*Block){
		func(b *Block) { b.UID = "A1" + b.UID[2:len(b.UID)-2] + "00" }, func(b *Block) { b.ID[0]++ }, func(b *Block) { b.Bytes[0] = 0xF3 },
		func(b *Block) { b.Bytes[0] = 0x01 }, func(b *Block) { b.Bytes = b.Bytes[:len(b.Bytes)-1] },
	} {
		b := write
		b.Bytes = bytes.Clone(write.Bytes)
		spoil(&b)
		_, err := c.RelayStateChanging(t.Context(), b, everyCommand)
		is(t, err, ErrBlock)
	}
	_, err := c.RelayReadOnly(t.Context(), write)
	is(t, err, ErrBlock)
	_, err = c.RelayStateChanging(t.Context(), write, Authorisation{Commands: []string{"measure"}})
	is(t, err, ErrBlock)
	if w.trips != 0 || w.chip.CommandCounter() != 0 {
		t.Errorf("%d transfers, %d commands", w.trips, w.chip.CommandCounter())
	}
}

// TestRelayTrips: what a block costs on a chip that is done at once, and what it costs to ask for the counters before.
func TestRelayTrips(t *testing.T) {
	c, w, s := signing(t, nor.Options{})
	for _, want := range []int{7, 14} {
		b := s.block(0xF101, be4(0))
		if n := s.counter; want == 14 {
			b.Counter = &n
		}
		w.trips = 0
		_, err := c.RelayStateChanging(t.Context(), b, everyCommand)
		must(t, err)
		s.counter++
		if w.trips != want {
			t.Errorf("%d round trips, want %d", w.trips, want)
		}
	}
}
