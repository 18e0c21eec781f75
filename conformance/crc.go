package conformance

import (
	"encoding/binary"
	"slices"
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
		needs: area | hasCRC | standard, run: func(b *bench) {
			at, data := b.sector(1), pattern(page, 17)
			b.blank(at)
			b.store(at, data...)
			wrong := crc64(false, data) ^ crc64(true, data) ^ 0x1234
			b.crc(wrong, at, at+page-1)
			if b.fsr()&0x10 == 0 {
				b.observe(true, "this frame is not taken")
				return
			}
			told := binary.LittleEndian.Uint64(b.read(8, 0x96))
			b.status("behind a wrong one", b.sr05()&wel, 0x10)
			b.send(0x50)
			more := b.load(at, page)
			kinds := []uint64{crc64(true, more), crc64(false, more), crc64(true, more[:page-1]), crc64(false, more[:page-1])}
			i := slices.Index(kinds, told)
			b.check(i >= 0, "96 tells %016X, none of %016X", told, kinds)
			if i < 0 {
				return
			}
			b.observe((i%2 == 0) != b.part.CRCReflected || i > 1, "%s, %s", []string{"reflected", "not reflected"}[i%2],
				[]string{"the stop address is the last one", "the stop address is the one behind"}[i/2])
			b.crc(told, at, at+page-1)
			b.status("behind the right one", b.sr05()&wel, 0)
		}},
}

// crc has the chip compare the CRC of the array between two addresses.
func (b *bench) crc(want uint64, start, stop int) {
	frame := binary.LittleEndian.AppendUint64([]byte{0x9B, 0x27, 0xFE}, want)
	frame = binary.BigEndian.AppendUint32(frame, uint32(start))
	frame = binary.BigEndian.AppendUint32(frame, uint32(stop))
	b.send(frame...)
	b.wait(limitErase)
}
