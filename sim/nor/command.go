package nor

// command is one row of the datasheet's command table.
type command struct {
	addr  addressing
	dummy int // bytes between address and data; for array reads the volatile configuration may say otherwise
	data  int // bytes that the chip takes, exactly; for page programs at least 1
	wel   bool
	page  bool // page program: 1 byte or more
	free  bool // any number of data: the command judges it
	array bool // answers the array from the address on

	answer func(c *Chip, i int) byte // the i-th byte after head
	run    func(c *Chip, f *frame)   // when chip select rises; nil: the command has no effect
}

// addressing is how many address bytes a command has.
type addressing byte

const (
	none    addressing = 0
	three   addressing = 3 // always
	four    addressing = 4 // always
	current addressing = 1 // 3, or 4 in 4-byte mode
)

// complete tells whether n bytes after address and dummy clocks make the command whole.
func (m *command) complete(n int) bool {
	if m.page {
		return n >= 1
	}
	return m.free || n == m.data
}

// commands is the command table of section 2 as far as the package comment names it. Lengths are exact: a command
// that is longer or shorter does nothing; 9B judges its own. Some parts lack some of them.
var commands = [256]*command{
	0x9F: {answer: (*Chip).idByte},
	0x9E: {answer: (*Chip).idByte},
	0x5A: {addr: three, dummy: 1, answer: func(c *Chip, i int) byte { return c.part.sfdpByte(int(c.wire.addr&0xFFFFFF) + i) }},
	0x66: {run: func(c *Chip, _ *frame) { c.st.armed = true }},
	0x99: {run: (*Chip).reset},
	0xB9: {run: func(c *Chip, _ *frame) { c.st.asleep = true }},
	0xAB: {run: (*Chip).wake},

	0x03: {addr: current, array: true},
	0x13: {addr: four, array: true},
	0x0B: {addr: current, dummy: 1, array: true},
	0x0C: {addr: four, dummy: 1, array: true},
	0x4B: {addr: current, dummy: 1, answer: (*Chip).otpByte},

	0x02: {addr: current, wel: true, page: true, run: (*Chip).runProgram},
	0x12: {addr: four, wel: true, page: true, run: (*Chip).runProgram},
	0x20: {addr: current, wel: true, run: eraseOf(4 << 10)},
	0x21: {addr: four, wel: true, run: eraseOf(4 << 10)},
	0x52: {addr: current, wel: true, run: eraseOf(32 << 10)},
	0x5C: {addr: four, wel: true, run: eraseOf(32 << 10)},
	0xD8: {addr: current, wel: true, run: eraseOf(64 << 10)},
	0xDC: {addr: four, wel: true, run: eraseOf(64 << 10)},
	0xC7: {wel: true, run: (*Chip).runDieErase},
	0x60: {wel: true, run: (*Chip).runDieErase},
	0xC4: {addr: current, wel: true, run: (*Chip).runDieErase},
	0x42: {addr: current, wel: true, page: true, run: (*Chip).runProgramOTP},
	0x75: {run: (*Chip).suspend},
	0x7A: {run: (*Chip).resume},

	0x06: {run: func(c *Chip, _ *frame) { c.st.wel = true }},
	0x04: {run: func(c *Chip, _ *frame) { c.st.wel = false }},
	0x05: {answer: (*Chip).statusByte},
	0x70: {answer: (*Chip).flagByte},
	0x50: {run: func(c *Chip, _ *frame) { c.st.errors = [maxDies]byte{} }},
	0x01: {data: 1, wel: true, run: func(c *Chip, f *frame) {
		c.start(operation{kind: writeSR, value: uint16(f.data[0])}, c.part.times.writeSR)
	}},
	0xB5: {answer: func(c *Chip, i int) byte { return lowFirst(c.st.nvcr, i) }},
	0xB1: {data: 2, wel: true, run: func(c *Chip, f *frame) {
		c.start(operation{kind: writeNVCR, value: word(f)}, c.part.times.writeNVCR)
	}},
	0x85: {answer: func(c *Chip, _ int) byte { return c.st.vcr }},
	0x81: {data: 1, wel: true, run: func(c *Chip, f *frame) { c.st.vcr, c.st.wel = f.data[0]&^4, false }},
	0x65: {answer: func(c *Chip, _ int) byte { return c.st.evcr }},
	0x61: {data: 1, wel: true, run: func(c *Chip, f *frame) { c.st.evcr, c.st.wel = f.data[0], false }},
	0xC8: {answer: func(c *Chip, _ int) byte { return c.st.ear }},
	0xC5: {data: 1, wel: true, run: func(c *Chip, f *frame) {
		c.st.ear, c.st.wel = f.data[0]&byte((c.part.size-1)>>24), false
	}},
	0xB7: {wel: true, run: func(c *Chip, _ *frame) { c.st.fourByte, c.st.wel = true, false }},
	0x35: {run: (*Chip).enterQuad},
	0xE9: {wel: true, run: func(c *Chip, _ *frame) { c.st.fourByte, c.st.wel = false, false }},

	0x2D: {answer: (*Chip).sprByte},
	0x2C: {data: 2, wel: true, run: (*Chip).programSPR},
	0xE8: {addr: current, answer: (*Chip).vlbByte},
	0xE0: {addr: four, answer: (*Chip).vlbByte},
	0xE5: {addr: current, data: 1, wel: true, run: (*Chip).writeVLB},
	0xE1: {addr: four, data: 1, wel: true, run: (*Chip).writeVLB},
	0xE2: {addr: four, answer: (*Chip).nvlbByte},
	0xE3: {addr: four, wel: true, run: (*Chip).lockSector},
	0xE4: {wel: true, run: (*Chip).unlockAll},
	0xA7: {answer: (*Chip).gfbByte},
	0xA6: {wel: true, run: func(c *Chip, _ *frame) { c.st.gfb, c.st.wel = false, false }},
	0x27: {answer: (*Chip).passwordByte},
	0x28: {data: 8, wel: true, run: (*Chip).writePassword},
	0x29: {data: 8, run: (*Chip).unlockPassword},

	0x9B: {free: true, run: func(c *Chip, f *frame) {
		if c.part.rpmc {
			c.runPacket(f)
		} else {
			c.runCRC(f)
		}
	}},
	0x96: {dummy: 1, answer: func(c *Chip, i int) byte {
		if c.part.rpmc {
			return c.rpmcByte(i)
		}
		return c.gprrByte(i)
	}},
}

// has tells whether the part has a command of the table.
func (p part) has(op byte) bool {
	switch op {
	case 0x5C:
		return p.op5C
	case 0xC7, 0x60:
		return p.dies == 1
	case 0xC4:
		return p.dies > 1
	}
	return commands[op] != nil
}

// decode is the opcode: what the chip does not take now it does not take for the whole frame.
func (c *Chip) decode(op byte) {
	c.settle()
	s, f := &c.st, &c.wire
	f.op = op
	switch {
	case !c.part.has(op), c.err != nil, !s.powered, !s.oneWire(), c.isDeaf():
		return
	case s.asleep && op != 0xAB:
		return
	case s.busy() && op != 0x05 && op != 0x70 && op != 0x75 && !(op == 0x96 && c.part.rpmc):
		return
	}
	cmd := commands[op]
	f.cmd = cmd
	n := int(cmd.addr)
	if cmd.addr == current {
		n = 3
		if s.fourByte {
			n = 4
		}
	}
	f.addrEnd = 1 + n
	clocks := 8 * cmd.dummy
	switch set := int(s.vcr >> 4); {
	case cmd.array && cmd.dummy > 0 && set != 0 && set != 15: // 0 and 15 stand for the default
		clocks = set
	case op == 0x96 && c.opts.CRC.NoDummy && !c.part.rpmc:
		clocks = 0
	}
	f.head, f.skew, f.last = f.addrEnd+clocks/8, clocks%8, 0xFF
	if cmd.page {
		for i := range f.data {
			f.data[i] = 0xFF // what is not sent is not programmed
		}
	}
}

// point is where a frame's address points to in the array: 3-byte addresses are extended by the extended
// address register, bits above the array are dropped.
func (c *Chip) point(f *frame) uint32 {
	a := f.addr
	if f.addrEnd == 1+3 {
		a |= uint32(c.st.ear) << 24
	}
	return a & (c.part.size - 1)
}

// word is a 16-bit datum, low byte first.
func word(f *frame) uint16 { return uint16(f.data[0]) | uint16(f.data[1])<<8 }

// lowFirst answers a 16-bit register, low byte first, over and over.
func lowFirst(v uint16, i int) byte { return byte(v >> (i % 2 * 8)) }
