package nor

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Bits of the state's first byte but one.
const (
	slotPowered = 1 << iota
	slotAsleep
	slotArmed
	slotWEL
	slotFourByte
	slotRunning
	slotSuspended
	slotUnfrozen
)

const slotCounters = 16 // places in the file; those without a name yet are kept as they are

// encode appends the state as a slot of the board file: CRC, length, then u64 number, u8 the bits above, u8 error
// bits, u8 SR, u8 VCR, u8 EVCR, u8 EAR, u16 NVCR, u16 SPR, the nonvolatile lock bits (1 locked, sector 0 in
// bit 0 of byte 0), the volatile lock cells (2 bits each), i64 ready and i64 deaf (Unix nanoseconds, 0 never),
// i64 nanoseconds left, the operation (u8 kind, u32 address, u32 n, u16 value, 256 bytes), 16 u64 counters.
func (s *state) encode(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint64(b, s.seq)
	var bits byte
	for i, on := range []bool{s.powered, s.asleep, s.armed, s.wel, s.fourByte, s.running, s.suspended, s.gfb} {
		if on {
			bits |= 1 << i
		}
	}
	b = append(b, bits, s.errors, s.sr, s.vcr, s.evcr, s.ear)
	b = le.AppendUint16(b, s.nvcr)
	b = le.AppendUint16(b, s.spr)
	b = append(b, s.nvlb...)
	b = append(b, s.vlb...)
	b = le.AppendUint64(b, nanos(s.ready))
	b = le.AppendUint64(b, nanos(s.deaf))
	b = le.AppendUint64(b, uint64(s.left))
	b = append(b, byte(s.op.kind))
	b = le.AppendUint32(b, s.op.addr)
	b = le.AppendUint32(b, s.op.n)
	b = le.AppendUint16(b, s.op.value)
	b = append(b, s.op.data[:]...)
	for _, n := range s.counts {
		b = le.AppendUint64(b, n)
	}
	le.PutUint32(b[4:], uint32(len(b)-8))
	le.PutUint32(b, crc32.Checksum(b[8:], castagnoli))
	return b
}

// decodeSlot reads what encode wrote; false is a slot that was never written or is damaged.
func decodeSlot(p part, b []byte) (state, bool) {
	le := binary.LittleEndian
	s := blankState(p)
	want := 8 + 10 + len(s.nvlb) + len(s.vlb) + 24 + 11 + 256 + 8*slotCounters
	if len(b) < 8+want || int(le.Uint32(b[4:])) != want {
		return s, false
	}
	sum := le.Uint32(b)
	b = b[8 : 8+want]
	if crc32.Checksum(b, castagnoli) != sum {
		return s, false
	}
	next := func(n int) []byte {
		f := b[:n]
		b = b[n:]
		return f
	}
	s.seq = le.Uint64(next(8))
	bits := next(1)[0]
	s.powered, s.asleep, s.armed, s.wel = bits&slotPowered != 0, bits&slotAsleep != 0, bits&slotArmed != 0, bits&slotWEL != 0
	s.fourByte, s.running = bits&slotFourByte != 0, bits&slotRunning != 0
	s.suspended, s.gfb = bits&slotSuspended != 0, bits&slotUnfrozen != 0
	reg := next(5)
	s.errors, s.sr, s.vcr, s.evcr, s.ear = reg[0], reg[1], reg[2], reg[3], reg[4]
	s.nvcr = le.Uint16(next(2))
	s.spr = le.Uint16(next(2))
	copy(s.nvlb, next(len(s.nvlb)))
	copy(s.vlb, next(len(s.vlb)))
	s.ready, s.deaf = instant(le.Uint64(next(8))), instant(le.Uint64(next(8)))
	s.left = time.Duration(le.Uint64(next(8)))
	s.op.kind = kind(next(1)[0])
	s.op.addr = le.Uint32(next(4))
	s.op.n = le.Uint32(next(4))
	s.op.value = le.Uint16(next(2))
	copy(s.op.data[:], next(256))
	for i := range s.counts {
		s.counts[i] = le.Uint64(next(8))
	}
	return s, s.op.fits(p)
}

// fits keeps a damaged record that has a right checksum away from the array.
func (o operation) fits(p part) bool {
	switch o.kind {
	case program:
		return o.n == 256 && o.addr%256 == 0 && o.addr < p.size
	case erase:
		return o.n >= 4<<10 && o.n <= p.size && o.n&(o.n-1) == 0 && o.addr%o.n == 0 && o.addr < p.size
	case lockSector, lockedSector:
		return int(o.n) < p.sectors()
	}
	return o.kind <= lockedSector
}

func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func instant(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}
