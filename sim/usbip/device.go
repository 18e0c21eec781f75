package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"

	"station/fixtures/usb"
	"station/sim"
)

// busNumber is that of the one bus that all devices are on.
const busNumber = 1

// device is what is offered under a bus id.
type device struct {
	dev       sim.Device
	busID     string
	number    uint32
	desc      usb.Device
	raw       [18]byte // its device descriptor, USB 2.0 table 9-8
	endpoints map[byte]place
	count     *sim.Counter

	session *session // who has it, under Server.mu; nil for nobody
}

// maxPacket is the largest of a bulk endpoint, at SuperSpeed.
const maxPacket = 1024

// place is what an endpoint address leads to.
type place struct {
	iface     int
	bulk      bool
	maxPacket int
	deaf      bool // the device takes nothing there
}

func newDevice(busID string, dev sim.Device) (*device, error) {
	d := &device{dev: dev, busID: busID, endpoints: map[byte]place{}, count: sim.NewCounter(dev)}
	var err error
	if d.desc, err = sim.Describe(dev); err != nil {
		return nil, err
	}
	if n, err := dev.Control([8]byte{0x80, 6, 0, 1, 0, 0, 18, 0}, d.raw[:]); err != nil || n < len(d.raw) {
		return nil, errors.Join(errors.New("no device descriptor"), err)
	}
	for _, i := range d.desc.Interfaces {
		for _, e := range i.Endpoints {
			if e.Bulk && (e.MaxPacket <= 0 || e.MaxPacket > maxPacket) {
				return nil, fmt.Errorf("endpoint 0x%02x has packets of %d bytes", e.Address, e.MaxPacket)
			}
			d.endpoints[e.Address] = place{i.Number, e.Bulk, e.MaxPacket, !sim.Hears(dev, e.Address)}
		}
	}
	return d, nil
}

// id is the device's in URB headers.
func (d *device) id() uint32 { return busNumber<<16 | d.number }

// speeds are the protocol's numbers.
var speeds = map[usb.Speed]uint32{usb.LowSpeed: 1, usb.FullSpeed: 2, usb.HighSpeed: 3, usb.SuperSpeed: 5}

// record is the device record of 312 bytes.
func (d *device) record() []byte {
	p := make([]byte, 256+busIDSize, recordSize)
	copy(p, "/sys/devices/simulated/usb1/"+d.busID)
	copy(p[256:], d.busID)
	for _, n := range []uint32{busNumber, d.number, speeds[d.desc.Speed]} {
		p = binary.BigEndian.AppendUint32(p, n)
	}
	for _, n := range []uint16{d.desc.Vendor, d.desc.Product, d.desc.Release} {
		p = binary.BigEndian.AppendUint16(p, n)
	}
	// class, subclass, protocol, active configuration (none yet), configurations, interfaces
	return append(p, d.raw[4], d.raw[5], d.raw[6], 0, d.raw[17], byte(len(d.desc.Interfaces)))
}

// interfaces are four bytes for each interface, which follow the record in a device list.
func (d *device) interfaces() (p []byte) {
	for _, i := range d.desc.Interfaces {
		p = append(p, i.Class, i.SubClass, i.Protocol, 0)
	}
	return p
}
