package conformance

import (
	"bytes"
	"fmt"
)

// locked tells whether the nonvolatile lock bit of a sector is set.
func (b *bench) locked(at int) bool {
	return b.byte(wide4(0xE2, at)...)&b.part.NVLBMask == 0 && !b.ended && b.err == nil
}

// lock sets the nonvolatile lock bit of a sector of the Area; restore takes it back.
func (b *bench) lock(at int) {
	b.set = true
	b.enabled(limitShort, wide4(0xE3, at)...)
	b.status("behind E3", 0, 0)
	b.check(b.locked(at), "E2 does not tell the lock that E3 set")
}

// vlb reads the volatile lock bits that govern an address, lockVLB writes them.
func (b *bench) vlb(at int) byte { return b.byte(to(0xE8, 0xE0, at)...) }

func (b *bench) lockVLB(at int, v byte) {
	b.enabled(limitShort, to(0xE5, 0xE1, at, v)...)
	b.check(b.vlb(at) == v, "the volatile lock bits at %08X do not read %02X", at, v)
}

var lockBits = []Case{
	{Name: "E2 and E3 take four address bytes in 3-byte mode", Section: "2.4", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.lock(b.sector(2))
		for i := range 4 {
			b.check(b.locked(b.sector(i)) == (i == 2), "E2 of the sector at %08X is wrong", b.sector(i))
		}
		for at := 0; at < 4*sector; at += sector {
			b.check(b.locked(at) == (at == b.sector(2)), "E2 of the sector at %08X is wrong", at)
		}
		b.blank(b.sector(1))
		b.enabled(limitShort, to(0x02, 0x12, b.sector(1), 0x55)...)
		b.same("a program beside the lock", b.load(b.sector(1), 1), []byte{0x55})
	}},
	{Name: "E2 and E3 take four address bytes in 4-byte mode", Section: "2.4", Destructive: true, needs: area | locks | wide, run: func(b *bench) {
		b.enabled(limitShort, 0xB7)
		b.lock(b.sector(3))
		b.check(!b.locked(b.sector(2)) && !b.locked(b.sector(0)), "other sectors are locked too")
	}},
	{Name: "E2 repeats its byte, the same in the whole sector", Section: "2.4", Destructive: true, needs: area | locks, run: func(b *bench) {
		free := b.byte(wide4(0xE2, b.sector(1))...)
		b.same("E2", b.read(3, wide4(0xE2, b.sector(1))...), bytes.Repeat([]byte{free}, 3))
		b.lock(b.sector(1))
		set := b.byte(wide4(0xE2, b.sector(1))...)
		b.same("E2", b.read(3, wide4(0xE2, b.sector(1))...), bytes.Repeat([]byte{set}, 3))
		b.same("E2 of its end", b.read(1, wide4(0xE2, b.sector(2)-1)...), []byte{set})
		b.same("E2 behind it", b.read(1, wide4(0xE2, b.sector(2))...), []byte{free})
	}},
	{Name: "what E2 answers", Section: "6.3", Destructive: true, needs: area | locks, run: func(b *bench) {
		free := b.byte(wide4(0xE2, b.sector(1))...)
		b.set = true
		b.enabled(limitShort, wide4(0xE3, b.sector(1))...)
		set := b.byte(wide4(0xE2, b.sector(1))...)
		b.check(free&1 == 1 && set&1 == 0, "bit 0 is %d free and %d locked", free&1, set&1)
		b.observe((free&b.part.NVLBMask == 0) || set&b.part.NVLBMask != 0, "%02X free, %02X locked", free, set)
	}},
	{Name: "E3 takes effect as soon as it completes, on its sector alone", Section: "6.3", Destructive: true, needs: area | locks, run: func(b *bench) {
		for i := range 3 {
			b.blank(b.sector(i))
		}
		b.lock(b.sector(1))
		b.store(b.sector(1)-1, 0x00)
		b.store(b.sector(2), 0x00)
		for _, at := range []int{b.sector(1), b.sector(2) - 1} {
			b.refused(at, to(0x02, 0x12, at, 0x00))
		}
	}},
	{Name: "what E3 does with a data byte", Section: "2.4", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.set = true
		b.enabled(limitShort, wide4(0xE3, b.sector(1), 0x00)...)
		if b.locked(b.sector(1)) {
			b.observe(false, "it locks")
		} else {
			b.observe(false, "it is not executed: %s", b.words())
		}
	}},
	{Name: "E3 on a locked sector raises no error", Section: "4.1", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.lock(b.sector(1))
		b.lock(b.sector(1))
	}},
	{Name: "E4 clears all lock bits at once", Section: "6.3", Destructive: true, needs: area | locks, run: func(b *bench) {
		for i := range 4 {
			b.lock(b.sector(i))
		}
		b.enabled(limitErase, 0xE4)
		b.status("behind E4", 0, 0)
		for i := range 4 {
			b.check(!b.locked(b.sector(i)), "the sector at %08X is locked still", b.sector(i))
		}
		b.blank(b.sector(1))
		b.store(b.sector(1), 0x00)
	}},
	{Name: "lock bits survive 66 99", Section: "6.8", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.lock(b.sector(1))
		b.reset()
		b.check(b.locked(b.sector(1)), "the lock bit is gone")
	}},
}

// freeze are the statements about the global freeze bit. It comes back with 66 99, since no case runs in password mode.
var freeze = []Case{
	{Name: "A7 answers 01, and 00 behind A6, and repeats", Section: "6.5", needs: locks, run: func(b *bench) {
		b.same("A7", b.read(3, 0xA7), []byte{1, 1, 1})
		b.enabled(limitShort, 0xA6)
		b.same("A7", b.read(3, 0xA7), []byte{0, 0, 0})
	}},
	{Name: "what A6 does with a data byte", Section: "2.4", needs: locks, run: func(b *bench) {
		b.enabled(limitShort, 0xA6, 0x00)
		if b.byte(0xA7) == 0 {
			b.observe(false, "it freezes")
		} else {
			b.observe(false, "it is not executed: %s", b.words())
		}
	}},
	{Name: "the freeze bit is 1 again behind 66 99", Section: "6.5", run: func(b *bench) {
		spr := b.read(2, 0x2D)
		if spr[0]&0x04 == 0 {
			b.check(b.byte(0xA7) == 0, "it is 1 in password mode")
			return
		}
		if b.held == "" {
			b.enabled(limitShort, 0xA6)
			b.reset()
		}
		b.check(b.byte(0xA7) == 1, "it is 0 behind reset, without password mode")
	}},
	{Name: "what E3 does while frozen", Section: "4.1", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.enabled(limitShort, 0xA6)
		b.set = true
		b.enabled(limitShort, wide4(0xE3, b.sector(1))...)
		b.check(!b.locked(b.sector(1)), "the lock bit is set")
		b.observe(b.fsr()&failed != b.part.LockRefused, "%s", b.words())
	}},
	{Name: "what E4 does while frozen", Section: "4.1", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.lock(b.sector(1))
		b.enabled(limitShort, 0xA6)
		b.enabled(limitErase, 0xE4)
		b.check(b.locked(b.sector(1)), "the lock bit is cleared")
		b.observe(b.fsr()&failed != b.part.LockEraseRefused, "%s", b.words())
	}},
	{Name: "what a freeze does to volatile lock bits", Section: "6.2", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.enabled(limitShort, 0xA6)
		b.enabled(limitShort, to(0xE5, 0xE1, b.sector(1), 1)...)
		if b.vlb(b.sector(1)) == 1 {
			b.observe(false, "nothing")
		} else {
			b.observe(true, "it freezes them too")
		}
	}},
	{Name: "a freeze changes nothing for the array", Section: "6.5", Destructive: true, needs: area | locks, run: func(b *bench) {
		b.blank(b.sector(1))
		b.blank(b.sector(2))
		b.lock(b.sector(2))
		b.enabled(limitShort, 0xA6)
		b.store(b.sector(1), 0x00)
		b.refused(b.sector(2), to(0x02, 0x12, b.sector(2), 0x00))
		b.check(b.locked(b.sector(2)), "the lock bit is gone")
	}},
}

// words tells what a command that was not executed left in the status registers.
func (b *bench) words() string {
	latch, flags := b.sr05()&wel, b.fsr()&failed
	s := "error bits"
	for i := range 8 {
		if flags>>i&1 != 0 {
			s += fmt.Sprintf(" %d", i)
		}
	}
	if flags == 0 {
		s = "silent"
	}
	if latch != 0 {
		return s + ", WEL stays"
	}
	return s + ", WEL clears"
}
