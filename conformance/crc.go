package conformance

import (
	"encoding/binary"
	"slices"
	"time"

	"station/spi"
)

// polynomial of the CRC-64 of ECMA-182, without its highest term.
const polynomial = 0x42F0E1EBA9EA3693

// crc64 takes the highest bit of each byte first or, reflected, the lowest, into a register that starts at 0.
func crc64(reflected bool, data []byte) (sum uint64) {
	for _, c := range data {
		for i := range 8 {
			bit := uint64(c >> (7 - i) & 1)
			if reflected {
				bit = uint64(c >> i & 1)
			}
			high := sum>>63 ^ bit
			sum <<= 1
			if high != 0 {
				sum ^= polynomial
			}
		}
	}
	if !reflected {
		return sum
	}
	var mirrored uint64
	for i := range 64 {
		mirrored |= sum >> i & 1 << (63 - i)
	}
	return mirrored
}

var crc = []Case{
	{Name: "9B 27 FE checks a range: silent for the right CRC, bit 4 for a wrong one, which 96 then tells", Section: "9", Destructive: true,
		needs: area | low | hasCRC | standard, run: func(b *bench) {
			at, data := b.sector(1), pattern(page, 17)
			b.blank(at)
			b.store(at, data...)
			kinds := []uint64{crc64(true, data), crc64(false, data), crc64(true, data[:page-1]), crc64(false, data[:page-1])}
			wrong := kinds[0] ^ kinds[1] ^ 0x1234
			width, enable := 0, false
			for _, enable = range []bool{false, true} {
				for width = 4; width >= 3; width-- {
					if b.crc(enable, width, wrong, at, at+page-1); b.fsr()&failed != 0 {
						break
					}
				}
				if width >= 3 {
					break
				}
			}
			if width < 3 {
				b.observe(true, "no such frame is taken")
				return
			}
			b.status("behind a wrong one", b.sr05()&wel, 0x10)
			told := b.read(9, 0x96)
			dummies, i := 1, slices.Index(kinds, binary.LittleEndian.Uint64(told[1:]))
			if i < 0 {
				dummies, i = 0, slices.Index(kinds, binary.LittleEndian.Uint64(told))
			}
			if i < 0 {
				b.failf("96 tells % X, none of %016X", told, kinds)
				return
			}
			seen := CRC{Reflected: i%2 == 0, AddressBytes: width, StopIncluded: i < 2, WriteEnable: enable, ReadDummy: dummies}
			if width == 3 {
				seen.AddressBytes = 0 // the case runs in 3-byte mode
			}
			b.observe(seen != *b.part.CRC, "%s, %d address bytes, the stop address is %s, %d dummy bytes behind 96, %s",
				[]string{"reflected", "not reflected"}[i%2], width, []string{"the last", "one behind"}[i/2], dummies,
				map[bool]string{false: "no 06 before it", true: "06 before it"}[enable])
			b.send(0x50)
			b.crc(enable, width, kinds[i], at, at+page-1)
			b.status("behind the right one", b.sr05()&wel, 0)
			b.enabled(limitShort, to(0x02, 0x12, at+page-2, 0x00)...)
			b.crc(enable, width, kinds[i], at, at+page-1)
			b.status("behind the one of other data", b.sr05()&wel, 0x10)
		}},
	{Name: "9B 27 FF checks all: silent for the CRC that 96 tells, bit 4 for another", Section: "9", Destructive: true,
		needs: area | full | hasCRC | standard, run: func(b *bench) {
			b.blank(b.sector(1))
			b.store(b.sector(1), pattern(16, 20)...)
			enable := false
			check := func(sum []byte) byte {
				b.check27(enable, limitBulk, append([]byte{0x9B, 0x27, 0xFF}, sum...)...)
				flags := b.fsr() & failed
				b.send(0x50)
				return flags
			}
			if check(pattern(8, 21)) == 0 {
				if enable = true; check(pattern(8, 21)) == 0 {
					b.observe(true, "no such frame is taken")
					return
				}
			}
			told := b.read(9, 0x96)
			right := check(told[1:]) == 0 || check(told[:8]) == 0
			b.check(right, "what 96 tells is wrong: % X", told)
		}},
}

// crc has the chip compare the CRC of the array between two addresses, of so many bytes each.
func (b *bench) crc(enable bool, width int, want uint64, start, stop int) {
	frame := binary.LittleEndian.AppendUint64([]byte{0x9B, 0x27, 0xFE}, want)
	for _, at := range []int{start, stop} {
		frame = append(frame, wide4(0, at)[5-width:]...)
	}
	b.check27(enable, limitErase, frame...)
}

// check27 sends a frame of 9B 27, behind 06 or not, and waits.
func (b *bench) check27(enable bool, limit time.Duration, frame ...byte) {
	if enable {
		b.enabled(limit, frame...)
		return
	}
	b.timed(limit, spi.Frame{Out: frame})
}
