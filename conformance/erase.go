package conformance

import "fmt"

// erase are the statements about each erase: what it erases, and what not.
func erase() (cases []Case) {
	for _, e := range []struct {
		op    byte
		size  int
		wide  bool
		needs need
	}{
		{0x20, 4 << 10, false, area | low}, {0x52, 32 << 10, false, area | low}, {0xD8, sector, false, area | low},
		{0x21, 4 << 10, true, area | wide}, {0x5C, 32 << 10, true, area | wide | has5C}, {0xDC, sector, true, area | wide},
	} {
		cases = append(cases, Case{Name: fmt.Sprintf("%02X erases the %d KiB around its address, and no more", e.op, e.size>>10), Section: "2.3",
			Destructive: true, needs: e.needs, run: func(b *bench) {
				for i := range 3 {
					b.blank(b.sector(i))
				}
				at := b.sector(1) // from where the unit is neither the first nor the last of its sector, where it can
				if e.size < sector {
					at += 32 << 10
				}
				marks := []int{at - 4, at, at + e.size/2, at + e.size - 4, at + e.size}
				for i, m := range marks {
					b.store(m, pattern(4, i)...)
				}
				if out := narrow(e.op, at+e.size/3); e.wide {
					b.enabled(limitErase, wide4(e.op, at+e.size/3)...)
				} else {
					b.enabled(limitErase, out...)
				}
				b.status("behind it", 0, 0)
				b.isBlank(at, e.size)
				b.same("what lies before", b.load(marks[0], 4), pattern(4, 0))
				b.same("what lies behind", b.load(marks[4], 4), pattern(4, 4))
			}})
	}
	for _, op := range []byte{0xC7, 0x60} {
		cases = append(cases, Case{Name: fmt.Sprintf("%02X erases all", op), Section: "2.3", Destructive: true, needs: area | single | full | whole | unlocked,
			run: func(b *bench) {
				b.openAll()
				last := b.part.Size - sector
				for i, at := range []int{0, b.part.Size / 2, last} {
					b.blank(at)
					b.store(at+i, 0x00)
				}
				b.enabled(limitBulk, op)
				b.status("behind it", 0, 0)
				for i, at := range []int{0, b.part.Size / 2, last} {
					b.check(blank(b.load(at+i, 1)), "%08X is not blank", at+i)
				}
			}})
	}
	return append(cases, Case{Name: "what C4 does on a part of one die", Section: "2.3", Destructive: true, needs: area | single | full | whole | unlocked,
		run: func(b *bench) {
			b.openAll()
			b.blank(b.sector(1))
			b.store(b.sector(1), 0x00)
			b.enabled(limitBulk, to(0xC4, 0, b.sector(0))...)
			if b.load(b.sector(1), 1)[0] == 0 {
				b.observe(false, "it is not executed: %s", b.words())
			} else {
				b.observe(false, "it erases all")
			}
		}})
}
