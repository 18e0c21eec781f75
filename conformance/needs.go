package conformance

import "fmt"

// need is what a case cannot do without.
type need int

const (
	area     need = 1 << iota // an Area to write to
	low                       // an Area that three address bytes reach
	locks                     // lock bits that may be set, and taken back by E4
	unlocked                  // no nonvolatile lock bit set
	full                      // Options.Full
	whole                     // an Area that is the whole chip
	supply                    // Options.Power
	nvcr                      // Options.NVCR
	wide                      // a part that needs four address bytes
	standard                  // a part without monotonic counters
	counters                  // a part with them
	single                    // a part of one die
	stacked                   // a part of several
	hasOTP
	hasCRC
	has5C
	factory // NVCR as it left the factory
)

// unmet says why a case cannot be tried, or nothing, and whether lock bits or block protection that were found are why.
func (b *bench) unmet(n need) (why string, locked bool) {
	p, o := b.part, b.opt
	for _, row := range []struct {
		n   need
		bad bool
		why string
	}{
		{wide, p.AddressBytes < 4, "the part needs three address bytes only"},
		{standard, p.RPMC, "not on parts with monotonic counters"},
		{counters, !p.RPMC, "only on parts with monotonic counters"},
		{single, p.Dies > 1, "only on parts of one die"},
		{stacked, p.Dies == 1, "only on parts of several dies"},
		{hasOTP, p.OTPSize == 0, "the part has no one-time-programmable area"},
		{hasCRC, p.CRC == nil, "the part has no CRC check"},
		{has5C, !p.Erase5C, "the part has no 5C"},
		{area, o.Area.Size == 0, "nothing may be destroyed"},
		{area, b.sr&bp != 0, fmt.Sprintf("block protection is on: the status register was %02X", b.sr)},
		{area, b.sr != 0, fmt.Sprintf("no block is protected, but the status register was %02X, and W# may hold SRWD", b.sr)},
		{area, b.shut >= 0, fmt.Sprintf("a lock bit of the area is set, at %08X", b.shut)},
		{low, o.Area.Addr+4*sector > 1<<24, "the area is beyond three address bytes"},
		{full, !o.Full, "only in a full run"},
		{whole, o.Area.Size != p.Size, "the whole chip would have to be free to be destroyed"},
		{supply, o.Power == nil, "the supply cannot be switched"},
		{nvcr, !o.NVCR, "NVCR may not be written"},
		{factory, b.nvcr[0] != 0xFF || b.nvcr[1] != 0xFF, "NVCR is not FFFF, and with it the state after power-up"},
		{locks, b.held != "", b.held},
		{unlocked, b.mark >= 0, b.markedSet()},
	} {
		if n&row.n != 0 && row.bad {
			return row.why, row.n == area && o.Area.Size > 0 || row.n == unlocked || row.n == locks && b.held == b.markedSet()
		}
	}
	return "", false
}

func (b *bench) markedSet() string { return fmt.Sprintf("a lock bit is set, at %08X", b.mark) }

const stackedLocks = "whether E4 reaches all dies of the part is not known"

// lockable says why lock bits may not be set on this chip, or nothing: what cannot be taken back is not done.
func (b *bench) lockable() string {
	if b.part.Dies > 1 && !b.part.StackedProtection {
		return stackedLocks
	}
	if spr := b.read(2, 0x2D); spr[0] != 0xFF || spr[1] != 0xFF {
		return fmt.Sprintf("the sector protection register is %02X%02X", spr[1], spr[0])
	}
	if b.byte(0xA7)&1 == 0 {
		return "the chip is frozen"
	}
	if b.mark >= 0 {
		return b.markedSet()
	}
	return ""
}

// marked is the first sector from one address to another whose nonvolatile lock bit is set, or -1.
func (b *bench) marked(from, to int) int {
	const many = 256 // in one Do
	for at := from; at < to; at += many * sector {
		var all []look
		for a := at; a < min(at+many*sector, to); a += sector {
			all = append(all, in(1, wide4(0xE2, a)...))
		}
		b.batch(all...)
		for i, l := range all {
			if l[0].In[0]&b.part.NVLBMask == 0 && !b.ended && b.err == nil {
				return at + i*sector
			}
		}
	}
	return -1
}
