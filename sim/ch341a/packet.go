package ch341a

import "time"

// The first byte of a packet, fact sheet 2.2.
const (
	opSPI = 0xA8
	opI2C = 0xAA
	opUIO = 0xAB
)

// The bytes of a pin stream; the upper two bits tell the kind.
const (
	uioSample = 0x00
	uioEnd    = 0x20
	uioDir    = 0x40
	uioOut    = 0x80
	uioDelay  = 0xC0
)

// The bytes of an I2C stream; the upper four bits tell the kind.
const (
	i2cEnd        = 0x00
	i2cMicros     = 0x40
	i2cMillis     = 0x50
	i2cSpeed      = 0x60
	i2cStartStop  = 0x70
	speedTwoPairs = 0x04
)

// wantsRoom says that the next byte of the packet under way gives an answer.
func (d *Device) wantsRoom() bool {
	e := &d.engine
	switch e.packet.data[0] {
	case opSPI:
		return e.packet.n > 1
	case opUIO:
		return e.at > 0 && !e.ended && e.packet.data[e.at] == uioSample
	}
	return false
}

// execute does the next piece of the packet under way: its first byte, a byte of a stream, or SPI bytes.
func (d *Device) execute() {
	e := &d.engine
	op, n := e.packet.data[0], 1
	rest := e.packet.data[e.at:e.packet.n]
	switch {
	case e.at == 0:
		e.ended = op != opSPI && op != opI2C && op != opUIO
	case e.ended:
		n = d.allowed(len(rest))
	case op == opSPI:
		n = d.allowed(len(rest))
		d.timeTarget()
		a := &e.answer
		d.pins.shift(a.data[a.n:a.n+n], rest[:n])
		a.n += n
		d.spend(time.Duration(n) * d.byteTime)
	case op == opI2C:
		d.i2c(rest[0])
	default:
		d.timeTarget()
		d.uio(rest[0])
	}
	e.at += n
	e.executed += n
}

// uio is a byte of a pin stream.
func (d *Device) uio(b byte) {
	p := &d.pins
	d.spend(uioTime)
	switch {
	case b >= uioDelay:
		d.spend(time.Duration(b&^uioDelay) * time.Microsecond)
	case b >= uioOut:
		p.drive(b, p.dir)
	case b >= uioDir:
		p.drive(p.level, b)
	case b == uioEnd:
		d.engine.ended = true
	case b == uioSample:
		v := p.sample()
		if d.opts.InputsOnly {
			v &^= p.dir
		}
		a := &d.engine.answer
		a.data[a.n] = v
		if a.n++; d.opts.SampleAlone {
			d.deliver()
		}
	}
}

// i2c is a byte of an I2C stream.
func (d *Device) i2c(b byte) {
	switch {
	case b == i2cEnd || b >= i2cStartStop:
		d.engine.ended = true
	case b >= i2cSpeed:
		d.pins.twoPairs = b&speedTwoPairs != 0
	case b >= i2cMillis:
		d.spend(time.Duration(b&0x0F) * time.Millisecond)
	case b >= i2cMicros:
		d.spend(time.Duration(b&0x0F) * time.Microsecond)
	}
}
