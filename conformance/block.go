package conformance

import "fmt"

var blockProtection = blockCases()

// blockCases tries the borders of all that the block protection bits can protect, by programs of FF, which change nothing
// wherever they are executed.
func blockCases() (cases []Case) {
	for _, bottom := range []bool{false, true} {
		side := "top"
		if bottom {
			side = "bottom"
		}
		cases = append(cases, Case{Name: "each value of BP protects its size from the " + side, Section: "3", Destructive: true, needs: area | unlocked | full,
			run: func(b *bench) {
				b.open(b.sector(1))
				b.lockVLB(b.sector(1), 1)
				if !b.tries(b.sector(1)) {
					b.skipf("a program of FF is not refused by this chip")
				}
				b.lockVLB(b.sector(1), 0)
				for n := range 16 {
					size := 0
					if n > 0 {
						size = min(sector<<(n-1), b.part.Size)
					}
					b.borders(n, bottom, size)
				}
			}})
	}
	return append(cases, Case{Name: "C7 is refused while a BP bit is set", Section: "3", Destructive: true, needs: area | single | full | whole | unlocked,
		run: func(b *bench) {
			b.openAll()
			b.blank(b.sector(1))
			b.store(b.sector(1), 0x00)
			b.enabled(limitShort, 0x01, 0x04) // the last sector
			b.refused(b.sector(1), []byte{0xC7})
		}})
}

// borders protects by BP value n and tries both sides of each border of the protected range.
func (b *bench) borders(n int, bottom bool, size int) {
	sr := byte(n>>3<<6 | n&7<<2)
	from, to := b.part.Size-size, b.part.Size
	if bottom {
		sr |= 0x20
		from, to = 0, size
	}
	b.enabled(limitShort, 0x01, sr|b.sr&0x80)
	b.check(b.sr05() == sr|b.sr&0x80, "05 does not read what was written, %02X", sr)
	for _, at := range []int{0, from - 1, from, to - 1, to, b.part.Size - 1} {
		if at < 0 || at >= b.part.Size {
			continue
		}
		b.open(at)
		if want := at >= from && at < to; b.tries(at) != want {
			b.failf("%s: protected at %08X: %v, want %v", fmt.Sprintf("SR %02X", sr), at, !want, want)
		}
	}
}

// tries programs FF and tells whether that was refused.
func (b *bench) tries(at int) bool {
	b.enabled(limitShort, to(0x02, 0x12, at, 0xFF)...)
	no := b.fsr()&failed != 0
	b.send(0x50)
	b.send(0x04)
	return no
}
