package nor_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// check is 9B 27 over the range, or over all where last is -1, with addresses of 4 bytes.
func check(c *nor.Chip, want uint64, first, last int) {
	out := binary.LittleEndian.AppendUint64([]byte{0x9B, 0x27, 0xFF}, want)
	if last >= 0 {
		out[2] = 0xFE
		out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(out, uint32(first)), uint32(last))
	}
	do(c, 0, out...)
}

func computed(c *nor.Chip) uint64 { return binary.LittleEndian.Uint64(do(c, 8, 0x96, 0)) }

// bitwise is the CRC of section 9, bit by bit.
func bitwise(reflected bool, p []byte) (sum uint64) {
	for _, b := range p {
		for i := range 8 {
			if reflected {
				bit := uint64(b>>i) & 1
				if sum&1 != bit {
					sum = sum>>1 ^ 0xC96C5795D7870F42
				} else {
					sum >>= 1
				}
				continue
			}
			bit := uint64(b>>(7-i)) & 1
			if sum>>63 != bit {
				sum = sum<<1 ^ 0x42F0E1EBA9EA3693
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}

// The check values of section 9, a range of every odd length over borders of blocks, and the whole array.
func TestCRC(t *testing.T) {
	for _, o := range []nor.CRC{{}, {Unreflected: true}} {
		want := uint64(0x2B9C7EE4E2780C8A)
		if o.Unreflected {
			want = 0x6C40DF5F0B497347
		}
		c := newChip(t, "MT25QL256ABA", nor.Options{CRC: o})
		expect(t, "96 before any check", do(c, 10, 0x96, 0), make([]byte, 10))
		write(c, at4(0x12, 0x1FFFFF0, []byte("123456789")...)...)
		do(c, 0, 0x06)
		check(c, want, 0x1FFFFF0, 0x1FFFFF8)
		expect(t, "the right one", append(do(c, 10, 0x96, 0), status(c), flags(c)), append(make([]byte, 10), 0x02, 0x80))
		check(c, want^1, 0x1FFFFF0, 0x1FFFFF8)
		expect(t, "a wrong one", append(do(c, 10, 0x96, 0), status(c), flags(c)),
			append(binary.LittleEndian.AppendUint64(nil, want), 0x00, 0x00, 0x02, 0x90))
		do(c, 0, 0x50)
		check(c, want, 0x1FFFFF0, 0x1FFFFF8)
		expect(t, "right again", []byte{byte(computed(c)), flags(c)}, []byte{0x00, 0x80})

		for page := range 0x300 {
			write(c, at4(0x12, page<<8, pageOf(uint32(page)*0x01234567)...)...)
		}
		for _, r := range [][2]int{{0, 0}, {0xFFFF, 0x10000}, {0x1234, 0x2FFFF}, {0x10001, 0x2FFFE}} {
			check(c, 0, r[0], r[1])
			if got, want := computed(c), bitwise(!o.Unreflected, c.Bytes(uint32(r[0]), r[1]-r[0]+1)); got != want {
				t.Errorf("0x%x..0x%x: %016X, want %016X", r[0], r[1], got, want)
			}
		}
		all := bitwise(!o.Unreflected, c.Bytes(0, c.Size()))
		do(c, 0, 0x50)
		check(c, all, 0, -1)
		expect(t, "whole array", []byte{byte(computed(c)), flags(c)}, []byte{0x00, 0x80})
		c.SetFaults(nor.Faults{Flip: map[uint32]byte{0x1000000: 1}})
		check(c, all, 0, -1)
		expect(t, "whole array with a bad cell", []byte{flags(c)}, []byte{0x90})
		if computed(c) == 0 || computed(c) == all {
			t.Errorf("computed %016X", computed(c))
		}
		reset(c)
		expect(t, "96 after reset", do(c, 8, 0x96, 0), make([]byte, 8))
	}
}

// What is no check is ignored.
func TestCRCFrames(t *testing.T) {
	good := slices.Concat([]byte{0x9B, 0x27, 0xFE}, filled(8, 0), []byte{0, 0, 0, 0, 0, 0, 0, 9})
	short := slices.Concat([]byte{0x9B, 0x27, 0xFE}, filled(8, 0), []byte{0, 0, 0, 0, 0, 9})
	set := func(at int, b byte) []byte { p := slices.Clone(good); p[at] = b; return p }
	for _, row := range []struct {
		what    string
		options nor.CRC
		wide    bool
		out     []byte
		taken   bool
	}{
		{"range", nor.CRC{}, false, good, true},
		{"range in 4-byte mode", nor.CRC{}, true, good, true},
		{"range, 3 bytes", nor.CRC{}, false, short, false},
		{"range, addresses of the mode, 3 bytes", nor.CRC{ModeAddresses: true}, false, short, true},
		{"range, addresses of the mode, 4 bytes", nor.CRC{ModeAddresses: true}, false, good, false},
		{"range, addresses of the mode, 4-byte mode, 4 bytes", nor.CRC{ModeAddresses: true}, true, good, true},
		{"range, addresses of the mode, 4-byte mode, 3 bytes", nor.CRC{ModeAddresses: true}, true, short, false},
		{"range that ends before the address", nor.CRC{StopExcluded: true}, false, good, true},
		{"range that ends before the array's end", nor.CRC{StopExcluded: true}, false, append(slices.Clone(good[:15]), 0x02, 0, 0, 0), true},
		{"no byte", nor.CRC{StopExcluded: true}, false, set(14, 9), false},
		{"without write enable", nor.CRC{NeedsWEL: true}, false, good, false},
		{"first behind last", nor.CRC{}, false, set(14, 10), false},
		{"last behind the array", nor.CRC{}, false, set(15, 0x02), false},
		{"last just behind the array", nor.CRC{}, false, append(slices.Clone(good[:15]), 0x02, 0, 0, 0), false},
		{"last of the array", nor.CRC{}, false, append(slices.Clone(good[:15]), 0x01, 0xFF, 0xFF, 0xFF), true},
		{"one byte", nor.CRC{}, false, set(14, 9), true},
		{"other sub-code", nor.CRC{}, false, set(1, 0x26), false},
		{"other kind", nor.CRC{}, false, set(2, 0xFD), false},
		{"whole array with addresses", nor.CRC{}, false, set(2, 0xFF), false},
		{"one byte more", nor.CRC{}, false, append(slices.Clone(good), 0), false},
		{"whole array", nor.CRC{}, false, append([]byte{0x9B, 0x27, 0xFF}, filled(8, 0)...), true},
		{"whole array, 7 bytes", nor.CRC{}, false, append([]byte{0x9B, 0x27, 0xFF}, filled(7, 0)...), false},
		{"256 bytes too many", nor.CRC{}, false, append(slices.Clone(good), filled(256, 0)...), false},
		{"opcode only", nor.CRC{}, false, good[:1], false},
	} {
		c := newChip(t, "MT25QL256ABA", nor.Options{CRC: row.options})
		if row.wide {
			write(c, 0xB7)
		}
		do(c, 0, row.out...)
		if taken := flags(c)&0x10 != 0; taken != row.taken {
			t.Errorf("%s: taken %v", row.what, taken)
		}
		if computed(c) != 0 != row.taken {
			t.Errorf("%s: computed %016X", row.what, computed(c))
		}
	}
	c := newChip(t, "MT25QL256ABA", nor.Options{CRC: nor.CRC{NoDummy: true}})
	check(c, 0, 0, 9)
	expect(t, "96 without dummy clocks", do(c, 8, 0x96), binary.LittleEndian.AppendUint64(nil, bitwise(true, filled(10, 0xFF))))
}

// The check takes a time in proportion to its size, is busy meanwhile and answers nothing; on stacked parts it is every die's.
func TestCRCTimes(t *testing.T) {
	for part, size := range map[string]int{"MT25QL128ABA": 16 << 20, "MT25QL01GBBB": 128 << 20} {
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, part, nor.Options{Pace: nor.Real})
			for _, last := range []int{1<<20 - 1, size/2 - 1, -1} {
				n := last + 1
				if last < 0 {
					n = size
				}
				check(c, 0, 0, last)
				do(c, 0, 0x75) // is not suspended
				time.Sleep(time.Duration(n)*15*time.Nanosecond - 1)
				expect(t, part+" busy", append(do(c, 8, 0x96, 0), status(c), flags(c), flags(c)), append(filled(8, 0xFF), 0x01, 0x00, 0x00))
				time.Sleep(time.Nanosecond)
				expect(t, part+" done", []byte{status(c), flags(c), flags(c)}, []byte{0x00, 0x90, 0x90})
				if computed(c) == 0 {
					t.Errorf("%s: nothing computed", part)
				}
				do(c, 0, 0x50)
			}
			check(c, 0, 0, -1)
			cycle(c)
			time.Sleep(time.Millisecond)
			expect(t, part+" without power in between", append(do(c, 8, 0x96, 0), status(c), flags(c)), append(filled(8, 0), 0x00, 0x80))
		})
	}
}

// On parts with counters 9B 27 is a bad packet, and 96 tells that.
func TestAuthentaHasNoCRC(t *testing.T) {
	c := newChip(t, authenta, nor.Options{})
	check(c, 0, 0, -1)
	expect(t, "96", append(do(c, 3, 0x96, 0), flags(c)), []byte{0x04, 0x00, 0x00, 0x80})
}
