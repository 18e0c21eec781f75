// Package sim is the virtual line: a usb.Bus with simulated programmers on its ports, and simulated boards under
// their pins that hands put in and take out. Everything above usb.Bus that runs against it is what ships.
//
// What belongs here: ports, transfers, deadlines and who holds an interface; places for boards; the boards of a data
// directory. What does not: what a programmer's firmware does (sim/ftdi, sim/ch341a), what the chip does
// (sim/nor), and anything that a driver knows.
//
// # USB
//
// A Line is the host controllers and their cables. A transfer to a device is taken packet by packet as the device has
// room; a read completes when its buffer is full or a packet shorter than the endpoint's maximum ends it. With Pace Real
// time passes as on a bus of the device's speed (bus.go).
//
// High speed: the devices whose port paths begin with the same number ("1-2", "1-4.1") share one USB 2 controller: 13 packets of 512
// bytes a microframe of 125 µs (USB 2.0 table 5-10), both directions together, one after the other in the order in which they
// were there. A packet leaves the device, and makes room in it, when its turn on the bus comes; a NAK takes no time. A write sets out a
// microframe after the call, and the reader has data a microframe after their last packet; control transfers take a microframe and no
// room. So eight programmers that read at 30 MHz, 3.75 MB/s each, need more than half of a controller's 53 MB/s, and
// sixteen more than there is.
//
// Full speed: each device has a bus of its own, as on a hub with a transaction translator for each port. Packets of both directions share a
// frame (1 ms), one after the other, and the host hears at its end of transfers that it completed.
//
// What passes is counted at the device (Line.Count).
//
// # Boards
//
// The place feeds the board: putting a board in powers it, taking it out cuts its supply. Pulling the
// programmer's USB cable does neither, since the supply is not the programmer's, but lets go of the pins.
//
// Where the programmer feeds the board (Feeds: sim/dediprog), the place does not: a board that is put in, or is in the place when the programmer is
// plugged in, has power while the programmer's VCC is on; VCC off and a pulled USB cable take it away. A process that ends leaves its boards as
// they are, and the next one has a programmer of its own, just powered on with VCC off, so that such a board is powered down then.
//
// A board may have a processor on the wires of its flash (Line.Processor), which has to be held in reset.
//
// # Fault model
//
// Unplug at any instant, also in mid transfer; boards that come and go while a frame runs. Faults of
// programmers are options of sim/ftdi, sim/ch341a and sim/dediprog, faults of chips options of sim/nor.
package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"station/fixtures/usb"
	"station/sim/ch341a"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/nor"
	"station/sim/pico"
)

// Device is the firmware of a programmer, at its USB endpoints. ftdi.Device, ch341a.Device, dediprog.Device and pico.Device are such. None of its methods waits;
// one whose answer to a control transfer takes longer than the transfer tells how long by a method Busy, and one that feeds its boards says so by a method Feeds.
type Device interface {
	// Control does a control transfer; setup is as on the wire. Errors are its package's ErrStall and ErrGone, here and below.
	Control(setup [8]byte, data []byte) (int, error)
	// Out offers the bulk OUT endpoint of an interface the rest of a transfer; it takes what it has room for.
	Out(iface int, p []byte) (int, error)
	// In asks the bulk IN endpoint of an interface for one packet; ok is false where it has none.
	In(iface int, p []byte) (n int, ok bool, err error)
	// Notify sets what is called, from a goroutine of its own, when Out or In of an interface may answer otherwise than before.
	Notify(iface int, f func())
	// Attach hangs a target on the pins of a channel, nil takes it off.
	Attach(channel int, t ftdi.Target) error
	// Close is the unplugging.
	Close()
}

var (
	_ Device = (*ftdi.Device)(nil)
	_ Device = (*ch341a.Device)(nil)
	_ Device = (*dediprog.Device)(nil)
	_ Device = (*pico.Device)(nil)
)

// Options of a Line.
type Options struct {
	// Pace of the USB: ftdi.None, or ftdi.Real with its frames. Programmers and chips have their own.
	Pace ftdi.Pace
	// FramePackets is how many bulk packets fit a frame at full speed with Pace Real, both directions together; 0 means 33 where they have 32 bytes, 19 where they have 64.
	FramePackets int
}

// Line is a usb.Bus of simulated devices. Safe for concurrent use.
type Line struct {
	opts Options

	mu     sync.Mutex
	ports  map[string]*port
	buses  map[string]*bus  // high speed with Pace Real, by number
	counts map[string]Count // of devices that were unplugged, by port
	places map[Place]*nor.Chip

	processors map[*nor.Chip]*Processor
}

// port is a device that is plugged in.
type port struct {
	dev   Device
	desc  usb.Device
	bus   *bus
	count *Counter
	links map[int]*link
}

var _ usb.Bus = (*Line)(nil)

// NewLine returns a line with nothing plugged in.
func NewLine(o Options) *Line {
	return &Line{opts: o, ports: map[string]*port{}, buses: map[string]*bus{}, counts: map[string]Count{}, places: map[Place]*nor.Chip{}, processors: map[*nor.Chip]*Processor{}}
}

// Plug plugs a device in at a port path such as "1-2", over whatever boards are in the places there. A device that was
// unplugged is not plugged in again; make a new one. Errors: the port is taken, or the device's descriptors make no sense.
func (l *Line) Plug(path string, dev Device) error {
	desc, err := Describe(dev)
	if err != nil {
		return fmt.Errorf("port %s: %w", path, err)
	}
	desc.Port = path
	l.mu.Lock()
	defer l.mu.Unlock()
	if path == "" || l.ports[path] != nil {
		return fmt.Errorf("port %q: cannot plug in a device: port is taken or has no name", path)
	}
	for place, chip := range l.places {
		if place.Port != path {
			continue
		}
		if err := dev.Attach(place.Channel, l.target(chip)); err != nil {
			return fmt.Errorf("port %s: %w", path, err)
		}
	}
	p := &port{dev: dev, desc: desc, bus: l.busAt(path, desc), count: NewCounter(dev), links: map[int]*link{}}
	p.count.n = l.counts[path]
	l.ports[path] = p
	return nil
}

// busAt returns the bus of a device: the one of its controller, or one of its own. l.mu is held.
func (l *Line) busAt(path string, desc usb.Device) *bus {
	b := newBus(l.opts, desc)
	if !b.high {
		return b
	}
	number, _, _ := strings.Cut(path, "-")
	if l.buses[number] == nil {
		l.buses[number] = b
	}
	return l.buses[number]
}

// Count returns what passed so far through the devices at a port, one after the other, over all their interfaces.
func (l *Line) Count(path string) Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.ports[path]; p != nil {
		return p.count.Count()
	}
	return l.counts[path]
}

// Unplug pulls the device at a port: calls on it, pending or to come, fail with usb.ErrGone. Boards stay where they are.
// The error is usb.ErrNotFound.
func (l *Line) Unplug(path string) error {
	l.mu.Lock()
	p := l.ports[path]
	l.mu.Unlock()
	if p == nil {
		return fmt.Errorf("port %s: %w", path, usb.ErrNotFound)
	}
	l.drop(path, p.dev)
	return nil
}

// drop forgets a device that is gone. Nothing happens where another one is at its port by now.
func (l *Line) drop(path string, dev Device) {
	l.mu.Lock()
	p := l.ports[path]
	if p == nil || p.dev != dev {
		l.mu.Unlock()
		return
	}
	delete(l.ports, path)
	l.counts[path] = p.count.Count()
	l.mu.Unlock()
	for _, k := range p.links {
		k.end(usb.ErrGone)
	}
	dev.Close()
}

// Close unplugs every device.
func (l *Line) Close() error {
	for path, dev := range l.plugged() {
		l.drop(path, dev)
	}
	return nil
}

func (l *Line) plugged() map[string]Device {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]Device, len(l.ports))
	for path, p := range l.ports {
		all[path] = p.dev
	}
	return all
}

// List returns what is plugged in, as the descriptors tell it.
func (l *Line) List(ctx context.Context) ([]usb.Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for path, dev := range l.plugged() {
		// A device that went by a fault of its own may have had nobody to tell.
		if _, err := dev.Control([8]byte{0x80, 0, 0, 0, 0, 0, 2, 0}, make([]byte, 2)); IsGone(err) {
			l.drop(path, dev)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []usb.Device
	for _, p := range l.ports {
		d := p.desc
		d.Interfaces = slices.Clone(d.Interfaces)
		for i := range d.Interfaces {
			d.Interfaces[i].Endpoints = slices.Clone(d.Interfaces[i].Endpoints)
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b usb.Device) int { return cmp.Compare(a.Port, b.Port) })
	return all, nil
}

// Open claims an interface. Errors are usb.ErrNotFound and usb.ErrInUse.
func (l *Line) Open(ctx context.Context, path string, iface int) (usb.Link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k, err := l.claim(path, iface)
	if err != nil {
		return nil, fmt.Errorf("port %s interface %d: %w", path, iface, err)
	}
	k.dev.Notify(iface, k.hear)
	return k, nil
}

func (l *Line) claim(path string, iface int) (*link, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.ports[path]
	if p == nil {
		return nil, usb.ErrNotFound
	}
	i := slices.IndexFunc(p.desc.Interfaces, func(f usb.Interface) bool { return f.Number == iface })
	if i < 0 {
		return nil, usb.ErrNotFound
	}
	if p.links[iface] != nil {
		return nil, usb.ErrInUse
	}
	k := newLink(l, path, p, iface, p.desc.Interfaces[i])
	p.links[iface] = k
	return k, nil
}

// release gives back what claim gave.
func (l *Line) release(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.ports[k.path]; p != nil && p.links[k.iface] == k {
		k.dev.Notify(k.iface, nil)
		delete(p.links, k.iface)
	}
}
