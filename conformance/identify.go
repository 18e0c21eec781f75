package conformance

import (
	"bytes"
	"encoding/binary"
)

const identity = "9F answers the six bytes of the part"

var identification = []Case{
	{Name: identity, Section: "1.1", run: func(b *bench) {
		b.same("the ID", b.read(6, 0x9F), b.part.ID[:])
	}},
	{Name: "9F answers the same 20 bytes each time", Section: "1.1", run: func(b *bench) {
		for range 4 {
			b.same("the ID", b.read(20, 0x9F), b.id)
		}
	}},
	{Name: "9E answers as 9F does", Section: "1.1", run: func(b *bench) {
		b.same("the answer to 9E", b.read(20, 0x9E), b.id)
	}},
	{Name: "5A answers the signature, address and eight dummy clocks first", Section: "1.4", run: func(b *bench) {
		b.same("5A 000000", b.sfdp(0, 4), []byte("SFDP"))
		b.same("5A 000002", b.sfdp(2, 2), []byte("DP"))
		b.same("5A 000000 with the dummy byte", b.read(5, 0x5A, 0, 0, 0)[1:], []byte("SFDP"))
	}},
	{Name: "SFDP tells the size of the part", Section: "1.4", run: func(b *bench) {
		t := b.table(0xFF00, 2)
		b.check(len(t) == 8 && binary.LittleEndian.Uint32(t[4:]) == uint32(b.part.Size*8-1), "the density is % X, want that of %d bytes", t, b.part.Size)
	}},
	{Name: "SFDP tells three erases: 20, 52, D8", Section: "1.4", run: func(b *bench) {
		t := b.table(0xFF00, 9)
		b.check(len(t) == 36, "the table is %d bytes long", len(t))
		if len(t) == 36 {
			kinds := map[byte]byte{}
			for i := 28; i < 36; i += 2 {
				kinds[t[i+1]] = t[i]
			}
			b.check(kinds[0x20] == 12 && kinds[0x52] == 15 && kinds[0xD8] == 16, "the erases are % X", t[28:36])
		}
	}},
	{Name: "SFDP tells the opcodes of lock bits, E0 to E3", Section: "1.4", needs: wide | standard, run: func(b *bench) {
		t := b.table(0xFF84, 2)
		b.check(len(t) == 8 && t[2]&0x0F == 0x0F, "the table of 4-byte addresses is % X", t)
	}},
	{Name: "SFDP has a table of monotonic counters on parts that have them, and on no others", Section: "10", run: func(b *bench) {
		if has := len(b.table(0xFF03, 2)) > 0; has != b.part.RPMC {
			b.failf("the table FF03 is there: %v", has)
		}
	}},
	{Name: "reading SFDP wraps at its end", Section: "1.4", run: func(b *bench) {
		head := b.sfdp(0, 16)
		for size := 256; size <= sector; size *= 2 {
			if bytes.Equal(b.sfdp(size, 16), head) {
				b.same("what follows the end", b.sfdp(size-8, 24)[8:], head)
				b.observe(false, "the area is %d bytes", size)
				return
			}
		}
		b.failf("no period found up to 64 KiB")
	}},
	{Name: "5A takes three address bytes in 4-byte mode too", Section: "1.4", needs: wide, run: func(b *bench) {
		b.enabled(limitShort, 0xB7)
		b.same("5A 000000", b.sfdp(0, 4), []byte("SFDP"))
		b.same("5A 000002", b.sfdp(2, 2), []byte("DP"))
	}},
	{Name: "2D answers FFFF, FFFD or FFFB, low byte first", Section: "6.1", run: func(b *bench) {
		p := b.read(2, 0x2D)
		b.check(p[1] == 0xFF && (p[0] == 0xFF || p[0] == 0xFD || p[0] == 0xFB), "2D answers % X", p)
	}},
}

// sfdp reads n bytes of the SFDP area.
func (b *bench) sfdp(at, n int) []byte {
	return b.read(n, narrow(0x5A, at, 0)...)
}

// table reads the first dwords of a parameter table, low byte first, or nothing where there is none that long.
func (b *bench) table(id uint16, dwords int) []byte {
	for i := range int(b.sfdp(6, 1)[0]) + 1 {
		h := b.sfdp(8+8*i, 8)
		if h[0] != byte(id) || h[7] != byte(id>>8) || int(h[3]) < dwords {
			continue
		}
		return b.sfdp(int(h[4])|int(h[5])<<8|int(h[6])<<16, 4*dwords)
	}
	return nil
}
