package sim

import (
	"sync"
	"time"

	"station/fixtures/usb"
	"station/sim/ftdi"
)

const (
	// microframe is the time that a transfer needs to get across at high speed: one ahead.
	microframe = 125 * time.Microsecond
	// microframePackets of 512 bytes, USB 2.0 table 5-10.
	microframePackets = 13

	// frame is the host's grain at full speed.
	frame = time.Millisecond
	// framePackets is the fact sheet's figure for packets of 32 bytes, from memory there, hence an option.
	framePackets = 19
)

// pace is the time that passes on one device's bus. All its durations are 0 where none is to pass.
type pace struct {
	high bool          // high speed: latency only, no queue
	slot time.Duration // full speed: of a packet

	mu    sync.Mutex
	start time.Time // of a frame
	busy  time.Time // full speed: until then the bus carries packets
}

func newPace(o Options, s usb.Speed) *pace {
	p := &pace{start: time.Now()}
	switch {
	case o.Pace != ftdi.Real:
	case s == usb.HighSpeed:
		p.high = true
	case o.FramePackets > 0:
		p.slot = frame / time.Duration(o.FramePackets)
	default:
		p.slot = frame / framePackets
	}
	return p
}

// control is what a control transfer takes.
func (p *pace) control() time.Duration {
	switch {
	case p.high:
		return microframe
	case p.slot > 0:
		return frame
	}
	return 0
}

// begin is how long after the call the first packet of a write of n bytes sets out.
func (p *pace) begin(n int) time.Duration {
	if !p.high {
		return 0
	}
	return microframe + microframe*time.Duration(n/512)/microframePackets
}

// packets puts n packets on the bus behind those that it carries, and returns how long until they are across.
func (p *pace) packets(n int) time.Duration {
	if p.slot == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.busy.Before(now) {
		p.busy = now
	}
	p.busy = p.busy.Add(time.Duration(n) * p.slot)
	return p.busy.Sub(now)
}

// heard is how long until the host hears of a transfer whose last packet is on the bus.
func (p *pace) heard() time.Duration {
	if p.slot == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	last := now
	if p.busy.After(now) {
		last = p.busy
	}
	return last.Sub(now) + frame - last.Sub(p.start)%frame
}

// arrival is when the host has a read that completes now; zero is at once.
func (p *pace) arrival() time.Time {
	switch {
	case p.high:
		return time.Now().Add(microframe)
	case p.slot > 0:
		return time.Now().Add(p.heard())
	}
	return time.Time{}
}
