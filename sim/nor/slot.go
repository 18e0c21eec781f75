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
// bits, u8 SR, u8 VCR, u8 EVCR, u8 EAR, u16 NVCR, u16 SPR, 8 bytes password, the nonvolatile lock bits (1 locked, sector 0 in
// bit 0 of byte 0), the volatile lock cells (2 bits each), i64 ready and i64 deaf (Unix nanoseconds, 0 never),
// i64 nanoseconds left, the operation (u8 kind, u32 address, u32 n, u16 value, 256 bytes), 16 u64 counters, then RPMC: u8 extended status,
// 48 bytes reply, u8 with bit i where counter i has a root key and bit 4+i where its HMAC key register is loaded, and
// for each of 4 counters u32 value, 32 bytes root key, 32 bytes HMAC key; then, from version 3 on, u8 error bits of each of dies
// 1 to 3, 65 bytes OTP with its control byte, u64 what 96 tells, u64 power-ups; then, from version 4 on, A-CRTM: u64 power-on counter, u64
// command counter, u32 address and u32 size of the protected range, u8 1 where 96 tells of a block, 72 bytes reply.
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
	b = append(b, bits, s.errors[0], s.sr, s.vcr, s.evcr, s.ear)
	b = le.AppendUint16(b, s.nvcr)
	b = le.AppendUint16(b, s.spr)
	b = append(b, s.password[:]...)
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
	b = s.rpmc.encode(b)
	b = append(append(b, s.errors[1:]...), s.otp[:]...)
	b = le.AppendUint64(b, s.gprr)
	b = le.AppendUint64(b, s.powerUps)
	b = s.acrtm.encode(b)
	le.PutUint32(b[4:], uint32(len(b)-8))
	le.PutUint32(b, crc32.Checksum(b[8:], castagnoli))
	return b
}

// decodeSlot reads what encode wrote, now or for version 2 or 3, whose slots are shorter: what they lack is blank. False is a slot
// that was never written or is damaged.
func decodeSlot(p part, b []byte) (state, bool) {
	le := binary.LittleEndian
	s := blankState(p)
	old := 8 + 18 + len(s.nvlb) + len(s.vlb) + 24 + 11 + 256 + 8*slotCounters + slotRPMC
	if len(b) < 8+old {
		return s, false
	}
	length, sum := int(le.Uint32(b[4:])), le.Uint32(b)
	if length != old && length != old+slotVersion3 && length != old+slotVersion3+slotACRTM || len(b) < 8+length {
		return s, false
	}
	b = b[8 : 8+length]
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
	s.errors[0], s.sr, s.vcr, s.evcr, s.ear = reg[0], reg[1], reg[2], reg[3], reg[4]
	s.nvcr = le.Uint16(next(2))
	s.spr = le.Uint16(next(2))
	copy(s.password[:], next(8))
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
	s.rpmc.decode(next)
	if length == old {
		return s, s.op.kind <= packet && s.op.fits(p)
	}
	copy(s.errors[1:], next(len(s.errors)-1))
	copy(s.otp[:], next(len(s.otp)))
	s.gprr = le.Uint64(next(8))
	s.powerUps = le.Uint64(next(8))
	if length == old+slotVersion3 {
		s.acrtm.powerOn = 1 + s.powerUps // a board had power once before the first that came back
		return s, s.op.kind <= checkCRC && s.op.fits(p)
	}
	s.acrtm.decode(next)
	a := &s.acrtm
	return s, s.op.fits(p) && a.size <= p.size && a.addr <= p.size-a.size
}

// slotVersion3 is the length of what version 2 does not have.
const slotVersion3 = maxDies - 1 + otpSize + 8 + 8

// slotRPMC is the length of the RPMC part.
const slotRPMC = 1 + 48 + 1 + counters*(4+32+32)

func (r *rpmc) encode(b []byte) []byte {
	b = append(append(b, r.status), r.reply[:]...)
	var bits byte
	for i, k := range r.counters {
		if k.written {
			bits |= 1 << i
		}
		if k.loaded {
			bits |= 1 << (counters + i)
		}
	}
	b = append(b, bits)
	for _, k := range r.counters {
		b = binary.LittleEndian.AppendUint32(b, k.value)
		b = append(append(b, k.root[:]...), k.hmac[:]...)
	}
	return b
}

func (r *rpmc) decode(next func(int) []byte) {
	r.status = next(1)[0]
	copy(r.reply[:], next(len(r.reply)))
	bits := next(1)[0]
	for i := range r.counters {
		k := &r.counters[i]
		k.written, k.loaded = bits>>i&1 != 0, bits>>(counters+i)&1 != 0
		k.value = binary.LittleEndian.Uint32(next(4))
		copy(k.root[:], next(len(k.root)))
		copy(k.hmac[:], next(len(k.hmac)))
	}
}

// slotACRTM is the length of what version 3 does not have.
const slotACRTM = 8 + 8 + 4 + 4 + 1 + 72

func (a *acrtm) encode(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(le.AppendUint64(b, a.powerOn), a.command)
	b = le.AppendUint32(le.AppendUint32(b, a.addr), a.size)
	var block byte
	if a.block {
		block = 1
	}
	return append(append(b, block), a.reply[:]...)
}

func (a *acrtm) decode(next func(int) []byte) {
	le := binary.LittleEndian
	a.powerOn, a.command = le.Uint64(next(8)), le.Uint64(next(8))
	a.addr, a.size = le.Uint32(next(4)), le.Uint32(next(4))
	a.block = next(1)[0] != 0
	copy(a.reply[:], next(len(a.reply)))
}

// fits keeps a damaged record that has a right checksum away from the array.
func (o operation) fits(p part) bool {
	switch o.kind {
	case signedRead, signedWrite, signedErase, signedProtect:
		if !p.rpmc {
			return false
		}
	}
	switch o.kind {
	case program, signedWrite:
		return o.n == 256 && o.addr%256 == 0 && o.addr < p.size
	case erase, signedErase:
		return o.n >= 4<<10 && o.n <= p.dieSize() && o.n&(o.n-1) == 0 && o.addr%o.n == 0 && o.addr < p.size
	case lockSector, lockedSector:
		return int(o.n) < p.sectors()
	case packet:
		return p.rpmc && o.n >= 1 && int(o.n) <= len(o.data)
	case signedRead, signedProtect:
		return o.n <= p.size && o.addr <= p.size-o.n
	case checkCRC:
		return !p.rpmc && o.n >= 1 && o.n <= p.size && o.addr <= p.size-o.n
	}
	return o.kind <= programOTP
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
