package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"station/fixtures/usb"
	"station/sim/ch341a"
	"station/sim/ftdi"
)

// limit ends calls whose ctx has no deadline.
const limit = 10 * time.Second

// link is one claimed interface.
type link struct {
	line      *Line
	path      string
	iface     int
	dev       Device
	pace      *pace
	maxPacket int // of bulk IN
	maxOut    int // of bulk OUT

	room chan struct{} // a writer should try again
	over chan struct{} // closed together with err being set

	mu  sync.Mutex
	err error // usb.ErrGone or usb.ErrClosed
	in  *in
}

func newLink(l *Line, path string, p *port, iface int, desc usb.Interface) *link {
	k := &link{
		line: l, path: path, iface: iface, dev: p.dev, pace: p.pace,
		room: make(chan struct{}, 1), over: make(chan struct{}),
	}
	for _, e := range desc.Endpoints {
		switch in := e.Address&0x80 != 0; {
		case e.Bulk && in && k.maxPacket == 0:
			k.maxPacket = e.MaxPacket
		case e.Bulk && !in && k.maxOut == 0:
			k.maxOut = e.MaxPacket
		}
	}
	return k
}

// Control does a control transfer.
func (k *link) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	if err := k.usable(ctx); err != nil {
		return 0, err
	}
	if err := k.travel(ctx, k.pace.control()); err != nil {
		return 0, err
	}
	var p [8]byte
	p[0], p[1] = s.RequestType, s.Request
	binary.LittleEndian.PutUint16(p[2:], s.Value)
	binary.LittleEndian.PutUint16(p[4:], s.Index)
	binary.LittleEndian.PutUint16(p[6:], uint16(min(len(data), 0xFFFF)))
	n, err := k.dev.Control(p, data[:min(len(data), 0xFFFF)])
	if err != nil {
		return n, k.fault(err)
	}
	k.hear()
	return n, nil
}

// Write is one OUT transfer.
func (k *link) Write(ctx context.Context, p []byte) (n int, err error) {
	if err := k.usable(ctx); err != nil {
		return 0, err
	}
	late := expiry{ctx: ctx}
	defer late.stop()
	for wait := k.pace.begin(len(p)); ; wait = 0 {
		if err := k.travel(ctx, wait+k.pace.packets(1)); err != nil {
			return n, err
		}
		m, err := k.dev.Out(k.iface, p[n:])
		n += m
		k.pace.packets(max(m-1, 0) / max(k.maxOut, 1))
		switch {
		case err != nil:
			return n, k.fault(err)
		case n == len(p):
			return n, k.travel(ctx, k.pace.heard())
		case m > 0:
			continue
		}
		select {
		case <-k.room:
		case <-k.over:
			return n, k.usable(ctx)
		case <-ctx.Done():
			return n, ctx.Err()
		case <-late.after():
			return n, k.wrap(usb.ErrTimeout)
		}
	}
}

// Close gives the interface back. What the device has taken, it still carries out.
func (k *link) Close() error {
	k.end(usb.ErrClosed)
	k.line.release(k)
	return nil
}

// end makes every call fail with err from now on; the first end counts.
func (k *link) end(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
		k.in = nil
		close(k.over)
	}
}

func (k *link) usable(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
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
	case isStall(err):
		return k.wrap(usb.ErrStall)
	case isGone(err):
		k.line.drop(k.path, k.dev)
		k.end(usb.ErrGone)
		return k.wrap(usb.ErrGone)
	}
	return k.wrap(err)
}

// What the families' firmware ends in.
func isStall(err error) bool { return errors.Is(err, ftdi.ErrStall) || errors.Is(err, ch341a.ErrStall) }
func isGone(err error) bool  { return errors.Is(err, ftdi.ErrGone) || errors.Is(err, ch341a.ErrGone) }

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
	signal(k.room)
	k.mu.Lock()
	err := k.pump()
	k.mu.Unlock()
	if err != nil {
		_ = k.fault(err) // a stall is the stream's, and a device that is gone tells whoever calls next
	}
}

// pump fetches packets while there are reads posted for them. k.mu is held.
func (k *link) pump() error {
	s := k.in
	if s == nil || s.err != nil {
		return nil
	}
	for s.done < len(s.posted) {
		r := &s.posted[(s.first+s.done)%len(s.posted)]
		n, ok, err := k.dev.In(k.iface, r.data[r.n:r.n+k.maxPacket])
		if err != nil {
			s.err = err
			signal(s.ready)
			return err
		}
		if !ok {
			return nil
		}
		k.pace.packets(1)
		if r.n += n; n < k.maxPacket || r.n == len(r.data) {
			r.at = k.pace.arrival()
			s.done++
			signal(s.ready)
		}
	}
	return nil
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
