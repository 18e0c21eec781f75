package nor

import "time"

// state is everything that a chip is besides its array: what the board file keeps.
type state struct {
	seq uint64 // of the slot that holds it

	powered   bool
	asleep    bool // deep power-down
	armed     bool // 66 was the last command
	wel       bool
	fourByte  bool
	running   bool // op has begun and not ended
	suspended bool
	gfb       bool // false: frozen

	errors [maxDies]byte // flag status bits 5, 4, 1 of each die
	sr     byte          // the nonvolatile bits of the status register
	nvcr   uint16
	vcr    byte
	evcr   byte
	ear    byte
	spr    uint16

	password [8]byte // as on the wire
	rpmc     rpmc    // blank on standard parts
	acrtm    acrtm   // likewise, but for the power-on counter
	otp      [otpSize]byte
	gprr     uint64 // what 96 tells on standard parts
	powerUps uint64

	nvlb []byte // one bit a sector, 1 locked
	vlb  []byte // two bits a cell: bit 0 write lock, bit 1 lock-down

	ready  time.Time     // when op ends, while running
	left   time.Duration // what is left of op, while suspended
	deaf   time.Time     // until then nothing is taken or answered
	op     operation
	counts [slotCounters]uint64 // in the order of counted
}

// kind of a self-timed operation. The values are those of the board file.
type kind byte

const (
	nothing      kind = 0
	program      kind = 1 // data ANDed into the page at addr
	erase        kind = 2 // n bytes from addr on to FF
	writeSR      kind = 3 // value
	writeNVCR    kind = 4 // value
	programSPR   kind = 5 // value
	lockSector   kind = 6 // n is the sector
	unlockAll    kind = 7
	lockedSector kind = 8 // E3 on a locked sector: ends quickly, changes nothing

	programPassword kind = 9  // data[:8]
	comparePassword kind = 10 // data[:8]
	packet          kind = 11 // RPMC: data[:n], opcode included
	programOTP      kind = 12 // data[:65] ANDed in
	checkCRC        kind = 13 // of n bytes from addr on; data[:8] is what is expected, low byte first

	// Blocks of ACRTM that were found good; of a measurement, and of a bad one, only the time passes.
	signedRead    kind = 14
	signedWrite   kind = 15 // as program
	signedErase   kind = 16 // as erase
	signedProtect kind = 17 // n bytes from addr on
)

// enabled tells whether the operation began with write enable: its end then clears WEL.
func (k kind) enabled() bool { return k != comparePassword && k != packet && k < checkCRC }

// erases tells whether a failure of the operation is an erase failure (flag status bit 5, not 4).
func (k kind) erases() bool { return k == erase || k == unlockAll }

// operation is one self-timed operation. Once it has ended it stays in the state as a redo record: applying
// it to the array again changes nothing.
type operation struct {
	kind  kind
	addr  uint32
	n     uint32
	value uint16
	data  [256]byte
}

// cells of volatile locks: one a sector, and 16 in the first and in the last, one for each 4 KiB.
func (p part) vlbCells() int { return p.sectors() + 30 }

// vlbCell numbers the volatile lock that covers addr.
func (c *Chip) vlbCell(addr uint32) int {
	s, last := int(addr>>16), c.part.sectors()-1
	sub := int(addr >> 12 & 15)
	if c.opts.WholeSectorVLB {
		sub = 0
	}
	switch s {
	case 0:
		return sub
	case last:
		return 15 + last + sub
	}
	return 15 + s
}

func blankState(p part) state {
	return state{
		powered: true, nvcr: 0xFFFF, spr: sprFree, otp: blankOTP, acrtm: acrtm{powerOn: 1},
		nvlb: make([]byte, (p.sectors()+7)/8),
		vlb:  make([]byte, (p.vlbCells()+3)/4),
	}
}

func (s *state) nvLocked(sector int) bool { return s.nvlb[sector/8]>>(sector%8)&1 != 0 }

func (s *state) vlbAt(cell int) byte { return s.vlb[cell/4] >> (cell % 4 * 2) & 3 }

func (s *state) setVLB(cell int, v byte) {
	shift := cell % 4 * 2
	s.vlb[cell/4] = s.vlb[cell/4]&^(3<<shift) | v&3<<shift
}

// busy is the inverse of flag status bit 7.
func (s *state) busy() bool { return s.running && !s.suspended }

// boot loads the volatile state from the nonvolatile, as power-up and reset do (the fields of NVCR in section 5;
// that flag status errors clear is from memory). No operation is in progress.
func (c *Chip) boot() {
	s := &c.st
	s.asleep, s.armed, s.wel, s.errors, s.ear, s.gprr = false, false, false, [maxDies]byte{}, 0, 0
	c.turns = turns{}
	if s.nvcr&2 == 0 {
		s.ear = byte((c.part.size - 1) >> 24) // the upper 128 Mb segment
	}
	s.running, s.suspended, s.deaf = false, false, time.Time{}
	s.fourByte = s.nvcr&1 == 0
	clear(s.vlb)
	if c.part.secure && c.opts.LockedAtBoot {
		for cell := range c.part.vlbCells() {
			s.setVLB(cell, 1)
		}
	}
	s.rpmc.boot()
	s.acrtm.boot()
	s.gfb = !s.passwordMode() // only a password opens the freeze in password mode

	s.vcr = byte(s.nvcr>>12)<<4 | 3
	if s.nvcr>>9&7 == 7 {
		s.vcr |= 8 // XIP off
	}
	s.evcr = byte(s.nvcr>>3&1)<<7 | byte(s.nvcr>>2&1)<<6 | byte(s.nvcr>>5&1)<<5 | byte(s.nvcr>>4&1)<<4 |
		8 | byte(s.nvcr>>6&7)
}
