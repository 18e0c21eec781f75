// Package dediprog is the firmware of simulated Dediprog programmers, SF100 and SF600: USB requests and packets in, pins and the target's
// supply out. A Device answers control requests and bulk packets as the programmer does. Its reading of it is the fixture fact sheet, section 6.
//
// What belongs elsewhere: USB transfers, their deadlines and who may open what (sim), the flash behind the pins (sim/nor), and everything a
// host does (fixtures/dediprog, which this room never sees).
//
// # Requests
//
// A transceive moves up to 16 bytes out and as many in, in one frame of its own. Where an answer is wanted chip select stays low
// between the two requests. A bulk read is one frame: opcode, address, and blocks of 512 bytes, each a packet of the IN endpoint. A bulk
// write has a page of 256 bytes in the first half of each OUT packet; for each page the firmware sends write enable, the program, and asks for
// the status until the chip is ready. What the chip made of it nobody is told.
//
// # Supply
//
// The programmer feeds its board (Fed): VCC is off at first, and request 09 switches it. While it is off no pin is driven and nobody hears
// anything. Closing the device, which is pulling its cable, takes the supply away. Any of the three voltages feeds any board: a chip that gets too
// little or too much is not modelled.
//
// # Time
//
// With Pace Real bytes take their clocks, on the clock that the host has set, 12 MHz at first. The firmware does at once what it is asked to, ahead of
// time.Now, and tells its target the wire's time (Timed); what the host then sees, a block, room for a page, an answer (Busy), it sees when the wire is
// as far. It runs ahead by a page program and its end, or by four blocks. What comes from elsewhere, an unplugging, a board that is taken out,
// so meets a wire that is that much further.
//
// # Choices where the fact sheet is silent
//
// Descriptors: class FF, high speed, bulk IN 82, and bulk OUT 02 on an SF100 and 01 on an SF600 (option BothOuts: both, of which the other is deaf), packets of 512 bytes; no
// strings. A request whose values make no sense stalls. A transceive or a bulk command ends whatever was under way before it, chip select
// rises, and blocks that were not fetched are lost; so does SET_CONFIGURATION. The modes' own opcodes are sent where the command packet has 0, and those of the
// packet otherwise. One page is in work, and the next is taken when it is over; a request for the wire waits for it, the others do not. The status is asked for
// every 10 µs (option PollGap), and after 100 ms (option Patience) the firmware goes on as if the chip were ready. A bulk packet without a command before it, or of
// another size, stalls the endpoint. Only application flash 1 is wired. LEDs and VPP are only remembered.
//
// # Fault model
//
// Faults are counted in pages and blocks, each at most once: the firmware hangs (the bulk endpoints then NAK for ever), the bulk endpoints stall
// until CLEAR_FEATURE(ENDPOINT_HALT), or the device is gone: what is behind that page or block was never executed. The pins of a
// device that is gone float, and its board has no supply. Bit errors and babble are not modelled.
package dediprog

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

// Timed is a Target that takes its time from the programmer, which runs ahead of time.Now.
type Timed interface {
	// At says that the next call of the Target happens at t, and each byte of its Shift so long after the one before.
	At(t time.Time, perByte time.Duration)
}

// Fed is a Target that lives by the programmer's supply.
type Fed interface {
	// Power says that the supply is there, or is not.
	Power(on bool)
}

// Pace says whether things take their time.
type Pace int

const (
	// None: the wire takes no time.
	None Pace = iota
	// Real: every clock takes its time.
	Real
)

// Model is a programmer as its version string and its endpoints tell it.
type Model struct {
	name     string
	firmware [3]int // where Options has none
	out      byte   // bulk OUT endpoint
	v2, v3   [3]int // the first firmware that speaks this version of the protocol
}

// The models, fact sheet 6.1 and 6.2.
var (
	SF100 = Model{name: "SF100", firmware: [3]int{5, 5, 1}, out: 0x02, v2: [3]int{5, 5, 0}, v3: never}
	SF600 = Model{name: "SF600", firmware: [3]int{7, 2, 22}, out: 0x01, v2: [3]int{6, 9, 0}, v3: [3]int{7, 2, 22}}
)

var never = [3]int{1 << 30}

// Options of a Device. The zero value is fast and free of faults.
type Options struct {
	Pace     Pace
	Firmware [3]int        // version; zeros: 5.5.1 of an SF100, which speaks V2, and 7.2.22 of an SF600, which speaks V3
	PollGap  time.Duration // between two status reads of the firmware, with Pace Real or a chip that takes time; 0 means 10 µs
	Patience time.Duration // how long the firmware asks for the status of one page; 0 means 100 ms
	Asleep   bool          // firmware before 6.0.0: nothing but request 0B is answered before that was sent
	BothOuts bool          // the descriptors have OUT endpoints 01 and 02, in this order
	Faults   Faults
}

// Faults to inject, see the package comment. Counts start with the device; 0 means never.
type Faults struct {
	HangAfter   int // the firmware moves this many pages and blocks, and no more
	StallAfter  int // likewise, and the bulk endpoints stall
	UnplugAfter int // likewise, and the device is gone
}

// Device is one programmer, from power-on to its unplugging. Safe for concurrent use; nothing in it waits for the host.
type Device struct {
	model    Model
	opts     Options
	protocol int // 1 to 3
	epoch    time.Time

	mu       sync.Mutex
	notify   func()
	pins     pins
	leds     byte
	byteTime time.Duration
	until    time.Duration // when the wire is done with what was executed
	answered time.Duration // when the host has the answer to the last request
	read     read
	write    write
	moved    int // pages and blocks
	timer    *time.Timer
	alarmAt  time.Duration // when it fires
	late     time.Duration // that it fired last, as those of a real machine do: pages and blocks that waited for it go on as if it had not. In a bubble none is late

	asleep, gone, hung, stalled bool
}

// New returns a programmer of this model, just powered on.
func New(m Model, o Options) *Device {
	if o.Firmware == [3]int{} {
		o.Firmware = m.firmware
	}
	if o.PollGap <= 0 {
		o.PollGap = 10 * time.Microsecond
	}
	if o.Patience <= 0 {
		o.Patience = 100 * time.Millisecond
	}
	d := &Device{model: m, opts: o, protocol: 1, epoch: time.Now(), asleep: o.Asleep}
	switch {
	case !before(o.Firmware, m.v3):
		d.protocol = 3
	case !before(o.Firmware, m.v2):
		d.protocol = 2
	}
	d.setClock(2)
	return d
}

// before tells whether firmware a is older than b.
func before(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// Attach hangs t on the pins in place of what hung there, and feeds it where VCC is on; nil leaves them bare. There is channel 0 only. A target that
// goes hears no rising edge and keeps its supply, it just left.
func (d *Device) Attach(channel int, t Target) error {
	if channel != 0 {
		return fmt.Errorf("%s has no channel %d: %w", d.model.name, channel, ErrStall)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.pins
	p.target, p.heard = t, false
	p.timed, _ = t.(Timed)
	p.fed, _ = t.(Fed)
	if p.fed != nil {
		p.fed.Power(p.vcc > 0)
	}
	return nil
}

// Feeds says that the board's supply is the programmer's.
func (d *Device) Feeds() bool { return true }

// Millivolts is what the programmer gives its board; 0 is off.
func (d *Device) Millivolts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pins.vcc
}

// LEDs are those that are lit: 1 pass, 2 busy, 4 error.
func (d *Device) LEDs() byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leds
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

// Close is the unplugging: pins float, the board loses its supply, everything answers ErrGone, blocks not fetched are lost.
// The Device does not come back; plug in a new one.
func (d *Device) Close() {
	d.mu.Lock()
	d.unplugged()
	f := d.notify
	d.notify = nil
	d.mu.Unlock()
	if f != nil {
		f()
	}
}

func (d *Device) unplugged() {
	d.gone = true
	d.abandon()
	d.pins.supply(0)
	if d.timer != nil {
		d.timer.Stop()
	}
}
