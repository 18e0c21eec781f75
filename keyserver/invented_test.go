package keyserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// TestInventedVectors holds the blocks, and the judging of answers, to docs/acrtm-invented.json, which was made from HMAC alone.
func TestInventedVectors(t *testing.T) {
	text, err := os.ReadFile("../docs/acrtm-invented.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Factory, UID      string
		Power_on, Counter uint64
		Device_secret     string
		Blocks            map[string]struct {
			Address, Size       int64
			Nonce, Block, Reply string
		}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	raw := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	secret := macOf(raw(v.Factory), raw(v.UID))
	if !bytes.Equal(secret, raw(v.Device_secret)) {
		t.Errorf("the device secret is %x", secret)
	}
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	content := sha256.Sum256(bytes.Repeat([]byte{0xA5}, 4096))
	for name, op := range map[string]Op{"measure": {}, "write": {Data: data, Changes: true}, "erase": {Changes: true}, "protect": {Changes: true, OneWay: true}} {
		want, ok := v.Blocks[name]
		if !ok {
			t.Fatalf("the vectors have no %s", name)
		}
		op.Command, op.At, op.Size = name, want.Address, want.Size
		at := Point{PowerOn: v.Power_on, Counter: v.Counter}
		copy(at.Nonce[:], raw(want.Nonce))
		block := Invented{}.Block(secret, op, at)
		if !bytes.Equal(block, raw(want.Block)) {
			t.Errorf("%s is\n%x, want\n%s", name, block, want.Block)
		}
		measured, err := Invented{}.Check(secret, op, at, block, raw(want.Reply))
		if err != nil || name == "measure" && !bytes.Equal(measured, content[:]) {
			t.Errorf("%s: measured %x, %v", name, measured, err)
		}
		// No bit of an answer may differ, nor may it be longer or shorter, nor be that to another block, counter, power-on, nonce or chip.
		reply := raw(want.Reply)
		for i := range len(reply) * 8 {
			reply[i/8] ^= 1 << (i % 8)
			if _, err := (Invented{}).Check(secret, op, at, block, reply); err == nil {
				t.Errorf("%s: bit %d of the answer does not count", name, i)
			}
			reply[i/8] ^= 1 << (i % 8)
		}
		for what, change := range map[string]func() ([]byte, Op, Point, []byte, []byte){
			"short": func() ([]byte, Op, Point, []byte, []byte) { return secret, op, at, block, reply[:len(reply)-1] },
			"long": func() ([]byte, Op, Point, []byte, []byte) {
				return secret, op, at, block, append(bytes.Clone(reply), 0)
			},
			"chip":     func() ([]byte, Op, Point, []byte, []byte) { return raw(v.Factory), op, at, block, reply },
			"power-on": func() ([]byte, Op, Point, []byte, []byte) { p := at; p.PowerOn++; return secret, op, p, block, reply },
			"counter":  func() ([]byte, Op, Point, []byte, []byte) { p := at; p.Counter++; return secret, op, p, block, reply },
		} {
			s, o, p, b, r := change()
			if _, err := (Invented{}).Check(s, o, p, b, r); err == nil {
				t.Errorf("%s: %s does not count", name, what)
			}
		}
	}
	if got := (Invented{}).Block(secret, Op{Command: "counters"}, Point{}); !bytes.Equal(got, []byte{0xF0, 0, 0, 0}) {
		t.Errorf("counters is %x", got)
	}
}

// TestInventedOps carries out what a step comes to on plain memory, wherever it begins, and wants the content: with nothing lost, and with any op half done and taken up
// again from where it says.
func TestInventedOps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := int64(rapid.IntRange(0, 3).Draw(t, "sector")) * 4096
		size := int64(rapid.IntRange(1, 3).Draw(t, "sectors")) * 4096
		image := rapid.SliceOfN(rapid.SampledFrom([]byte{0xFF, 0, 0x5A}), 1, int(size)).Draw(t, "image")
		content := bytes.Repeat([]byte{0xFF}, int(size))
		copy(content, image)
		ops, err := Invented{}.Ops(Step{Commands: []string{"write", "erase"}, At: at, Size: size, Image: "x"}, content)
		if err != nil {
			t.Fatal(err)
		}
		array := rapid.SliceOfN(rapid.Byte(), 32<<10, 32<<10).Draw(t, "before")
		before := bytes.Clone(array)
		lost := rapid.IntRange(-1, len(ops)-1).Draw(t, "lost")
		for i := 0; i < len(ops); i++ {
			op := ops[i]
			n := len(op.Data)
			if op.Command == "erase" {
				n = int(op.Size)
			}
			if i == lost {
				n /= 2
			}
			for k := range n {
				if op.Command == "erase" {
					array[op.At+int64(k)] = 0xFF
				} else {
					array[op.At+int64(k)] &= op.Data[k]
				}
			}
			if i == lost {
				lost = -1
				i = op.From - 1
			}
		}
		copy(before[at:], content)
		if !bytes.Equal(array, before) {
			t.Fatalf("the region does not hold the image, or bytes beside it changed")
		}
	})
}
