package ftdi

import (
	"sync"
	"time"
)

const (
	maxPacket = 512
	payload   = maxPacket - 2 // after the two status bytes

	// ahead is how far the engine runs ahead of the time.
	ahead = time.Millisecond
	// piece is how much of the wire's time goes into one event at most, and pieceOut how many bytes to the target.
	piece    = ahead / 4
	pieceOut = 64
)

// status are the bytes that begin every IN packet: modem status, line status (transmitter empty).
var status = [2]byte{0x32, 0x60}

// channel is one interface: a FIFO each way, the engine between them and the pins, the latency timer.
//
// The engine works in the calls of Out, In and the timer, as far as bytes, room and ahead let it. With Pace Real it so runs ahead of
// the time: the target is told the wire's time (Timed), and of what the engine did the host sees each thing when its time has come (coming).
type channel struct {
	dev     *Device
	capable bool // has an MPSSE
	real    bool
	faults  Faults
	epoch   time.Time // from which until, event.at, tick and alarmAt count

	mu     sync.Mutex
	notify func()
	toChip fifo // what the engine has not executed
	toHost fifo // what it has answered; the host sees the first ready bytes
	engine engine
	pins   pins
	mpsse  bool // bit mode 02; in any other mode OUT bytes lead nowhere

	now      time.Duration // of the call under way, with Pace Real
	until    time.Duration // when the wire is done with what the engine has executed
	thirds   int64         // of a nanosecond, besides
	coming   []event       // in order
	leaving  int           // bytes executed in coming, whose room in toChip is not free yet
	ready    int
	wanted   int  // bytes of the packet that Out had no room for, 0 for none
	news     bool // something happened that the host has not been told
	telling  bool // it is being told: teller runs
	untold   bool // and has to tell more
	halted   bool // the engine executes nothing more: a fault
	executed int  // OUT bytes
	clocked  int  // bytes answered above Faults.FlipAbove
	answered int  // bytes that the engine answered

	gone, hung, stalled bool
	dying               bool // executing the last transfer, answers are lost
	arrived             int  // OUT bytes taken from the host

	flush   bool // 87: send what is there
	latency time.Duration
	armed   bool // the latency timer runs, until tick
	tick    time.Duration
	due     bool // it expired: a packet is due, empty or not

	timer   *time.Timer
	alarmed bool // it runs, until alarmAt
	alarmAt time.Duration
}

func (c *channel) out(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
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
		c.ready, c.dying = 0, true
		c.arrived += n
	}
	for n < len(p) {
		packet := p[n:min(n+maxPacket, len(p))]
		if c.toChip.free()-c.leaving < len(packet) {
			c.wanted = len(packet)
			break
		}
		n += c.toChip.put(packet)
		c.arrived += len(packet)
		if c.real {
			break // one transaction
		}
		c.run()
	}
	c.work()
	return n, nil
}

func (c *channel) in(p []byte) (n int, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	switch {
	case c.gone:
		return 0, false, ErrGone
	case c.stalled:
		return 0, false, ErrStall
	case c.hung || c.dying || len(p) < maxPacket:
		return 0, false, nil
	}
	if c.ready < payload && !c.due && (!c.flush || c.ready == 0) {
		if !c.armed {
			c.armed, c.tick = true, c.clock()+c.latency
			c.wake()
		}
		return 0, false, nil
	}
	n = copy(p, status[:])
	m := c.toHost.take(p[n:min(maxPacket, n+c.ready)])
	c.ready -= m
	n += m
	c.due, c.armed = false, false
	if c.ready == 0 {
		c.flush = false
	}
	c.run()
	c.news = c.gone || c.stalled || c.wanted > 0 && c.toChip.free()-c.leaving >= c.wanted // of the rest the caller asks anyway
	c.tell()
	c.wake()
	return n, true, nil
}

// work lets the engine do what it can after a call that changed something.
func (c *channel) work() {
	c.run()
	c.tell()
	c.wake()
}

// run lets the engine execute as far as it can go now.
func (c *channel) run() {
	switch {
	case c.halted:
		return
	case !c.mpsse:
		c.toChip.clear()
	default:
		if c.real && c.until < c.now {
			c.until = c.now
		}
		for c.execute() {
			if c.halted || c.aheadOfTime() {
				break
			}
		}
	}
	if c.dying && !c.halted && !c.aheadOfTime() {
		c.end(unplug)
	}
	c.catchUp()
}

// aheadOfTime says that the engine stopped only because it is too far ahead.
func (c *channel) aheadOfTime() bool { return c.real && c.until-c.now >= ahead && !c.halted }

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
	n, lost := len(b), c.faults.DropAnswer-1-c.answered
	c.answered += n
	if lost >= 0 && lost < n {
		c.toHost.put(b[:lost])
		b = b[lost+1:]
		n--
	}
	c.toHost.put(b)
	c.note(event{answered: n})
}

// take is n OUT bytes executed.
func (c *channel) take(n int) {
	c.toChip.drop(n)
	c.executed += n
	c.note(event{freed: n})
}

// spend lets n clocks pass on the wire.
func (c *channel) spend(n int) {
	if c.real {
		t := c.engine.thirds(n) + c.thirds
		c.until += time.Duration(t / 3)
		c.thirds = t % 3
	}
}

// timeTarget tells the target what time the wire has.
func (c *channel) timeTarget() {
	if c.real && c.pins.timed != nil {
		c.pins.timed.At(c.epoch.Add(c.until), c.engine.byteTime())
	}
}

func (c *channel) close() {
	c.mu.Lock()
	c.gone = true
	c.halted = true
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
