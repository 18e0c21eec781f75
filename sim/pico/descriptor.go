package pico

import "unicode/utf16"

// deviceDescriptor, USB 2.0 table 9-8: USB 2.00 at full speed, interfaces grouped by association, 2E8A:000A, release 0100.
var deviceDescriptor = []byte{
	18, 1, 0x00, 0x02, 0xEF, 0x02, 0x01, 64,
	0x8A, 0x2E, 0x0A, 0x00, 0x00, 0x01, 1, 2, 3, 1,
}

// configuration, tables 9-10 to 9-13: bus powered, 250 mA. Between the interfaces and their endpoints stands what CDC 1.2 wants of a serial port.
var configuration = []byte{
	9, 2, 84, 0, interfaces, 1, 0, 0x80, 125,
	8, 0x0B, controlInterface, 2, 2, 2, 0, 0, // association of 0 and 1
	9, 4, controlInterface, 0, 1, 2, 2, 0, 0, // communication, abstract control model
	5, 0x24, 0x00, 0x20, 0x01, // header: CDC 1.20
	5, 0x24, 0x01, 0x00, dataInterface, // call management: none
	4, 0x24, 0x02, 0x02, // line coding and line state
	5, 0x24, 0x06, controlInterface, dataInterface, // union
	7, 5, 0x81, 3, 8, 0, 16, // interrupt IN
	9, 4, dataInterface, 0, 2, 0x0A, 0, 0, 0, // data
	7, 5, 0x02, 2, maxPacket, 0, 0, // bulk OUT
	7, 5, 0x82, 2, maxPacket, 0, 0, // bulk IN
	9, 4, 2, 0, 0, 0xFF, 0, 1, 0, // reset
}

// texts are the string descriptors from 1 on: maker, product, and the serial number of the Pico's own flash.
var texts = []string{"Raspberry Pi", "Pico", "E66138935F1C2D28"}

// descriptor answers GET_DESCRIPTOR (USB 2.0, 9.4.3); nil where there is no such descriptor.
func descriptor(kind, index byte) []byte {
	switch {
	case kind == 1:
		return deviceDescriptor
	case kind == 2:
		return configuration
	case kind == 3 && index == 0:
		return []byte{4, 3, 0x09, 0x04} // US English
	case kind == 3 && int(index) <= len(texts):
		units := utf16.Encode([]rune(texts[index-1]))
		d := []byte{byte(2 + 2*len(units)), 3}
		for _, u := range units {
			d = append(d, byte(u), byte(u>>8))
		}
		return d
	}
	return nil
}
