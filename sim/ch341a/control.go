package ch341a

import "encoding/binary"

// Control does a control transfer on endpoint 0: setup is the setup packet as on the wire (USB 2.0, 9.3: little-endian), data
// its data stage, read or filled by bit 7 of setup[0]. It returns how many bytes moved. What the device does not
// know, it stalls (ErrStall).
func (d *Device) Control(setup [8]byte, data []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return 0, ErrGone
	}
	d.catchUp()
	value := binary.LittleEndian.Uint16(setup[2:])
	index := binary.LittleEndian.Uint16(setup[4:])
	answer, ok := d.request(uint16(setup[0])<<8|uint16(setup[1]), value, index)
	switch {
	case !ok:
		return 0, ErrStall
	case setup[0]&0x80 != 0:
		return copy(data, answer), nil
	}
	return len(data), nil
}

// request answers the standard requests of USB 2.0 table 9-3 and the vendor's (fact sheet 2.1), of which SPI needs none.
func (d *Device) request(kind, value, index uint16) (answer []byte, ok bool) {
	switch kind {
	case 0x8000, 0x8100, 0x8200: // GET_STATUS
		return []byte{0, 0}, true
	case 0x0201: // CLEAR_FEATURE, of an endpoint
		switch {
		case value != 0 || index != 0x02 && index != 0x81 && index != 0x82:
			return nil, false
		case index != 0x81:
			if d.stalled {
				d.stalled, d.engine.halted = false, false
			}
			d.work()
		}
		return nil, true
	case 0x8006: // GET_DESCRIPTOR
		answer = descriptor(byte(value >> 8))
		return answer, answer != nil
	case 0x8008: // GET_CONFIGURATION
		return []byte{1}, true
	case 0x0009: // SET_CONFIGURATION
		if value > 1 {
			return nil, false
		}
		d.empty()
		return nil, true
	case 0x810A: // GET_INTERFACE
		return []byte{0}, index == 0
	case 0x010B: // SET_INTERFACE
		return nil, value == 0 && index == 0
	case 0xC05F: // version
		return []byte{0x27, 0x00}, true
	case 0xC095: // registers of the serial port
		return []byte{0, 0}, true
	case 0x409A, 0x40A1, 0x40A4: // likewise, its set-up, its modem lines
		return nil, true
	}
	return nil, false
}

// empty empties the buffers, of what the engine did ahead of the time too.
func (d *Device) empty() {
	e := &d.engine
	d.packets.clear()
	d.answers.clear()
	d.ready, e.begun = 0, 0
	for i := range e.coming {
		e.coming[i].begun, e.coming[i].answers = 0, 0
	}
}
