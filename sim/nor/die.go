package nor

// Stacked parts, section 8: up to four dies behind one set of pins. Each has a flag status register of its own, and each frame
// of 70 tells that of the next die in turn. All other registers are one set (assumed).

const maxDies = 4

func (p part) dieSize() uint32 { return p.size / uint32(p.dies) }

// turns are the dies that the next frames of 05 and 70 tell of. They start with the first at power-up and reset, and when
// the board file is opened.
type turns struct{ status, flags int }

// nextDie is the end of a frame.
func (c *Chip) nextDie(f *frame) {
	switch {
	case f.cmd == nil:
	case f.op == 0x05:
		c.turns.status = (c.turns.status + 1) % c.part.dies
	case f.op == 0x70:
		c.turns.flags = (c.turns.flags + 1) % c.part.dies
	}
}

// concerns tells whether a die is one of those that carry an operation out, or refuse it.
func (c *Chip) concerns(op operation, die int) bool {
	switch op.kind {
	case program, erase:
		return int(op.addr/c.part.dieSize()) == die
	case lockSector, lockedSector:
		return int(op.n<<16/c.part.dieSize()) == die
	case unlockAll, programSPR, programPassword, comparePassword:
		return die == 0 || !c.opts.FirstDieProtection
	}
	return true
}

// raise sets error bits in the flag status of the dies that an operation concerns.
func (c *Chip) raise(bits byte, op operation) {
	for die := range c.part.dies {
		if c.concerns(op, die) {
			c.st.errors[die] |= bits
		}
	}
}
