package sim

import (
	"slices"
	"sync"
	"time"

	"station/fixtures/usb"
	"station/sim/ftdi"
)

const (
	// microframe is the time that a transfer needs to get across at high speed: one ahead, one back.
	microframe = 125 * time.Microsecond
	// microframePackets of 512 bytes, USB 2.0 table 5-10.
	microframePackets = 13

	// frame is the host's grain at full speed.
	frame = time.Millisecond
	// A frame has 1500 bytes, and 13 are around each packet, which makes 33 packets of 32 bytes; 19 of 64 bytes and 13 of 512 in a microframe confirm it. The
	// fact sheet has 19 of 32, from memory; what a hub's transaction translator passes is open, hence an option.
	frameBytes  = 1500
	aroundBytes = 13

	// mostBehind is how much lateness the bus makes good for: a process that was stopped does not race afterwards.
	mostBehind = 10 * time.Millisecond
)

// bus carries the packets of its devices, both directions together, one after the other. Its lock is that of every link to them. Where
// no time passes each link has its own.
type bus struct {
	high bool
	slot time.Duration // of a packet; 0 where no time passes

	mu    sync.Mutex
	start time.Time // of a frame
	busy  time.Time // until then it carries packets
	queue []*pipe   // in the order in which they asked
	timer *time.Timer
	waits bool // the timer runs, until busy
	// behind: what is in the queue waited for a timer, and timers of a real machine fire late; it is served as if this one had not. In a
	// bubble no timer is late.
	behind bool
}

// pipe is one direction of a link.
type pipe struct {
	// move lets one transaction happen and returns how many packets it had, 0 for a NAK, which takes no time; it calls
	// carry before it looks when the host hears.
	move   func() (packets int)
	queued bool
}

// newBus is a bus for devices of the speed, and at full speed with the packets, of this one.
func newBus(o Options, desc usb.Device) *bus {
	b := &bus{start: time.Now()}
	switch {
	case o.Pace != ftdi.Real:
	case desc.Speed == usb.HighSpeed:
		b.high, b.slot = true, microframe/microframePackets
	case o.FramePackets > 0:
		b.slot = frame / time.Duration(o.FramePackets)
	default:
		b.slot = frame / time.Duration(max(1, frameBytes/(bulkPacket(desc)+aroundBytes)))
	}
	return b
}

// bulkPacket is the size of a device's bulk packets.
func bulkPacket(desc usb.Device) int {
	for _, i := range desc.Interfaces {
		for _, e := range i.Endpoints {
			if e.Bulk {
				return e.MaxPacket
			}
		}
	}
	return 0
}

// ahead is how long after the call a write sets out.
func (b *bus) ahead() time.Duration {
	if b.high {
		return microframe
	}
	return 0
}

// control is what a control transfer takes.
func (b *bus) control() time.Duration {
	switch {
	case b.high:
		return microframe
	case b.slot > 0:
		return frame
	}
	return 0
}

// carry puts n packets on the bus. b.mu is held.
func (b *bus) carry(n int) {
	if b.slot == 0 {
		return
	}
	if now := time.Now(); b.busy.Before(now) && (!b.behind || now.Sub(b.busy) > mostBehind) {
		b.busy = now
	}
	b.busy = b.busy.Add(time.Duration(n) * b.slot)
}

// back is when the host hears of the packet that was carried last; zero is at once. b.mu is held.
func (b *bus) back() time.Time {
	switch {
	case b.high:
		return b.busy.Add(microframe)
	case b.slot > 0:
		return b.busy.Add(frame - b.busy.Sub(b.start)%frame)
	}
	return time.Time{}
}

// ask queues pipes for the bus and serves the queue as far as time lets it. b.mu is held.
func (b *bus) ask(pipes ...*pipe) {
	for _, p := range pipes {
		if !p.queued {
			p.queued = true
			b.queue = append(b.queue, p)
		}
	}
	for len(b.queue) > 0 {
		if b.slot > 0 {
			if d := time.Until(b.busy); d > 0 {
				b.wait(d)
				return
			}
		}
		p := b.queue[0]
		b.queue = slices.Delete(b.queue, 0, 1)
		if p.queued = p.move() > 0; p.queued { // perhaps it has another
			b.queue = append(b.queue, p)
		}
	}
	b.behind = false
}

func (b *bus) wait(d time.Duration) {
	switch {
	case b.waits:
		return
	case b.timer == nil:
		b.timer = time.AfterFunc(d, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.waits, b.behind = false, true
			b.ask()
		})
	default:
		b.timer.Reset(d)
	}
	b.waits = true
}
