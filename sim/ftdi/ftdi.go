// Package ftdi is the firmware of simulated FTDI programmers, FT232H, FT2232H and FT4232H: USB packets in, pins
// out. One Device answers control requests and bulk packets as the chip does, interprets the MPSSE command
// stream, and moves the pins that a Target hangs on. Its reading of the chip is the fixture fact sheet,
// section 4.
//
// What belongs elsewhere: USB transfers, their deadlines and who may open what (sim), the flash behind the pins
// (sim/nor), and everything a host does (fixtures/ftdi, which this room never sees).
//
// # Pins
//
// ADBUS0 is the clock SK, 1 DO (to the target), 2 DI (from it), 3 chip select, low = selected. A pin that is not an
// output floats high by its pull-up, so a target is selected only while bit 3 is an output and low. DI floats
// high where nobody drives it: without a selected target every answer is FF.
//
// ADBUS7, GPIOL3, is the reset line of a target that has one (Resettable), with a pull-up on its board.
//
// The target speaks SPI mode 0: it samples DO on the rising edge of SK and moves DI on the falling edge. Clocking data
// out on the rising edge (opcodes 10, 12, 34 ...) therefore gives the target each bit one clock late, and sampling
// on the falling edge (24, 26 ...) gives the host each byte one bit early with its last bit 1. With SK resting
// high the engine's edges are off in both directions. Opcodes with bit 3 (18, 19, 28, 39 ...) move the
// least significant bit first. Nothing corrects a driver that picks the wrong one.
//
// # Time
//
// With Pace Real the wire takes its clocks, at the clock that the host has set; an opcode itself takes no time (unknown). The FIFOs hold what
// the model's do, the engine waits for bytes and for room, and the host sees an answer, or room, when the wire is as far. Within
// these the engine runs up to a millisecond ahead of time.Now, and tells its target the wire's time (Timed), so that it costs a timer
// a packet and no more. What comes from elsewhere, a purge, an unplugging, a board that is taken out, so meets a wire that is up to a
// millisecond further.
//
// # Choices where the fact sheet is silent
//
// Send-immediate (87) with nothing to send sends nothing. The latency timer runs while the host polls IN, starts over
// with every packet, and sends a packet with status bytes only when there is no data. A bit-wise read keeps
// the older bits of its shift register. TMS opcodes are answered as bad ones. EEPROM: none fitted. Channels C and D of an FT4232H, which have no
// MPSSE, take its bit mode and do nothing with what comes then, as in any other mode.
// Wait commands (88, 94 ...) on a pin that will not move hold the engine until the bit mode is set anew.
//
// # Fault model
//
// Faults act on one channel, counted in bytes, each at most once: the engine hangs (IN and OUT
// then NAK for ever), the bulk endpoints stall until CLEAR_FEATURE(ENDPOINT_HALT), one answer byte is lost, or the device
// is gone, in the pair that matters: the commands behind that byte were never executed, or the whole
// transfer was and the answers not yet fetched are lost. The pins of a device that is gone float, so a chip select that was low rises:
// a frame cut in its data ends there, and the target may take it as a shorter one. Wires that are too long for a clock flip bits of what the
// target answers, above it and at any time. Other bit errors and babble are not modelled.
package ftdi

import (
	"errors"
	"fmt"
	"time"
)

// What a USB transaction with the device can end in besides ACK and NAK.
var (
	ErrStall = errors.New("endpoint stalled")
	ErrGone  = errors.New("device is gone")
)

// Target hangs on the pins of a channel. It is an alias so that the firmware of every family takes the same targets.
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

// Timed is a Target that takes its time from the programmer: with Pace Real the engine runs up to a millisecond ahead of time.Now.
type Timed interface {
	// At says that the next call of the Target happens at t, and each byte of its Shift so long after the one before.
	At(t time.Time, perByte time.Duration)
}

// Resettable is a Target that has a reset line, and sees who drives its wires.
type Resettable interface {
	// Drives says what the programmer's outputs do from now on: low pulls the reset line low, high drives it high, bus drives any of SK, DO and CS.
	Drives(low, high, bus bool)
}

// Model is a programmer chip as its descriptors and FIFOs tell it.
type Model struct {
	name      string
	product   uint16
	release   uint16 // bcdDevice, from which hosts tell the models apart
	channels  int
	engines   int // of these, the first ones, that have an MPSSE
	fifo      int // bytes per channel and direction
	driveZero bool
}

// The models, fact sheet 4.1. All have a blank EEPROM: default strings, no serial number.
var (
	FT232H  = Model{name: "Single RS232-HS", product: 0x6014, release: 0x0900, channels: 1, engines: 1, fifo: 1024, driveZero: true}
	FT2232H = Model{name: "Dual RS232-HS", product: 0x6010, release: 0x0700, channels: 2, engines: 2, fifo: 4096}
	FT4232H = Model{name: "Quad RS232-HS", product: 0x6011, release: 0x0800, channels: 4, engines: 2, fifo: 2048}
)

// Pace says whether things take their time.
type Pace int

const (
	// None: the wire takes no time.
	None Pace = iota
	// Real: every clock takes its time.
	Real
)

// Options of a Device. The zero value is fast and free of faults.
type Options struct {
	Pace   Pace
	Faults Faults
}

// Faults to inject, see the package comment. Byte counts start with the device; 0 means never.
type Faults struct {
	Channel     int  // the channel they act on, 0 = A
	HangAfter   int  // the engine executes this many OUT bytes and no more
	StallAfter  int  // likewise, and the bulk endpoints stall
	UnplugAfter int  // likewise, and the device is gone
	UnplugDone  bool // with UnplugAfter: the transfer that crosses the count is executed to its end, its answers are lost
	DropAnswer  int  // this answer byte, counted from 1, is lost

	// FlipAbove is a clock in Hz: above it the wires flip FlipBits in every FlipEvery-th byte, 0 being each, that the target answers to a byte-wise read.
	FlipAbove int
	FlipBits  byte
	FlipEvery int
}

// Device is one programmer, from power-on to its unplugging. Safe for concurrent use; nothing in it waits for the host.
type Device struct {
	model    Model
	channels []*channel
}

// New returns a programmer of this model, just powered on.
func New(m Model, o Options) *Device {
	d := &Device{model: m}
	for i := range m.channels {
		c := &channel{
			dev: d, capable: i < m.engines, real: o.Pace == Real, latency: 16 * time.Millisecond, epoch: time.Now(),
			toChip: fifo{buf: make([]byte, m.fifo)}, toHost: fifo{buf: make([]byte, m.fifo)},
		}
		c.engine.driveZero = m.driveZero
		c.setMode(0)
		if i == o.Faults.Channel {
			c.faults = o.Faults
		}
		d.channels = append(d.channels, c)
	}
	return d
}

// Attach hangs t on the pins of a channel, counted from 0, in place of what hung there; nil leaves the pins bare. A target
// that comes while chip select is low hears nothing until the next falling edge, one that goes hears no
// rising edge: it just left.
func (d *Device) Attach(channel int, t Target) error {
	c, err := d.channel(channel)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.pins.reset; r != nil {
		r.Drives(false, false, false)
	}
	c.pins.target, c.pins.heard = t, false
	c.pins.timed, _ = t.(Timed)
	c.pins.reset, _ = t.(Resettable)
	c.pins.tellDriven()
	return nil
}

// Notify makes f the host's ear for an interface: it is called, from a goroutine of its own, whenever Out may take more, In may
// have a packet, or the device is gone. nil takes it away.
func (d *Device) Notify(iface int, f func()) {
	if c, err := d.channel(iface); err == nil {
		c.mu.Lock()
		c.notify = f
		c.mu.Unlock()
	}
}

// Out is the bulk OUT endpoint of an interface: it takes packets from the front of p, the rest of one transfer, one with Pace
// Real and else as many as there is room for, and returns how many bytes that was; 0 is a NAK. Errors are ErrStall and ErrGone.
func (d *Device) Out(iface int, p []byte) (int, error) {
	c, err := d.channel(iface)
	if err != nil {
		return 0, err
	}
	return c.out(p)
}

// In is the bulk IN endpoint of an interface: one packet into p, which must hold 512 bytes. ok is false where the device
// has nothing to send (NAK). Errors are ErrStall and ErrGone.
func (d *Device) In(iface int, p []byte) (n int, ok bool, err error) {
	c, err := d.channel(iface)
	if err != nil {
		return 0, false, err
	}
	return c.in(p)
}

// Data is how many bytes of an IN transfer of n bytes are data: each packet begins with two status bytes.
func (d *Device) Data(n int) int { return n - len(status)*((n+maxPacket-1)/maxPacket) }

// Close is the unplugging: pins float, everything answers ErrGone, answers not fetched are lost.
// The Device does not come back; plug in a new one.
func (d *Device) Close() {
	for _, c := range d.channels {
		c.close()
	}
}

func (d *Device) channel(i int) (*channel, error) {
	if i < 0 || i >= len(d.channels) {
		return nil, fmt.Errorf("%s has no channel %d: %w", d.model.name, i, ErrStall)
	}
	return d.channels[i], nil
}
