package conformance

import (
	"bytes"

	"station/spi"
)

// PowerCycles is how often at most a run takes the supply away, where the chip keeps to the statements and loses its supply each time.
func PowerCycles(p Part, o Options) (n int) {
	fresh := &bench{part: p, opt: o, nvcr: []byte{0xFF, 0xFF}, mark: -1, shut: -1}
	if p.Dies > 1 && !p.StackedProtection {
		fresh.held = stackedLocks
	}
	for _, c := range Cases() {
		if why, _ := fresh.unmet(c.needs); c.needs&supply != 0 && why == "" {
			n++
		}
	}
	return n
}

// cycle takes the supply away and gives it back. Where the volatile state tells that the chip was not without (somebody pressed Enter and
// reseated nothing), the case ends, and proves nothing. The witnesses are the write enable latch, the ID, which a busy chip does not answer and
// neither does one in another protocol or asleep, and, where a case set it, VCR.
func (b *bench) cycle() {
	if b.ended || b.err != nil {
		return
	}
	b.send(0x06) // not taken while busy or asleep
	awake := false
	for tries := range 3 {
		b.switchOff()
		if awake = bytes.Equal(b.read(20, 0x9F), b.id); awake {
			break
		}
		b.pause(afterWake, 0xAB)
		if tries == 2 || bytes.Equal(b.read(20, 0x9F), b.id) || b.stuck(b.each(0x05)) || b.err != nil {
			break
		}
		b.again() // out of another protocol nothing else leads
	}
	if !bytes.Equal(b.read(20, 0x9F), b.id) || b.sr05()&wel != 0 || b.vcr != 0 && b.byte(0x85) == b.vcr {
		b.skipf("the chip was not without supply")
		b.kept = b.err == nil
	}
	b.check(awake, "the ID is not answered behind power-up, but is behind AB")
}

// again tells that the supply has to be switched once more.
func (b *bench) again() {
	if b.opt.Kept != nil {
		b.opt.Kept()
	}
}

// witness changes VCR, where the latch cannot tell of power-off.
func (b *bench) witness() {
	b.vcr = b.byte(0x85) ^ 0x10
	b.enabled(limitShort, 0x81, b.vcr)
}

// switchOff has the supply switched off and on. Nothing but the end of Run's ctx ends a person's time for it.
func (b *bench) switchOff() {
	for _, on := range []bool{false, true} {
		if b.ended || b.err != nil {
			return
		}
		b.err = b.opt.Power(b.run, on)
	}
	b.frames(spi.Frame{Idle: afterPower})
}
