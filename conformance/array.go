package conformance

import (
	"bytes"
	"slices"
)

const (
	page   = 256
	sector = 64 << 10
)

// narrow and wide4 are an opcode with a three-byte and a four-byte address, most significant byte first.
func narrow(op byte, at int, data ...byte) []byte {
	return append([]byte{op, byte(at >> 16), byte(at >> 8), byte(at)}, data...)
}

func wide4(op byte, at int, data ...byte) []byte {
	return append([]byte{op, byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}, data...)
}

// to is narrow with op where three bytes reach the address, wide4 with its twin otherwise.
func to(op, twin byte, at int, data ...byte) []byte {
	if at < 1<<24 {
		return narrow(op, at, data...)
	}
	return wide4(twin, at, data...)
}

// sector is the address of the Area's i-th.
func (b *bench) sector(i int) int { return b.opt.Area.Addr + i*sector }

// holds tells whether the Area has all of r.
func (b *bench) holds(at, size int) bool {
	a := b.opt.Area
	return at >= a.Addr && at+size <= a.Addr+a.Size
}

// touch notes that a sector is written to, and opens it.
func (b *bench) touch(at int) {
	if b.ended || b.err != nil {
		return
	}
	b.dirty[at&^(sector-1)] = true
	b.open(at)
}

// open clears the volatile lock bits of a sector, where they are set behind reset.
func (b *bench) open(at int) {
	at &^= sector - 1
	for off := 0; b.boot != 0 && off < sector; off += 4 << 10 {
		if b.vlb(at+off)&3 == b.boot {
			b.enabled(limitShort, to(0xE5, 0xE1, at+off, 0)...)
		}
	}
}

// openAll does so for all sectors, before a bulk erase.
func (b *bench) openAll() {
	for at := 0; b.boot != 0 && at < b.part.Size; at += sector {
		b.open(at)
	}
}

// load reads n bytes of the array by 03 or 13.
func (b *bench) load(at, n int) []byte {
	p := make([]byte, 0, n)
	most := min(b.conn.Limits().MaxFrame-5, 16<<10)
	for len(p) < n {
		p = append(p, b.read(min(n-len(p), most), to(0x03, 0x13, at+len(p))...)...)
	}
	return p
}

func blank(p []byte) bool { return !slices.ContainsFunc(p, func(c byte) bool { return c != 0xFF }) }

// blank sees to it that a sector is blank; it is erased only where it is not.
func (b *bench) blank(at int) {
	b.touch(at)
	if blank(b.load(at, sector)) {
		return
	}
	b.enabled(limitErase, to(0xD8, 0xDC, at)...)
	b.status("behind an erase", 0, 0)
	b.isBlank(at, sector)
}

// isBlank fails where not all n bytes are FF.
func (b *bench) isBlank(at, n int) {
	p := b.load(at, n)
	if i := slices.IndexFunc(p, func(c byte) bool { return c != 0xFF }); i >= 0 {
		b.failf("the byte at %08X reads %02X, want it blank", at+i, p[i])
	}
}

// store programs data inside one page, and fails where it is not there then.
func (b *bench) store(at int, data ...byte) {
	b.touch(at)
	b.enabled(limitShort, to(0x02, 0x12, at, data...)...)
	b.status("after a program", 0, 0)
	b.same("what was programmed", b.load(at, len(data)), data)
}

// pattern is n bytes that differ from their neighbours, from FF, and with seed.
func pattern(n, seed int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((i*7+i>>8*31+seed*53+11)%251) | byte(i&1)
	}
	return bytes.ReplaceAll(p, []byte{0xFF}, []byte{0x5A})
}
