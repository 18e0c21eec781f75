package nor

import "math/rand/v2"

// Rewrite is what 28 does to a password that is not blank any more; public sources leave it open (section 6.6).
type Rewrite int

const (
	// Ands: it clears bits, as programming does, and raises flag status bit 4 where a 0 was to become 1.
	Ands Rewrite = iota
	// Refuses: flag status bit 4, WEL stays, nothing changes.
	Refuses
	// Overwrites: the new password holds.
	Overwrites
)

// blankPassword is the password from the factory: all ones (from memory).
func (c *Chip) blankPassword() [8]byte {
	if c.opts.BlankPassword00 {
		return [8]byte{}
	}
	return [8]byte(ones[:8])
}

// Password is a look behind the pins: the 8 bytes in the order of the wire, least significant first, password mode or not.
func (c *Chip) Password() [8]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.st.password
}

// passwordMode tells whether SPR bit 2 is 0.
func (s *state) passwordMode() bool { return s.spr&sprPassword == 0 }

// passwordByte is 27, section 6.6. In password mode nothing is driven. Behind the 8 bytes there is FF (assumed).
func (c *Chip) passwordByte(i int) byte {
	switch {
	case c.st.passwordMode() && c.opts.UndrivenReads00:
		return 0x00
	case c.st.passwordMode(), c.opts.Faults.PasswordReadsFF, i >= len(c.st.password):
		return 0xFF
	}
	return c.st.password[i]
}

// writePassword is 28. Password mode ignores it: WEL stays, no flag tells.
func (c *Chip) writePassword(f *frame) {
	switch {
	case c.st.passwordMode():
	case c.opts.SecondPassword == Refuses && c.st.password != c.blankPassword():
		c.raise(fsrProgram, operation{kind: programPassword})
	default:
		c.start(passwordOperation(programPassword, f), c.part.times.programPassword)
	}
}

// unlockPassword is 29. It needs no write enable and leaves WEL alone.
func (c *Chip) unlockPassword(f *frame) {
	c.start(passwordOperation(comparePassword, f), c.part.times.comparePassword)
}

func passwordOperation(k kind, f *frame) operation {
	op := operation{kind: k}
	copy(op.data[:8], f.data[:8])
	return op
}

// applyPassword is the end of 28.
func (c *Chip) applyPassword() {
	s := &c.st
	for i, b := range s.op.data[:8] {
		switch {
		case c.opts.SecondPassword == Overwrites:
			s.password[i] = b
			continue
		case c.opts.BlankPassword00: // bits are set
			if s.password[i]&^b != 0 {
				s.errors[0] |= fsrProgram
			}
			s.password[i] |= b
			continue
		}
		if b&^s.password[i] != 0 {
			c.raise(fsrProgram, s.op)
		}
		s.password[i] &= b
	}
	c.count(CountPassword)
}

// tearPassword is 28 without its power: nothing was programmed yet, or all was, or any of the bits that were to
// become 0 are.
func (c *Chip) tearPassword(dice *rand.Rand) {
	if tearBits(c.st.password[:], c.st.op.data[:], dice) {
		c.count(CountPassword)
	}
}

// tearBits programs to into cells as far as a cut lets it, and tells whether a bit changed.
func tearBits(cells, to []byte, dice *rand.Rand) (changed bool) {
	outcome := dice.IntN(4)
	if outcome == 0 {
		return false
	}
	for i := range cells {
		b := to[i]
		if outcome > 1 {
			b |= byte(dice.Uint32()) // some bits are not cleared yet
		}
		changed = changed || cells[i]&^b != 0
		cells[i] &= b
	}
	return changed
}

// applyCompare is the end of 29: the right password opens the freeze in password mode; a wrong one raises flag status
// bit 4, outside password mode too (assumed), and changes nothing else.
func (c *Chip) applyCompare() {
	s := &c.st
	switch {
	case [8]byte(s.op.data[:8]) != s.password:
		c.raise(fsrProgram, s.op)
	case s.passwordMode():
		s.gfb = true
	}
}
