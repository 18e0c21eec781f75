package dediprog

import (
	"encoding/binary"
	"fmt"
)

// most is how many bytes a transceive has each way.
const most = 16

// Control does a control transfer on endpoint 0: setup is the setup packet as on the wire (USB 2.0, 9.3: little-endian), data
// its data stage, read or filled by bit 7 of setup[0]. It returns how many bytes moved. What the device does not
// know, it stalls (ErrStall).
func (d *Device) Control(setup [8]byte, data []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return 0, ErrGone
	}
	d.answered, d.late = 0, 0
	defer d.wake()
	value := binary.LittleEndian.Uint16(setup[2:])
	index := binary.LittleEndian.Uint16(setup[4:])
	kind := uint16(setup[0])<<8 | uint16(setup[1])
	switch {
	case setup[0]&0x60 == 0:
		answer, ok := d.standard(kind, value, index)
		if !ok {
			return 0, ErrStall
		}
		return d.reply(setup[0], answer, data), nil
	case d.asleep && kind != 0xC30B:
		return 0, ErrStall
	case kind == 0xC201:
		return d.transceiveIn(data)
	}
	answer, ok := d.vendor(kind, value, index, data)
	if !ok {
		return 0, ErrStall
	}
	return d.reply(setup[0], answer, data), nil
}

// Runs tells of a setup packet whether it is one that the programmer works by: any vendor request.
func (d *Device) Runs(setup [8]byte) bool { return setup[0]&0x60 == 0x40 }

// reply is the data stage, or what of it the device took: all.
func (d *Device) reply(requestType byte, answer, data []byte) int {
	if requestType&0x80 != 0 {
		return copy(data, answer)
	}
	return len(data)
}

// standard requests, USB 2.0 table 9-3.
func (d *Device) standard(kind, value, index uint16) (answer []byte, ok bool) {
	switch kind {
	case 0x8000, 0x8100, 0x8200: // GET_STATUS
		return []byte{0, 0}, true
	case 0x0201: // CLEAR_FEATURE, of an endpoint
		if value != 0 || index != 0x82 && index != 0x02 && index != 0x01 {
			return nil, false
		}
		d.stalled = false
		return nil, true
	case 0x8006: // GET_DESCRIPTOR
		answer = d.descriptor(byte(value >> 8))
		return answer, answer != nil
	case 0x8008: // GET_CONFIGURATION
		return []byte{1}, true
	case 0x0009: // SET_CONFIGURATION
		if value > 1 {
			return nil, false
		}
		d.abandon()
		return nil, true
	case 0x810A: // GET_INTERFACE
		return []byte{0}, index == 0
	case 0x010B: // SET_INTERFACE
		return nil, value == 0 && index == 0
	}
	return nil, false
}

// version is what request 08 answers: padded with spaces to 32 bytes, of which most hosts ask for 16.
func (d *Device) version() []byte {
	v := d.opts.Firmware
	return fmt.Appendf(nil, "%-32s", fmt.Sprintf("%s V:%d.%d.%d", d.model.name, v[0], v[1], v[2]))
}

// vendor requests, fact sheet 6.3.
func (d *Device) vendor(kind, value, index uint16, data []byte) (answer []byte, ok bool) {
	switch kind {
	case 0xC307: // unit number
		return []byte{0x01, 0x02, 0x03}, value == 0 && index == 0xEF00
	case 0xC205:
		return append([]byte{0x01, 0x02, 0x03}, make([]byte, 13)...), d.model.out == SF600.out
	case 0xC208:
		return d.version(), true
	case 0xC30B:
		d.asleep = false
		return []byte{0x6F}, before(d.opts.Firmware, [3]int{6, 0, 0})
	case 0xC21C: // FPGA version
		return []byte{0x00, 0x01}, d.model.out == SF600.out
	case 0x4203: // VPP
		return nil, value <= 2
	case 0x4204:
		if value > 3 {
			return nil, false
		}
		d.abandon()
		d.pins.elsewhere = value != 0
		return nil, true
	case 0x4207:
		if d.protocol == 1 {
			d.leds = byte(index) ^ 7
			return nil, value == 9
		}
		d.leds = byte(value>>8) ^ 7
		return nil, true
	case 0x4209:
		millivolts, ok := map[uint16]int{0: 0, 0x10: 3500, 0x11: 2500, 0x12: 1800}[value]
		if ok {
			d.abandon()
			d.pins.supply(millivolts)
		}
		return nil, ok
	case 0x420A: // stand-alone
		return nil, value <= 1 && d.model.out == SF600.out
	case 0x4214, 0x4215, 0x421D: // chip select, IO mode, hold
		return nil, true
	case 0x4261:
		return nil, !before(d.opts.Firmware, [3]int{5, 0, 0}) && d.setClock(value)
	case 0x4201:
		return nil, d.transceiveOut(value, index, data)
	case 0x4220:
		return nil, d.bulkRead(value, index, data)
	case 0x4230:
		return nil, d.bulkWrite(value, index, data)
	}
	return nil, false
}

// transceiveOut is the first half of a frame, or all of it.
func (d *Device) transceiveOut(value, index uint16, data []byte) bool {
	if len(data) > most {
		return false
	}
	wanted := value
	if d.protocol == 1 {
		wanted = index
	}
	d.abandon()
	d.begin()
	d.sel()
	d.shift(data, nil)
	if wanted&1 == 0 {
		d.desel()
	}
	d.answered = d.until
	return true
}

// transceiveIn is the second half.
func (d *Device) transceiveIn(data []byte) (int, error) {
	if len(data) > most || !d.pins.low || d.read.left > 0 {
		return 0, ErrStall
	}
	d.begin()
	d.shift(nil, data)
	d.desel()
	d.answered = d.until
	return len(data), nil
}
