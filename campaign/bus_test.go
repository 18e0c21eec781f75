package campaign

import (
	"context"
	"sync/atomic"

	"station/fixtures/usb"
)

// bus is the USB as a station has it: everything passes the gate, and a station that is dead does nothing any more.
type bus struct{ w *world }

func (b bus) List(ctx context.Context) ([]usb.Device, error) {
	if b.w.dead.Load() {
		return nil, errDead
	}
	return b.w.sim.List(ctx)
}

func (b bus) Open(ctx context.Context, port string, iface int) (usb.Link, error) {
	if b.w.dead.Load() {
		return nil, errDead
	}
	inner, err := b.w.sim.Open(ctx, port, iface)
	if err != nil {
		return nil, err
	}
	return &link{Link: inner, s: b.w.slotAt(port, iface)}, nil
}

// link is one claimed interface, and what became of it.
type link struct {
	usb.Link
	s      *slot
	broken atomic.Pointer[error] // what every transfer ends in from now on
}

func (l *link) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	if err := l.ends(); err != nil {
		return 0, err
	}
	return l.Link.Control(ctx, s, data)
}

func (l *link) Write(ctx context.Context, p []byte) (int, error) {
	if err := l.ends(); err != nil {
		return 0, err
	}
	v := l.s.ask(transfers)
	if v.err != nil {
		return 0, v.err
	}
	if v.fault == nil {
		return l.Link.Write(ctx, p)
	}
	// The device takes this much of the transfer, and nobody hears what it answers.
	n := int(v.fault.part * float64(len(p)))
	if n > 0 {
		n, _ = l.Link.Write(ctx, p[:n])
	}
	broken := v.fault.kind.breaks(l.s.w, l.s)
	l.broken.Store(&broken)
	return n, l.ends()
}

// ends is what every transfer ends in, nil where it goes on.
func (l *link) ends() error {
	if l.s.w.dead.Load() {
		return errDead
	}
	if e := l.broken.Load(); e != nil {
		return *e
	}
	return nil
}

func (l *link) In(size, depth int) (usb.In, error) {
	if err := l.ends(); err != nil {
		return nil, err
	}
	inner, err := l.Link.In(size, depth)
	if err != nil {
		return nil, err
	}
	return &in{inner, l}, nil
}

type in struct {
	usb.In
	l *link
}

func (i *in) Read(ctx context.Context, p []byte) (int, error) {
	if err := i.l.ends(); err != nil {
		return 0, err
	}
	n, err := i.In.Read(ctx, p)
	if dead := i.l.ends(); dead != nil {
		return 0, dead
	}
	return n, err
}
