package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"station/fixtures/usb"
	"station/sim/ftdi"
)

const (
	// microframe is the time that a transfer needs to get across with Pace Real: high speed, one ahead.
	microframe = 125 * time.Microsecond
	// packetsPerMicroframe of 512 bytes, USB 2.0 table 5-10.
	packetsPerMicroframe = 13
	// limit ends calls whose ctx has no deadline.
	limit = 10 * time.Second
)

// link is one claimed interface.
type link struct {
	line      *Line
	path      string
	iface     int
	dev       Device
	real      bool
	maxPacket int // of bulk IN

	room chan struct{} // a writer should try again
	over chan struct{} // closed together with err being set

	mu  sync.Mutex
	err error // usb.ErrGone or usb.ErrClosed
	in  *in
}

func newLink(l *Line, path string, iface int, dev Device, desc usb.Interface) *link {
	k := &link{
		line: l, path: path, iface: iface, dev: dev, real: l.opts.Pace == ftdi.Real,
		room: make(chan struct{}, 1), over: make(chan struct{}),
	}
	for _, e := range desc.Endpoints {
		if e.Bulk && e.Address&0x80 != 0 && k.maxPacket == 0 {
			k.maxPacket = e.MaxPacket
		}
	}
	return k
}

// Control does a control transfer.
func (k *link) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	if err := k.usable(ctx); err != nil {
		return 0, err
	}
	if err := k.travel(ctx, microframe); err != nil {
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
	if err := k.travel(ctx, microframe+microframe*time.Duration(len(p)/512)/packetsPerMicroframe); err != nil {
		return 0, err
	}
	late := expiry{ctx: ctx}
	defer late.stop()
	for n < len(p) {
		m, err := k.dev.Out(k.iface, p[n:])
		n += m
		switch {
		case err != nil:
			return n, k.fault(err)
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
	return n, nil
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
	case errors.Is(err, ftdi.ErrStall):
		return k.wrap(usb.ErrStall)
	case errors.Is(err, ftdi.ErrGone):
		k.line.drop(k.path, k.dev)
		k.end(usb.ErrGone)
		return k.wrap(usb.ErrGone)
	}
	return k.wrap(err)
}

// travel lets the time of d pass where the USB takes time.
func (k *link) travel(ctx context.Context, d time.Duration) error {
	if !k.real {
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
		if r.n += n; n < k.maxPacket || r.n == len(r.data) {
			if k.real {
				r.at = time.Now().Add(microframe)
			}
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
