// Package ch341a is the firmware of a simulated CH341A programmer in its EPP/MEM/I2C mode: USB packets in, pins
// out. A Device answers control requests and bulk packets as the chip does, and moves the pins that a Target hangs on. Its
// reading of the chip is the fixture fact sheet, section 2.
//
// What belongs elsewhere: USB transfers, their deadlines and who may open what (sim), the flash behind the pins
// (sim/nor), and everything a host does (fixtures/ch341a, which this room never sees).
//
// # Packets
//
// Each packet of up to 32 bytes is parsed alone; its first byte says what it is. A host that writes a longer
// transfer has it cut at multiples of 32. A8: the rest is shifted out on MOSI, least significant bit first, and as many
// bytes come back, in one packet of their own. AB: pin writes, directions, samples, delays, until 20. AA: bus
// speed and delays, until 00. Any other packet is thrown away.
//
// # Pins
//
// D0 is chip select 0, low = selected, D3 the clock SCK, D5 MOSI, D7 MISO. D1, D2, D4 lead nowhere; D6 and D7 are always
// inputs. A pin that is not an output floats high by its pull-up, so a target is selected only while D0 is an output
// and low. Nothing moves chip select but AB packets: it stays as the host left it, from transfer to transfer and from host to host.
//
// The target speaks SPI mode 0. Pins written by AB are real edges: a rising SCK shifts one bit, with MOSI as it was before that write,
// into the same register that A8 feeds. D7 shows the bit of the last rising edge until the next one, so a host
// that reads by hand samples while SCK is high; what a chip shows after the falling edge is not modelled.
//
// # Time
//
// With Pace Real bytes take their clocks and pin writes 0.75 µs each, and the host sees an answer, or room, when the wire is as far. Within these the
// engine runs up to a millisecond ahead of time.Now, and tells its target the wire's time (Timed). What comes from elsewhere,
// an unplugging, a board that is taken out, so meets a wire that is up to a millisecond further.
//
// # Choices where the fact sheet is silent
//
// The chip holds two OUT packets besides the one it executes. An A8 packet begins only when there is room for its answer.
// A8 needs SCK and MOSI to be outputs (SCK an input: nobody hears it; MOSI an input: ones) and takes an SCK that was left high
// low first. All samples of an AB packet come in one answer (option SampleAlone: in one each) and show what is driven, too
// (option InputsOnly: not). Bytes of an AB packet that mean nothing do nothing. Two data
// pairs (speed bit 2) are not modelled: A8 then reaches nobody and answers FF. I2C is not modelled: start, stop, in and out end the
// packet. The interrupt endpoint never has anything. SET_CONFIGURATION empties the buffers and leaves the pins. No strings.
//
// # Fault model
//
// Faults are counted in bytes, each at most once: the engine hangs (IN and OUT then NAK for ever),
// the bulk endpoints stall until CLEAR_FEATURE(ENDPOINT_HALT), one answer byte is lost, or the device is gone, in the
// pair that matters: what is behind that byte was never executed, or the whole transfer was and the answers
// not yet fetched are lost. The pins of a device that is gone float, so a chip select that was low rises: a frame
// cut in its data ends there, and the target may take it as a shorter one. Bit errors and babble are not modelled.
package ch341a

import (
	"errors"
	"fmt"
	"sync"
	"time"
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

// Timed is a Target that takes its time from the programmer: with Pace Real the engine runs up to a millisecond ahead of time.Now.
type Timed interface {
	// At says that the next call of the Target happens at t, and each byte of its Shift so long after the one before.
	At(t time.Time, perByte time.Duration)
}

// Pace says whether things take their time.
type Pace int

const (
	// None: the wire takes no time.
	None Pace = iota
	// Real: every clock and every pin write takes its time.
	Real
)

// Options of a Device. The zero value is fast and free of faults.
type Options struct {
	Pace     Pace
	Clock    int  // SCK of A8 in Hz, with Pace Real; 0 means 1 500 000. Sources differ: 1.5 or 2 MHz
	Segments int  // answers that wait for the host before the chip stops; 0 means 4
	Coalesce bool // an IN packet holds whatever waits, up to 31 bytes, and not just one answer

	SampleAlone bool // each sample of an AB packet is an answer of its own
	InputsOnly  bool // in a sample, pins that are outputs read 0
	Faults      Faults
}

// Faults to inject, see the package comment. Byte counts start with the device and include the padding of packets; 0 means never.
type Faults struct {
	HangAfter   int  // the engine executes this many OUT bytes and no more
	StallAfter  int  // likewise, and the bulk endpoints stall
	UnplugAfter int  // likewise, and the device is gone
	UnplugDone  bool // with UnplugAfter: the transfer that crosses the count is executed to its end, its answers are lost
	DropAnswer  int  // this answer byte, counted from 1, is lost
}

// Device is one programmer, from power-on to its unplugging. Safe for concurrent use; nothing in it waits for the host.
type Device struct {
	opts     Options
	epoch    time.Time // from which the engine's times count
	byteTime time.Duration

	mu      sync.Mutex
	notify  func()
	packets queue // OUT, not yet executed
	answers queue // IN, not yet fetched, none of them empty
	ready   int   // of these, that the host sees
	engine  engine
	pins    pins

	gone, hung, stalled bool
	dying               bool // executing the last transfer, answers are lost
	arrived             int  // OUT bytes taken from the host
	answered            int  // bytes that the engine answered
}

// New returns a programmer, just powered on.
func New(o Options) *Device {
	if o.Clock <= 0 {
		o.Clock = 1_500_000
	}
	if o.Segments <= 0 {
		o.Segments = 4
	}
	return &Device{opts: o, epoch: time.Now(), byteTime: 8 * time.Second / time.Duration(o.Clock), pins: pins{miso: true}}
}

// Attach hangs t on the pins in place of what hung there; nil leaves them bare. There is channel 0 only: the target is selected by
// D0. A target that comes while chip select is low hears nothing until the next falling edge, one that goes
// hears no rising edge: it just left.
func (d *Device) Attach(channel int, t Target) error {
	if channel != 0 {
		return fmt.Errorf("CH341A has no channel %d: %w", channel, ErrStall)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pins.target, d.pins.heard = t, false
	d.pins.timed, _ = t.(Timed)
	return nil
}

// Notify makes f the host's ear: it is called, from a goroutine of its own, whenever Out may take more, In may have a packet,
// or the device is gone. nil takes it away. The only interface is 0.
func (d *Device) Notify(iface int, f func()) {
	if iface != 0 {
		return
	}
	d.mu.Lock()
	d.notify = f
	d.mu.Unlock()
}

// Out is the bulk OUT endpoint 02: it takes packets from the front of p, the rest of one transfer, one with Pace Real and else as many
// as there is room for, and returns how many bytes that was; 0 is a NAK. Errors are ErrStall and ErrGone.
func (d *Device) Out(iface int, p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUp()
	switch {
	case d.gone:
		return 0, ErrGone
	case d.stalled || iface != 0:
		return 0, ErrStall
	case d.dying:
		return 0, nil
	}
	if f := d.opts.Faults; f.UnplugDone && f.UnplugAfter > 0 && d.arrived+len(p) > f.UnplugAfter {
		d.dying, d.ready = true, 0
		d.answers.clear()
	}
	n := 0
	for n < len(p) && (d.dying || d.packets.len()+d.engine.begun < buffered) {
		var one packet
		one.n = copy(one.data[:], p[n:])
		d.packets.push(one)
		n += one.n
		d.arrived += one.n
		switch {
		case d.dying: // all of it
		case d.real():
			d.work()
			return n, nil // one transaction
		default:
			d.run()
		}
	}
	d.work()
	return n, nil
}

// In is the bulk IN endpoint 82: one packet into p, which must hold 32 bytes. ok is false where the device has nothing to
// send (NAK). Errors are ErrStall and ErrGone.
func (d *Device) In(iface int, p []byte) (n int, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUp()
	switch {
	case d.gone:
		return 0, false, ErrGone
	case d.stalled || iface != 0:
		return 0, false, ErrStall
	case d.hung || d.dying || d.ready == 0 || len(p) < maxPacket:
		return 0, false, nil
	}
	for d.ready > 0 && n < maxAnswer {
		a := d.answers.first()
		m := copy(p[n:maxAnswer], a.data[:a.n])
		n += m
		copy(a.data[:], a.data[m:])
		if a.n -= m; a.n == 0 {
			d.answers.pop()
			d.ready--
		}
		if !d.opts.Coalesce {
			break
		}
	}
	d.work()
	return n, true, nil
}

// Close is the unplugging: pins float, everything answers ErrGone, answers not fetched are lost.
// The Device does not come back; plug in a new one.
func (d *Device) Close() {
	d.mu.Lock()
	d.gone, d.engine.halted = true, true
	d.pins.drive(0, 0)
	if d.engine.timer != nil {
		d.engine.timer.Stop()
	}
	f := d.notify
	d.notify = nil
	d.mu.Unlock()
	if f != nil {
		f()
	}
}
