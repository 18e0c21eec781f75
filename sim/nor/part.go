package nor

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// part is what the datasheets say about one kind of chip.
type part struct {
	name           string
	size           uint32  // bytes
	dies           int     // stacked dies of equal size
	id             [6]byte // 9F, bytes 0..5
	secure         bool    // the secure option, whose protection beyond that of standard parts is not public
	rpmc           bool    // has replay-protected monotonic counters, 9B and 96
	op5C           bool    // has the 32 KiB erase with 4-byte address: revision B dies only, the SFDP does not tell
	sfdp36         byte    // FF, except on parts that are cut down
	sfdp37, sfdp5B byte    // the two bytes in which the SFDP differs by density
	times          times
}

// times are typical durations of self-timed operations. Page program, 4, 32 and 64 KiB are from the SFDP;
// bulk and die erase too, that of the 128 Mb part excepted (from memory, as are all the others).
type times struct {
	program, erase4K, erase32K, erase64K, die time.Duration
	writeSR, writeNVCR                        time.Duration
	programSPR, lock, unlockAll               time.Duration
	programPassword, comparePassword          time.Duration
	programOTP                                time.Duration
}

// What passes before the chip listens again (from memory; wake-up from the SFDP).
const (
	powerUp  = 150 * time.Microsecond
	wakeUp   = 30 * time.Microsecond
	recovery = 30 * time.Microsecond // reset while an operation is suspended; 40 ns otherwise, taken as none
)

func (p part) sectors() int { return int(p.size >> 16) }

// parts: id bytes 3..5 of the 128 Mb part are taken from its bigger sisters. Its SFDP is derived, no dump
// was at hand: byte 37h from the density (07FFFFFF), byte 5Bh from a 40 s chip erase (unit 4 s, count 10).
var parts = map[string]part{
	"MT25QL128ABA": newPart("MT25QL128ABA", 0xBA, 0x18, 16<<20, 0x07, 0xC9, 38*time.Second, false),
	"MT25QL256ABA": newPart("MT25QL256ABA", 0xBA, 0x19, 32<<20, 0x0F, 0xD4, 84*time.Second, false),
	"MT25QU256ABA": newPart("MT25QU256ABA", 0xBB, 0x19, 32<<20, 0x0F, 0xD4, 84*time.Second, false),
	"MT25QL512ABB": newPart("MT25QL512ABB", 0xBA, 0x20, 64<<20, 0x1F, 0xE1, 128*time.Second, true),
	"MT25QU512ABB": newPart("MT25QU512ABB", 0xBB, 0x20, 64<<20, 0x1F, 0xE1, 128*time.Second, true),
	"MT25QL01GBBB": newStacked("MT25QL01GBBB", 0xBA, 0x21, 2, 0x3F),
	"MT25QU01GBBB": newStacked("MT25QU01GBBB", 0xBB, 0x21, 2, 0x3F),
	"MT25QL02GCBB": newStacked("MT25QL02GCBB", 0xBA, 0x22, 4, 0x7F), // byte 37h as expected: no dump was at hand
	"MT25QU02GCBB": newStacked("MT25QU02GCBB", 0xBB, 0x22, 4, 0x7F),
	"MT25QL128ABB": newAuthenta("MT25QL128ABB", 0xBA),
	"MT25QU128ABB": newAuthenta("MT25QU128ABB", 0xBB),

	"MT25QU256ABA-1SIT": newSecure("MT25QU256ABA-1SIT"),
}

// newStacked is a part of 64 MiB dies.
func newStacked(name string, kind, density byte, dies int, sfdp37 byte) part {
	p := newPart(name, kind, density, uint32(dies)*64<<20, sfdp37, 0xE1, 128*time.Second, true)
	p.dies = dies
	return p
}

// newSecure is MT25QU256ABA with the secure option.
func newSecure(name string) part {
	p := newPart(name, 0xBB, 0x19, 32<<20, 0x0F, 0xD4, 84*time.Second, false)
	p.id[5] = 0x73
	p.secure = true
	return p
}

// newAuthenta is a 128 Mb part with RPMC. Its id says that 18 bytes follow the fourth: behind the UID there are
// two of FF (assumed). The rest is taken from the standard part, 5C from the revision's letter.
func newAuthenta(name string, kind byte) part {
	p := newPart(name, kind, 0x18, 16<<20, 0x07, 0xC9, 38*time.Second, true)
	p.id = [6]byte{0x20, kind, 0x18, 0x12, 0x00, 0x8C}
	p.rpmc = true
	return p
}

func newPart(name string, kind, density byte, size uint32, sfdp37, sfdp5B byte, die time.Duration, op5C bool) part {
	p := part{name: name, size: size, dies: 1, id: [6]byte{0x20, kind, density, 0x10, 0x44, 0x00}, op5C: op5C, sfdp36: 0xFF, sfdp37: sfdp37, sfdp5B: sfdp5B}
	p.times = times{
		program: 120 * time.Microsecond,
		erase4K: 48 * time.Millisecond, erase32K: 112 * time.Millisecond, erase64K: 160 * time.Millisecond, die: die,
		writeSR: 1300 * time.Microsecond, writeNVCR: 200 * time.Millisecond,
		programSPR: 100 * time.Microsecond, lock: 100 * time.Microsecond, unlockAll: 160 * time.Millisecond,
		programPassword: 200 * time.Microsecond, comparePassword: 100 * time.Microsecond,
		programOTP: 120 * time.Microsecond,
	}
	return p
}

// cutTo is the part with an array of size bytes: its READ ID has the size in byte 2 (18h is 16 MiB, 2^24), its SFDP the number of bits less one at 34h.
func (p part) cutTo(size uint32) (part, error) {
	if size < 1<<20 || size > p.size || size&(size-1) != 0 || p.dies > 1 {
		return p, fmt.Errorf("no %s has %d bytes", p.name, size)
	}
	p.size = size
	p.id[2] = byte(bits.TrailingZeros32(size))
	density := size<<3 - 1
	p.sfdp36, p.sfdp37 = byte(density>>16), byte(density>>24)
	return p, nil
}

// Parts lists the part names that New and Create know, sorted.
func Parts() []string { return slices.Sorted(maps.Keys(parts)) }

// PartWithID is the name of the part whose READ ID begins with these six bytes; "" where New and Create know none.
func PartWithID(id [6]byte) string {
	for name, p := range parts {
		if p.id == id {
			return name // ids are unique, as a test sees to
		}
	}
	return ""
}

// sfdp is the discoverable-parameters area of MT25QU256ABA (JESD216 revision 1.6: header, basic table at
// 30h, 4-byte-address table at 80h).
var sfdp = [136]byte{
	0x53, 0x46, 0x44, 0x50, 0x06, 0x01, 0x01, 0xff, 0x00, 0x06, 0x01, 0x10, 0x30, 0x00, 0x00, 0xff,
	0x84, 0x00, 0x01, 0x02, 0x80, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xe5, 0x20, 0xfb, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x29, 0xeb, 0x27, 0x6b, 0x27, 0x3b, 0x27, 0xbb,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x27, 0xbb, 0xff, 0xff, 0x29, 0xeb, 0x0c, 0x20, 0x10, 0xd8,
	0x0f, 0x52, 0x00, 0x00, 0x24, 0x4a, 0x99, 0x00, 0x8b, 0x8e, 0x03, 0xd4, 0xac, 0x01, 0x27, 0x38,
	0x7a, 0x75, 0x7a, 0x75, 0xfb, 0xbd, 0xd5, 0x5c, 0x4a, 0x0f, 0x82, 0xff, 0x81, 0xbd, 0x3d, 0x36,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xe7, 0xff, 0xff, 0x21, 0xdc, 0xff, 0xff,
}

// The third header and the table of RPMC parts (parameter FF03), the table at 88h, where the others end. No dump of
// such a part is public: these bytes are made up. They say four counters, 9B and 96, polling by 96 bit 0, one increment
// in 5 s, delays of 5 us, 10 us and 5 ms.
var (
	sfdpRPMCHeader = [8]byte{0x03, 0x00, 0x01, 0x02, sfdpRPMCTable, 0x00, 0x00, 0xff}
	sfdpRPMC       = [8]byte{0x38, 0x9b, 0x96, 0xf0, 0x05, 0x0a, 0x05, 0xff}
)

const sfdpRPMCTable = 0x88

// sfdpByte answers 5A at address i. Reading wraps past the area, which is taken to be 256 bytes with FF
// behind the tables.
func (p part) sfdpByte(i int) byte {
	switch i %= 256; {
	case i == 0x36:
		return p.sfdp36
	case i == 0x37:
		return p.sfdp37
	case i == 0x5B:
		return p.sfdp5B
	case p.rpmc && i == 0x06:
		return sfdp[i] + 1 // one more header
	case p.rpmc && i >= 0x18 && i < 0x20:
		return sfdpRPMCHeader[i-0x18]
	case p.rpmc && i >= sfdpRPMCTable && i < sfdpRPMCTable+len(sfdpRPMC):
		return sfdpRPMC[i-sfdpRPMCTable]
	case i < len(sfdp):
		return sfdp[i]
	}
	return 0xFF
}
