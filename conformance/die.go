package conformance

import "bytes"

var dies = []Case{
	{Name: "03 goes on from die to die", Section: "8", Destructive: true, needs: area | stacked, run: func(b *bench) {
		at, data := b.border(), pattern(40, 18)
		if at == 0 {
			b.skipf("the area has no border of two dies")
			return
		}
		b.blank(at - sector)
		b.blank(at)
		b.store(at-20, data[:20]...)
		b.store(at, data[20:]...)
		b.same("40 bytes across", b.load(at-20, 40), data)
	}},
	{Name: "what 70 tells while one die is busy", Section: "8", Destructive: true, needs: area | stacked, run: func(b *bench) { b.turns(0x70, 0x80, 0x80) }},
	{Name: "what 05 tells while one die is busy", Section: "8", Destructive: true, needs: area | stacked, run: func(b *bench) { b.turns(0x05, wip, 0) }},
	{Name: "C7 and 60 are not executed on several dies", Section: "8", Destructive: true, needs: area | stacked | full | whole, run: func(b *bench) {
		for d := range b.part.Dies {
			at := d * (b.part.Size / b.part.Dies)
			b.blank(at)
			b.store(at, 0x00)
		}
		for _, op := range []byte{0xC7, 0x60} {
			b.enabled(limitBulk, op)
			for d := range b.part.Dies {
				b.check(b.load(d*(b.part.Size/b.part.Dies), 1)[0] == 0, "%02X erases die %d", op, d)
			}
		}
		b.observe(false, "%s", b.words())
	}},
	{Name: "C4 erases the die around its address, and no other, and needs WEL", Section: "8", Destructive: true, needs: area | stacked | full | whole,
		run: func(b *bench) {
			size := b.part.Size / b.part.Dies
			for at := 0; at < b.part.Size; at += size {
				for _, a := range []int{at, at + size - sector} {
					b.blank(a)
					b.store(a+sector-1, 0x00)
				}
			}
			b.enabled(limitShort, 0xB7)
			marks := func() (p []byte) {
				for at := 0; at < b.part.Size; at += size {
					p = append(append(p, b.read(1, wide4(0x13, at+sector-1)...)...), b.read(1, wide4(0x13, at+size-1)...)...)
				}
				return p
			}
			b.send(wide4(0xC4, size+0x123456)...)
			b.wait(limitBulk)
			b.status("without WEL", 0, 0)
			b.check(!bytes.Contains(marks(), []byte{0xFF}), "it is executed without WEL")
			b.enabled(limitBulk, wide4(0xC4, size+0x123456)...)
			b.status("behind it", 0, 0)
			want := make([]byte, 2*b.part.Dies)
			want[2], want[3] = 0xFF, 0xFF
			b.same("the marks in all dies", marks(), want)
		}},
	{Name: "what one volatile lock bit governs in the first sector of the second die", Section: "6.4", needs: stacked, run: func(b *bench) {
		b.cells(b.part.Size/b.part.Dies, false)
	}},
	{Name: "E4 and the freeze reach all dies", Section: "8", Destructive: true, needs: area | stacked | locks, run: func(b *bench) {
		size := b.part.Size / b.part.Dies
		for at := 0; at < b.part.Size; at += size {
			b.lock(at)
		}
		b.enabled(limitErase, 0xE4)
		for at := 0; at < b.part.Size; at += size {
			b.check(!b.locked(at), "the sector at %08X is locked behind E4", at)
		}
		b.enabled(limitShort, 0xA6)
		for at := 0; at < b.part.Size; at += size {
			b.set = true
			b.enabled(limitShort, wide4(0xE3, at)...)
			b.check(!b.locked(at), "the sector at %08X was locked while frozen", at)
			b.send(0x50)
		}
	}},
}

// turns reads a status register in many frames while one die is busy, and observes whether these tell of one die each: of which the ready
// ones have bit at the value ready.
func (b *bench) turns(op, bit, ready byte) {
	var many []look
	for range 2 * b.part.Dies {
		many = append(many, in(1, op))
	}
	b.erasing(many...)
	n := 0
	for _, l := range many {
		if l[0].In[0]&bit == ready {
			n++
		}
	}
	switch n {
	case 0:
		b.observe(false, "each read tells of all dies")
	case 2 * (b.part.Dies - 1):
		b.observe(false, "each read tells of another die")
	default:
		b.failf("%d of %d reads tell that the part is ready", n, 2*b.part.Dies)
	}
	b.erased()
}

// border is an address in the Area where a die begins, two sectors of the Area around it, or 0.
func (b *bench) border() int {
	size := b.part.Size / b.part.Dies
	for at := size; at < b.part.Size; at += size {
		if b.holds(at-sector, 2*sector) {
			return at
		}
	}
	return 0
}
