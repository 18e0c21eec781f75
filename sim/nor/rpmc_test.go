package nor_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

const authenta = "MT25QL128ABB"

func unhex(text string) []byte {
	p, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		panic(err)
	}
	return p
}

func mac(key []byte, message ...byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// Packets, and what 96 answers: the extended status, or all 49 bytes.

func rootKeyPacket(counter byte, key []byte) []byte {
	head := []byte{0x9B, 0x00, counter, 0x00}
	return slices.Concat(head, key, mac(key, head...)[4:])
}

func updatePacket(counter byte, root []byte, data uint32) []byte {
	p := binary.BigEndian.AppendUint32([]byte{0x9B, 0x01, counter, 0x00}, data)
	return append(p, mac(mac(root, p[4:]...), p...)...)
}

func incrementPacket(counter byte, key []byte, value uint32) []byte {
	p := binary.BigEndian.AppendUint32([]byte{0x9B, 0x02, counter, 0x00}, value)
	return append(p, mac(key, p...)...)
}

func requestPacket(counter byte, key, tag []byte) []byte {
	p := append([]byte{0x9B, 0x03, counter, 0x00}, tag...)
	return append(p, mac(key, p...)...)
}

func op1(c *nor.Chip, packet []byte) byte {
	do(c, 0, packet...)
	return do(c, 1, 0x96, 0)[0]
}

func reply(c *nor.Chip) []byte { return do(c, 49, 0x96, 0) }

// hmacKey is what root and key data make.
func hmacKey(root []byte, data uint32) []byte {
	return mac(root, binary.BigEndian.AppendUint32(nil, data)...)
}

// The two sessions of rpmc section 8, and the packets in them that must not be taken.
var vectors = []struct {
	name                                  string
	counter                               int
	before                                uint32
	root                                  string
	writeRoot, update, increment, request string
	firstDigestBytes                      string // a wrong truncation
	response                              string
}{
	{"A", 0, 0, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"9b000000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f8282af340fadca1443a982955c55acee4e19a7a347e3931349f3b39f",
		"9b010000000000017098d73e515ce3cd894e804f9de531d2d31dfec8be43e6c33b88fb1d731f380b",
		"9b020000000000001210c59f6b4b8260f3c0b67dc6663e31fb53731d47a7e416e388be3e158657d2",
		"9b030000a0a1a2a3a4a5a6a7a8a9aaab085259891ca9c46ee7197ca4b8387837e3c8b291f133a95ba95bc45c6900b337",
		"ee9023608282af340fadca1443a982955c55acee4e19a7a347e39313",
		"80a0a1a2a3a4a5a6a7a8a9aaab000000017f827d7e5b81a47908de28cc42d3c31f5b86c08bfcac2130e9c68d7e7020ff0e"},
	{"B", 3, 0x00FF00FE, "56b4c4ce26e21a291ebea63dac60905d860d4f733317399a7404c732cbe46ed8",
		"9b00030056b4c4ce26e21a291ebea63dac60905d860d4f733317399a7404c732cbe46ed8e23df5cbad56f44c695b0354c341436ebdb4d37f26e944a07ed38c1a",
		"9b010300deadbeef67a434b1bf5c6be4ce242ac9d61e31f58797cd9bf649ca2083e07b6f104bd4f3",
		"9b02030000ff00feff4de4b16f6d5883d9b01682e7fc5b4dbe2ea3a5aa200ed9158c68df0a9d5c8e",
		"9b0303000123456789abcdeffedcba98b20895c699e2dc931f63d409af2bba26fd8b84e8ddb4d466b63e0b5ef9887376",
		"1711b01ce23df5cbad56f44c695b0354c341436ebdb4d37f26e944a0",
		"800123456789abcdeffedcba9800ff00ff51dead4fc736cea80e768fc8d93d77b63e70344b6717231091e1f8cdf2cf4c9f"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			c := newChip(t, "MT25QU128ABB", nor.Options{})
			root, packet := unhex(v.root), unhex(v.writeRoot)
			step := func(what string, p []byte, want byte) {
				t.Helper()
				expect(t, what, []byte{op1(c, p)}, []byte{want})
			}
			expect(t, "power-on", reply(c), make([]byte, 49))
			step("first digest bytes", append(slices.Clone(packet[:36]), unhex(v.firstDigestBytes)...), 0x04)
			step("63 bytes", packet[:63], 0x04)
			step("65 bytes", append(slices.Clone(packet), 0), 0x04)
			step("320 bytes that end in a good packet", slices.Concat([]byte{0x9B}, make([]byte, 256), packet[1:]), 0x04)
			if _, ok := c.RootKey(v.counter); ok {
				t.Fatal("a bad packet left a root key")
			}
			step("update before the root key", unhex(v.update), 0x02)
			step("root key", packet, 0x80)
			if key, ok := c.RootKey(v.counter); !ok || !bytes.Equal(key, root) {
				t.Fatalf("root key % X, %v", key, ok)
			}
			step("root key twice", packet, 0x02)
			step("request before the update", unhex(v.request), 0x08)
			step("increment before the update", unhex(v.increment), 0x08)
			step("update", unhex(v.update), 0x80)
			c.SetCounter(v.counter, v.before)
			step("increment", unhex(v.increment), 0x80)
			step("increment replayed", unhex(v.increment), 0x10)
			step("request", unhex(v.request), 0x80)
			expect(t, "response", reply(c), unhex(v.response))
			expect(t, "response read again", reply(c), unhex(v.response))
			if got := c.CounterValue(v.counter); got != v.before+1 {
				t.Errorf("counter %08x", got)
			}
			cycle(c)
			expect(t, "after a power cycle", reply(c), make([]byte, 49))
			step("request without a new update", unhex(v.request), 0x08)
			step("update replayed", unhex(v.update), 0x80)
			step("request", unhex(v.request), 0x80)
			reset(c)
			expect(t, "after a reset", reply(c), make([]byte, 49))
			step("request after a reset", unhex(v.request), 0x08)
			if n := c.Counters(); n[nor.CountRootKey] != 1 || n[nor.CountIncrement] != 1 {
				t.Errorf("counters %v", n)
			}
			expect(t, "WEL and flags untouched", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
		})
	}
}

// Section 5, row by row, in its order: of two reasons the earlier one is told.
func TestExtendedStatus(t *testing.T) {
	root, other := bytes.Repeat([]byte{0x5A}, 32), bytes.Repeat([]byte{0xA5}, 32)
	key, tag := hmacKey(root, 7), bytes.Repeat([]byte{9}, 12)
	broken := func(p []byte, at int) []byte { p[at] ^= 1; return p }
	fresh := func(c *nor.Chip) {}
	written := func(c *nor.Chip) { op1(c, rootKeyPacket(1, root)) }
	loaded := func(c *nor.Chip) { written(c); op1(c, updatePacket(1, root, 7)) }
	full := func(c *nor.Chip) { loaded(c); c.SetCounter(1, 0xFFFFFFFF) }
	failing := func(f func(*nor.Chip)) func(*nor.Chip) {
		return func(c *nor.Chip) { f(c); c.SetFaults(nor.Faults{FailProgram: true}) }
	}
	fullMismatch := nor.Options{RPMC: nor.RPMC{FullCounter10: true}}
	shortBit1 := nor.Options{RPMC: nor.RPMC{ShortSignature02: true}}
	for _, row := range []struct {
		what    string
		options nor.Options
		before  func(*nor.Chip)
		packet  []byte
		want    byte
	}{
		{"9B alone", nor.Options{}, fresh, []byte{0x9B}, 0x04},
		{"3 bytes", nor.Options{}, fresh, []byte{0x9B, 0x00, 0x01}, 0x04},
		{"header only", nor.Options{}, fresh, []byte{0x9B, 0x00, 0x01, 0x00}, 0x04},
		{"command 04", nor.Options{}, loaded, append([]byte{0x9B, 0x04, 0x01, 0x00}, make([]byte, 44)...), 0x04},
		{"command FF", nor.Options{}, loaded, append([]byte{0x9B, 0xFF, 0x01, 0x00}, make([]byte, 36)...), 0x04},
		{"00: counter 4", nor.Options{}, fresh, rootKeyPacket(4, root), 0x04},
		{"00: counter 255", nor.Options{}, fresh, rootKeyPacket(255, root), 0x04},
		{"00: signature", nor.Options{}, fresh, broken(rootKeyPacket(1, root), 63), 0x04},
		{"00: signature, other part", shortBit1, fresh, broken(rootKeyPacket(1, root), 63), 0x02},
		{"00: key damaged on its way", nor.Options{}, fresh, broken(rootKeyPacket(1, root), 20), 0x04},
		{"00: header damaged on its way", nor.Options{}, fresh, broken(rootKeyPacket(1, root), 3), 0x04},
		{"00: signature, and a key is there", nor.Options{}, written, broken(rootKeyPacket(1, other), 40), 0x04},
		{"00: a key is there", nor.Options{}, written, rootKeyPacket(1, other), 0x02},
		{"00: another counter has one", nor.Options{}, written, rootKeyPacket(2, other), 0x80},
		{"00: fails inside", nor.Options{}, failing(fresh), rootKeyPacket(1, root), 0x20},
		{"01: counter 4", nor.Options{}, written, updatePacket(4, root, 7), 0x04},
		{"01: 39 bytes", nor.Options{}, written, updatePacket(1, root, 7)[:39], 0x04},
		{"01: 41 bytes, no root key", nor.Options{}, fresh, append(updatePacket(1, root, 7), 0), 0x04},
		{"01: no root key", nor.Options{}, fresh, broken(updatePacket(1, root, 7), 39), 0x02},
		{"01: other root key", nor.Options{}, written, updatePacket(1, other, 7), 0x04},
		{"01: good", nor.Options{}, written, updatePacket(1, root, 7), 0x80},
		{"01: good, programs fail", nor.Options{}, failing(written), updatePacket(1, root, 7), 0x80},
		{"02: 48 bytes", nor.Options{}, loaded, append(incrementPacket(1, key, 0), make([]byte, 8)...), 0x04},
		{"02: no HMAC key", nor.Options{}, written, broken(incrementPacket(1, key, 5), 39), 0x08},
		{"02: signature", nor.Options{}, loaded, broken(incrementPacket(1, key, 5), 39), 0x04},
		{"02: value too high", nor.Options{}, loaded, incrementPacket(1, key, 1), 0x10},
		{"02: good", nor.Options{}, loaded, incrementPacket(1, key, 0), 0x80},
		{"02: fails inside", nor.Options{}, failing(loaded), incrementPacket(1, key, 0), 0x20},
		{"02: full", nor.Options{}, full, incrementPacket(1, key, 0xFFFFFFFF), 0x20},
		{"02: full, other part", fullMismatch, full, incrementPacket(1, key, 0xFFFFFFFF), 0x10},
		{"02: full and not current", nor.Options{}, full, incrementPacket(1, key, 0), 0x10},
		{"03: 40 bytes", nor.Options{}, loaded, requestPacket(1, key, tag)[:40], 0x04},
		{"03: no HMAC key", nor.Options{}, written, broken(requestPacket(1, key, tag), 40), 0x08},
		{"03: another counter's HMAC key", nor.Options{}, loaded, requestPacket(2, key, tag), 0x08},
		{"03: signature", nor.Options{}, loaded, broken(requestPacket(1, key, tag), 4), 0x04},
		{"03: good", nor.Options{}, loaded, requestPacket(1, key, tag), 0x80},
	} {
		c := newChip(t, authenta, row.options)
		row.before(c)
		value, counts := c.CounterValue(1), c.Counters()
		_, had := c.RootKey(1)
		// a reply is latched now, where one can be
		op1(c, requestPacket(1, key, bytes.Repeat([]byte{3}, 12)))
		if got := op1(c, row.packet); got != row.want {
			t.Errorf("%s: %02X, want %02X", row.what, got, row.want)
		}
		if row.want == 0x80 {
			continue
		}
		after, _ := c.RootKey(1)
		if c.CounterValue(1) != value || had && !bytes.Equal(after, root) || !had && after != nil {
			t.Errorf("%s: the counter or its key changed", row.what)
		}
		if got := c.Counters(); got[nor.CountRootKey] != counts[nor.CountRootKey] || got[nor.CountIncrement] != counts[nor.CountIncrement] {
			t.Errorf("%s: counted: %v", row.what, got)
		}
		expect(t, row.what+": reply", reply(c)[1:], make([]byte, 48))
	}
}

func TestTemporaryKey(t *testing.T) {
	ff, root := bytes.Repeat([]byte{0xFF}, 32), bytes.Repeat([]byte{0x5A}, 32)
	for _, temporary := range []bool{false, true} {
		c := newChip(t, authenta, nor.Options{RPMC: nor.RPMC{TemporaryKeyFF: temporary}})
		op1(c, rootKeyPacket(0, ff))
		op1(c, updatePacket(0, ff, 1))
		op1(c, incrementPacket(0, hmacKey(ff, 1), 0))
		if got := op1(c, rootKeyPacket(0, root)); (got == 0x80) != temporary {
			t.Errorf("temporary %v: second key %02X", temporary, got)
		}
		if !temporary {
			continue
		}
		if got := op1(c, incrementPacket(0, hmacKey(ff, 1), 0)); got != 0x08 || c.CounterValue(0) != 0 {
			t.Errorf("the old HMAC key lives on: %02X, counter %d", got, c.CounterValue(0))
		}
		if got := op1(c, rootKeyPacket(0, ff)); got != 0x02 {
			t.Errorf("third key %02X", got)
		}
	}
}

// The four counters have nothing in common but the last status and reply.
func TestFourCounters(t *testing.T) {
	c := newChip(t, authenta, nor.Options{})
	root := func(i byte) []byte { return bytes.Repeat([]byte{i + 1}, 32) }
	for i := range byte(4) {
		op1(c, rootKeyPacket(i, root(i)))
		op1(c, updatePacket(i, root(i), uint32(i)))
	}
	for i := range byte(4) {
		for n := range uint32(i) {
			if got := op1(c, incrementPacket(i, hmacKey(root(i), uint32(i)), n)); got != 0x80 {
				t.Fatalf("counter %d: %02X", i, got)
			}
		}
	}
	for i := range byte(4) {
		tag := bytes.Repeat([]byte{0x40 + i}, 12)
		op1(c, requestPacket(i, hmacKey(root(i), uint32(i)), tag))
		signed := append(slices.Clone(tag), 0, 0, 0, i)
		expect(t, "reply", reply(c), slices.Concat([]byte{0x80}, signed, mac(hmacKey(root(i), uint32(i)), signed...)))
	}
	for _, i := range []int{-1, 4} {
		if _, ok := c.RootKey(i); ok || c.CounterValue(i) != 0 {
			t.Errorf("there is a counter %d", i)
		}
	}
}

// On a standard part 9B takes no packet, and 96 is another register.
func TestStandardPartHasNoCounters(t *testing.T) {
	c := newChip(t, "MT25QL128ABA", nor.Options{})
	do(c, 0, rootKeyPacket(0, bytes.Repeat([]byte{1}, 32))...)
	expect(t, "96", reply(c), make([]byte, 49))
	if _, ok := c.RootKey(0); ok || c.Counters()[nor.CountRootKey] != 0 {
		t.Error("a standard part took a root key")
	}
}

// While a command runs 96 answers busy, the next 9B is ignored, and nothing has taken effect.
func TestRPMCBusy(t *testing.T) {
	root := bytes.Repeat([]byte{0x5A}, 32)
	key := hmacKey(root, 1)
	for _, o := range []nor.RPMC{{}, {WriteRootKey: 30 * time.Millisecond, UpdateKey: 40 * time.Millisecond, Increment: 50 * time.Millisecond, Request: 60 * time.Millisecond}} {
		times := []time.Duration{5 * time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 2 * time.Millisecond}
		if o.Request != 0 {
			times = []time.Duration{o.WriteRootKey, o.UpdateKey, o.Increment, o.Request}
		}
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, authenta, nor.Options{Pace: nor.Real, RPMC: o})
			do(c, 0, 0x06)
			for i, packet := range [][]byte{rootKeyPacket(0, root), updatePacket(0, root, 1), incrementPacket(0, key, 0), requestPacket(0, key, make([]byte, 12))} {
				do(c, 0, packet...)
				do(c, 0, rootKeyPacket(1, root)...) // ignored
				time.Sleep(times[i] - 1)
				expect(t, "busy", append(reply(c), status(c), flags(c)), append([]byte{0x01}, append(make([]byte, 48), 0x03, 0x00)...))
				expect(t, "busy takes no read", do(c, 1, 0x03, 0, 0, 0), []byte{0xFF})
				if _, ok := c.RootKey(0); ok != (i > 0) || c.CounterValue(0) != uint32(i/3) {
					t.Errorf("command %d took effect too early", i)
				}
				time.Sleep(time.Nanosecond)
				expect(t, "ready; WEL as it was", append(reply(c)[:1], status(c), flags(c)), []byte{0x80, 0x02, 0x80})
			}
			if _, ok := c.RootKey(1); ok || c.CounterValue(0) != 1 {
				t.Errorf("a packet that came while busy was taken, or one before it was not: counter %d", c.CounterValue(0))
			}
			write(c, 0x20, 0, 0, 0)
			expect(t, "busy with an erase", reply(c)[:1], []byte{0x01})
		})
	}
}

func TestRPMCStuckBusy(t *testing.T) {
	c := newChip(t, authenta, nor.Options{Faults: nor.Faults{StuckBusy: true}})
	if got := op1(c, rootKeyPacket(0, make([]byte, 32))); got != 0x01 {
		t.Errorf("stuck busy: %02X", got)
	}
	// a packet off a byte boundary is none
	c = newChip(t, authenta, nor.Options{})
	c.Select()
	c.Shift(rootKeyPacket(0, make([]byte, 32)), nil)
	c.ShiftBits(0, 1)
	c.Deselect()
	if got := do(c, 1, 0x96, 0)[0]; got != 0x00 {
		t.Errorf("a packet and one bit more: %02X", got)
	}
}
