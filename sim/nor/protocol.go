package nor

// Protocols other than single-bit SPI, sections 2.3 and 5. Bits 7 to 5 of the enhanced volatile configuration register say which is
// on (0: quad, dual, DTR), bit 3 of the volatile one XIP (0: on).

const (
	evcrQuad = 0x80
	evcrDual = 0x40
	evcrDTR  = 0x20
	vcrXIP   = 0x08
)

// oneWire tells whether the chip listens to single-bit SPI at all. In any other protocol it takes and drives nothing there: F5, which
// ends quad protocol, and AF are commands of four wires.
func (s *state) oneWire() bool {
	const single = evcrQuad | evcrDual | evcrDTR
	return s.evcr&single == single && s.vcr&vcrXIP != 0
}

// enterQuad is 35. It needs no write enable (from memory), and shows in the register (assumed).
func (c *Chip) enterQuad(*frame) { c.st.evcr &^= evcrQuad }

// rescued is the interface rescue (from memory): 8 clocks in a frame of their own with DQ0 high, as are DQ2 and DQ3, which have
// pull-ups, bring a chip in quad or dual protocol back to single-bit SPI, until the next boot. Out of XIP another sequence leads, of
// frames that are no whole bytes: not modelled.
func (c *Chip) rescued(f *frame) bool {
	s := &c.st
	if f.n != 1 || f.bits != 0 || f.op != 0xFF || c.opts.NoRescue || c.isDeaf() ||
		s.evcr&(evcrQuad|evcrDual) == evcrQuad|evcrDual {
		return false
	}
	s.evcr |= evcrQuad | evcrDual
	return true
}
