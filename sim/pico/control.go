package pico

import "encoding/binary"

// startCoding is 115200 baud, 8 data bits, one stop bit, no parity (CDC PSTN 1.2, table 17).
var startCoding = [7]byte{0x00, 0xC2, 0x01, 0x00, 0, 0, 8}

// Control does a control transfer on endpoint 0: setup is the setup packet as on the wire (USB 2.0, 9.3: little-endian), data
// its data stage, read or filled by bit 7 of setup[0]. It returns how many bytes moved. What the device does not
// know, it stalls (ErrStall).
func (d *Device) Control(setup [8]byte, data []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return 0, ErrGone
	}
	value := binary.LittleEndian.Uint16(setup[2:])
	index := binary.LittleEndian.Uint16(setup[4:])
	answer, ok := d.request(uint16(setup[0])<<8|uint16(setup[1]), value, index, data)
	switch {
	case !ok:
		return 0, ErrStall
	case setup[0]&0x80 != 0:
		return copy(data, answer), nil
	}
	return len(data), nil
}

// request answers the standard requests of USB 2.0 table 9-3 and those of the class (fact sheet 5.4). d.mu is held.
func (d *Device) request(kind, value, index uint16, data []byte) (answer []byte, ok bool) {
	switch kind {
	case 0x8000, 0x8100, 0x8200: // GET_STATUS
		return []byte{0, 0}, true
	case 0x0201: // CLEAR_FEATURE, of an endpoint
		return nil, value == 0 && (index == 0x02 || index == 0x81 || index == 0x82)
	case 0x8006: // GET_DESCRIPTOR
		answer = descriptor(byte(value>>8), byte(value))
		return answer, answer != nil
	case 0x8008: // GET_CONFIGURATION
		return []byte{1}, true
	case 0x0009: // SET_CONFIGURATION
		if value > 1 {
			return nil, false
		}
		d.dtr, d.full = false, false
		d.toChip, d.toHost = d.toChip[:0], d.toHost[:0]
		signal(d.released)
		return nil, true
	case 0x810A: // GET_INTERFACE
		return []byte{0}, index < interfaces
	case 0x010B: // SET_INTERFACE
		return nil, value == 0 && index < interfaces
	case 0x2120: // SET_LINE_CODING
		if index != controlInterface || len(data) != len(d.coding) {
			return nil, false
		}
		copy(d.coding[:], data)
		return nil, true
	case 0xA121: // GET_LINE_CODING
		return d.coding[:], index == controlInterface
	case 0x2122: // SET_CONTROL_LINE_STATE
		if index != controlInterface {
			return nil, false
		}
		d.dtr = value&1 != 0
		signal(d.released) // the firmware, which may wait for room, waits for nobody any more
		return nil, true
	case 0x2123: // SEND_BREAK
		return nil, index == controlInterface
	}
	return nil, false
}
