package dediprog

import "time"

// clocks in Hz by the value of request 61.
var clocks = [...]int{24_000_000, 8_000_000, 12_000_000, 3_000_000, 2_180_000, 1_500_000, 750_000, 375_000}

// pins are the wires of the target, its supply, and who hangs on them.
type pins struct {
	target    Target
	timed     Timed // the target, where it is one
	fed       Fed   // likewise
	vcc       int   // mV
	elsewhere bool  // another target than application flash 1 is selected
	low       bool  // chip select
	heard     bool  // the target heard the falling edge of the chip select that is low now
}

// supply switches VCC. Chip select is high.
func (p *pins) supply(millivolts int) {
	p.vcc = millivolts
	if p.fed != nil {
		p.fed.Power(millivolts > 0)
	}
}

func (d *Device) setClock(value uint16) bool {
	if int(value) >= len(clocks) {
		return false
	}
	if d.opts.Pace == Real {
		d.byteTime = 8 * time.Second / time.Duration(clocks[value])
	}
	return true
}

// timeTarget tells the target what time the wire has.
func (d *Device) timeTarget() {
	if d.pins.timed != nil && d.pins.heard {
		d.pins.timed.At(d.epoch.Add(d.until), d.byteTime)
	}
}

func (d *Device) sel() {
	p := &d.pins
	p.low, p.heard = true, p.target != nil && p.vcc > 0 && !p.elsewhere
	d.timeTarget()
	if p.heard {
		p.target.Select()
	}
}

func (d *Device) desel() {
	p := &d.pins
	d.timeTarget()
	if p.heard {
		p.target.Deselect()
	}
	p.low, p.heard = false, false
}

// shift clocks out, or fills in.
func (d *Device) shift(out, in []byte) {
	n := max(len(out), len(in))
	switch {
	case n == 0:
	case d.pins.heard:
		d.timeTarget()
		d.pins.target.Shift(out, in)
	default:
		for i := range in {
			in[i] = 0xFF
		}
	}
	d.until += time.Duration(n) * d.byteTime
}
