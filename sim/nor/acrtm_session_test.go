package nor_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// taken is the status of a block, and tells whether it did anything.
func taken(t *testing.T, c *nor.Chip, what string, block []byte, want byte) {
	t.Helper()
	before := c.CommandCounter()
	status, _ := relay(c, block)
	if status != want || want != 0x80 && c.CommandCounter() != before {
		t.Errorf("%s: %02X, want %02X; command counter %d, before %d", what, status, want, c.CommandCounter(), before)
	}
}

// A block counts once, in its turn, on its chip, in its power-up.
func TestReplayAndReorder(t *testing.T) {
	c := newChip(t, authenta, nor.Options{})
	s := signerOf(c)
	one, two := s.write(0, []byte{0xF0}), signer{s.uid, s.powerOn, 1}.erase(0)
	taken(t, c, "the second before the first", two, 0x10)
	taken(t, c, "the first", one, 0x80)
	taken(t, c, "the first again", one, 0x10)
	taken(t, c, "the second", two, 0x80)
	taken(t, c, "the second again", two, 0x10)
	taken(t, c, "the first once more", one, 0x10)
	expect(t, "erased, and not written again", c.Bytes(0, 1), []byte{0xFF})

	measure := signerOf(c).measure(0, 4096)
	taken(t, c, "a measurement", measure, 0x80)
	taken(t, c, "the same: nothing has changed", measure, 0x80)
	other, err := nor.New(authenta, [14]byte{1}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other.SetACRTM(c.PowerOnCounter(), c.CommandCounter())
	taken(t, other, "on another chip with the same counters", measure, 0x04)
	if got := signed(c); got != "power-on 1, command 2, range 0+0, 1 writes, 1 erases, 0 ranges" {
		t.Error(got)
	}
}

// A power-up changes the key, a reset does not; both forget the answer, and neither the counters nor the range.
func TestSessionKey(t *testing.T) {
	c := newChip(t, authenta, nor.Options{})
	relay(c, signerOf(c).protect(0x40000, 0x10000))
	expect(t, "before", do(c, 1, 0x96, 0), []byte{0x80})
	block := signerOf(c).write(0, []byte{1})
	reset(c)
	expect(t, "behind a reset", do(c, 74, 0x96, 0), append(make([]byte, 49), filled(25, 0xFF)...))
	taken(t, c, "made before a reset", block, 0x80)
	block = signerOf(c).write(0, []byte{1})
	cycle(c)
	expect(t, "behind a power-up", do(c, 74, 0x96, 0), append(make([]byte, 49), filled(25, 0xFF)...))
	taken(t, c, "made before a power-up", block, 0x04)
	c.Power(true) // it has power
	taken(t, c, "made for this power-up", signerOf(c).write(0, []byte{1}), 0x80)
	if got := signed(c); got != "power-on 2, command 3, range 40000+10000, 2 writes, 0 erases, 1 ranges" || c.PowerUps() != 1 {
		t.Errorf("%s, %d power-ups", got, c.PowerUps())
	}
	c.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{PowerOnStays: true}})
	block = signerOf(c).write(0, []byte{1})
	cycle(c)
	taken(t, c, "a power-up that was not counted", block, 0x80)
	if c.PowerOnCounter() != 2 || c.PowerUps() != 2 {
		t.Errorf("%s, %d power-ups", signed(c), c.PowerUps())
	}
}

// The protected range refuses plain commands that touch it, as a lock does, unless the switch says otherwise; signed ones change it.
func TestProtectedRange(t *testing.T) {
	const addr, size = 0x30000, 0x20000
	at3 := func(op byte, at int) []byte { return []byte{op, byte(at >> 16), byte(at >> 8), byte(at)} }
	type row struct {
		out     []byte
		touches bool
		at      int // of the byte that tells
	}
	var rows []row
	for _, at := range []int{addr - 256, addr, addr + size - 1, addr + size} {
		in := at >= addr && at < addr+size
		rows = append(rows, row{append(at3(0x02, at), 0), in, at}, row{append(at4(0x12, at), 0), in, at},
			row{at3(0x20, at), in, at}, row{at4(0x21, at), in, at}, row{at3(0x52, at), in, at}, row{at4(0x5C, at), in, at}, row{at3(0xD8, at), in, at}, row{at4(0xDC, at), in, at})
	}
	rows = append(rows, row{[]byte{0xC7}, true, 0}, row{[]byte{0x60}, true, addr})
	for _, open := range []bool{false, true} {
		for _, row := range rows {
			what := fmt.Sprintf("% X, open %t", row.out, open)
			c := newChip(t, authenta, nor.Options{ACRTM: nor.ACRTM{RangeOpen: open}})
			write(c, with([]byte{0xA5}, at3(0x02, row.at)...)...)
			relay(c, signerOf(c).protect(addr, size))
			write(c, row.out...)
			erase := len(row.out) < 5 || row.out[0] == 0x21 || row.out[0] == 0x5C || row.out[0] == 0xDC
			want, flag := byte(0x00), byte(0x92)
			if erase {
				want, flag = 0xFF, 0xA2
			}
			refused := row.touches && !open
			if refused {
				want = 0xA5
			} else {
				flag = 0x80
			}
			expect(t, what, append(c.Bytes(uint32(row.at), 1), flags(c)), []byte{want, flag})
			expect(t, what+": WEL", []byte{status(c)}, []byte{map[bool]byte{true: 2}[refused]})
		}
	}

	c := newChip(t, authenta, nor.Options{})
	write(c, 0xE3, 0, 0x03, 0, 0)
	relay(c, signerOf(c).protect(addr, size))
	taken(t, c, "a signed write under a lock bit", signerOf(c).write(addr, nil), 0x02)
	write(c, 0xE4)
	cycle(c)
	write(c, append(at3(0x02, addr), 0)...)
	expect(t, "E4 and power-up leave it", append(c.Bytes(addr, 1), flags(c)), []byte{0xFF, 0x92})
	c.SetFaults(nor.Faults{IgnoreLocks: true})
	write(c, append(at3(0x02, addr), 0)...)
	expect(t, "locks that do not hold are something else", c.Bytes(addr, 1), []byte{0xFF})
	taken(t, c, "write", signerOf(c).write(addr, bytes.Repeat([]byte{0xF5}, 256)), 0x80)
	taken(t, c, "write over it", signerOf(c).write(addr, bytes.Repeat([]byte{0x5F}, 256)), 0x80)
	expect(t, "bits become 0 only", c.Bytes(addr-1, 258), slices.Concat([]byte{0xFF}, filled(256, 0x55), []byte{0xFF}))
	taken(t, c, "erase", signerOf(c).erase(addr), 0x80)
	expect(t, "and 1 by an erase", c.Bytes(addr, 256), filled(256, 0xFF))
}

// While a block is worked on the chip is busy in every register, takes nothing, and nothing has taken effect.
func TestBlockBusy(t *testing.T) {
	const ms = time.Millisecond
	for _, o := range []nor.ACRTM{{}, {Write: 30 * ms, Erase: 40 * ms, Protect: 60 * ms, Read: 70 * ms}} {
		read, write1, erase, protect := 2*ms, 5*ms, 50*ms, 5*ms
		if o.Read != 0 {
			read, write1, erase, protect = o.Read, o.Write, o.Erase, o.Protect
		}
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, authenta, nor.Options{Pace: nor.Real, ACRTM: o})
			do(c, 0, 0x06)
			for _, row := range []struct {
				what  string
				block func(s signer) []byte
				time  time.Duration
				want  byte
			}{
				{"counters", func(signer) []byte { return counters }, read, 0x80},
				{"measure", func(s signer) []byte { return s.measure(0, 1<<20) }, read + 15*time.Nanosecond<<20, 0x80},
				{"write", func(s signer) []byte { return s.write(0, []byte{0}) }, write1, 0x80},
				{"erase", func(s signer) []byte { return s.erase(0) }, erase, 0x80},
				{"protect", func(s signer) []byte { return s.protect(0, 0x10000) }, protect, 0x80},
				{"a second protect", func(s signer) []byte { return s.protect(0, 0x10000) }, read, 0x02},
				{"a block of another chip", func(s signer) []byte { s.uid[0]++; return s.erase(0) }, read, 0x04},
				{"an unknown name", func(s signer) []byte { return s.block(0xF300) }, 2 * ms, 0x04},
			} {
				s, before := signerOf(c), signed(c)+fmt.Sprint(c.Bytes(0, 2))
				do(c, 0, with(row.block(s), 0x9B)...)
				do(c, 0, with(s.write(0x1000, []byte{0}), 0x9B)...) // ignored
				do(c, 0, 0x75)
				time.Sleep(row.time - 1)
				in := do(c, 50, 0x96, 0)
				expect(t, row.what+": busy", append(in[:49], status(c), flags(c)), append([]byte{0x01}, append(make([]byte, 48), 0x03, 0x00)...))
				expect(t, row.what+": busy takes no read", do(c, 1, 0x03, 0, 0, 0), []byte{0xFF})
				if got := signed(c) + fmt.Sprint(c.Bytes(0, 2)); got != before {
					t.Errorf("%s took effect too early: %s, before %s", row.what, got, before)
				}
				time.Sleep(time.Nanosecond)
				expect(t, row.what+": ready; WEL as it was", append(do(c, 1, 0x96, 0), status(c), flags(c)), []byte{row.want, 0x02, 0x80})
			}
			expect(t, "what came while it was busy", c.Bytes(0x1000, 1), []byte{0xFF})

			relayed := do(c, 74, 0x96, 0)
			write(c, 0xD8, 2, 0, 0)
			do(c, 0, 0x75)
			do(c, 0, with(signerOf(c).write(0x1000, []byte{0}), 0x9B)...)
			expect(t, "a block amid an erase that is suspended", do(c, 74, 0x96, 0), relayed)
			do(c, 0, 0x7A)
			time.Sleep(time.Second)
			if got := signed(c); got != "power-on 1, command 3, range 0+10000, 1 writes, 1 erases, 1 ranges" {
				t.Error(got)
			}
		})
	}
}

// RPMC and blocks share 9B, 96 and the status, and nothing else.
func TestBlocksBesideRPMC(t *testing.T) {
	c := newChip(t, authenta, nor.Options{})
	root, tag := bytes.Repeat([]byte{0x5A}, 32), bytes.Repeat([]byte{9}, 12)
	op1(c, rootKeyPacket(0, root))
	op1(c, updatePacket(0, root, 1))
	taken(t, c, "write", signerOf(c).write(0, []byte{0x11}), 0x80)
	if got := op1(c, incrementPacket(0, hmacKey(root, 1), 0)); got != 0x80 || c.CommandCounter() != 1 {
		t.Errorf("the HMAC key register did not outlive a block: %02X; %s", got, signed(c))
	}
	expect(t, "behind an RPMC packet", do(c, 74, 0x96, 0)[1:], append(make([]byte, 48), filled(25, 0xFF)...))
	taken(t, c, "measure", signerOf(c).measure(0, 1), 0x80)
	op1(c, requestPacket(0, hmacKey(root, 1), tag))
	message := append(slices.Clone(tag), 0, 0, 0, 1)
	expect(t, "the reply of RPMC", do(c, 50, 0x96, 0), slices.Concat([]byte{0x80}, message, mac(hmacKey(root, 1), message...), []byte{0xFF}))
	n := c.Counters()
	if n[nor.CountIncrement] != 1 || n[nor.CountRootKey] != 1 || n[nor.CountSignedWrite] != 1 || n[nor.CountProgram] != 0 || c.CounterValue(0) != 1 {
		t.Errorf("%v", n)
	}
	c = newChip(t, "MT25QL128ABA", nor.Options{})
	do(c, 0, with(counters, 0x9B)...)
	do(c, 0, with(signer{uid, 1, 0}.erase(0), 0x9B)...)
	expect(t, "96 of a standard part", do(c, 20, 0x96, 0), make([]byte, 20))
	if c.CommandCounter() != 0 || c.PowerOnCounter() != 0 {
		t.Errorf("a standard part has the engine: %s", signed(c))
	}
}

// The SFDP does not tell of them: it is what it was before these parts had any.
func TestSFDPWithoutBlocks(t *testing.T) {
	for _, part := range []string{authenta, "MT25QU128ABB"} {
		if got := fmt.Sprintf("%x", sha256.Sum256(do(newChip(t, part, nor.Options{}), 256, 0x5A, 0, 0, 0, 0))); got != "29a8a0fac98e03fc20cab8d6eeb42092980e10df2a3b53064e4d0b694578569a" {
			t.Errorf("%s: %s", part, got)
		}
	}
}

// What is wrong with the engine shows where it is to, and nowhere else.
func TestBlockFaults(t *testing.T) {
	c := newChip(t, authenta, nor.Options{})
	c.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{LoseAnswer: 2}})
	taken(t, c, "the first", signerOf(c).write(0, []byte{0xF0}), 0x80)
	taken(t, c, "counters do not count", counters, 0x80)
	lost, reply := relay(c, signerOf(c).write(0x100, []byte{0x0F}))
	expect(t, "an answer that is lost", append([]byte{lost}, reply...), make([]byte, 73))
	if c.CommandCounter() != 2 || c.Bytes(0x100, 1)[0] != 0x0F {
		t.Errorf("the block is lost with its answer: %s", signed(c))
	}
	taken(t, c, "the third", signerOf(c).erase(0), 0x80)

	c.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{FlipStatus: 0x84}})
	s := signerOf(c)
	block := s.erase(0)
	for range 2 {
		expect(t, "a garbled status", do(c, 1, 0x96, 0), []byte{0x04})
	}
	got, reply := relay(c, block)
	expect(t, "a garbled status, and its reply", append([]byte{got}, reply...), append([]byte{0x04}, padded(s.reply(block))...))
	if c.CommandCounter() != 4 {
		t.Error("the block was not executed")
	}
	if got := op1(c, rootKeyPacket(0, bytes.Repeat([]byte{1}, 32))); got != 0x80 {
		t.Errorf("the status of RPMC is garbled, too: %02X", got)
	}

	c.SetFaults(nor.Faults{Cut: 2, CutDone: true})
	taken(t, c, "counters", counters, 0x80)
	relay(c, signerOf(c).erase(0))
	if c.Powered() || c.CommandCounter() != 5 {
		t.Errorf("the supply did not go with the end of a block: %s", signed(c))
	}
	c.Power(true)
	expect(t, "the answer went with it", do(c, 49, 0x96, 0), make([]byte, 49))

	c.SetFaults(nor.Faults{})
	_, clean := relay(c, signerOf(c).measure(0x10000, 0x20000))
	blank := sha256.Sum256(filled(0x20000, 0xFF))
	expect(t, "digest", clean[8:40], blank[:])
	c.SetFaults(nor.Faults{Flip: map[uint32]byte{0x2FFFF: 1}})
	_, flipped := relay(c, signerOf(c).measure(0x10000, 0x20000))
	bad := sha256.Sum256(append(filled(0x1FFFF, 0xFF), 0xFE))
	expect(t, "digest with a bad cell", flipped[8:40], bad[:])
}

// Of long random sessions no block is ever taken twice, and the chip is what the blocks that were taken make of it.
func TestBlockSessions(t *testing.T) {
	const area = 0x4000
	replays, accepted := 0, 0
	for seed := range uint64(30) {
		dice := rand.New(rand.NewPCG(seed, 8))
		c := newChip(t, authenta, nor.Options{Seed: seed})
		model, command, powerOn := filled(area, 0xFF), uint64(0), uint64(1)
		var old [][]byte // blocks that were taken, or came too late
		for range 120 {
			switch k := dice.IntN(10); {
			case k == 0:
				cycle(c)
				powerOn++
			case k == 1:
				reset(c)
			case k < 5 && len(old) > 0:
				status, _ := relay(c, old[dice.IntN(len(old))])
				if status != 0x10 && status != 0x04 {
					t.Fatalf("seed %d: an old block ended in %02X", seed, status)
				}
				replays++
			default:
				s := signer{uid, powerOn, command}
				at := dice.IntN(area/256) * 256
				block := s.write(uint32(at), []byte{byte(dice.Uint32()), byte(dice.Uint32())})
				if k == 9 {
					at &^= 4095
					block = s.erase(uint32(at))
				}
				if old = append(old, block); dice.IntN(4) == 0 {
					cycle(c) // it comes too late
					powerOn++
				}
				status, reply := relay(c, block)
				if s.powerOn != powerOn {
					expect(t, "too late", []byte{status}, []byte{0x04})
					continue
				}
				expect(t, "in time", append([]byte{status}, reply...), append([]byte{0x80}, padded(s.reply(block))...))
				command++
				accepted++
				if k == 9 {
					copy(model[at:], filled(4096, 0xFF))
					continue
				}
				model[at] &= block[16]
				model[at+1] &= block[17]
			}
			n := c.Counters()
			if !bytes.Equal(c.Bytes(0, area), model) || c.CommandCounter() != command || n[nor.CountSignedWrite]+n[nor.CountSignedErase] != command || c.PowerOnCounter() != powerOn {
				t.Fatalf("seed %d: %s, want command %d, power-on %d", seed, signed(c), command, powerOn)
			}
		}
	}
	if replays < 500 || accepted < 500 {
		t.Errorf("%d replays, %d accepted", replays, accepted)
	}
	t.Logf("%d replays, %d accepted", replays, accepted)
}
