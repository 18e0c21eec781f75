package conformance

import "bytes"

var registers = []Case{
	{Name: "VCR and EVCR behind reset", Section: "5", needs: factory, run: func(b *bench) {
		vcr, evcr := b.byte(0x85), b.byte(0x65)
		b.observe(vcr != 0xFB || evcr != 0xFF, "VCR %02X, EVCR %02X", vcr, evcr)
	}},
	{Name: "81 and 61 take effect at once, each on its own register", Section: "2.2", run: func(b *bench) {
		for _, r := range []struct{ write, read, other byte }{{0x81, 0x85, 0x65}, {0x61, 0x65, 0x85}} {
			was, other := b.byte(r.read), b.byte(r.other)
			b.enabled(limitShort, r.write, was^0x10)
			b.same("the register", b.read(2, r.read), []byte{was ^ 0x10, was ^ 0x10})
			b.same("the other one", b.read(1, r.other), []byte{other})
			b.enabled(limitShort, r.write, was)
			b.same("the register", b.read(1, r.read), []byte{was})
		}
	}},
	{Name: "bits 7 to 4 of VCR are the dummy clocks of 0B", Section: "5", Destructive: true, needs: area, run: func(b *bench) {
		data := pattern(33, 19)
		b.blank(b.sector(1))
		b.store(b.sector(1), data...)
		b.enabled(limitShort, 0x81, b.byte(0x85)&0x0F|0xA0) // 10 clocks: the bytes come two clocks late
		got := b.read(33, append(to(0x0B, 0x0C, b.sector(1)), 0)...)
		for i := range 32 {
			got[i] = got[i]<<2 | got[i+1]>>6
		}
		b.same("0B behind 10 clocks", got[:32], data[:32])
	}},
	{Name: "01 writes the block protection bits, and WEL clears", Section: "3", Destructive: true, needs: area, run: func(b *bench) {
		for _, v := range []byte{0x04, 0x28, 0x40, 0x10, 0x00} {
			b.enabled(limitShort, 0x01, v|b.sr&0x80)
			b.same("05", b.read(1, 0x05), []byte{v | b.sr&0x80})
		}
	}},
	{Name: "01 does not write WIP and WEL", Section: "3", Destructive: true, needs: area, run: func(b *bench) {
		b.enabled(limitShort, 0x01, b.sr|wip|wel)
		b.status("behind it", 0, 0)
	}},
	{Name: "what 01 does with no byte and with two", Section: "1.3", Destructive: true, needs: area, run: func(b *bench) {
		b.enabled(limitShort, 0x01)
		none := b.sr05() &^ wel
		b.enabled(limitShort, 0x01, 0x04, 0x08)
		two := b.sr05() &^ wel
		b.check(none == 0 && two&^0x0C == 0, "05 reads %02X and then %02X", none, two)
		b.observe(two != 0, "05 reads %02X and then %02X", none, two)
	}},
	{Name: "B5 answers NVCR low byte first, B1 writes it so, and it takes effect at reset", Section: "5", Destructive: true,
		needs: area | nvcr | factory | wide, run: func(b *bench) {
			b.enabled(limitNVCR, 0xB1, 0xFE, 0xFF)
			b.same("B5", b.read(2, 0xB5), []byte{0xFE, 0xFF})
			b.check(b.fsr() == 0x80, "4-byte mode is on before reset")
			b.reset()
			b.check(b.fsr() == 0x81, "4-byte mode is not on behind reset")
			b.enabled(limitNVCR, 0xB1, 0xFF, 0xFF)
			b.same("B5", b.read(2, 0xB5), []byte{0xFF, 0xFF})
			b.check(b.fsr() == 0x81, "4-byte mode is off before reset")
			b.reset()
			b.check(b.fsr() == 0x80, "4-byte mode is on behind reset")
		}},
	{Name: "96 answers the general-purpose read register", Section: "2.2", needs: standard, run: func(b *bench) {
		p := b.read(16, 0x96)
		b.same("96 again", b.read(16, 0x96), p)
		b.observe(false, "% X", p)
	}},
}

// addressing are the statements about the two address modes and the extended address register.
var addressing = []Case{
	{Name: "B7 turns bit 0 of the flag status on, E9 off", Section: "4", needs: wide, run: func(b *bench) {
		b.check(b.fsr() == 0x80, "flag status is not 80 before")
		b.enabled(limitShort, 0xB7)
		b.check(b.fsr() == 0x81, "flag status is not 81 behind B7")
		b.send(0x50)
		b.check(b.fsr() == 0x81, "flag status is not 81 behind 50")
		b.enabled(limitShort, 0xE9)
		b.check(b.fsr() == 0x80, "flag status is not 80 behind E9")
	}},
	{Name: "02, 03, 0B, 20 and D8 take four address bytes in 4-byte mode", Section: "2.3", Destructive: true, needs: area | wide, run: func(b *bench) {
		at, data := b.sector(1), pattern(32, 10)
		b.blank(at)
		b.store(at, data...)
		b.enabled(limitShort, 0xB7)
		b.same("03", b.read(32, wide4(0x03, at)...), data)
		b.same("0B", b.read(32, append(wide4(0x0B, at), 0)...), data)
		b.enabled(limitShort, wide4(0x02, at+0x1000, data...)...)
		b.same("03 behind 02", b.read(32, wide4(0x03, at+0x1000)...), data)
		b.enabled(limitErase, wide4(0x20, at)...)
		b.check(blank(b.read(4096, wide4(0x03, at)...)), "20 erases nothing there")
		b.same("03 behind 20", b.read(32, wide4(0x03, at+0x1000)...), data)
		b.enabled(limitErase, wide4(0x52, at)...)
		b.check(blank(b.read(0x2000, wide4(0x03, at)...)), "52 erases nothing there")
		b.enabled(limitShort, wide4(0x02, at, data...)...)
		b.enabled(limitErase, wide4(0xD8, at)...)
		b.check(blank(b.read(4096, wide4(0x03, at)...)), "D8 erases nothing there")
	}},
	{Name: "13 and 0C take four address bytes in both modes", Section: "2.1", Destructive: true, needs: area | wide, run: func(b *bench) {
		at, data := b.sector(1), pattern(32, 11)
		b.blank(at)
		b.store(at, data...)
		for range 2 {
			b.same("13", b.read(32, wide4(0x13, at)...), data)
			b.same("0C", b.read(32, append(wide4(0x0C, at), 0)...), data)
			b.enabled(limitShort, 0xB7)
		}
	}},
	{Name: "C5 writes the extended address, C8 reads it", Section: "5", needs: wide, run: func(b *bench) {
		b.same("C8 at rest", b.read(2, 0xC8), []byte{0, 0})
		b.enabled(limitShort, 0xC5, 1)
		b.same("C8", b.read(2, 0xC8), []byte{1, 1})
		b.enabled(limitShort, 0xC5, 0)
		b.same("C8", b.read(1, 0xC8), []byte{0})
	}},
	{Name: "the extended address goes before the three bytes of 03, 02, 20", Section: "5", Destructive: true, needs: area | wide, run: func(b *bench) {
		at, data := b.above()
		if at == 0 {
			b.skipf("the area has no sector beyond 16 MiB")
			return
		}
		b.blank(at)
		b.store(at, data...)
		b.enabled(limitShort, 0xC5, byte(at>>24))
		b.same("03", b.read(32, narrow(0x03, at)...), data)
		b.enabled(limitShort, narrow(0x02, at+page, data...)...)
		b.same("13 behind 02", b.load(at+page, 32), data)
		b.same("13", b.read(32, wide4(0x13, at)...), data)
		b.enabled(limitErase, narrow(0x20, at)...)
		b.check(blank(b.load(at, page)), "20 erases nothing there")
	}},
	{Name: "the extended address decides what 03 reads", Section: "5", Destructive: true, needs: area | wide | low, run: func(b *bench) {
		at, data := b.sector(1), pattern(32, 12)
		b.blank(at)
		b.store(at, data...)
		other := b.read(32, wide4(0x13, at+1<<24)...)
		if bytes.Equal(other, data) {
			b.skipf("16 MiB above there is the same")
		}
		b.enabled(limitShort, 0xC5, 1)
		b.same("03", b.read(32, narrow(0x03, at)...), other)
		b.same("13", b.read(32, wide4(0x13, at)...), data)
	}},
	{Name: "what the extended address does in 4-byte mode", Section: "5", Destructive: true, needs: area | wide | low, run: func(b *bench) {
		at, data := b.sector(1), pattern(32, 13)
		b.blank(at)
		b.store(at, data...)
		b.enabled(limitShort, 0xC5, 1)
		b.enabled(limitShort, 0xB7)
		if bytes.Equal(b.read(32, wide4(0x03, at)...), data) {
			b.observe(false, "nothing")
		} else {
			b.observe(true, "it moves the address")
		}
	}},
}

// above is the first sector of the Area beyond 16 MiB and what to put there, or 0.
func (b *bench) above() (at int, data []byte) {
	a := b.opt.Area
	at = max(a.Addr, 1<<24)
	if !b.holds(at, sector) {
		return 0, nil
	}
	return at, pattern(32, 14)
}
