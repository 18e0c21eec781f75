package conformance

import "bytes"

// erasing programs a mark in the Area's second sector, starts its erase, and goes on with more frames in the same Do. The case is
// skipped where the chip is ready before the first of them.
func (b *bench) erasing(more ...look) {
	b.blank(b.sector(1))
	b.store(b.sector(1), 0x00)
	first := b.each(0x05)
	b.batch(append([]look{out(0x06), out(to(0xD8, 0xDC, b.sector(1))...), first}, more...)...)
	if first.sr()&wip == 0 {
		b.skipf("the chip is ready before it can be looked at")
	}
}

// erased waits for the end of erasing.
func (b *bench) erased() {
	b.wait(limitErase)
	b.status("at the end of the erase", 0, 0)
	b.isBlank(b.sector(1), sector)
}

// ignored are commands that a busy chip must not take. Each is sent in a sector beside the one that is erased.
var ignored = []struct {
	name string
	out  func(b *bench) [][]byte
	kept func(b *bench) bool // behind the erase
}{
	{"02", func(b *bench) [][]byte { return [][]byte{{0x06}, to(0x02, 0x12, b.sector(2), 0x00)} },
		func(b *bench) bool { return blank(b.load(b.sector(2), 4)) }},
	{"01", func(b *bench) [][]byte { return [][]byte{{0x06}, {0x01, b.sr ^ 0x04}} },
		func(b *bench) bool { return b.sr05() == b.sr }},
	{"E5", func(b *bench) [][]byte { return [][]byte{{0x06}, narrow(0xE5, sector, 1)} },
		func(b *bench) bool { return b.byte(narrow(0xE8, sector)...) == 0 }},
	{"81", func(b *bench) [][]byte { return [][]byte{{0x06}, {0x81, 0xEB}} },
		func(b *bench) bool { return b.byte(0x85) != 0xEB }},
	{"B9", func(b *bench) [][]byte { return [][]byte{{0xB9}} },
		func(b *bench) bool { return bytes.Equal(b.read(20, 0x9F), b.id) }},
}

var busy = append(ignoredCases(),
	Case{Name: "WIP is the inverse of bit 7 of the flag status", Section: "3", Destructive: true, needs: area, run: func(b *bench) {
		flags, status := b.each(0x70), b.each(0x05)
		b.erasing(flags, status)
		b.check(flags.fsr()&0x80 == 0 && status.sr()&wip != 0, "in an erase 70 is %02X and 05 %02X", flags.fsr(), status.sr())
		b.erased()
		sr, fsr := b.sr05(), b.fsr()
		b.check(sr&wip == 0 && fsr == 0x80, "behind it 70 is %02X and 05 %02X", fsr, sr)
	}},
	Case{Name: "9F is not decoded while busy, and disturbs nothing", Section: "1.1", Destructive: true, needs: area, run: func(b *bench) {
		id := in(20, 0x9F)
		b.erasing(id)
		b.check(!bytes.Equal(id[0].In[:3], b.id[:3]), "a busy chip answers its ID")
		b.erased()
	}},
	Case{Name: "03 is not decoded while busy", Section: "4.1", Destructive: true, needs: area, run: func(b *bench) {
		data := pattern(16, 7)
		b.blank(b.sector(2))
		b.store(b.sector(2), data...)
		read := in(16, to(0x03, 0x13, b.sector(2))...)
		b.erasing(read)
		b.check(!bytes.Equal(read[0].In, data), "a busy chip reads its array")
		b.erased()
	}},
	Case{Name: "04 and 06 are ignored while busy", Section: "4.1", Destructive: true, needs: area, run: func(b *bench) {
		was, behind04, behind06 := b.each(0x05), b.each(0x05), b.each(0x05)
		b.erasing(was, out(0x04), behind04, out(0x06), behind06)
		b.check(was.sr() == behind04.sr() && was.sr() == behind06.sr(), "05 is %02X, behind 04 %02X, behind 06 %02X", was.sr(), behind04.sr(), behind06.sr())
		b.erased()
	}},
	Case{Name: "what 66 and 99 do while busy", Section: "7", Destructive: true, needs: area, run: func(b *bench) {
		status := b.each(0x05)
		b.erasing(out(0x66), look{{Out: []byte{0x99}, Idle: afterReset}}, status)
		if status.sr()&wip == 0 {
			b.observe(false, "they end the erase")
		} else {
			b.observe(false, "they are ignored")
			b.erased()
		}
	}},
)

func ignoredCases() (cases []Case) {
	for _, c := range ignored {
		cases = append(cases, Case{Name: c.name + " is ignored while busy", Section: "4.1", Destructive: true, needs: area, run: func(b *bench) {
			b.blank(b.sector(2))
			var fs []look
			for _, p := range c.out(b) {
				fs = append(fs, out(p...))
			}
			b.erasing(fs...)
			b.touch(b.sector(2))
			b.erased()
			b.check(c.kept(b), "it was executed")
		}})
	}
	return cases
}

var suspend = []Case{
	{Name: "75 suspends an erase: bit 6, ready, the other sectors can be read; 7A goes on", Section: "4", Destructive: true, needs: area, run: func(b *bench) {
		data := pattern(16, 8)
		b.blank(b.sector(2))
		b.store(b.sector(2), data...)
		flags, status := b.each(0x70), b.each(0x05)
		b.erasing(slow(0x75), flags, status)
		b.check(flags.fsr() == 0xC0 && status.sr()&wip == 0, "70 is %02X and 05 %02X", flags.fsr(), status.sr())
		b.same("another sector", b.load(b.sector(2), 16), data)
		flags, status = b.each(0x70), b.each(0x05)
		b.batch(slow(0x7A), flags, status)
		b.check(flags.fsr() == 0x00 && status.sr()&wip != 0, "behind 7A 70 is %02X and 05 %02X", flags.fsr(), status.sr())
		b.erased()
	}},
	{Name: "75 suspends a program: bit 2, ready; 7A goes on", Section: "4", Destructive: true, needs: area, run: func(b *bench) {
		at, data := b.sector(2), pattern(page, 9)
		b.blank(at)
		for i := range 5 {
			begun, flags, status := b.each(0x05), b.each(0x70), b.each(0x05)
			b.batch(out(0x06), out(to(0x02, 0x12, at+i*page, data...)...), begun, slow(0x75), flags, status, out(0x7A))
			if begun.sr()&wip == 0 {
				b.skipf("the chip is ready before it can be looked at")
			}
			b.wait(limitShort)
			b.same("what was programmed", b.load(at+i*page, page), data)
			if flags.fsr() == 0x84 && status.sr()&wip == 0 {
				return
			}
			b.check(flags.fsr() == 0x80, "70 is %02X and 05 %02X", flags.fsr(), status.sr())
		}
		b.failf("bit 2 of the flag status never showed")
	}},
	{Name: "75 and 7A at rest do nothing", Section: "4", run: func(b *bench) {
		for _, op := range []byte{0x75, 0x7A} {
			b.pause(afterWake, op)
			b.status("at rest", 0, 0)
			b.check(b.fsr() == 0x80, "flag status is not 80 behind %02X", op)
		}
	}},
	{Name: "what a program elsewhere does while an erase is suspended", Section: "2.3", Destructive: true, needs: area, run: func(b *bench) {
		b.blank(b.sector(2))
		b.erasing(slow(0x75))
		b.touch(b.sector(2))
		b.enabled(limitShort, to(0x02, 0x12, b.sector(2), 0x00)...)
		if b.load(b.sector(2), 1)[0] == 0 {
			b.observe(false, "it is executed")
		} else {
			b.observe(false, "it is not executed")
		}
		b.send(0x04)
		b.send(0x7A)
		b.erased()
	}},
	{Name: "the erase of lock bits cannot be suspended", Section: "2.3", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.lock(b.sector(1))
		begun, flags := b.each(0x05), b.each(0x70)
		b.batch(out(0x06), out(0xE4), begun, slow(0x75), flags)
		if begun.sr()&wip == 0 {
			b.skipf("the chip is ready before it can be looked at")
		}
		b.check(flags.fsr()&0x44 == 0, "70 is %02X behind 75", flags.fsr())
		b.wait(limitErase)
		b.check(!b.locked(b.sector(1)), "the lock bit is still set")
	}},
}
