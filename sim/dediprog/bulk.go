package dediprog

import (
	"encoding/binary"
	"time"
)

const (
	pageSize = 256
	// buffered blocks wait for the host at most.
	buffered = 4
)

// read is a bulk read under way.
type read struct {
	left   int // blocks that are not read from the chip yet
	blocks []block
}

// block is one that the host has not fetched.
type block struct {
	data [maxPacket]byte
	at   time.Duration // when it is there
}

// write is a bulk write under way.
type write struct {
	left int // pages
	mode mode
	addr uint32
	// waited: the next page was there before there was room for it.
	waited bool
}

// mode is what the mode byte of a command packet says.
type mode struct {
	opcode byte // where the packet has none
	wide   bool // 4 address bytes
	dummy  int  // bytes
}

// The modes of flashrom that concern a serial NOR flash with pages of 256 bytes; 4, 5, 9 and 11 came with V2.
var (
	readModes  = map[byte]mode{1: {0x03, false, 0}, 2: {0x0B, false, 1}, 4: {0x0B, true, 1}, 5: {0x0C, true, 1}}
	writeModes = map[byte]mode{1: {0x02, false, 0}, 9: {0x02, true, 0}, 11: {0x12, true, 0}}
)

// command decodes a command packet, whose length is that of the protocol's version.
func (d *Device) command(value, index uint16, p []byte, lengths [4]int, modes map[byte]mode) (count int, m mode, addr uint32, ok bool) {
	if len(p) != lengths[d.protocol] {
		return 0, m, 0, false
	}
	count = int(binary.LittleEndian.Uint16(p))
	m, ok = modes[p[3]]
	if p[4] != 0 {
		m.opcode = p[4]
	}
	if d.protocol == 1 {
		return count, m, uint32(index&0xFF)<<16 | uint32(value), ok && !m.wide && count > 0
	}
	return count, m, binary.LittleEndian.Uint32(p[6:]), ok && count > 0
}

// header is opcode, address, and dummy bytes.
func (m mode) header(addr uint32) []byte {
	p := []byte{m.opcode}
	if m.wide {
		p = append(p, byte(addr>>24))
	}
	p = append(p, byte(addr>>16), byte(addr>>8), byte(addr))
	return append(p, make([]byte, m.dummy)...)
}

func (d *Device) bulkRead(value, index uint16, p []byte) bool {
	count, m, addr, ok := d.command(value, index, p, [4]int{0, 5, 10, 12}, readModes)
	if !ok || d.protocol == 3 && (p[10] != 0 || p[11] != 0) {
		return false
	}
	d.abandon()
	d.begin()
	d.sel()
	d.shift(m.header(addr), nil)
	d.read.left = count
	d.fill()
	return true
}

// fill reads blocks while there is room for them.
func (d *Device) fill() {
	r := &d.read
	for r.left > 0 && len(r.blocks) < buffered && !d.tripped() {
		d.begin()
		var b block
		d.shift(nil, b.data[:])
		b.at = d.until
		r.blocks = append(r.blocks, b)
		d.moved++
		if r.left--; r.left == 0 {
			d.desel()
		}
	}
}

// In is the bulk IN endpoint 82: one packet into p, which must hold 512 bytes. ok is false where the device has nothing to
// send (NAK). Errors are ErrStall and ErrGone.
func (d *Device) In(iface int, p []byte) (n int, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &d.read
	switch {
	case d.gone:
		return 0, false, ErrGone
	case iface != 0 || d.stalled && len(r.blocks) == 0:
		return 0, false, ErrStall
	case len(r.blocks) == 0 || len(p) < maxPacket || r.blocks[0].at > d.now():
		return 0, false, nil
	}
	n = copy(p, r.blocks[0].data[:])
	clear(r.blocks[0].data[:])
	if r.blocks = r.blocks[1:]; len(r.blocks) == 0 {
		r.blocks = nil
	}
	d.fill()
	d.wake()
	return n, true, nil
}

func (d *Device) bulkWrite(value, index uint16, p []byte) bool {
	count, m, addr, ok := d.command(value, index, p, [4]int{0, 5, 10, 14}, writeModes)
	if !ok || d.protocol == 3 && binary.LittleEndian.Uint32(p[10:]) != pageSize {
		return false
	}
	d.abandon()
	d.write = write{left: count, mode: m, addr: addr}
	return true
}

// Out is the bulk OUT endpoint: it takes a packet from the front of p, the rest of one transfer, when the page before it is over, and returns how
// many bytes that was; 0 is a NAK. Errors are ErrStall and ErrGone.
func (d *Device) Out(iface int, p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return 0, ErrGone
	case iface != 0 || d.stalled:
		return 0, ErrStall
	case len(p) == 0:
		return 0, nil
	case d.until > d.now():
		d.write.waited = true
		return 0, nil
	case d.write.left == 0 || len(p) < maxPacket:
		d.stalled = true
		return 0, ErrStall
	case d.tripped():
		if d.stalled {
			return 0, ErrStall
		}
		return 0, nil
	}
	if w := &d.write; w.waited { // it would have been taken when the page before was over
		d.late = min(d.now()-d.until, mostLate)
		w.waited = len(p) > maxPacket
	}
	d.program(p[:pageSize])
	d.moved++
	d.wake()
	return maxPacket, nil
}

// program is a page: write enable, the program, and the status until the chip is ready.
func (d *Device) program(data []byte) {
	w := &d.write
	d.begin()
	d.late = 0
	d.sel()
	d.shift([]byte{0x06}, nil)
	d.desel()
	d.sel()
	d.shift(w.mode.header(w.addr), nil)
	d.shift(data, nil)
	d.desel()
	w.left--
	w.addr += pageSize
	var status [1]byte
	for end := d.until + d.opts.Patience; d.until < end; d.until += d.opts.PollGap {
		d.sel()
		d.shift([]byte{0x05}, nil)
		d.shift(nil, status[:])
		d.desel()
		if status[0]&1 == 0 {
			return
		}
	}
}

// abandon ends what is under way.
func (d *Device) abandon() {
	clear(d.read.blocks)
	d.read, d.write = read{}, write{}
	if d.pins.low {
		d.begin()
		d.desel()
	}
}

// tripped carries out a fault whose count is reached.
func (d *Device) tripped() bool {
	f := &d.opts.Faults
	at := func(after int) bool { return after > 0 && d.moved >= after }
	switch {
	case d.hung:
	case at(f.HangAfter):
		d.hung = true
	case at(f.StallAfter):
		f.StallAfter = 0
		d.stalled = true
	case at(f.UnplugAfter):
		go d.Close()
		d.hung = true
	default:
		return d.stalled
	}
	return true
}
