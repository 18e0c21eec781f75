package nor

import (
	"encoding/binary"
	"hash/crc64"
	"math/bits"
	"time"
)

// CRC is the check that standard parts have, section 9: 9B 27 FF and the expected CRC-64, low byte first, for the whole array, or
// 9B 27 FE, the CRC, the first and the last address of a range (the last one is part of it, but see StopExcluded; most significant byte first,
// as in all other commands). It needs no write enable, but see NeedsWEL. A mismatch is flag status bit 4, and 96 then tells the
// computed CRC, low byte first; otherwise zeros.
//
// This type holds what public sources leave open. The zero value is the likelier reading.
type CRC struct {
	// Unreflected: bits enter most significant first (polynomial 42F0E1EBA9EA3693). Otherwise least significant first (C96C5795D7870F42).
	Unreflected bool
	// ModeAddresses: the addresses of a range have 4 bytes in 4-byte mode only, and 3 otherwise. Else always 4.
	ModeAddresses bool
	// StopExcluded: the last address of a range is the one behind it.
	StopExcluded bool
	// NeedsWEL: without write enable the check does nothing; with it, WEL clears. Otherwise WEL does not matter, and stays.
	NeedsWEL bool
	// NoDummy: 96 answers directly behind the opcode, not after 8 dummy clocks.
	NoDummy bool
}

// crcByte is how long a byte takes (assumed).
const crcByte = 15 * time.Nanosecond

// runCRC is 9B on a standard part. Any other frame than the two, and a range that is none, is ignored.
func (c *Chip) runCRC(f *frame) {
	width := 4
	if c.opts.CRC.ModeAddresses && !c.st.fourByte {
		width = 3
	}
	op := operation{kind: checkCRC, n: c.part.size}
	copy(op.data[:8], f.data[2:])
	switch n := f.n - f.head; {
	case n < 2 || f.data[0] != 0x27:
		return
	case n == 2+8 && f.data[1] == 0xFF:
	case n == 2+8+2*width && f.data[1] == 0xFE:
		first, last := bigEndian(f.data[10:10+width]), bigEndian(f.data[10+width:10+2*width])
		if c.opts.CRC.StopExcluded {
			last-- // an empty range is none
		}
		if first > last || last >= c.part.size {
			return
		}
		op.addr, op.n = first, last-first+1
	default:
		return
	}
	if c.opts.CRC.NeedsWEL {
		if !c.st.wel {
			return
		}
		c.st.wel = false
	}
	c.start(op, time.Duration(op.n)*crcByte)
}

func bigEndian(p []byte) (v uint32) {
	for _, b := range p {
		v = v<<8 | uint32(b)
	}
	return v
}

// applyCRC is the end of it.
func (c *Chip) applyCRC() {
	op := &c.st.op
	c.st.gprr = 0
	if got := c.crc(op.addr, op.n); got != binary.LittleEndian.Uint64(op.data[:]) {
		c.st.gprr = got
		c.raise(fsrProgram, *op)
	}
}

var reflected = crc64.MakeTable(crc64.ECMA)

// crc starts at 0 and ends without a final inversion, unlike Update, which inverts at both ends. Unreflected it is the
// reflected one of turned bytes, turned.
func (c *Chip) crc(addr, n uint32) uint64 {
	var sum uint64
	p := make([]byte, min(n, block))
	for ; n > 0; n -= uint32(len(p)) {
		p = p[:min(n, block)]
		c.readArray(p, addr)
		addr += uint32(len(p))
		if c.opts.CRC.Unreflected {
			for i, b := range p {
				p[i] = bits.Reverse8(b)
			}
		}
		sum = ^crc64.Update(^sum, reflected, p)
	}
	if c.opts.CRC.Unreflected {
		return bits.Reverse64(sum)
	}
	return sum
}

// gprrByte answers 96 on a standard part: 8 bytes, 00 behind them (assumed).
func (c *Chip) gprrByte(i int) byte {
	if i >= 8 {
		return 0x00
	}
	return byte(c.st.gprr >> (8 * i))
}
