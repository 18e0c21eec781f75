package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"station/fixtures/usb"
	"station/sim/ch341a"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/pico"
)

// limit ends calls whose ctx has no deadline.
const limit = 10 * time.Second

// link is one claimed interface.
type link struct {
	line      *Line
	path      string
	iface     int
	dev       Device
	bus       *bus
	count     *Counter
	maxPacket int // of bulk IN
	maxOut    int // of bulk OUT
	ends      []usb.Endpoint
	deaf      bool // the device takes nothing at the bulk OUT endpoint
	toDevice  pipe
	toHost    pipe

	wrote chan struct{} // the writer should look again
	over  chan struct{} // closed together with err being set

	// Under bus.mu.
	err error // usb.ErrGone or usb.ErrClosed
	out *out  // the write under way
	in  *in
}

// out is a write under way.
type out struct {
	data []byte
	n    int // bytes that the device took
	done bool
	err  error     // the device's
	at   time.Time // when the host hears that it is done
}

func newLink(l *Line, path string, p *port, iface int, desc usb.Interface) *link {
	k := &link{
		line: l, path: path, iface: iface, dev: p.dev, bus: p.bus, count: p.count, ends: desc.Endpoints,
		wrote: make(chan struct{}, 1), over: make(chan struct{}),
	}
	if k.bus.slot == 0 { // without time nothing is shared
		k.bus = &bus{}
	}
	k.toDevice.move, k.toHost.move = k.push, k.pull
	for _, e := range desc.Endpoints {
		switch in := e.Address&0x80 != 0; {
		case e.Bulk && in && k.maxPacket == 0:
			k.maxPacket = e.MaxPacket
		case e.Bulk && !in && k.maxOut == 0:
			k.listen(e)
		}
	}
	return k
}

// listen makes e the endpoint of Write.
func (k *link) listen(e usb.Endpoint) { k.maxOut, k.deaf = e.MaxPacket, !Hears(k.dev, e.Address) }

// Hears tells whether a device takes what it is sent at the OUT endpoint at address. One that has several of them for one interface, and does not take it at all, tells by a method Hears.
func Hears(dev Device, address uint8) bool {
	d, ok := dev.(interface{ Hears(address uint8) bool })
	return !ok || d.Hears(address)
}

// Out chooses the endpoint of Write.
func (k *link) Out(address uint8) error {
	i := slices.IndexFunc(k.ends, func(e usb.Endpoint) bool { return e.Bulk && e.Address == address && address&0x80 == 0 })
	if i < 0 {
		return k.wrap(fmt.Errorf("there is no bulk OUT endpoint 0x%02x: %w", address, usb.ErrDescriptor))
	}
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	k.listen(k.ends[i])
	return nil
}

// Control does a control transfer.
func (k *link) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	if err := k.usable(ctx); err != nil {
		return 0, err
	}
	if err := k.travel(ctx, k.bus.control()); err != nil {
		return 0, err
	}
	var p [8]byte
	p[0], p[1] = s.RequestType, s.Request
	binary.LittleEndian.PutUint16(p[2:], s.Value)
	binary.LittleEndian.PutUint16(p[4:], s.Index)
	binary.LittleEndian.PutUint16(p[6:], uint16(min(len(data), 0xFFFF)))
	k.count.Control(p)
	n, err := k.dev.Control(p, data[:min(len(data), 0xFFFF)])
	if err != nil {
		return n, k.fault(err)
	}
	k.hear()
	if d, ok := k.dev.(interface{ Busy() time.Duration }); ok {
		return n, k.travel(ctx, d.Busy())
	}
	return n, nil
}

// Write is one OUT transfer.
func (k *link) Write(ctx context.Context, p []byte) (n int, err error) {
	if err := k.usable(ctx); err != nil {
		return 0, err
	}
	if err := k.travel(ctx, k.bus.ahead()); err != nil {
		return 0, err
	}
	k.count.Out(k.iface, len(p))
	late := expiry{ctx: ctx}
	defer late.stop()
	w := &out{data: p, done: len(p) == 0}
	k.bus.mu.Lock()
	k.out = w
	k.bus.ask(&k.toDevice, &k.toHost)
	for !w.done {
		k.bus.mu.Unlock()
		select {
		case <-k.wrote:
		case <-k.over:
			err = k.usable(ctx)
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.after():
			err = k.wrap(usb.ErrTimeout)
		}
		k.bus.mu.Lock()
		if err != nil {
			break
		}
	}
	k.out = nil
	n = w.n
	if w.done { // meanwhile
		err = nil
	}
	k.bus.mu.Unlock()
	switch {
	case err != nil:
		return n, err
	case w.err != nil:
		return n, k.fault(w.err)
	case w.at.IsZero():
		return n, nil
	}
	return n, k.travel(ctx, time.Until(w.at))
}

// Close gives the interface back. What the device has taken, it still carries out.
func (k *link) Close() error {
	k.end(usb.ErrClosed)
	k.line.release(k)
	return nil
}

// end makes every call fail with err from now on; the first end counts.
func (k *link) end(err error) {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	if k.err == nil {
		k.err = err
		k.in = nil
		close(k.over)
	}
}

func (k *link) usable(ctx context.Context) error {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	if k.err != nil {
		return k.wrap(k.err)
	}
	return ctx.Err()
}

func (k *link) wrap(err error) error {
	return fmt.Errorf("port %s interface %d: %w", k.path, k.iface, err)
}

// fault turns a device's error into the contract's, and forgets a device that is gone.
func (k *link) fault(err error) error {
	switch {
	case IsStall(err):
		return k.wrap(usb.ErrStall)
	case IsGone(err):
		k.line.drop(k.path, k.dev)
		k.end(usb.ErrGone)
		return k.wrap(usb.ErrGone)
	}
	return k.wrap(err)
}

// IsStall tells whether a Device's error is the family's ErrStall.
func IsStall(err error) bool {
	return errors.Is(err, ftdi.ErrStall) || errors.Is(err, ch341a.ErrStall) || errors.Is(err, pico.ErrStall) || errors.Is(err, dediprog.ErrStall)
}

// IsGone tells whether a Device's error is the family's ErrGone.
func IsGone(err error) bool {
	return errors.Is(err, ftdi.ErrGone) || errors.Is(err, ch341a.ErrGone) || errors.Is(err, pico.ErrGone) || errors.Is(err, dediprog.ErrGone)
}

// travel lets the time of d pass.
func (k *link) travel(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.over:
	case <-ctx.Done():
	}
	return k.usable(ctx)
}

// hear is the device's Notify: the writer may go on, and there may be packets.
func (k *link) hear() {
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	k.bus.ask(&k.toDevice, &k.toHost)
}

// push offers the device the rest of the write under way. k.bus.mu is held.
func (k *link) push() (packets int) {
	w := k.out
	if w == nil || w.done || k.err != nil || k.deaf {
		return 0
	}
	m, err := k.dev.Out(k.iface, w.data[w.n:])
	w.n += m
	packets = (m + k.maxOut - 1) / max(k.maxOut, 1)
	k.bus.carry(packets)
	switch {
	case err != nil:
		k.lost(err)
		w.err, w.done = err, true
		signal(k.wrote)
	case w.n == len(w.data):
		w.done = true
		if !k.bus.high {
			w.at = k.bus.back()
		}
		signal(k.wrote)
	}
	return packets
}

// pull fetches a packet where there is a read posted for it. k.bus.mu is held.
func (k *link) pull() (packets int) {
	s := k.in
	if s == nil || s.err != nil || s.done == len(s.posted) {
		return 0
	}
	r := &s.posted[(s.first+s.done)%len(s.posted)]
	n, ok, err := k.dev.In(k.iface, r.data[r.n:r.n+k.maxPacket])
	if err != nil {
		k.lost(err)
		s.err = err
		signal(s.ready)
		return 0
	}
	if !ok {
		return 0
	}
	k.bus.carry(1)
	if r.n += n; n < k.maxPacket || r.n == len(r.data) {
		k.count.In(k.iface, r.n)
		r.at = k.bus.back()
		s.done++
		signal(s.ready)
	}
	return 1
}

// lost forgets a device that is gone, also where nobody calls.
func (k *link) lost(err error) {
	if IsGone(err) {
		go k.fault(err)
	}
}

// expiry is the limit of a call whose ctx has no deadline; the timer is made at the first wait.
type expiry struct {
	ctx   context.Context
	timer *time.Timer
}

func (e *expiry) after() <-chan time.Time {
	if _, ok := e.ctx.Deadline(); ok {
		return nil
	}
	if e.timer == nil {
		e.timer = time.NewTimer(limit)
	}
	return e.timer.C
}

func (e *expiry) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
