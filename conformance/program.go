package conformance

import "bytes"

var program = []Case{
	{Name: "02 programs one byte and 256", Section: "2.3", Destructive: true, needs: area, run: func(b *bench) {
		at := b.sector(1)
		b.blank(at)
		b.store(at+0x1234, 0xA5)
		b.store(at+0x1300, pattern(page, 1)...)
		b.check(blank(b.load(at+0x1235, 0x1300-0x1235)) && blank(b.load(at+0x1400, page)), "its neighbours are not blank")
	}},
	{Name: "12 programs what 02 does, in both address modes", Section: "2.3", Destructive: true, needs: area | wide | low, run: func(b *bench) {
		at, data := b.sector(2), pattern(48, 2)
		b.blank(at)
		b.enabled(limitShort, wide4(0x12, at+0x40, data...)...)
		b.same("03 behind 12", b.read(48, narrow(0x03, at+0x40)...), data)
		b.enabled(limitShort, narrow(0x02, at+0x140, data...)...)
		b.same("13 behind 02", b.read(48, wide4(0x13, at+0x140)...), data)
		b.enabled(limitShort, 0xB7)
		b.enabled(limitShort, wide4(0x12, at+0x240, data...)...)
		b.same("13 in 4-byte mode", b.read(48, wide4(0x13, at+0x240)...), data)
	}},
	{Name: "a program clears bits and sets none", Section: "12", Destructive: true, needs: area, run: func(b *bench) {
		at := b.sector(1)
		b.blank(at)
		b.store(at, 0xF0, 0x0F, 0xAA, 0xFF)
		b.enabled(limitShort, to(0x02, 0x12, at, 0xCC, 0xCC, 0xFF, 0x00)...)
		b.status("behind it", 0, 0)
		b.same("what two programs leave", b.load(at, 5), []byte{0xC0, 0x0C, 0xAA, 0x00, 0xFF})
	}},
	{Name: "a program wraps inside its page", Section: "2.3", Destructive: true, needs: area, run: func(b *bench) {
		at, data := b.sector(1)+0x500, pattern(32, 3)
		b.blank(b.sector(1))
		b.enabled(limitShort, to(0x02, 0x12, at+0xF0, data...)...)
		b.same("the end of the page", b.load(at+0xF0, 16), data[:16])
		b.same("its beginning", b.load(at, 16), data[16:])
		b.check(blank(b.load(at+16, 0xE0)) && blank(b.load(at+page, page)) && blank(b.load(at-page, page)), "more than these bytes changed")
	}},
	{Name: "what a program of more than 256 bytes keeps", Section: "2.3", Destructive: true, needs: area, run: func(b *bench) {
		at, data := b.sector(1)+0x800, pattern(300, 4)
		b.blank(b.sector(1))
		b.enabled(limitShort, to(0x02, 0x12, at+16, data...)...)
		first, last, both := make([]byte, page), make([]byte, page), bytes.Repeat([]byte{0xFF}, page)
		for i, c := range data {
			to := (16 + i) % page
			if i < page {
				first[to] = c
			}
			last[to] = c
			both[to] &= c
		}
		got := b.load(at, page)
		b.check(blank(b.load(at+page, page)), "the next page is not blank")
		switch {
		case bytes.Equal(got, last):
			b.observe(false, "the last 256")
		case bytes.Equal(got, first):
			b.observe(true, "the first 256")
		case bytes.Equal(got, both):
			b.observe(true, "all, one over the other")
		case blank(got):
			b.observe(true, "nothing")
		default:
			b.observe(true, "something else: %s", short(got[16:]))
		}
	}},
	{Name: "03 goes on from page to page and from sector to sector", Section: "2.1", Destructive: true, needs: area, run: func(b *bench) {
		at, data := b.sector(2), pattern(64, 5)
		b.blank(b.sector(1))
		b.blank(at)
		b.store(at-32, data[:32]...)
		b.store(at, data[32:]...)
		b.same("64 bytes across", b.read(64, to(0x03, 0x13, at-32)...), data)
	}},
	{Name: "0B and 0C read behind eight dummy clocks", Section: "2.1", Destructive: true, needs: area, run: func(b *bench) {
		at, data := b.sector(1), pattern(64, 6)
		b.blank(at)
		b.store(at, data...)
		b.same("0B", b.read(32, append(to(0x0B, 0x0C, at), 0)...), data[:32])
		if b.part.AddressBytes == 4 {
			b.same("0C", b.read(32, append(wide4(0x0C, at+1), 0)...), data[1:33])
		}
	}},
}
