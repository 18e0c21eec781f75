// Package pico is a simulated Raspberry Pi Pico with pico-serprog on it: USB packets in, pins out. Its reading of the device is the
// fixture fact sheet, section 5.4; what the firmware answers to a command is sim/serprog's.
//
// What belongs here: the USB face, which is a CDC-ACM serial port of the Pico SDK: descriptors, class requests, packets, buffers, DTR. What does
// not: USB transfers, their deadlines and who may open what (sim), the chip under the pins (sim/nor), and everything a host does.
//
// # Serial port
//
// Interface 0 is the port's control interface, 1 its data, 2 the SDK's way into the boot loader, which nobody uses. What the firmware says while DTR is low is
// thrown away; DTR is low until a host raises it, and again after SET_CONFIGURATION. The line coding is kept and does nothing. OUT is taken in
// whole packets of 64 bytes as soon as there is room for one; an IN packet holds what there is.
//
// # Time
//
// With Pace Real bytes take their clocks on the wire. The firmware does one thing after the other: it reads a command, clocks it, and says the
// answer, for which it waits while the buffer is full; what its own instructions take is unknown and nothing.
//
// # Choices where the fact sheet is silent
//
// Descriptors, buffers and serial number are those of the SDK as remembered. An answer whose last packet is full is ended by an empty packet
// (option NoEmpty: not). A host that fetches nothing is waited for without a limit. SET_CONFIGURATION empties the USB buffers and leaves the firmware
// as it is: amid a command, perhaps.
//
// # Fault model
//
// More than 4096 bytes out in one operation overwrite what is behind the firmware's buffer: it then answers nothing any more. Unplugging at any
// instant; the pins of a device that is gone float, so a chip select that was low rises.
package pico

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"station/sim/serprog"
)

// What a USB transaction with the device can end in besides ACK and NAK.
var (
	ErrStall = errors.New("endpoint stalled")
	ErrGone  = errors.New("device is gone")
)

// Target hangs on the pins. It is an alias so that the firmware of every family takes the same targets.
type Target = interface {
	// Select is the falling edge of chip select.
	Select()
	// Shift clocks len(out) or len(in) bytes, most significant bit first. A nil out clocks zeros, a nil in drops the
	// answer; both given have one length.
	Shift(out, in []byte)
	// ShiftBits clocks the n (1..8) most significant bits of out, bit 7 first, and returns the n bits of the
	// answer in the low bits, first bit highest.
	ShiftBits(out byte, n int) byte
	// Deselect is the rising edge of chip select.
	Deselect()
}

// Timed is a Target that takes its time from the programmer.
type Timed interface {
	// At says that the next call of the Target happens at t, and each byte of its Shift so long after the one before.
	At(t time.Time, perByte time.Duration)
}

// Options of a Device. The zero value is fast.
type Options struct {
	Pace    serprog.Pace
	Buffer  int  // bytes in each direction; 0 means 256
	NoEmpty bool // no empty packet ends an answer whose last packet is full
}

// interfaces of the device, and what a packet of its data holds.
const (
	controlInterface = 0
	dataInterface    = 1
	interfaces       = 3
	maxPacket        = 64
)

// Device is one programmer, from power-on to its unplugging. Safe for concurrent use; nothing in it waits for the host but its firmware, which is a
// goroutine that ends with Close.
type Device struct {
	opts   Options
	socket socket
	off    context.CancelFunc // the firmware's

	mu       sync.Mutex
	notify   func() // of the data interface
	coding   [7]byte
	dtr      bool
	gone     bool
	toChip   []byte // that the firmware has not read
	toHost   []byte // that the host has not fetched
	full     bool   // the last IN packet was
	refused  bool   // OUT had no room
	starved  bool   // IN had no packet
	came     chan struct{}
	released chan struct{}
}

// New returns a programmer, just powered on.
func New(o Options) *Device {
	if o.Buffer <= 0 {
		o.Buffer = 256
	}
	d := &Device{opts: o, coding: startCoding, came: make(chan struct{}, 1), released: make(chan struct{}, 1)}
	ctx, off := context.WithCancel(context.Background())
	d.off = off
	firmware := serprog.New(&d.socket, serprog.Options{Pace: o.Pace, Firmware: serprog.Pico})
	go firmware.Talk(ctx, (*port)(d))
	return d
}

// Attach hangs t on the pins in place of what hung there; nil leaves them bare. There is channel 0 only. A target that comes while chip select
// is low hears nothing until the next falling edge, one that goes hears no rising edge: it just left.
func (d *Device) Attach(channel int, t Target) error {
	if channel != 0 {
		return fmt.Errorf("the Pico has no channel %d: %w", channel, ErrStall)
	}
	d.socket.attach(t)
	return nil
}

// Notify makes f the host's ear for the data interface: it is called, from a goroutine of its own, whenever Out may take more, In may have a
// packet, or the device is gone. nil takes it away. The other interfaces have nothing to tell.
func (d *Device) Notify(iface int, f func()) {
	if iface != dataInterface {
		return
	}
	d.mu.Lock()
	d.notify = f
	d.mu.Unlock()
}

// Out is the bulk OUT endpoint 02: it takes packets from the front of p, the rest of one transfer, one with Pace Real and else as many
// as there is room for, and returns how many bytes that was; 0 is a NAK. Errors are ErrStall and ErrGone.
func (d *Device) Out(iface int, p []byte) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return 0, ErrGone
	case iface != dataInterface:
		return 0, ErrStall
	}
	for n < len(p) {
		packet := p[n:min(n+maxPacket, len(p))]
		if d.refused = d.opts.Buffer-len(d.toChip) < maxPacket; d.refused {
			break
		}
		d.toChip = append(d.toChip, packet...)
		if n += len(packet); d.opts.Pace == serprog.Real {
			break // one transaction
		}
	}
	if n > 0 {
		signal(d.came)
	}
	return n, nil
}

// In is the bulk IN endpoint 82: one packet into p, which must hold 64 bytes. ok is false where the device has nothing to send (NAK); an empty
// packet is one, too. Errors are ErrStall and ErrGone.
func (d *Device) In(iface int, p []byte) (n int, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return 0, false, ErrGone
	case iface != dataInterface:
		return 0, false, ErrStall
	}
	n = copy(p[:min(len(p), maxPacket)], d.toHost)
	d.toHost = append(d.toHost[:0], d.toHost[n:]...)
	ok = n > 0 || d.full && !d.opts.NoEmpty
	d.full, d.starved = n == maxPacket, !ok
	if n > 0 {
		signal(d.released)
	}
	return n, ok, nil
}

// Close is the unplugging: pins float, everything answers ErrGone, answers not fetched are lost. The Device does not come back; plug in a new one.
func (d *Device) Close() {
	d.mu.Lock()
	d.gone = true
	f := d.notify
	d.notify = nil
	d.mu.Unlock()
	d.socket.float()
	d.off()
	signal(d.came)
	signal(d.released)
	if f != nil {
		f()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
