package nor_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

const dieSize = 64 << 20

var stacked = map[string]int{"MT25QL01GBBB": 2, "MT25QU01GBBB": 2, "MT25QL02GCBB": 4, "MT25QU02GCBB": 4}

// allFlags is one frame of 70 for each die.
func allFlags(c *nor.Chip, dies int) (all []byte) {
	for range dies {
		all = append(all, flags(c))
	}
	return all
}

func allStatus(c *nor.Chip, dies int) (all []byte) {
	for range dies {
		all = append(all, status(c))
	}
	return all
}

// filled is n times b.
func filled(n int, b byte) []byte { return slices.Repeat([]byte{b}, n) }

// at4 is an opcode and 4 address bytes.
func at4(op byte, at int, data ...byte) []byte {
	return append([]byte{op, byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}, data...)
}

// C4 erases the die of its address, in 4-byte mode, or in 3-byte mode the one that the extended address register points
// into; C7 and 60 are not taken. On a part of one die it is the other way round.
func TestDieErase(t *testing.T) {
	for part, dies := range stacked {
		mark := func() *nor.Chip { // both ends of each die are programmed
			c := newChip(t, part, nor.Options{})
			for d := range dies {
				write(c, at4(0x12, d*dieSize, 0x11)...)
				write(c, at4(0x12, (d+1)*dieSize-1, 0x22)...)
			}
			return c
		}
		look := func(c *nor.Chip) (all []byte) {
			for d := range dies {
				all = append(all, c.Bytes(uint32(d*dieSize), 1)[0], c.Bytes(uint32((d+1)*dieSize-1), 1)[0])
			}
			return all
		}
		whole := slices.Repeat([]byte{0x11, 0x22}, dies)
		for d := range dies {
			want := slices.Clone(whole)
			want[2*d], want[2*d+1] = 0xFF, 0xFF
			c := mark()
			write(c, 0xB7)
			write(c, at4(0xC4, d*dieSize+0x1234567)...)
			expect(t, fmt.Sprint(part, " C4 in die ", d), look(c), want)
			c = mark()
			write(c, 0xC5, byte(d*4+3))
			write(c, 0xC4, 0x12, 0x34, 0x56)
			expect(t, fmt.Sprint(part, " C4 with the extended address register in die ", d), look(c), want)
			if n := c.Counters()[nor.CountErase]; n != 1 {
				t.Errorf("%s: %d erases", part, n)
			}
		}
		for _, out := range [][]byte{{0xC7}, {0x60}, {0xC4}, at4(0xC4, 0)} {
			c := mark()
			write(c, out...)
			expect(t, fmt.Sprintf("%s takes % X", part, out), append(look(c), status(c)), append(slices.Clone(whole), 0x02))
		}
		c := mark()
		do(c, 0, 0xC4, 0, 0, 0)
		expect(t, part+" C4 without write enable", append(look(c), flags(c)), append(slices.Clone(whole), 0x80))

		// reads pass the border between dies, programs stay in their page
		c = newChip(t, part, nor.Options{})
		write(c, at4(0x12, dieSize-2, 1, 2, 3, 4)...)
		expect(t, part+" program at the border", slices.Concat(c.Bytes(dieSize-256, 2), c.Bytes(dieSize-2, 4)), []byte{3, 4, 1, 2, 0xFF, 0xFF})
		write(c, at4(0x12, dieSize, 5, 6)...)
		expect(t, part+" read over the border", do(c, 4, at4(0x13, dieSize-2)...), []byte{1, 2, 5, 6})
		write(c, 0x02, 0, 0, 0, 7)
		expect(t, part+" read over the end", do(c, 2, at4(0x13, dies*dieSize-1)...), []byte{0xFF, 7})
	}
	c := newChip(t, "MT25QL512ABB", nor.Options{})
	write(c, 0x02, 0, 0, 0, 0)
	write(c, 0xC4, 0, 0, 0)
	expect(t, "C4 on a part of one die", append(c.Bytes(0, 1), status(c), flags(c)), []byte{0x00, 0x02, 0x80})
}

// A die's erase is refused for what is protected in it, and not for what is in others; the flags are told by that die only.
func TestDieErrors(t *testing.T) {
	for part, dies := range stacked {
		for d := range dies {
			for what, lock := range map[string][]byte{"nonvolatile": at4(0xE3, d*dieSize), "volatile": at4(0xE1, d*dieSize+0x20000, 1)} {
				c := newChip(t, part, nor.Options{})
				write(c, 0xB7)
				write(c, at4(0x12, d*dieSize+0x30000, 0)...)
				write(c, lock...)
				other := (d + 1) % dies
				write(c, at4(0xC4, other*dieSize)...)
				expect(t, part+" C4 in another die", allFlags(c, dies), filled(dies, 0x81))
				write(c, at4(0xC4, d*dieSize)...)
				want := filled(dies, 0x81)
				want[d] = 0xA3
				expect(t, fmt.Sprint(part, " C4 with a ", what, " lock in die ", d), allFlags(c, dies), want)
				expect(t, part+" C4 refused", append(c.Bytes(uint32(d*dieSize+0x30000), 1), status(c)), []byte{0x00, 0x02})
				do(c, 0, 0x50)
				expect(t, part+" 50 clears every die's", allFlags(c, dies), filled(dies, 0x81))
			}
		}
	}
	// failures inside are the die's, too
	bad := newChip(t, "MT25QL02GCBB", nor.Options{Faults: nor.Faults{FailErase: true, FailProgram: true}})
	write(bad, at4(0x12, dieSize, 0)...)
	write(bad, at4(0xDC, 3*dieSize)...)
	expect(t, "program and erase fail", allFlags(bad, 4), []byte{0x80, 0x90, 0x80, 0xA0})
	// block protection counts from the ends of the whole part; the volatile 4 KiB cells are there, too
	c := newChip(t, "MT25QL02GCBB", nor.Options{})
	write(c, 0x01, 0x04) // the last sector
	for d := range 4 {
		do(c, 0, 0x50)
		write(c, at4(0x12, (d+1)*dieSize-1, 0)...)
		expect(t, fmt.Sprint("program in the last sector of die ", d), allFlags(c, 4), map[bool][]byte{false: filled(4, 0x80), true: {0x80, 0x80, 0x80, 0x92}}[d == 3])
	}
	for _, row := range []struct {
		at   int
		want byte
	}{{0, 0}, {dieSize - 1<<16, 1}, {dieSize, 1}, {3 * dieSize, 1}, {4*dieSize - 1<<16, 0}} {
		write(c, at4(0xE1, row.at+0x3000, 1)...)
		expect(t, fmt.Sprintf("cell beside 0x%08x", row.at+0x3000), do(c, 1, at4(0xE0, row.at+0x4000)...), []byte{row.want})
	}
}

// Each frame of 70 answers for the next die: the one at work is busy or suspended, the others are ready. 05 tells WIP of the
// whole part, or the same way.
func TestDieStatus(t *testing.T) {
	for part, dies := range stacked {
		for _, dieWIP := range []bool{false, true} {
			for d := range dies {
				synctest.Test(t, func(t *testing.T) {
					c := newChip(t, part, nor.Options{Pace: nor.Real, DieWIP: dieWIP})
					what := fmt.Sprint(part, " DieWIP ", dieWIP, " die ", d)
					write(c, at4(0xDC, d*dieSize)...)
					one := func(busy, ready byte) []byte {
						all := filled(dies, ready)
						all[d] = busy
						return all
					}
					working := filled(dies, 0x03)
					if dieWIP {
						working = one(0x03, 0x02)
					}
					for range 2 {
						expect(t, what+" 70", allFlags(c, dies), one(0x00, 0x80))
						expect(t, what+" 05", allStatus(c, dies), working)
					}
					expect(t, what+" one frame is one die's", do(c, 3, 0x70), filled(3, one(0x00, 0x80)[0]))
					allFlags(c, dies-1)
					do(c, 0, 0x75)
					expect(t, what+" suspended", allFlags(c, dies), one(0xC0, 0x80))
					expect(t, what+" suspended, 05", allStatus(c, dies), filled(dies, 0x02))
					write(c, at4(0x12, (d+1)%dies*dieSize, 0)...)
					expect(t, what+" another die while suspended", c.Bytes(uint32((d+1)%dies*dieSize), 1), []byte{0xFF})
					do(c, 0, 0x7A)
					time.Sleep(160 * time.Millisecond)
					expect(t, what+" done", slices.Concat(allFlags(c, dies), allStatus(c, dies)), slices.Concat(filled(dies, 0x80), filled(dies, 0x00)))

					flags(c) // the turn starts over with a reset
					write(c, at4(0xE3, d*dieSize)...)
					time.Sleep(time.Millisecond)
					reset(c)
					write(c, at4(0x12, d*dieSize, 0)...)
					expect(t, what+" refused", allFlags(c, dies), one(0x92, 0x80))

					write(c, 0xB7)
					write(c, at4(0xC4, (d+1)%dies*dieSize)...)
					do(c, 0, 0x75) // is not suspended
					time.Sleep(128*time.Second - 1)
					expect(t, what+" C4", allStatus(c, dies)[(d+1)%dies:][:1], []byte{0x03})
					time.Sleep(time.Nanosecond)
					expect(t, what+" C4 done", allStatus(c, dies), filled(dies, 0x00))
					write(c, 0x01, 0) // a register write is every die's
					expect(t, what+" register write", slices.Concat(allStatus(c, dies), allFlags(c, dies)), slices.Concat(filled(dies, 0x03), one(0x13, 0x01)))
				})
			}
		}
	}
}

// One logical set of protection registers, or one that is the first die's.
func TestDieProtection(t *testing.T) {
	const part, dies = "MT25QL02GCBB", 4
	for _, first := range []bool{false, true} {
		o := nor.Options{FirstDieProtection: first}
		each := func(inFirst, inAll []byte) []byte {
			if first {
				return inFirst
			}
			return inAll
		}
		locks := func(c *nor.Chip) (all []byte) {
			for d := range dies {
				for _, at := range []int{0, dieSize - 1} {
					all = append(all, do(c, 1, at4(0xE2, d*dieSize+at)...)[0])
				}
			}
			return all
		}
		lockAll := func(c *nor.Chip) {
			for d := range dies {
				write(c, at4(0xE3, d*dieSize)...)
				write(c, at4(0xE3, d*dieSize+dieSize-1)...)
			}
		}
		c := newChip(t, part, o)
		lockAll(c)
		expect(t, "E3", locks(c), filled(8, 0x00))
		write(c, 0xE4)
		expect(t, "E4", locks(c), each([]byte{0xFF, 0xFF, 0, 0, 0, 0, 0, 0}, filled(8, 0xFF)))

		c = newChip(t, part, o)
		write(c, 0xA6)
		lockAll(c)
		expect(t, "E3 while frozen", locks(c), each([]byte{0xFF, 0xFF, 0, 0, 0, 0, 0, 0}, filled(8, 0xFF)))
		expect(t, "E3 while frozen, flags", allFlags(c, dies), each([]byte{0x92, 0x80, 0x80, 0x80}, filled(4, 0x92)))
		do(c, 0, 0x50)
		write(c, 0xE4)
		expect(t, "E4 while frozen, flags", allFlags(c, dies), each([]byte{0xA2, 0x80, 0x80, 0x80}, filled(4, 0xA2)))

		c = newChip(t, part, o)
		write(c, with(secret, 0x28)...)
		write(c, 0x2C, 0xFB, 0xFF)
		reset(c)
		do(c, 0, 0x29, 1, 2, 3, 4, 5, 6, 7, 8)
		expect(t, "29 with a wrong password, flags", allFlags(c, dies), each([]byte{0x90, 0x80, 0x80, 0x80}, filled(4, 0x90)))
		do(c, 0, 0x50)
		write(c, at4(0xE3, dieSize)...)
		expect(t, "E3 in the second die in password mode", append(do(c, 1, at4(0xE2, dieSize)...), allFlags(c, dies)...),
			each([]byte{0x00, 0x80, 0x80, 0x80, 0x80}, []byte{0xFF, 0x80, 0x92, 0x80, 0x80}))
		do(c, 0, with(secret, 0x29)...)
		if c.Frozen() {
			t.Error("29 does not open")
		}
	}
	// on a part of one die the switches change nothing
	c := newChip(t, "MT25QL512ABB", nor.Options{FirstDieProtection: true, DieWIP: true})
	write(c, 0xE3, 0x03, 0xFF, 0, 0)
	write(c, 0xE4)
	if c.LockedNonvolatile(1023) {
		t.Error("E4 left a lock on a part of one die")
	}
}

// A torn die erase and a torn E4 stay within what they were to change.
func TestDiePowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL01GBBB", nor.Options{Pace: nor.Real, Seed: 1})
		for _, at := range []int{0, dieSize - 1, dieSize, 2*dieSize - 1} {
			write(c, at4(0x12, at, 0)...)
			time.Sleep(time.Millisecond)
		}
		write(c, 0xB7)
		write(c, at4(0xC4, dieSize)...)
		cycle(c)
		blank := filled(dieSize-2, 0xFF)
		if got := c.Bytes(0, dieSize); got[0] != 0 || got[dieSize-1] != 0 || !bytes.Equal(got[1:dieSize-1], blank) {
			t.Error("a torn C4 harmed the other die")
		}
		if got := c.Bytes(dieSize, dieSize); bytes.Equal(got[1:dieSize-1], blank) {
			t.Error("a torn C4 harmed nothing")
		}
	})
	for _, first := range []bool{false, true} {
		left := map[int]bool{}
		for seed := range uint64(8) {
			synctest.Test(t, func(t *testing.T) {
				c := newChip(t, "MT25QL01GBBB", nor.Options{Pace: nor.Real, Seed: seed, FirstDieProtection: first})
				for _, s := range []int{0, 1, 1023, 1024, 2047} {
					write(c, at4(0xE3, s<<16)...)
					time.Sleep(time.Millisecond)
				}
				write(c, 0xE4)
				cycle(c)
				time.Sleep(time.Millisecond)
				for s := range 2048 {
					if c.LockedNonvolatile(s) {
						left[s] = true
						if !slices.Contains([]int{0, 1, 1023, 1024, 2047}, s) {
							t.Errorf("a torn E4 locked sector %d", s)
						}
					} else if first && (s == 1024 || s == 2047) {
						t.Errorf("a torn E4 of the first die unlocked sector %d", s)
					}
				}
			})
		}
		if len(left) != 5 {
			t.Errorf("first die %v: locks that some seed left: %v", first, left)
		}
	}
}
