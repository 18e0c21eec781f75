package conformance

import "fmt"

// refused sends a command that hits a protected area: nothing is executed, WEL stays 1, the error bits are raised, and stay until 50.
// Of a program the bit of programs is sure to be among them, of an erase all are known.
func (b *bench) refused(at int, out []byte) {
	was := b.load(at, 16)
	b.enabled(limitErase, out...)
	flags := b.fsr() & failed
	if out[0] == 0x02 || out[0] == 0x12 {
		b.check(flags != 0 && flags&^0x12 == 0, "the error bits of a program are %02X", flags)
	} else {
		b.check(flags == 0x22, "the error bits of an erase are %02X, want 22", flags)
	}
	b.status("refused", wel, flags)
	b.same("the array", b.load(at, 16), was)
	b.send(0x04)
	b.status("behind 04", 0, flags)
	b.send(0x50)
	b.status("behind 50", 0, 0)
}

// refusals are section 4.1 for each kind of protection and each command.
func refusals() (cases []Case) {
	protections := []struct {
		name  string
		needs need
		set   func(*bench)
	}{
		{"a nonvolatile lock bit", locks, func(b *bench) { b.lock(b.sector(1)) }},
		{"a volatile lock bit", 0, func(b *bench) {
			for at := b.sector(1); at < b.sector(2); at += 4 << 10 {
				b.lockVLB(at, 1)
			}
		}},
		{"block protection", 0, func(b *bench) { b.enabled(limitShort, 0x01, b.sr|0x5C) }},
	}
	commands := []struct {
		op    byte
		needs need
		out   func(b *bench) []byte
	}{
		{0x02, 0, func(b *bench) []byte { return to(0x02, 0x12, b.sector(1)+0x3000, 0x00) }},
		{0x12, wide, func(b *bench) []byte { return wide4(0x12, b.sector(1)+0x3000, 0x00) }},
		{0x20, 0, func(b *bench) []byte { return to(0x20, 0x21, b.sector(1)+0x3000) }},
		{0x52, low, func(b *bench) []byte { return narrow(0x52, b.sector(1)) }},
		{0xD8, 0, func(b *bench) []byte { return to(0xD8, 0xDC, b.sector(1)) }},
		{0x21, wide, func(b *bench) []byte { return wide4(0x21, b.sector(1)+0x3000) }},
		{0x5C, wide | has5C, func(b *bench) []byte { return wide4(0x5C, b.sector(1)) }},
		{0xDC, wide, func(b *bench) []byte { return wide4(0xDC, b.sector(1)) }},
	}
	for _, p := range protections {
		for _, c := range commands {
			cases = append(cases, Case{Name: fmt.Sprintf("%02X is refused by %s", c.op, p.name), Section: "4.1", Destructive: true,
				needs: area | p.needs | c.needs, run: func(b *bench) {
					b.blank(b.sector(1))
					b.store(b.sector(1)+0x3000, 0xA5, 0x5A)
					p.set(b)
					at := b.sector(1) + 0x3000
					if c.op == 0x02 || c.op == 0x12 {
						b.enabled(limitShort, c.out(b)...)
						b.observe(b.fsr()&failed != b.part.ProgramRefused, "%s", b.words())
						b.send(0x50)
					}
					b.refused(at, c.out(b))
				}})
		}
	}
	return append(cases,
		Case{Name: "error bits stay until 50, which clears nothing else", Section: "4", Destructive: true, needs: area, run: func(b *bench) {
			b.blank(b.sector(1))
			b.blank(b.sector(2))
			b.lockVLB(b.sector(1), 1)
			b.enabled(limitErase, to(0xD8, 0xDC, b.sector(1))...)
			b.status("refused", wel, 0x22)
			b.send(0x04)
			b.enabled(limitShort, to(0x02, 0x12, b.sector(2), 0x00)...)
			b.status("behind a program elsewhere", 0, 0x22)
			b.same("that program", b.load(b.sector(2), 1), []byte{0})
			b.send(0x06)
			b.send(0x50)
			b.status("behind 50", wel, 0)
			b.check(b.fsr() == 0x80, "flag status is not 80")
		}},
		Case{Name: "what a program of FF does to a locked sector", Section: "4.1", Destructive: true, needs: area, run: func(b *bench) {
			b.blank(b.sector(1))
			b.lockVLB(b.sector(1), 1)
			b.enabled(limitShort, to(0x02, 0x12, b.sector(1), 0xFF)...)
			b.observe(b.fsr()&failed == 0, "%s", b.words())
		}},
		Case{Name: "C7 is refused where one sector is locked", Section: "6.7", Destructive: true, needs: area | single | full | whole | unlocked, run: func(b *bench) {
			b.openAll()
			b.blank(b.sector(1))
			b.store(b.sector(1), 0x00)
			b.lockVLB(b.part.Size-2*sector, 1)
			b.enabled(limitBulk, 0xC7)
			if b.load(b.sector(1), 1)[0] == 0 {
				b.observe(b.fsr()&failed != b.part.EraseRefused, "it is: %s", b.words())
			} else {
				b.observe(true, "it erases the rest")
			}
		}},
	)
}
