package flash

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// vector is one run through all commands; its numbers were computed by other programs (Python's hmac, OpenSSL).
type vector struct {
	index                                      byte
	key                                        [32]byte
	keyData                                    [4]byte
	before                                     uint32
	tag                                        [12]byte
	hmacKey                                    string
	rootKey, update, increment, request, reply []byte
}

var vectorA = vector{
	index:   0,
	key:     [32]byte(unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")),
	keyData: [4]byte{0, 0, 0, 1},
	before:  0,
	tag:     [12]byte(unhex("a0a1a2a3a4a5a6a7a8a9aaab")),
	hmacKey: "99411f24bfa9ee8e144e132c46b3b7d1f6d6bfbe2b82ab47b4963e43bfe8bdb6",
	rootKey: unhex("9b000000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"8282af340fadca1443a982955c55acee4e19a7a347e3931349f3b39f"),
	update:    unhex("9b010000000000017098d73e515ce3cd894e804f9de531d2d31dfec8be43e6c33b88fb1d731f380b"),
	increment: unhex("9b020000000000001210c59f6b4b8260f3c0b67dc6663e31fb53731d47a7e416e388be3e158657d2"),
	request:   unhex("9b030000a0a1a2a3a4a5a6a7a8a9aaab085259891ca9c46ee7197ca4b8387837e3c8b291f133a95ba95bc45c6900b337"),
	reply:     unhex("80a0a1a2a3a4a5a6a7a8a9aaab000000017f827d7e5b81a47908de28cc42d3c31f5b86c08bfcac2130e9c68d7e7020ff0e"),
}

var vectorB = vector{
	index:   3,
	key:     [32]byte(unhex("56b4c4ce26e21a291ebea63dac60905d860d4f733317399a7404c732cbe46ed8")),
	keyData: [4]byte{0xDE, 0xAD, 0xBE, 0xEF},
	before:  0x00FF00FE,
	tag:     [12]byte(unhex("0123456789abcdeffedcba98")),
	hmacKey: "5dcaa6b0c4f6af743304e1ecc21be810b42b630b4d9197defdaf46295241011f",
	rootKey: unhex("9b00030056b4c4ce26e21a291ebea63dac60905d860d4f733317399a7404c732cbe46ed8" +
		"e23df5cbad56f44c695b0354c341436ebdb4d37f26e944a07ed38c1a"),
	update:    unhex("9b010300deadbeef67a434b1bf5c6be4ce242ac9d61e31f58797cd9bf649ca2083e07b6f104bd4f3"),
	increment: unhex("9b02030000ff00feff4de4b16f6d5883d9b01682e7fc5b4dbe2ea3a5aa200ed9158c68df0a9d5c8e"),
	request:   unhex("9b0303000123456789abcdeffedcba98b20895c699e2dc931f63d409af2bba26fd8b84e8ddb4d466b63e0b5ef9887376"),
	reply:     unhex("800123456789abcdeffedcba9800ff00ff51dead4fc736cea80e768fc8d93d77b63e70344b6717231091e1f8cdf2cf4c9f"),
}

func TestRPMCVectors(t *testing.T) {
	for name, v := range map[string]vector{"A": vectorA, "B": vectorB} {
		key := HMACKey(&v.key, v.keyData)
		if hex.EncodeToString(key[:]) != v.hmacKey {
			t.Errorf("%s: HMAC key %x", name, key)
		}
		rootKey, err := RootKeyPacket(0x9B, v.index, &v.key)
		must(t, err)
		reply := ReplyFor(&key, v.tag, v.before+1)
		for what, c := range map[string][2][]byte{
			"write root key": {rootKey, v.rootKey},
			"update":         {UpdatePacket(0x9B, v.index, &v.key, v.keyData), v.update},
			"increment":      {IncrementPacket(0x9B, v.index, &key, v.before), v.increment},
			"request":        {RequestPacket(0x9B, v.index, &key, v.tag), v.request},
			"reply":          {reply[:], v.reply},
		} {
			if !bytes.Equal(c[0], c[1]) {
				t.Errorf("%s: %s is %x, want %x", name, what, c[0], c[1])
			}
		}
		r := ParseReply([ReplySize]byte(v.reply))
		if r.Status != RPMCSuccess || r.Tag != v.tag || r.Counter != v.before+1 {
			t.Errorf("%s: %+v", name, r)
		}
		must(t, r.Verify(&key, v.tag))
	}
}

// Any bit that is not as it should be is found; the key of another root key or other key data proves nothing.
func TestReplyVerify(t *testing.T) {
	key := HMACKey(&vectorA.key, vectorA.keyData)
	for i := range ReplySize * 8 {
		b := [ReplySize]byte(vectorA.reply)
		b[i/8] ^= 1 << (i % 8)
		is(t, ParseReply(b).Verify(&key, vectorA.tag), ErrReply)
	}
	reply := ParseReply([ReplySize]byte(vectorA.reply))
	is(t, reply.Verify(&key, vectorB.tag), ErrReply)
	for _, other := range [][32]byte{HMACKey(&vectorB.key, vectorA.keyData), HMACKey(&vectorA.key, vectorB.keyData), {}} {
		is(t, reply.Verify(&other, vectorA.tag), ErrReply)
	}
	rapid.Check(t, func(t *rapid.T) {
		root := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
		data := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "data"))
		tag := [12]byte(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "tag"))
		value := rapid.Uint32().Draw(t, "value")
		key := HMACKey(&root, data)
		r := ParseReply(ReplyFor(&key, tag, value))
		if r.Counter != value || r.Tag != tag || r.Verify(&key, tag) != nil {
			t.Fatalf("%+v", r)
		}
	})
}

func TestRootKeyRefused(t *testing.T) {
	var zero, ones [32]byte
	copy(ones[:], bytes.Repeat([]byte{0xFF}, 32))
	for _, key := range []*[32]byte{&zero, &ones} {
		p, err := RootKeyPacket(0x9B, 0, key)
		is(t, err, ErrRootKey)
		if p != nil {
			t.Error("a packet was built")
		}
		is(t, testRPMC.check(append(append([]byte{0x9B, 0, 0, 0}, key[:]...), make([]byte, 28)...)), ErrRootKey)
	}
}

var testRPMC = &RPMC{Counters: 4, Op1: 0x9B, Op2: 0x96}

func TestPacketCheck(t *testing.T) {
	for _, v := range []vector{vectorA, vectorB} {
		for _, p := range [][]byte{v.rootKey, v.update, v.increment, v.request} {
			must(t, testRPMC.check(p))
			for _, bad := range [][]byte{p[:len(p)-1], append(bytes.Clone(p), 0), p[:3], nil} {
				if testRPMC.check(bad) == nil {
					t.Errorf("%d bytes of command %02X passed", len(bad), p[1])
				}
			}
			for i, b := range []byte{0x96, 0x04, 0x04, 0x01} {
				bad := bytes.Clone(p)
				bad[i] = b
				err := testRPMC.check(bad)
				if err == nil {
					t.Fatalf("byte %d = %02X passed", i, b)
				}
				silent(t, err.Error(), v.key[:])
			}
		}
	}
}

func FuzzPacketCheck(f *testing.F) {
	for _, v := range []vector{vectorA, vectorB} {
		for _, p := range [][]byte{v.rootKey, v.update, v.increment, v.request} {
			f.Add(p)
		}
	}
	f.Add([]byte{})
	f.Add([]byte{0x9B, 0xFF})
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		err := testRPMC.check(p)
		if !bytes.Equal(before, p) {
			t.Fatal("the packet was changed")
		}
		if err != nil {
			return
		}
		if size := map[byte]int{0: 64, 1: 40, 2: 40, 3: 48}[p[1]]; len(p) != size || p[0] != 0x9B || p[2] > 3 || p[3] != 0 {
			t.Fatalf("passed: % X", p[:4])
		}
	})
}

func TestExplainRPMC(t *testing.T) {
	for status, want := range map[byte]string{
		0x80: "success", 0x00: "no command since power-up", 0x01: "busy", 0x81: "busy", 0xFF: "no answer", 0x02: "root key", 0x04: "signature",
		0x08: "HMAC key is not set", 0x10: "counter has another value", 0x20: "fatal", 0x24: "; the device", 0x40: "reserved", 0xC0: "reserved",
	} {
		if got := ExplainRPMC(status); !strings.Contains(got, want) {
			t.Errorf("%02X: %q", status, got)
		}
	}
	for s := range 256 {
		if got := ExplainRPMC(byte(s)); got == "" || (got == "success") != (s == 0x80) {
			t.Errorf("%02X: %q", s, got)
		}
	}
}

// withCounters is the real dump with a third table behind it.
func withCounters(t testing.TB, table ...byte) []byte {
	b := dump(t)
	b[6] = 2
	copy(b[0x18:], []byte{3, 0, 1, byte(len(table) / 4), 0x88, 0, 0, 0xFF})
	return append(b, table...)
}

func TestSFDPCounters(t *testing.T) {
	const us, ms, s = 1e3, 1e6, 1e9
	for _, c := range []struct {
		table []byte
		want  SFDPRPMC
	}{
		{unhex("389b96f0050a05ff"), SFDPRPMC{4, 0x9B, 0x96, false, 5 * s, 5 * us, 10 * us, 5 * ms}},
		{unhex("fc9c97f32a4b6cff"), SFDPRPMC{16, 0x9C, 0x97, true, 40 * s, 160 * us, 1408 * us, 12 * s}},
		{unhex("089b96ff7f8031ff"), SFDPRPMC{1, 0x9B, 0x96, false, 163840 * s, 31 * ms, 0, 17 * 16 * ms}},
	} {
		got, err := ParseSFDP(withCounters(t, c.table...))
		must(t, err)
		if got.RPMC == nil || *got.RPMC != c.want {
			t.Errorf("%x: %+v", c.table, got.RPMC)
		}
	}
	for _, table := range []string{"399b96f0050a05ff", "3a9b96f0050a05ff", "309b96f0050a05ff", "0000000000000000", "ffffffffffffffff"} {
		got, err := ParseSFDP(withCounters(t, unhex(table)...))
		must(t, err)
		if got.RPMC != nil {
			t.Errorf("%s: %+v", table, got.RPMC)
		}
	}
	if s, err := ParseSFDP(withCounters(t, unhex("389b96f0")...)); s != nil || !errors.Is(err, ErrSFDP) {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := ParseSFDP(dump(t)); err != nil || s.RPMC != nil {
		t.Error("a standard part has counters")
	}
}
