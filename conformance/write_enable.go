package conformance

import (
	"bytes"
	"fmt"
	"time"
)

// writeEnable are the statements about the write enable latch, and for each command that needs it, that it does nothing without,
// and something with.
func writeEnable() []Case {
	cases := []Case{
		{Name: "06 sets WEL, 04 clears it", Section: "2.2", run: func(b *bench) {
			b.status("at rest", 0, 0)
			b.send(0x06)
			b.status("behind 06", wel, 0)
			b.send(0x04)
			b.status("behind 04", 0, 0)
		}},
		{Name: "05 and 70 repeat their byte", Section: "2.2", run: func(b *bench) {
			b.send(0x06)
			b.same("05", b.read(4, 0x05), bytes.Repeat([]byte{b.sr | wel}, 4))
			b.same("70", b.read(4, 0x70), bytes.Repeat([]byte{0x80}, 4))
		}},
		{Name: "reading leaves WEL", Section: "2.2", run: func(b *bench) {
			b.send(0x06)
			for _, out := range [][]byte{{0x9F}, narrow(0x03, 0), narrow(0x5A, 0, 0), {0x70}, {0x85}, {0xB5}, wide4(0xE2, 0), {0xA7}, {0x2D}, {0x50}} {
				b.read(2, out...)
				b.status(fmt.Sprintf("behind %02X", out[0]), wel, 0)
			}
		}},
		{Name: "a frame off a byte boundary is not executed", Section: "4.1", run: func(b *bench) {
			b.skipf("frames are whole bytes")
		}},
	}
	for _, e := range enabled {
		cases = append(cases, Case{Name: e.name + " needs WEL", Section: "4.1", Destructive: e.limit > 0 && e.needs&area != 0, needs: e.needs,
			run: func(b *bench) { e.try(b) }})
	}
	return cases
}

// needing is a command that needs WEL.
type needing struct {
	name   string
	needs  need
	limit  time.Duration // of its execution; 0: it is not self-timed, and what it leaves of WEL is observed
	before func(*bench)
	out    func(*bench) []byte
	state  func(*bench) []byte // what the command changes
}

// try sends the command without WEL, which must change nothing and raise no error, then with it, which must change something.
func (e needing) try(b *bench) {
	if e.before != nil {
		e.before(b)
	}
	was, out := e.state(b), e.out(b)
	b.send(out...)
	b.wait(max(e.limit, limitShort))
	b.status("without WEL", 0, 0)
	b.same("what it would change, without WEL", e.state(b), was)
	b.enabled(max(e.limit, limitShort), out...)
	if latch := b.sr05() & wel; e.limit > 0 {
		b.status("once executed", 0, 0)
	} else if latch == 0 {
		b.observe(false, "WEL is cleared by it")
	} else {
		b.observe(false, "WEL stays set behind it")
	}
	b.check(!bytes.Equal(e.state(b), was), "it changes nothing with WEL either")
}

var enabled = []needing{
	changesArray("02", area, limitShort, func(b *bench) []byte { return to(0x02, 0x12, b.sector(1)+8, 0x00) }),
	changesArray("12", area|wide, limitShort, func(b *bench) []byte { return wide4(0x12, b.sector(1)+8, 0x00) }),
	changesArray("20", area, limitErase, func(b *bench) []byte { return to(0x20, 0x21, b.sector(1)) }),
	changesArray("52", area|low, limitErase, func(b *bench) []byte { return narrow(0x52, b.sector(1)) }),
	changesArray("D8", area, limitErase, func(b *bench) []byte { return to(0xD8, 0xDC, b.sector(1)) }),
	changesArray("21", area|wide, limitErase, func(b *bench) []byte { return wide4(0x21, b.sector(1)) }),
	changesArray("5C", area|wide|has5C, limitErase, func(b *bench) []byte { return wide4(0x5C, b.sector(1)) }),
	changesArray("DC", area|wide, limitErase, func(b *bench) []byte { return wide4(0xDC, b.sector(1)) }),
	changesArray("C7", area|single|full|whole|unlocked, limitBulk, func(b *bench) []byte { return []byte{0xC7} }),
	changesArray("60", area|single|full|whole|unlocked, limitBulk, func(b *bench) []byte { return []byte{0x60} }),
	{name: "01", needs: area, limit: limitShort,
		out:   func(b *bench) []byte { return []byte{0x01, b.sr ^ 0x04} },
		state: func(b *bench) []byte { return []byte{b.sr05() &^ wel} }},
	{name: "B1", needs: area | nvcr, limit: limitNVCR,
		out:   func(b *bench) []byte { return []byte{0xB1, b.nvcr[0] ^ 1, b.nvcr[1]} },
		state: func(b *bench) []byte { return b.read(2, 0xB5) }},
	{name: "81",
		out:   func(b *bench) []byte { return []byte{0x81, b.byte(0x85) ^ 0x10} },
		state: func(b *bench) []byte { return b.read(1, 0x85) }},
	{name: "61",
		out:   func(b *bench) []byte { return []byte{0x61, b.byte(0x65) ^ 0x10} },
		state: func(b *bench) []byte { return b.read(1, 0x65) }},
	{name: "C5", needs: wide,
		out:   func(b *bench) []byte { return []byte{0xC5, 0x01} },
		state: func(b *bench) []byte { return b.read(1, 0xC8) }},
	{name: "B7", needs: wide,
		out:   func(b *bench) []byte { return []byte{0xB7} },
		state: func(b *bench) []byte { return []byte{b.fsr() & 1} }},
	{name: "E9", needs: wide, before: func(b *bench) { b.enabled(limitShort, 0xB7); b.send(0x04) },
		out:   func(b *bench) []byte { return []byte{0xE9} },
		state: func(b *bench) []byte { return []byte{b.fsr() & 1} }},
	{name: "E5",
		out:   func(b *bench) []byte { return narrow(0xE5, sector, b.boot^1) },
		state: func(b *bench) []byte { return b.read(1, narrow(0xE8, sector)...) }},
	{name: "E1", needs: wide,
		out:   func(b *bench) []byte { return wide4(0xE1, sector, b.boot^1) },
		state: func(b *bench) []byte { return b.read(1, wide4(0xE0, sector)...) }},
	{name: "E3", needs: area | locks, limit: limitShort, before: func(b *bench) { b.set = true },
		out:   func(b *bench) []byte { return wide4(0xE3, b.sector(1)) },
		state: func(b *bench) []byte { return b.read(1, wide4(0xE2, b.sector(1))...) }},
	{name: "E4", needs: area | locks, limit: limitErase, before: func(b *bench) { b.lock(b.sector(1)) },
		out:   func(b *bench) []byte { return []byte{0xE4} },
		state: func(b *bench) []byte { return b.read(1, wide4(0xE2, b.sector(1))...) }},
	{name: "A6", needs: locks,
		out:   func(b *bench) []byte { return []byte{0xA6} },
		state: func(b *bench) []byte { return b.read(1, 0xA7) }},
}

// changesArray is a program or an erase of the Area's second sector, where four bytes are programmed before.
func changesArray(name string, needs need, limit time.Duration, out func(*bench) []byte) needing {
	return needing{name: name, needs: needs, limit: limit, out: out,
		before: func(b *bench) {
			if needs&whole != 0 {
				b.openAll()
			}
			b.blank(b.sector(1))
			b.store(b.sector(1), 0x12, 0x34, 0x56, 0x78)
		},
		state: func(b *bench) []byte { return b.load(b.sector(1), 16) }}
}
