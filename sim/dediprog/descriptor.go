package dediprog

const maxPacket = 512

// deviceDescriptor, USB 2.0 table 9-8: USB 2.00, 0483:DADA (fact sheet 6.1); the rest is a choice.
var deviceDescriptor = []byte{
	18, 1, 0x00, 0x02, 0xFF, 0, 0, 64,
	0x83, 0x04, 0xDA, 0xDA, 0x00, 0x01, 0, 0, 0, 1,
}

// configuration, tables 9-10 to 9-13: bus powered, 500 mA, one vendor interface.
func (d *Device) configuration() []byte {
	outs := []byte{d.model.out}
	if d.opts.BothOuts {
		outs = []byte{0x01, 0x02}
	}
	endpoint := func(address byte) []byte { return []byte{7, 5, address, 2, maxPacket & 0xFF, maxPacket >> 8, 0} }
	p := append([]byte{
		9, 2, 0, 0, 1, 1, 0, 0x80, 250,
		9, 4, 0, 0, byte(1 + len(outs)), 0xFF, 0, 0, 0,
	}, endpoint(0x82)...)
	for _, out := range outs {
		p = append(p, endpoint(out)...)
	}
	p[2] = byte(len(p))
	return p
}

// Hears tells whether pages are taken at this OUT endpoint: the model has one only.
func (d *Device) Hears(address uint8) bool { return address == d.model.out }

// descriptor answers GET_DESCRIPTOR (USB 2.0, 9.4.3); nil where there is no such descriptor.
func (d *Device) descriptor(kind byte) []byte {
	switch kind {
	case 1:
		return deviceDescriptor
	case 2:
		return d.configuration()
	}
	return nil
}
