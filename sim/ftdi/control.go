package ftdi

import (
	"encoding/binary"
	"time"
)

// Control does a control transfer on endpoint 0: setup is the setup packet as on the wire (USB 2.0, 9.3: little-endian), data
// its data stage, read or filled by bit 7 of setup[0]. It returns how many bytes moved. What the device does not
// know, it stalls (ErrStall).
func (d *Device) Control(setup [8]byte, data []byte) (int, error) {
	if d.isGone() {
		return 0, ErrGone
	}
	value := binary.LittleEndian.Uint16(setup[2:])
	index := binary.LittleEndian.Uint16(setup[4:])
	var answer []byte
	var ok bool
	switch setup[0] & 0x60 {
	case 0x00:
		answer, ok = d.standard(setup[0], setup[1], value, index)
	case 0x40:
		answer, ok = d.vendorRequest(setup[0], setup[1], value, index)
	}
	switch {
	case !ok:
		return 0, ErrStall
	case setup[0]&0x80 != 0:
		return copy(data, answer), nil
	}
	return len(data), nil
}

func (d *Device) isGone() bool {
	c := d.channels[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// standard requests, USB 2.0 table 9-3.
func (d *Device) standard(kind, request byte, value, index uint16) (answer []byte, ok bool) {
	switch uint16(kind)<<8 | uint16(request) {
	case 0x8000, 0x8100, 0x8200: // GET_STATUS
		return []byte{0, 0}, true
	case 0x0201: // CLEAR_FEATURE, of an endpoint
		i := (int(index&0x0F) - 1) / 2
		if value != 0 || index&0x0F == 0 || i >= len(d.channels) {
			return nil, false
		}
		c := d.channels[i]
		c.mu.Lock()
		defer c.mu.Unlock()
		c.catchUp()
		if c.stalled {
			c.stalled, c.halted = false, false
		}
		c.work()
		return nil, true
	case 0x8006: // GET_DESCRIPTOR
		answer = d.model.descriptor(byte(value>>8), byte(value))
		return answer, answer != nil
	case 0x8008: // GET_CONFIGURATION
		return []byte{1}, true
	case 0x0009: // SET_CONFIGURATION
		return nil, value <= 1
	case 0x810A: // GET_INTERFACE
		return []byte{0}, int(index) < len(d.channels)
	case 0x010B: // SET_INTERFACE
		return nil, value == 0 && int(index) < len(d.channels)
	}
	return nil, false
}

// vendorRequest, fact sheet 4.2. The low byte of index is the channel, counted from 1; 0 is accepted as 1.
func (d *Device) vendorRequest(kind, request byte, value, index uint16) (answer []byte, ok bool) {
	switch request {
	case 0x90: // EEPROM read: blank
		return []byte{0xFF, 0xFF}, kind == 0xC0
	case 0x91, 0x92: // write, erase: there is none
		return nil, kind == 0x40
	}
	n := max(int(index&0xFF), 1)
	if n > len(d.channels) {
		return nil, false
	}
	c := d.channels[n-1]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	defer c.work()
	switch uint16(kind)<<8 | uint16(request) {
	case 0x4000:
		if value > 2 {
			return nil, false
		}
		c.purge(value != 2, value != 1)
		return nil, true
	case 0x4001, 0x4002, 0x4003, 0x4004, 0x4006, 0x4007: // modem, flow, baud, format, event and error character
		return nil, true
	case 0xC005:
		return status[:], true
	case 0x4009:
		if value < 1 || value > 255 {
			return nil, false
		}
		c.latency = time.Duration(value) * time.Millisecond
		return nil, true
	case 0xC00A:
		return []byte{byte(c.latency / time.Millisecond)}, true
	case 0x400B:
		c.setMode(byte(value >> 8))
		return nil, true
	case 0xC00C:
		return []byte{c.pins.readLow()}, true
	}
	return nil, false
}

// purge empties the FIFOs, of what the engine did ahead of the time too. A command of which the engine has taken a part stays under
// way: only the bit mode resets it.
func (c *channel) purge(toChip, toHost bool) {
	for i := range c.coming {
		e := &c.coming[i]
		if toChip {
			e.freed = 0
		}
		if toHost {
			e.answered, e.flush = 0, false
		}
	}
	if toChip {
		c.toChip.clear()
		c.leaving = 0
	}
	if toHost {
		c.toHost.clear()
		c.ready, c.flush, c.due = 0, false, false
	}
}
