package ftdi

import "math/bits"

// Bits of the low pin byte.
const (
	pinSK    = 0x01
	pinDO    = 0x02
	pinDI    = 0x04
	pinCS    = 0x08
	pinGPIO1 = 0x20 // GPIOL1, what the wait commands look at
	pinGPIO3 = 0x80 // GPIOL3, the reset line
)

// Bits of a data command's opcode, 10..3F.
const (
	opOutFalling = 0x01 // DO moves on the falling edge
	opBits       = 0x02 // bits, not bytes
	opInFalling  = 0x04 // DI is sampled on the falling edge
	opLSB        = 0x08 // least significant bit first
	opOut        = 0x10
	opIn         = 0x20
)

// pins are the sixteen pins of a channel and who hangs on them.
type pins struct {
	target     Target
	timed      Timed      // the target, where it is one
	reset      Resettable // likewise
	heard      bool       // the target heard the falling edge of the chip select that is low now
	low, high  byte       // levels as driven, where an output
	lowDir     byte       // 1 = output
	highDir    byte
	do, di     bool // levels of DO as last moved and of DI as last sampled
	loopback   bool
	out        [chunk]byte // what DO really shows to the target
	still      int         // as many bytes of out are its level without data
	stillLevel byte
	bitsBefore byte // shift register of the bit-wise reads
}

// chunk is the most bytes that are clocked at once.
const chunk = 1024

// setLow drives the low byte (80): chip-select edges, a clock edge where SK is moved by hand, and the reset line.
func (p *pins) setLow(value, dir byte) {
	wasCS, wasSK := p.cs(), p.sk()
	do := p.do
	p.low, p.lowDir = value, dir
	p.do = value&pinDO != 0
	p.tellDriven()
	switch {
	case !wasCS && p.cs():
		if p.heard {
			p.target.Deselect()
		}
		p.heard, p.di = false, true
	case wasCS && !p.cs():
		if p.heard = p.target != nil; p.heard {
			p.target.Select()
		}
		p.di = true
	case !wasSK && p.sk() && p.heard:
		p.di = p.target.ShiftBits(level(do || p.lowDir&pinDO == 0), 1)&1 != 0
	}
}

// tellDriven tells a target with a reset line who drives what.
func (p *pins) tellDriven() {
	if p.reset != nil {
		out := p.lowDir&pinGPIO3 != 0
		p.reset.Drives(out && p.low&pinGPIO3 == 0, out && p.low&pinGPIO3 != 0, p.lowDir&(pinSK|pinDO|pinCS) != 0)
	}
}

func (p *pins) cs() bool { return p.lowDir&pinCS == 0 || p.low&pinCS != 0 }
func (p *pins) sk() bool { return p.lowDir&pinSK != 0 && p.low&pinSK != 0 }

// readLow returns the levels of the low byte (81). Inputs float high, but for DI, which shows the last bit sampled.
func (p *pins) readLow() byte {
	v := p.low&p.lowDir | ^p.lowDir
	if p.lowDir&pinDI == 0 && !p.di {
		v &^= pinDI
	}
	if p.lowDir&pinDO != 0 {
		v = v&^pinDO | level(p.do)&pinDO
	}
	return v
}

func (p *pins) readHigh() byte { return p.high&p.highDir | ^p.highDir }

// level is eight bits of one level.
func level(high bool) byte {
	if high {
		return 0xFF
	}
	return 0
}

// bytes clocks n bytes for a data command, or for none with op 0. out is nil unless op has opOut, in unless opIn.
func (p *pins) bytes(op byte, n int, out, in []byte) {
	if op == 0 && !p.heard {
		return
	}
	wire := p.wire(op, n, out)
	switch {
	case !p.heard || p.lowDir&pinSK == 0:
		fill(in, 0xFF)
	case in == nil:
		p.target.Shift(wire, nil)
	default:
		p.target.Shift(wire, in)
	}
	if in == nil {
		return
	}
	if p.loopback {
		copy(in, wire)
	} else if op&opInFalling != 0 || p.sk() {
		for i := range in {
			in[i] = in[i]<<1 | 1
		}
	}
	p.di = in[n-1]&1 != 0
	if op&opLSB != 0 {
		reverse(in, in)
	}
	p.bitsBefore = in[n-1]
}

// wire returns what the target samples on DO while n bytes are clocked, most significant bit first.
func (p *pins) wire(op byte, n int, out []byte) []byte {
	wire := p.out[:n]
	if op&opOut == 0 {
		if l := level(p.do || p.lowDir&pinDO == 0); p.still < n || p.stillLevel != l {
			fill(wire, l)
			p.still, p.stillLevel = n, l
		}
		return wire
	}
	p.still = 0
	if op&opLSB != 0 {
		reverse(wire, out)
	} else {
		copy(wire, out)
	}
	before := level(p.do)
	p.do = wire[n-1]&1 != 0
	if p.late(op) {
		for i, b := range wire {
			wire[i] = before<<7 | b>>1
			before = b
		}
	}
	if p.lowDir&pinDO == 0 {
		fill(wire, 0xFF)
	}
	return wire
}

// late says that DO moves with the edge on which the target samples it, so that it samples the bit before.
func (p *pins) late(op byte) bool { return op&opOutFalling == 0 || p.sk() }

// bits clocks n bits (1..8) for a data command, or for none with op 0, and returns the shift register for the host.
func (p *pins) bits(op byte, n int, out byte) byte {
	wire := level(p.do)
	if op&opOut != 0 {
		wire = out
		if op&opLSB != 0 {
			wire = bits.Reverse8(out)
		}
		before := p.do
		p.do = wire>>(8-n)&1 != 0
		if p.late(op) {
			wire = level(before)<<7 | wire>>1
		}
	}
	if p.lowDir&pinDO == 0 {
		wire = 0xFF
	}
	in := byte(1<<n - 1)
	if p.heard && p.lowDir&pinSK != 0 {
		in &= p.target.ShiftBits(wire, n)
	}
	if op&opIn == 0 {
		return 0
	}
	if p.loopback {
		in = wire >> (8 - n)
	} else if op&opInFalling != 0 || p.sk() {
		in = in<<1&(1<<n-1) | 1
	}
	p.di = in&1 != 0
	if op&opLSB != 0 {
		p.bitsBefore = p.bitsBefore>>n | bits.Reverse8(in)&^(0xFF>>n)
	} else {
		p.bitsBefore = p.bitsBefore<<n | in
	}
	return p.bitsBefore
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

func reverse(dst, src []byte) {
	for i, b := range src {
		dst[i] = bits.Reverse8(b)
	}
}
