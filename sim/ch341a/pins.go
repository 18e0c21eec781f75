package ch341a

import "math/bits"

// The pins, fact sheet 2.2. D1, D2 and D4 lead nowhere.
const (
	pinCS   = 0x01
	pinSCK  = 0x08
	pinMOSI = 0x20
	pinMISO = 0x80

	outputs = 0x3F // D6 and D7 are inputs
)

// pins are D0..D7 and who hangs on them.
type pins struct {
	target   Target
	timed    Timed           // the target, where it is one
	heard    bool            // the target heard the falling edge of the chip select that is low now
	level    byte            // as driven, where an output
	dir      byte            // 1 = output
	miso     bool            // as last sampled
	twoPairs bool            // SPI with two data pairs is on
	wire     [maxAnswer]byte // of the packet under way
}

// drive sets levels and directions: chip-select edges, and a clock edge where SCK rises.
func (p *pins) drive(level, dir byte) {
	wasCS, wasSCK, mosi := p.high(pinCS), p.high(pinSCK), p.high(pinMOSI)
	p.level, p.dir = level&outputs, dir&outputs
	switch cs := p.high(pinCS); {
	case !wasCS && cs:
		if p.heard {
			p.target.Deselect()
		}
		p.heard, p.miso = false, true
	case wasCS && !cs:
		if p.heard = p.target != nil; p.heard {
			p.target.Select()
		}
		p.miso = true
	case !wasSCK && p.high(pinSCK) && p.heard:
		var out byte
		if mosi {
			out = 0x80
		}
		p.miso = p.target.ShiftBits(out, 1)&1 != 0
	}
}

// high tells the level of one of D0..D5; an input floats high.
func (p *pins) high(pin byte) bool { return p.dir&pin == 0 || p.level&pin != 0 }

// sample returns the levels of D7..D0.
func (p *pins) sample() byte {
	v := p.level | ^p.dir
	if !p.miso {
		v &^= pinMISO
	}
	return v
}

// shift clocks out, each byte least significant bit first, and puts the answer into in likewise.
func (p *pins) shift(in, out []byte) {
	wire := p.wire[:len(out)]
	for i, b := range out {
		wire[i], in[i] = bits.Reverse8(b), 0xFF
		if p.dir&pinMOSI == 0 {
			wire[i] = 0xFF
		}
	}
	n := len(out)
	last := wire[n-1] & 1
	p.level = p.level&^(pinSCK|pinMOSI) | last*pinMOSI
	if p.heard && p.dir&pinSCK != 0 && !p.twoPairs {
		p.target.Shift(wire, in)
	}
	p.miso = in[n-1]&1 != 0
	for i, b := range in {
		in[i] = bits.Reverse8(b)
	}
	clear(wire) // it may have held a secret
}
