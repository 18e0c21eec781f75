package sim

import (
	"encoding/binary"
	"errors"
	"unicode/utf16"

	"station/fixtures/usb"
)

var errDescriptor = errors.New("malformed USB descriptor")

// Describe reads a device's descriptors (USB 2.0, 9.6) as a host does.
func Describe(dev Device) (usb.Device, error) {
	get := func(kind, index byte) []byte {
		p := make([]byte, 255)
		n, err := dev.Control([8]byte{0x80, 6, index, kind, 0, 0, 255, 0}, p)
		if err != nil {
			return nil
		}
		return p[:n]
	}
	text := func(index byte) string {
		p := get(3, index)
		if index == 0 || len(p) < 2 {
			return ""
		}
		return utf16String(p[2:])
	}
	d := get(1, 0)
	if len(d) < 18 {
		return usb.Device{}, errDescriptor
	}
	u := usb.Device{
		Vendor: binary.LittleEndian.Uint16(d[8:]), Product: binary.LittleEndian.Uint16(d[10:]),
		Release: binary.LittleEndian.Uint16(d[12:]), Speed: usb.FullSpeed,
		Maker: text(d[14]), Name: text(d[15]), Serial: text(d[16]),
	}
	for c := get(2, 0); len(c) > 0; c = c[c[0]:] {
		if c[0] < 2 || int(c[0]) > len(c) {
			return usb.Device{}, errDescriptor
		}
		switch n := len(u.Interfaces); {
		case c[1] == 4 && c[0] >= 9:
			u.Interfaces = append(u.Interfaces, usb.Interface{Number: int(c[2]), Class: c[5], SubClass: c[6], Protocol: c[7]})
		case c[1] == 5 && c[0] >= 7 && n > 0:
			e := usb.Endpoint{Address: c[2], Bulk: c[3]&3 == 2, MaxPacket: int(binary.LittleEndian.Uint16(c[4:]))}
			if e.Bulk && e.MaxPacket == 512 {
				u.Speed = usb.HighSpeed // the only speed with bulk packets of this size
			}
			u.Interfaces[n-1].Endpoints = append(u.Interfaces[n-1].Endpoints, e)
		}
	}
	return u, nil
}

func utf16String(p []byte) string {
	units := make([]uint16, len(p)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(p[2*i:])
	}
	return string(utf16.Decode(units))
}
