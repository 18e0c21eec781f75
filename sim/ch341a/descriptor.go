package ch341a

// deviceDescriptor, USB 2.0 table 9-8: USB 1.10, 1A86:5512, release 0304, no strings (fact sheet 2.1).
var deviceDescriptor = []byte{
	18, 1, 0x10, 0x01, 0xFF, 0, 0x02, 8,
	0x86, 0x1A, 0x12, 0x55, 0x04, 0x03, 0, 0, 0, 1,
}

// configuration, tables 9-10 to 9-13: bus powered, 96 mA, one interface.
var configuration = []byte{
	9, 2, 39, 0, 1, 1, 0, 0x80, 0x30,
	9, 4, 0, 0, 3, 0xFF, 0x01, 0x02, 0,
	7, 5, 0x82, 2, maxPacket, 0, 0, // bulk IN
	7, 5, 0x02, 2, maxPacket, 0, 0, // bulk OUT
	7, 5, 0x81, 3, 8, 0, 1, // interrupt IN
}

// descriptor answers GET_DESCRIPTOR (USB 2.0, 9.4.3); nil where there is no such descriptor.
func descriptor(kind byte) []byte {
	switch kind {
	case 1:
		return deviceDescriptor
	case 2:
		return configuration
	}
	return nil
}
