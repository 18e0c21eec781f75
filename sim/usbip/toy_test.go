package usbip_test

import (
	"sync"

	"station/sim/ch341a"
	"station/sim/ftdi"
)

// toy is a device of which a test decides what it takes and sends: 1A86:5512 at full speed, bulk endpoints 02 and 82 of 32 bytes,
// interrupt endpoint 81. It speaks ch341a's errors.
type toy struct {
	mu      sync.Mutex
	room    int      // OUT bytes that it takes
	taken   []byte   // OUT bytes that it took
	packets [][]byte // IN packets that it has
	stalled bool
	gone    bool
	notify  func()
}

func (d *toy) change(f func()) {
	d.mu.Lock()
	f()
	n := d.notify
	d.mu.Unlock()
	if n != nil {
		n()
	}
}

func (d *toy) give(packets ...[]byte) {
	d.change(func() { d.packets = append(d.packets, packets...) })
}

func (d *toy) allow(n int) { d.change(func() { d.room += n }) }

func (d *toy) took() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}

func (d *toy) Control(setup [8]byte, data []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return 0, ch341a.ErrGone
	}
	switch [2]byte(setup[:2]) {
	case [2]byte{0x80, 6}:
		switch setup[3] {
		case 1:
			return copy(data, unhex("12 01 1001 FF 00 02 08 861A 1255 0403 00 00 00 01")), nil
		case 2:
			return copy(data, unhex(`09 02 2700 01 01 00 80 30  09 04 00 00 03 FF 01 02 00
				07 05 82 02 2000 00  07 05 02 02 2000 00  07 05 81 03 0800 01`)), nil
		}
	case [2]byte{0x02, 1}:
		d.stalled = false
		return 0, nil
	case [2]byte{0x40, 2}:
		d.packets = append(d.packets, []byte{9, 9, 9})
		return 0, nil
	}
	return 0, ch341a.ErrStall
}

func (d *toy) fault() error {
	switch {
	case d.gone:
		return ch341a.ErrGone
	case d.stalled:
		return ch341a.ErrStall
	}
	return nil
}

func (d *toy) Out(iface int, p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fault(); err != nil {
		return 0, err
	}
	n := min(len(p), d.room)
	d.room -= n
	d.taken = append(d.taken, p[:n]...)
	return n, nil
}

func (d *toy) In(iface int, p []byte) (int, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fault(); err != nil {
		return 0, false, err
	}
	if len(d.packets) == 0 {
		return 0, false, nil
	}
	n := copy(p, d.packets[0])
	d.packets = d.packets[1:]
	return n, true, nil
}

func (d *toy) Notify(iface int, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notify = f
}

func (d *toy) Attach(channel int, t ftdi.Target) error { return nil }

func (d *toy) Close() {
	d.mu.Lock()
	d.gone = true
	f := d.notify
	d.notify = nil
	d.mu.Unlock()
	if f != nil {
		f()
	}
}
