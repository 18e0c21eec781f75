package nor_test

import (
	"bytes"
	"testing"

	"station/sim/nor"
)

// A part that is cut down tells its size by ID and SFDP, and has no more.
func TestSize(t *testing.T) {
	c := newChip(t, "MT25QL128ABB", nor.Options{Size: 1 << 20})
	if c.Size() != 1<<20 {
		t.Errorf("size %d", c.Size())
	}
	expect(t, "ID", do(c, 6, 0x9F), []byte{0x20, 0xBA, 0x14, 0x12, 0x00, 0x8C})
	expect(t, "SFDP density", do(c, 4, 0x5A, 0, 0, 0x34, 0), []byte{0xFF, 0xFF, 0x7F, 0x00})
	write(c, 0x02, 0x1F, 0x00, 0x00, 0x5A)
	expect(t, "behind the end", c.Bytes(0x0F0000, 1), []byte{0x5A})
	for _, size := range []uint32{1 << 19, 3 << 20, 32 << 20} {
		if _, err := nor.New("MT25QL128ABB", uid, nor.Options{Size: size}); err == nil {
			t.Errorf("a part of %d bytes was made", size)
		}
	}
}

// The supply goes with the operation that is asked for: over, or torn as by Power(false); nothing is taken until it is back.
func TestCut(t *testing.T) {
	page := bytes.Repeat([]byte{0}, 256)
	for _, done := range []bool{false, true} {
		torn := 0
		for seed := range uint64(20) {
			c := newChip(t, "MT25QL256ABA", nor.Options{Seed: seed})
			write(c, with(page, 0x02, 0, 0, 0)...) // counted from SetFaults on
			c.SetFaults(nor.Faults{Cut: 2, CutDone: done})
			write(c, with(page, 0x02, 0, 1, 0)...)
			if !c.Powered() {
				t.Fatal("the first operation lost its supply")
			}
			write(c, with(page, 0x02, 0, 2, 0)...)
			if c.Powered() {
				t.Fatal("the second operation kept its supply")
			}
			expect(t, "without a supply", do(c, 1, 0x05), []byte{0xFF})
			c.Power(true)
			write(c, with(page, 0x02, 0, 3, 0)...)
			if !c.Powered() {
				t.Fatal("the supply went twice")
			}
			for _, whole := range []uint32{0, 0x100, 0x300} {
				expect(t, "a page that was left alone", c.Bytes(whole, 256), page)
			}
			if !bytes.Equal(c.Bytes(0x200, 256), page) {
				torn++
			}
		}
		if done && torn != 0 || !done && torn < 15 {
			t.Errorf("done %t: %d of 20 are torn", done, torn)
		}
	}
}

// Bits flip on their way to the chip, as often as asked for, and the permanent command that has one says so.
func TestFlipIn(t *testing.T) {
	var good, garbled int
	for seed := range uint64(400) {
		var heard [][]byte
		c := newChip(t, "MT25QL256ABA", nor.Options{Seed: seed, Permanent: func(command []byte, bad bool) {
			heard = append(heard, command)
			switch {
			case bad:
				garbled++
			case bytes.Equal(command, with(secret, 0x28)):
				good++
			}
		}})
		do(c, 0, 0x06)
		c.SetFaults(nor.Faults{FlipIn: 30})
		do(c, 0, with(secret, 0x28)...)
		c.SetFaults(nor.Faults{})
		if pw := c.Password(); len(heard) == 1 && heard[0][0] == 0x28 && !bytes.Equal(pw[:], heard[0][1:]) {
			t.Errorf("%X was heard, and the password is %X", heard[0], pw)
		}
	}
	// (29/30)^9 arrive whole, and of the others those in which the opcode does.
	if good < 270 || good > 325 || garbled < 50 {
		t.Errorf("of 400: %d whole, %d garbled", good, garbled)
	}
}

// Only what can have an effect for ever is told, and before it has.
func TestPermanentIsTold(t *testing.T) {
	var heard []byte
	c := newChip(t, "MT25QL128ABB", nor.Options{Permanent: func(command []byte, _ bool) { heard = append(heard, command[:2]...) }})
	root := bytes.Repeat([]byte{0x5A}, 32)
	do(c, 0, with(secret, 0x28)...) // without write enable it is not taken
	write(c, with(secret, 0x28)...)
	write(c, 0x42, 0, 0, 0, 0x11)
	do(c, 0, rootKeyPacket(0, root)...)
	do(c, 0, updatePacket(0, root, 1)...)
	do(c, 0, incrementPacket(0, hmacKey(root, 1), 0)...)
	write(c, 0x02, 0, 0, 0, 0)
	write(c, 0xE3, 0, 0, 0, 0)
	write(c, 0x2C, 0xFB, 0xFF)
	s := signerOf(c)
	do(c, 0, with(counters, 0x9B)...)
	do(c, 0, with(s.measure(0, 1), 0x9B)...)
	do(c, 0, with(s.write(0x100, nil), 0x9B)...)
	do(c, 0, with(signerOf(c).erase(0x1000), 0x9B)...)
	do(c, 0, with(signerOf(c).protect(0, 0x10000), 0x9B)...)
	expect(t, "told", heard, []byte{0x28, secret[0], 0x42, 0x11, 0x9B, 0, 0x9B, 2, 0x2C, 0xFB, 0x9B, 0xF1, 0x9B, 0xF1, 0x9B, 0xF2})
}

// Of a block all of it is told, what lies behind its 256th byte too.
func TestPermanentBlockIsToldWhole(t *testing.T) {
	var heard []byte
	c := newChip(t, authenta, nor.Options{Permanent: func(command []byte, _ bool) { heard = command }})
	block := signerOf(c).write(0, secret)
	relay(c, block)
	expect(t, "told", heard, with(block, 0x9B))
}
