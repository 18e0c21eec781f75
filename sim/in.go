package sim

import (
	"context"
	"fmt"
	"time"

	"station/fixtures/usb"
)

// in is a bulk IN endpoint with reads posted: a ring of buffers, of which done, from first on, are complete and
// the next one is being filled.
type in struct {
	link   *link
	size   int
	ready  chan struct{} // the reader should look again
	closed chan struct{}
	timer  *time.Timer // of the reader

	// Under link.bus.mu.
	posted      []transfer
	first, done int
	err         error // the device's, from the endpoint
}

// transfer is a posted read.
type transfer struct {
	data []byte
	n    int
	at   time.Time // when the host has it
}

// In posts depth reads of size bytes, which must be whole packets.
func (k *link) In(size, depth int) (usb.In, error) {
	k.bus.mu.Lock()
	switch {
	case k.err != nil:
		defer k.bus.mu.Unlock()
		return nil, k.wrap(k.err)
	case k.in != nil:
		defer k.bus.mu.Unlock()
		return nil, k.wrap(usb.ErrInUse)
	case k.maxPacket <= 0 || size <= 0 || size%k.maxPacket != 0 || depth <= 0:
		defer k.bus.mu.Unlock()
		return nil, k.wrap(fmt.Errorf("cannot post %d reads of %d bytes: packets have %d bytes", depth, size, k.maxPacket))
	}
	s := &in{
		link: k, size: size, posted: make([]transfer, depth),
		ready: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	for i := range s.posted {
		s.posted[i].data = make([]byte, size)
	}
	k.in = s
	k.bus.ask(&k.toHost)
	k.bus.mu.Unlock()
	return s, nil
}

// Read returns the next completed read.
func (s *in) Read(ctx context.Context, p []byte) (int, error) {
	k := s.link
	if len(p) < s.size {
		return 0, k.wrap(fmt.Errorf("buffer of %d bytes for reads of %d", len(p), s.size))
	}
	late := expiry{ctx: ctx}
	defer late.stop()
	for {
		n, wait, err := s.next(ctx, p)
		switch {
		case IsStall(err) || IsGone(err):
			return 0, k.fault(err)
		case err != nil:
			return 0, err
		}
		if wait == 0 {
			return n, nil
		}
		var arrival <-chan time.Time
		if wait > 0 {
			if s.timer == nil {
				s.timer = time.NewTimer(wait)
			} else {
				s.timer.Reset(wait)
			}
			arrival = s.timer.C
		}
		select {
		case <-s.ready:
		case <-arrival:
		case <-s.closed:
		case <-k.over:
		case <-ctx.Done():
		case <-late.after():
			return 0, k.wrap(usb.ErrTimeout)
		}
	}
}

// next takes the next completed read, and posts its buffer again. wait is 0 where there was one, above that how long
// until there is one, and -1 where nobody knows.
func (s *in) next(ctx context.Context, p []byte) (n int, wait time.Duration, err error) {
	k := s.link
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	switch {
	case k.err != nil:
		return 0, 0, k.wrap(k.err)
	case k.in != s:
		return 0, 0, k.wrap(usb.ErrClosed)
	case s.done == 0 && s.err != nil:
		return 0, 0, s.err
	case s.done == 0:
		return 0, -1, ctx.Err()
	}
	r := &s.posted[s.first]
	if !r.at.IsZero() {
		if d := time.Until(r.at); d > 0 {
			return 0, d, ctx.Err()
		}
	}
	n = copy(p, r.data[:r.n])
	clear(r.data[:r.n]) // it may have held a secret
	r.n = 0
	s.first = (s.first + 1) % len(s.posted)
	s.done--
	k.bus.ask(&k.toHost)
	return n, 0, nil
}

// Close takes the posted reads back; what they hold and nobody read is lost.
func (s *in) Close() error {
	k := s.link
	k.bus.mu.Lock()
	defer k.bus.mu.Unlock()
	if k.in == s {
		k.in = nil
	}
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}
