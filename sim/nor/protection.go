package nor

// Sector protection register, section 6.1.
const (
	sprPersistent = 1 << 1 // 0: password mode never
	sprPassword   = 1 << 2 // 0: password mode for ever
	sprFree       = 0xFFFF // as from the factory
)

// protected tells whether any byte of addr..addr+n-1 refuses plain programs and erases. The range does not pass the end of the array.
func (c *Chip) protected(addr, n uint32) bool { return c.inRange(addr, n) || c.locked(addr, n) }

// locked tells whether any byte of it is locked, section 6.7.
func (c *Chip) locked(addr, n uint32) bool {
	if c.blockProtected(addr, n) {
		return true
	}
	if c.opts.Faults.IgnoreLocks {
		return false
	}
	for s := int(addr >> 16); s <= int((addr+n-1)>>16); s++ {
		if c.st.nvLocked(s) {
			return true
		}
	}
	for i, last := c.vlbCell(addr), c.vlbCell(addr+n-1); i <= last; i++ {
		if c.st.vlbAt(i)&1 != 0 {
			return true
		}
	}
	return false
}

// blockProtected is the status register's part of it, section 3: BP = n protects 2^(n-1) sectors of the top,
// or of the bottom with TB.
func (c *Chip) blockProtected(addr, n uint32) bool {
	bp := c.bp()
	if bp == 0 {
		return false
	}
	sectors := min(1<<(bp-1), c.part.sectors())
	size := uint32(sectors) << 16
	if c.st.sr&srTB != 0 {
		return addr < size
	}
	return addr+n > c.part.size-size
}

func (c *Chip) bp() int {
	bp := int(c.st.sr >> 2 & 7)
	if c.st.sr&srBP3 != 0 {
		bp |= 8
	}
	return bp
}

// programSPR is 2C. One of the two bits may be cleared, once; anything else that would clear one is
// refused (assumed: flag status bit 4, WEL stays). The reserved bits stay 1.
func (c *Chip) programSPR(f *frame) {
	v := word(f) | ^uint16(sprPersistent|sprPassword)
	op := operation{kind: programSPR, value: v}
	if v != sprFree && (c.st.spr != sprFree || v == sprFree&^(sprPersistent|sprPassword)) {
		c.raise(fsrProgram, op)
		return
	}
	c.start(op, c.part.times.programSPR)
}

// sprByte is 2D, low byte first.
func (c *Chip) sprByte(i int) byte {
	if c.opts.Faults.SPRReadsFFFF {
		return 0xFF
	}
	return lowFirst(c.st.spr, i)
}

func (c *Chip) vlbByte(int) byte { return c.st.vlbAt(c.vlbCell(c.wire.at)) }

// writeVLB is E5 and E1, immediate. A cell that is locked down does not take it (assumed: WEL stays).
func (c *Chip) writeVLB(f *frame) {
	cell := c.vlbCell(f.at)
	if c.st.vlbAt(cell)&2 != 0 {
		if c.opts.LockedDownRaises {
			c.raise(fsrProgram|fsrProtection, operation{kind: program, addr: f.at})
		}
		return
	}
	c.st.setVLB(cell, f.data[0])
	c.st.wel = false
}

// nvlbByte is E2: only bit 0 is certain, 0 is locked. Address bits above the array must be 0; with others
// nothing is driven.
func (c *Chip) nvlbByte(int) byte {
	switch {
	case c.wire.addr >= c.part.size:
		return 0xFF
	case c.st.nvLocked(int(c.wire.addr >> 16)):
		return 0x00
	case c.opts.UnlockedReads01:
		return 0x01
	}
	return 0xFF
}

// lockSector is E3. With address bits above the array it is ignored.
func (c *Chip) lockSector(f *frame) {
	op := operation{kind: lockSector, n: f.addr >> 16}
	if f.addr >= c.part.size || c.frozen(op, fsrProgram) {
		return
	}
	if c.st.nvLocked(int(op.n)) {
		op.kind = lockedSector
	}
	c.start(op, c.part.times.lock)
}

// unlockAll is E4: all nonvolatile lock bits at once.
func (c *Chip) unlockAll(*frame) {
	op := operation{kind: unlockAll}
	if !c.frozen(op, fsrErase) {
		c.start(op, c.part.times.unlockAll)
	}
}

// unlockable is the lock bits that E4 reaches.
func (c *Chip) unlockable() []byte {
	if c.opts.FirstDieProtection {
		return c.st.nvlb[:c.part.dieSize()>>16/8]
	}
	return c.st.nvlb
}

// frozen refuses E3 and E4 while the global freeze bit is 0.
func (c *Chip) frozen(op operation, flag byte) bool {
	if c.st.gfb || c.opts.FirstDieProtection && !c.concerns(op, 0) {
		return false
	}
	if !c.opts.FrozenSilent {
		c.raise(flag|fsrProtection, op)
	}
	return true
}

// gfbByte is A7: bit 0, 1 is not frozen.
func (c *Chip) gfbByte(int) byte {
	if c.st.gfb {
		return 1
	}
	return 0
}
