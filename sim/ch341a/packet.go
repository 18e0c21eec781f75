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
	switch e.packet[0] {
	case opSPI:
		return len(e.packet) > 1
	case opUIO:
		return e.at > 0 && !e.ended && e.packet[e.at] == uioSample
	}
	return false
}

// execute does the next piece of the packet under way: its first byte, a byte of a stream, or SPI bytes.
func (d *Device) execute() {
	e := &d.engine
	op, n := e.packet[0], 1
	switch {
	case e.at == 0:
		e.ended = op != opSPI && op != opI2C && op != opUIO
	case e.ended:
		n = d.allowed(len(e.packet) - e.at)
	case op == opSPI:
		byteTime := 8 * time.Second / time.Duration(d.opts.Clock)
		n = len(e.packet) - e.at
		if d.real() {
			n = min(n, int(wireChunk/(byteTime+1))+1)
		}
		n = d.allowed(n)
		e.answer = append(e.answer, d.pins.shift(e.packet[e.at:e.at+n])...)
		d.spend(time.Duration(n) * byteTime)
	case op == opI2C:
		d.i2c(e.packet[e.at])
	case d.edgeWaits(e.packet[e.at]):
		e.settle, n = true, 0
	default:
		d.uio(e.packet[e.at])
	}
	e.at += n
	e.executed += n
	if e.at == len(e.packet) && len(e.answer) > 0 {
		e.settle = d.real() // the answer comes when the wire is done
	}
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
		if d.engine.answer = append(d.engine.answer, v); d.opts.SampleAlone {
			d.deliver()
		}
	}
}

// edgeWaits says that a byte of a pin stream moves chip select and the wire's time has not come for it.
func (d *Device) edgeWaits(b byte) bool {
	moves := b < uioDelay && (b >= uioOut && (b^d.pins.level)&pinCS != 0 || b < uioOut && b >= uioDir && (b^d.pins.dir)&pinCS != 0)
	return moves && d.real() && time.Until(d.engine.until) > 0
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
