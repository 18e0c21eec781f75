package conformance

import (
	"bytes"
	"slices"

	"station/spi"
)

// out is a frame without an answer, in one of n bytes.
func out(p ...byte) spi.Frame           { return spi.Frame{Out: p} }
func in(n int, p ...byte) spi.Frame     { return spi.Frame{Out: p, In: make([]byte, n)} }
func slow(p ...byte) spi.Frame          { return spi.Frame{Out: p, Idle: afterWake / 2} }
func answer(fs []spi.Frame, i int) byte { return fs[i].In[0] }

// erasing programs a mark in the Area's second sector, starts its erase, and goes on with more frames in the same Do. The case is
// skipped where the chip is ready before the first of them.
func (b *bench) erasing(more ...spi.Frame) []spi.Frame {
	b.blank(b.sector(1))
	b.store(b.sector(1), 0x00)
	fs := append([]spi.Frame{out(0x06), out(to(0xD8, 0xDC, b.sector(1))...), in(1, 0x05)}, more...)
	b.frames(fs...)
	if answer(fs, 2)&wip == 0 {
		b.skipf("the chip is ready before it can be looked at")
	}
	return fs[3:]
}

// erased waits for the end of erasing.
func (b *bench) erased() {
	b.wait(limitErase)
	b.status("at the end of the erase", 0, 0)
	b.check(blank(b.load(b.sector(1), sector)), "the sector is not blank at the end of its erase")
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
		fs := b.erasing(in(1, 0x70), in(1, 0x05))
		b.check(answer(fs, 0)&0x80 == 0 && answer(fs, 1)&wip != 0, "in an erase 70 is %02X and 05 %02X", answer(fs, 0), answer(fs, 1))
		b.erased()
		sr, fsr := b.sr05(), b.fsr()
		b.check(sr&wip == 0 && fsr == 0x80, "behind it 70 is %02X and 05 %02X", fsr, sr)
	}},
	Case{Name: "9F is not decoded while busy, and disturbs nothing", Section: "1.1", Destructive: true, needs: area, run: func(b *bench) {
		fs := b.erasing(in(20, 0x9F))
		b.check(!bytes.Equal(fs[0].In[:3], b.id[:3]), "a busy chip answers its ID")
		b.erased()
	}},
	Case{Name: "03 is not decoded while busy", Section: "4.1", Destructive: true, needs: area, run: func(b *bench) {
		data := pattern(16, 7)
		b.blank(b.sector(2))
		b.store(b.sector(2), data...)
		fs := b.erasing(in(16, to(0x03, 0x13, b.sector(2))...))
		b.check(!bytes.Equal(fs[0].In, data), "a busy chip reads its array")
		b.erased()
	}},
	Case{Name: "04 and 06 are ignored while busy", Section: "4.1", Destructive: true, needs: area, run: func(b *bench) {
		fs := b.erasing(in(1, 0x05), out(0x04), in(1, 0x05), out(0x06), in(1, 0x05))
		was := answer(fs, 0)
		b.check(answer(fs, 2) == was && answer(fs, 4) == was, "05 is %02X, behind 04 %02X, behind 06 %02X", was, answer(fs, 2), answer(fs, 4))
		b.erased()
	}},
	Case{Name: "what 66 and 99 do while busy", Section: "7", Destructive: true, needs: area, run: func(b *bench) {
		fs := b.erasing(out(0x66), spi.Frame{Out: []byte{0x99}, Idle: afterReset}, in(1, 0x05))
		if answer(fs, 2)&wip == 0 {
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
			var fs []spi.Frame
			for _, p := range c.out(b) {
				fs = append(fs, out(p...))
			}
			b.erasing(slices.Clone(fs)...)
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
		fs := b.erasing(slow(0x75), in(1, 0x70), in(1, 0x05))
		b.check(answer(fs, 1) == 0xC0 && answer(fs, 2)&wip == 0, "70 is %02X and 05 %02X", answer(fs, 1), answer(fs, 2))
		b.same("another sector", b.load(b.sector(2), 16), data)
		fs = []spi.Frame{slow(0x7A), in(1, 0x70), in(1, 0x05)}
		b.frames(fs...)
		b.check(b.ended || answer(fs, 1) == 0x00 && answer(fs, 2)&wip != 0, "behind 7A 70 is %02X and 05 %02X", answer(fs, 1), answer(fs, 2))
		b.erased()
	}},
	{Name: "75 suspends a program: bit 2, ready; 7A goes on", Section: "4", Destructive: true, needs: area, run: func(b *bench) {
		at, data := b.sector(2), pattern(page, 9)
		b.blank(at)
		for i := range 5 {
			fs := []spi.Frame{out(0x06), out(to(0x02, 0x12, at+i*page, data...)...), in(1, 0x05), slow(0x75), in(1, 0x70), in(1, 0x05),
				in(20, 0x9F), out(0x7A)}
			b.frames(fs...)
			if b.ended || b.err != nil {
				return
			}
			if answer(fs, 2)&wip == 0 {
				b.skipf("the chip is ready before it can be looked at")
			}
			b.wait(limitShort)
			b.same("what was programmed", b.load(at+i*page, page), data)
			if answer(fs, 4)&0xC0 == 0x80 && answer(fs, 4)&0x04 != 0 && answer(fs, 5)&wip == 0 {
				return
			}
			b.check(answer(fs, 4) == 0x80, "70 is %02X and 05 %02X", answer(fs, 4), answer(fs, 5))
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
		fs := []spi.Frame{out(0x06), out(0xE4), in(1, 0x05), slow(0x75), in(1, 0x70)}
		b.frames(fs...)
		if answer(fs, 2)&wip == 0 {
			b.skipf("the chip is ready before it can be looked at")
		}
		b.check(answer(fs, 4)&0x44 == 0, "70 is %02X behind 75", answer(fs, 4))
		b.wait(limitErase)
		b.check(!b.locked(b.sector(1)), "the lock bit is still set")
	}},
}
