package conformance

import "bytes"

var volatileLocks = []Case{
	{Name: "E5 writes the volatile lock bits of a sector, E8 reads them, and repeats", Section: "6.2", run: func(b *bench) {
		at := 2 * sector
		b.near(at)
		b.same("E8", b.read(2, narrow(0xE8, at)...), []byte{0, 0})
		b.enabled(limitShort, narrow(0xE5, at, 1)...)
		b.same("E8", b.read(3, narrow(0xE8, at)...), []byte{1, 1, 1})
		b.same("E8 in its midst", b.read(1, narrow(0xE8, at+0x5000)...), []byte{1})
		b.same("E8 before and behind", append(b.read(1, narrow(0xE8, at-1)...), b.read(1, narrow(0xE8, at+sector)...)...), []byte{0, 0})
		b.enabled(limitShort, narrow(0xE5, at+0x5000, 0)...)
		b.same("E8", b.read(1, narrow(0xE8, at)...), []byte{0})
	}},
	{Name: "E1 and E0 are E5 and E8 with four address bytes", Section: "2.4", needs: wide, run: func(b *bench) {
		for _, at := range []int{2 * sector, b.part.Size - 2*sector} {
			b.near(at)
			b.enabled(limitShort, wide4(0xE1, at, 1)...)
			b.same("E0", b.read(1, wide4(0xE0, at)...), []byte{1})
			b.same("E0 behind it", b.read(1, wide4(0xE0, at+sector)...), []byte{0})
		}
		b.same("E8", b.read(1, narrow(0xE8, 2*sector)...), []byte{1})
		b.enabled(limitShort, 0xB7)
		b.same("E8 in 4-byte mode", b.read(1, wide4(0xE8, b.part.Size-2*sector)...), []byte{1})
		b.enabled(limitShort, wide4(0xE5, b.part.Size-2*sector, 0)...)
		b.same("E0", b.read(1, wide4(0xE0, b.part.Size-2*sector)...), []byte{0})
	}},
	{Name: "bits 7 to 2 of volatile lock bits read 0", Section: "6.2", run: func(b *bench) {
		b.enabled(limitShort, narrow(0xE5, 2*sector, 0xFD)...)
		b.same("E8", b.read(1, narrow(0xE8, 2*sector)...), []byte{1})
	}},
	{Name: "volatile lock bits come back behind 66 99, those that are locked down too: 0, but on secure parts", Section: "6.2", run: func(b *bench) {
		b.enabled(limitShort, narrow(0xE5, 2*sector, 1)...)
		b.enabled(limitShort, narrow(0xE5, 3*sector, 3)...)
		b.same("E8", append(b.read(1, narrow(0xE8, 2*sector)...), b.read(1, narrow(0xE8, 3*sector)...)...), []byte{1, 3})
		b.reset()
		for _, at := range []int{0, 2 * sector, 3 * sector, b.part.Size / 2, b.part.Size - 1} {
			b.check(b.vlb(at) == b.boot, "at %08X they are %02X", at, b.vlb(at))
		}
		if b.secure() {
			b.observe(b.boot != 0, "%d", b.boot)
			return
		}
		b.check(b.boot == 0, "they are %d", b.boot)
	}},
	{Name: "E5 on bits that are locked down changes nothing", Section: "4.1", run: func(b *bench) {
		b.enabled(limitShort, narrow(0xE5, 2*sector, 3)...)
		b.enabled(limitShort, narrow(0xE5, 2*sector, 0)...)
		b.same("E8", b.read(1, narrow(0xE8, 2*sector)...), []byte{3})
		b.observe(b.fsr()&failed != b.part.VolatileRefused, "%s", b.words())
	}},
	{Name: "lock-down without lock holds too", Section: "6.2", run: func(b *bench) {
		b.enabled(limitShort, narrow(0xE5, 2*sector, 2)...)
		b.enabled(limitShort, narrow(0xE5, 2*sector, 1)...)
		b.same("E8", b.read(1, narrow(0xE8, 2*sector)...), []byte{2})
		b.send(0x04)
		b.enabled(limitShort, narrow(0xE5, 3*sector, 1)...)
		b.same("E8 of another sector", b.read(1, narrow(0xE8, 3*sector)...), []byte{1})
	}},
	{Name: "what one volatile lock bit governs in the first sector", Section: "6.4", run: func(b *bench) { b.cells(0, b.part.VLB4K) }},
	{Name: "what one volatile lock bit governs in the last sector", Section: "6.4", run: func(b *bench) { b.cells(b.part.Size-sector, b.part.VLB4K) }},
	{Name: "what an erase does over one locked 4 KiB of its sector", Section: "6.7", Destructive: true, needs: area, run: func(b *bench) {
		at := 0
		if !b.holds(0, sector) {
			at = b.part.Size - sector
		}
		if !b.holds(at, sector) {
			b.skipf("the area has neither the first nor the last sector")
		}
		b.blank(at)
		b.store(at, 0x00)
		b.store(at+0x5000, 0x00)
		b.lockVLB(at+0x5000, 1)
		if b.vlb(at) != 0 {
			b.skipf("the sector has one volatile lock bit")
		}
		b.enabled(limitErase, to(0xD8, 0xDC, at)...)
		b.check(b.load(at+0x5000, 1)[0] == 0, "what is locked is erased")
		if b.load(at, 1)[0] == 0 {
			b.observe(b.fsr()&failed != b.part.EraseRefused, "it is refused whole: %s", b.words())
		} else {
			b.observe(true, "it erases the rest")
		}
	}},
}

// near opens a sector and its neighbours.
func (b *bench) near(at int) {
	for _, a := range []int{at - sector, at, at + sector} {
		if a >= 0 && a < b.part.Size {
			b.open(a)
		}
	}
}

// secure tells of the secure option, whose own protection is not public.
func (b *bench) secure() bool { return b.part.ID[5] == 0x73 }

// cells observes how far a volatile lock bit reaches in the sector at first: set for its second 4 KiB, and tried on the array where
// the Area has the sector. What is assumed is one bit for each 4 KiB, or not.
func (b *bench) cells(first int, assumed bool) {
	b.near(first)
	mine := b.holds(first, sector) && b.sr == 0
	if mine {
		b.blank(first)
	}
	b.lockVLB(first+0x1000, 1)
	var got []byte
	for _, off := range []int{0, 0x0FFF, 0x1000, 0x1FFF, 0x2000, 0xF000} {
		v := b.vlb(first + off)
		got = append(got, v)
		if mine {
			b.enabled(limitShort, to(0x02, 0x12, first+off, 0x00)...)
			b.send(0x04)
			b.send(0x50)
			b.check((b.load(first+off, 1)[0] == 0xFF) == (v == 1), "at %08X the volatile lock bit is %d, and a program is not what it says", first+off, v)
		}
	}
	switch {
	case bytes.Equal(got, []byte{0, 0, 1, 1, 0, 0}):
		b.observe(!assumed, "4 KiB")
	case bytes.Equal(got, []byte{1, 1, 1, 1, 1, 1}):
		b.observe(assumed, "64 KiB")
	default:
		b.observe(true, "at 0000, 0FFF, 1000, 1FFF, 2000, F000: % X", got)
	}
}
