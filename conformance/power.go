package conformance

import (
	"bytes"
	"slices"
)

// volatileState is all that reset and power-up bring back.
type volatileState struct {
	sr, fsr, vcr, evcr, ear byte
	vlb, gfb                byte
}

func (b *bench) volatileState() volatileState {
	s := volatileState{sr: b.sr05(), fsr: b.fsr(), vcr: b.byte(0x85), evcr: b.byte(0x65), gfb: b.byte(0xA7)}
	if b.part.AddressBytes == 4 {
		s.ear, s.vlb = b.byte(0xC8), b.byte(wide4(0xE0, 2*sector)...)
	} else {
		s.vlb = b.byte(narrow(0xE8, 2*sector)...)
	}
	return s
}

// stir changes all of the volatile state. What it was before, and what it is then, comes back.
func (b *bench) stir() (before, stirred volatileState) {
	b.near(2 * sector)
	before = b.volatileState()
	before.vlb = b.boot
	b.enabled(limitShort, 0x81, before.vcr^0x10)
	b.enabled(limitShort, 0x61, before.evcr^0x10)
	b.enabled(limitShort, narrow(0xE5, 2*sector, 3)...)
	if b.held == "" {
		b.enabled(limitShort, 0xA6)
	}
	if b.part.AddressBytes == 4 {
		b.enabled(limitShort, 0xC5, 1)
		b.enabled(limitShort, 0xB7)
	}
	b.send(0x06)
	stirred = b.volatileState()
	b.check(stirred.sr == before.sr|wel && stirred.vcr != before.vcr && stirred.evcr != before.evcr && stirred.vlb == 3 &&
		(b.held != "" || stirred.gfb == 0) && (b.part.AddressBytes == 3 || stirred.ear == 1 && stirred.fsr == before.fsr|1),
		"could not be changed: %+v, now %+v", before, stirred)
	return before, stirred
}

// isBack fails where the volatile state is not what it was.
func (b *bench) isBack(before volatileState) {
	now := b.volatileState()
	b.check(now == before && now.sr&(wel|wip) == 0 && now.fsr == 0x80 && now.ear == 0 && now.vlb == b.boot, "the state is %+v, was %+v", now, before)
}

var reset = []Case{
	{Name: "66 99 brings back the volatile state", Section: "2.1", needs: factory, run: func(b *bench) {
		before, _ := b.stir()
		b.reset()
		b.isBack(before)
	}},
	{Name: "66 alone and 99 alone do nothing", Section: "2.1", needs: factory, run: func(b *bench) {
		_, stirred := b.stir()
		for _, op := range []byte{0x99, 0x66} {
			b.pause(afterReset, op)
			b.check(b.volatileState() == stirred, "%02X alone resets", op)
		}
	}},
	{Name: "66 and 99 with a frame between do nothing", Section: "2.1", needs: factory, run: func(b *bench) {
		_, stirred := b.stir()
		b.send(0x66)
		b.read(1, 0x05)
		b.pause(afterReset, 0x99)
		b.check(b.volatileState() == stirred, "66, 05, 99 resets")
	}},
	{Name: "66 99 keeps the block protection bits", Section: "3", Destructive: true, needs: area, run: func(b *bench) {
		b.enabled(limitShort, 0x01, b.sr^0x24)
		b.reset()
		b.check(b.sr05() == b.sr^0x24, "05 reads another value behind reset")
	}},
	{Name: "what 66 99 does to error bits", Section: "4", Destructive: true, needs: area, run: func(b *bench) {
		b.raise()
		b.reset()
		b.observe(b.fsr()&failed != 0, "%s", b.words())
	}},
	{Name: "in deep power-down only AB is accepted, and AB ends it", Section: "2.3", run: func(b *bench) {
		b.pause(afterAsleep, 0xB9)
		id := b.read(20, 0x9F)
		b.send(0x06)
		sr := b.sr05()
		b.pause(afterWake, 0xAB)
		b.same("the ID behind AB", b.read(20, 0x9F), b.id)
		latch := b.sr05() & wel
		switch {
		case bytes.Equal(id, b.id):
			b.observe(true, "9F is answered too")
		case latch != 0:
			b.observe(true, "06 is accepted too")
		case sr == b.sr:
			b.observe(true, "05 is answered too")
		default:
			b.observe(false, "only AB")
		}
	}},
}

// raise provokes an error bit, and leaves WEL 0.
func (b *bench) raise() {
	b.blank(b.sector(1))
	b.lockVLB(b.sector(1), 1)
	b.enabled(limitErase, to(0xD8, 0xDC, b.sector(1))...)
	b.check(b.fsr()&failed != 0, "no error bit is raised")
	b.send(0x04)
}

var power = []Case{
	{Name: "power-up brings back the volatile state", Section: "12", needs: factory | supply, run: func(b *bench) {
		before, _ := b.stir()
		b.cycle()
		b.isBack(before)
	}},
	{Name: "what power-up does to error bits", Section: "4", Destructive: true, needs: area | supply, run: func(b *bench) {
		b.raise()
		b.cycle()
		b.observe(b.fsr()&failed != 0, "%s", b.words())
	}},
	{Name: "lock bits, block protection and data survive power-off", Section: "6.8", Destructive: true, needs: area | locks | supply, run: func(b *bench) {
		data := pattern(32, 15)
		b.blank(b.sector(1))
		b.store(b.sector(1), data...)
		b.lock(b.sector(1))
		b.enabled(limitShort, 0x01, b.sr^0x24)
		b.cycle()
		b.check(b.locked(b.sector(1)) && !b.locked(b.sector(2)), "the lock bits are others")
		b.check(b.sr05() == b.sr^0x24, "05 reads another value")
		b.same("the array", b.load(b.sector(1), 32), data)
	}},
	{Name: "power-off wakes from deep power-down", Section: "2.3", needs: supply, run: func(b *bench) {
		b.witness()
		b.pause(afterAsleep, 0xB9)
		b.cycle()
		b.same("the ID", b.read(20, 0x9F), b.id)
	}},
	{Name: "whether FF in a frame of its own ends quad protocol", Section: "2.3", needs: supply | full, run: func(b *bench) {
		b.pause(afterReset, 0x35)
		// One wire is not enough to ask anything: what is answered is not the ID, or 35 was not taken.
		id, n := b.read(20, 0x9F), 0
		for _, size := range []int{1, 5} {
			b.pause(afterReset, bytes.Repeat([]byte{0xFF}, size)...)
			if n == 0 && bytes.Equal(b.read(20, 0x9F), b.id) {
				n = size
			}
		}
		switch {
		case bytes.Equal(id, b.id):
			b.observe(false, "35 is not taken")
		case n != 0:
			b.observe(!slices.Contains(b.part.Rescue, n), "one of %d bytes does", n)
		default:
			b.observe(len(b.part.Rescue) > 0, "none of 1 and of 5 bytes does")
		}
		b.cycle()
		b.same("the ID behind power-up", b.read(20, 0x9F), b.id)
	}},
	{Name: "power-off in an erase harms its unit only", Section: "12", Destructive: true, needs: area | supply, run: func(b *bench) {
		data := pattern(32, 16)
		for _, i := range []int{0, 2} {
			b.blank(b.sector(i))
		}
		for off := 0; off < sector; off += 4 << 10 {
			b.store(b.sector(0)+off, data...)
			b.store(b.sector(2)+off, data...)
		}
		b.witness()
		b.erasing()
		b.cycle()
		b.status("behind power-up", 0, 0)
		for off := 0; off < sector; off += 4 << 10 {
			b.same("what lies before", b.load(b.sector(0)+off, 32), data)
			b.same("what lies behind", b.load(b.sector(2)+off, 32), data)
		}
		over := blank(b.load(b.sector(1), sector))
		b.open(b.sector(1))
		b.enabled(limitErase, to(0xD8, 0xDC, b.sector(1))...)
		b.isBlank(b.sector(1), sector)
		if over {
			b.skipf("the erase was over before the supply was off")
		}
	}},
}
