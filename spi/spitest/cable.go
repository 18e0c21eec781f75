package spitest

import (
	"context"
	"sync/atomic"

	"station/fixtures/usb"
)

// Cable is a usb.Bus on which programmers can be made to fall silent: after Mute they accept everything, and no
// answer of theirs arrives any more.
type Cable struct {
	usb.Bus
	mute atomic.Bool
}

// NewCable returns a Cable over bus.
func NewCable(bus usb.Bus) *Cable { return &Cable{Bus: bus} }

// Mute silences everything on the cable for good.
func (c *Cable) Mute() { c.mute.Store(true) }

// Open opens on the bus below.
func (c *Cable) Open(ctx context.Context, port string, iface int) (usb.Link, error) {
	l, err := c.Bus.Open(ctx, port, iface)
	if err != nil {
		return nil, err
	}
	return &cableLink{l, c}, nil
}

type cableLink struct {
	usb.Link
	c *Cable
}

func (l *cableLink) In(size, depth int) (usb.In, error) {
	in, err := l.Link.In(size, depth)
	if err != nil {
		return nil, err
	}
	return &cableIn{in, l.c}, nil
}

type cableIn struct {
	usb.In
	c *Cable
}

// Read swallows what arrives while the cable is mute.
func (i *cableIn) Read(ctx context.Context, p []byte) (int, error) {
	for {
		n, err := i.In.Read(ctx, p)
		if err != nil || !i.c.mute.Load() {
			return n, err
		}
	}
}
