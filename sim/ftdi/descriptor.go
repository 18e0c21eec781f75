package ftdi

import (
	"encoding/binary"
	"unicode/utf16"
)

const vendor = 0x0403

// descriptor answers GET_DESCRIPTOR (USB 2.0, 9.4.3); nil where there is no such descriptor.
func (m Model) descriptor(kind, index byte) []byte {
	switch kind {
	case 1:
		return m.deviceDescriptor()
	case 2:
		return m.configuration()
	case 3:
		return m.stringDescriptor(index)
	case 6: // device qualifier: the same at full speed
		return []byte{10, 6, 0x00, 0x02, 0, 0, 0, 64, 1, 0}
	}
	return nil
}

func (m Model) deviceDescriptor() []byte {
	d := []byte{18, 1, 0x00, 0x02, 0, 0, 0, 64}
	d = binary.LittleEndian.AppendUint16(d, vendor)
	d = binary.LittleEndian.AppendUint16(d, m.product)
	d = binary.LittleEndian.AppendUint16(d, m.release)
	return append(d, 1, 2, 0, 1) // maker, product, no serial; one configuration
}

// configuration is bus powered with remote wakeup, 90 mA, one vendor interface with a bulk pair for each channel.
func (m Model) configuration() []byte {
	total := 9 + 23*m.channels
	d := []byte{9, 2, byte(total), byte(total >> 8), byte(m.channels), 1, 0, 0xA0, 45}
	for i := range byte(m.channels) {
		d = append(d, 9, 4, i, 0, 2, 0xFF, 0xFF, 0xFF, 2)
		d = append(d, 7, 5, 0x81+2*i, 2, maxPacket&0xFF, maxPacket>>8, 0)
		d = append(d, 7, 5, 0x02+2*i, 2, maxPacket&0xFF, maxPacket>>8, 0)
	}
	return d
}

func (m Model) stringDescriptor(index byte) []byte {
	var units []uint16
	switch index {
	case 0:
		units = []uint16{0x0409} // US English
	case 1:
		units = utf16.Encode([]rune("FTDI"))
	case 2:
		units = utf16.Encode([]rune(m.name))
	default:
		return nil
	}
	d := []byte{byte(2 + 2*len(units)), 3}
	for _, u := range units {
		d = binary.LittleEndian.AppendUint16(d, u)
	}
	return d
}
