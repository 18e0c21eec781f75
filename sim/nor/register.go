package nor

// Status register, section 3.
const (
	srWIP      = 0x01
	srWEL      = 0x02
	srTB       = 0x20
	srBP3      = 0x40
	srRetained = 0xFC // SRWD, BP3, TB, BP2..0
)

// Flag status register, section 4.
const (
	fsrReady          = 0x80
	fsrEraseSuspend   = 0x40
	fsrErase          = 0x20
	fsrProgram        = 0x10
	fsrProgramSuspend = 0x04
	fsrProtection     = 0x02
	fsrFourByte       = 0x01
)

// idByte answers 9F: six id bytes and the UID, FF behind them.
func (c *Chip) idByte(i int) byte {
	switch {
	case i < len(c.opts.Faults.ID) && i < 20:
		return c.opts.Faults.ID[i]
	case i < 6:
		return c.part.id[i]
	case i < 20:
		return c.uid[i-6]
	}
	return 0xFF
}

func (c *Chip) statusByte(int) byte {
	c.settle()
	v := c.st.sr
	if c.st.wel {
		v |= srWEL
	}
	if c.st.busy() && (!c.opts.DieWIP || c.concerns(c.st.op, c.turns.status)) {
		v |= srWIP
	}
	return v
}

// flagByte is 70, of the die in turn. Bit 0 is the whole part's.
func (c *Chip) flagByte(int) byte {
	c.settle()
	v := c.st.errors[c.turns.flags] | fsrReady
	if c.st.running && c.concerns(c.st.op, c.turns.flags) {
		switch {
		case !c.st.suspended:
			v &^= fsrReady
		case c.st.op.kind == erase:
			v |= fsrEraseSuspend
		default:
			v |= fsrProgramSuspend
		}
	}
	if c.st.fourByte {
		v |= fsrFourByte
	}
	return v
}

// reset is 99, directly after 66. It does not reach a chip that is busy.
func (c *Chip) reset(*frame) {
	if !c.st.armed {
		return
	}
	torn := c.st.running // suspended
	c.tear()
	c.boot()
	if torn {
		c.deafFor(recovery)
	}
}

// wake is AB. On a chip that is awake it does nothing.
func (c *Chip) wake(*frame) {
	if c.st.asleep {
		c.st.asleep = false
		c.deafFor(wakeUp)
	}
}
