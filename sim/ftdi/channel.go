package ftdi

import (
	"sync"
	"time"
)

const (
	maxPacket = 512
	payload   = maxPacket - 2 // after the two status bytes

	// wireChunk is how far the engine runs ahead of the wire's time before it waits, and so the
	// grain in which a target sees time pass within a frame.
	wireChunk = 20 * time.Microsecond
	// longestSleep bounds how long the engine takes to see that the device is gone.
	longestSleep = 10 * time.Millisecond
)

// status are the bytes that begin every IN packet: modem status, line status (transmitter empty).
var status = [2]byte{0x32, 0x60}

// channel is one interface: a FIFO each way, the engine between them and the pins, the latency timer.
//
// The engine is a goroutine only while it has something to do: Out starts it, and In where it had
// stopped for want of room. It ends when it can do no more, so an idle device has none.
type channel struct {
	dev    *Device
	real   bool
	faults Faults

	mu     sync.Mutex
	notify func()
	toChip fifo
	toHost fifo
	engine engine
	pins   pins
	mpsse  bool // bit mode 02; in any other mode OUT bytes lead nowhere

	running bool      // the engine's goroutine is there
	tell    bool      // the host should hear before the engine goes on
	settle  bool      // the wire's time must have passed before the engine goes on
	until   time.Time // when the wire is done with what the engine has executed

	gone, hung, stalled bool
	dying               bool // executing the last transfer, answers are lost
	arrived             int  // OUT bytes taken from the host
	executed            int  // of these, by the engine
	answered            int  // bytes that the engine answered

	flush   bool // 87: send what is there
	latency time.Duration
	timer   *time.Timer
	armed   bool // the timer runs, until tick
	tick    time.Time
	due     bool // the timer expired: a packet is due, empty or not
}

func (c *channel) out(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
		return 0, ErrGone
	case c.stalled:
		return 0, ErrStall
	case c.dying:
		return 0, nil
	}
	n := 0
	if f := c.faults; f.UnplugDone && f.UnplugAfter > 0 && c.arrived+len(p) > f.UnplugAfter {
		last := make([]byte, c.toChip.len()+len(p))
		n = copy(last[c.toChip.take(last):], p)
		c.toChip = fifo{buf: last, tail: len(last)}
		c.toHost.clear()
		c.dying = true
	} else {
		n = c.toChip.put(p)
	}
	c.arrived += n
	c.kick()
	return n, nil
}

func (c *channel) in(p []byte) (n int, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
		return 0, false, ErrGone
	case c.stalled:
		return 0, false, ErrStall
	case c.hung || c.dying || len(p) < maxPacket:
		return 0, false, nil
	}
	if c.toHost.len() < payload && !c.due && (!c.flush || c.toHost.len() == 0) {
		c.arm()
		return 0, false, nil
	}
	n = copy(p, status[:])
	n += c.toHost.take(p[n:maxPacket])
	c.due, c.armed = false, false
	if c.toHost.len() == 0 {
		c.flush = false
	}
	c.kick()
	return n, true, nil
}

// arm starts the latency timer where it does not run.
func (c *channel) arm() {
	if c.armed {
		return
	}
	c.armed = true
	c.tick = time.Now().Add(c.latency)
	if c.timer == nil {
		c.timer = time.AfterFunc(c.latency, c.expire)
	} else {
		c.timer.Reset(c.latency)
	}
}

func (c *channel) expire() {
	c.mu.Lock()
	// A packet may have gone out, and the timer been started anew, while this call was on its way.
	if !c.armed || c.gone || time.Now().Before(c.tick) {
		c.mu.Unlock()
		return
	}
	c.armed, c.due = false, true
	f := c.notify
	c.mu.Unlock()
	if f != nil {
		f()
	}
}

// kick starts the engine where it does not run and may have something to do.
func (c *channel) kick() {
	if c.running || c.gone || c.toChip.len() == 0 && c.engine.idle() {
		return
	}
	c.running = true
	if now := time.Now(); c.real && c.until.Before(now) {
		c.until = now
	}
	go c.run()
}

// run is the engine's goroutine.
func (c *channel) run() {
	for {
		c.mu.Lock()
		if !c.step() {
			c.running = false
			c.mu.Unlock()
			return
		}
		f, ahead, gone := c.notify, c.ahead(), c.gone
		c.mu.Unlock()
		if gone {
			c.dev.Close()
			continue
		}
		c.sleep(ahead)
		if f != nil {
			f()
		}
	}
}

// step executes until the host should hear, the wire's time is to pass, or nothing more can be done; false where
// there was nothing at all.
func (c *channel) step() bool {
	if c.gone || c.hung || c.stalled {
		return false
	}
	if !c.mpsse {
		n := c.toChip.len()
		c.toChip.clear()
		return n > 0 || c.lastDone()
	}
	c.tell = false
	did := false
	for !c.tell && c.execute() {
		did = true
		if c.real && (c.settle || time.Until(c.until) >= wireChunk) {
			return true
		}
	}
	return did || c.tell || c.lastDone()
}

// lastDone ends a device that executed its last transfer.
func (c *channel) lastDone() bool {
	c.gone = c.gone || c.dying
	return c.dying
}

// tripped carries out a fault whose count of executed bytes is reached.
func (c *channel) tripped() bool {
	at := func(after int) bool { return after > 0 && c.executed >= after }
	f := &c.faults
	switch {
	case at(f.HangAfter):
		c.hung = true
	case at(f.StallAfter):
		f.StallAfter = 0
		c.stalled = true
	case at(f.UnplugAfter) && !f.UnplugDone:
		c.gone = true
	default:
		return false
	}
	c.tell = true
	return true
}

// allowed is how many more of n OUT bytes the faults let the engine execute.
func (c *channel) allowed(n int) int {
	f := c.faults
	limits := []int{f.HangAfter, f.StallAfter, f.UnplugAfter}
	if f.UnplugDone {
		limits = limits[:2]
	}
	for _, l := range limits {
		if l > 0 {
			n = min(n, max(l-c.executed, 0))
		}
	}
	return n
}

// room is how many answer bytes the engine may produce now.
func (c *channel) room() int {
	if c.dying {
		return chunk
	}
	return c.toHost.free()
}

// answer queues bytes for the host; there must be room.
func (c *channel) answer(b ...byte) {
	if c.dying {
		return
	}
	lost := c.faults.DropAnswer - 1 - c.answered
	c.answered += len(b)
	if lost >= 0 && lost < len(b) {
		c.toHost.put(b[:lost])
		b = b[lost+1:]
	}
	c.toHost.put(b)
	c.tell = c.tell || c.toHost.len() >= payload
}

// spend lets n clocks pass on the wire.
func (c *channel) spend(n int) {
	if c.real {
		c.until = c.until.Add(c.engine.clocks(n))
	}
}

// ahead is how long the engine must wait for the wire now.
func (c *channel) ahead() time.Duration {
	if !c.real {
		return 0
	}
	d := time.Until(c.until)
	if d < wireChunk && !c.settle {
		return 0
	}
	c.settle = false
	return d
}

func (c *channel) sleep(d time.Duration) {
	for d > 0 {
		time.Sleep(min(d, longestSleep))
		d -= longestSleep
		c.mu.Lock()
		if c.gone {
			d = 0
		}
		c.mu.Unlock()
	}
}

func (c *channel) close() {
	c.mu.Lock()
	c.gone = true
	c.pins.setLow(0, 0)
	if c.timer != nil {
		c.timer.Stop()
	}
	f := c.notify
	c.notify = nil
	c.mu.Unlock()
	if f != nil {
		f()
	}
}
