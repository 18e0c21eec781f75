package ch341a

import "time"

const (
	maxPacket = 32
	maxAnswer = 31
	buffered  = 2 // OUT packets held besides the one that is executed

	// uioTime is what a byte of a pin stream takes, fact sheet 2.3.
	uioTime = 750 * time.Nanosecond

	// wireChunk is how far the engine runs ahead of the wire's time before it waits, and so the
	// grain in which a target sees time pass within a frame.
	wireChunk = 20 * time.Microsecond
	// longestSleep bounds how long the engine takes to see that the device is gone.
	longestSleep = 10 * time.Millisecond
)

// engine executes packets, one byte or one piece of a byte stream after the other. It is a goroutine only while it has
// something to do: Out starts it, and In where it had stopped for want of room; so an idle device has none.
type engine struct {
	running  bool
	settle   bool      // the wire's time must have passed before the engine goes on
	until    time.Time // when the wire is done with what the engine has executed
	executed int       // OUT bytes

	packet []byte // under way, nil for none
	at     int    // its next byte
	ended  bool   // what is left of it is padding
	answer []byte // to it
}

// kick starts the engine where it does not run and may have something to do.
func (d *Device) kick() {
	e := &d.engine
	if e.running || d.gone || e.packet == nil && len(d.packets) == 0 {
		return
	}
	e.running = true
	if now := time.Now(); d.real() && e.until.Before(now) {
		e.until = now
	}
	go d.run()
}

// run is the engine's goroutine.
func (d *Device) run() {
	for {
		d.mu.Lock()
		if !d.step() {
			d.engine.running = false
			d.mu.Unlock()
			return
		}
		f, ahead, gone := d.notify, d.ahead(), d.gone
		d.mu.Unlock()
		if gone {
			d.Close()
			continue
		}
		d.sleep(ahead)
		if f != nil {
			f()
		}
	}
}

// step executes until the wire's time is to pass or nothing more can be done; false where there was nothing at all.
func (d *Device) step() (did bool) {
	e := &d.engine
	for {
		switch {
		case d.gone || d.hung || d.stalled:
			return did
		case e.packet != nil && e.at == len(e.packet):
			d.finish()
		case e.packet == nil && len(d.packets) == 0:
			d.gone = d.dying
			return did || d.gone
		case d.tripped():
			return true
		case e.packet == nil:
			e.packet, d.packets = d.packets[0], d.packets[1:]
			e.at, e.ended = 0, false
		case d.wantsRoom() && len(d.answers) >= d.opts.Segments:
			return did
		default:
			d.execute()
		}
		did = true
		if d.real() && (e.settle || time.Until(e.until) >= wireChunk) {
			return true
		}
	}
}

// finish ends the packet under way.
func (d *Device) finish() {
	clear(d.engine.packet) // it may have held a secret
	d.engine.packet = nil
	d.deliver()
}

// deliver makes what was answered so far one answer, which is there for the host.
func (d *Device) deliver() {
	a := d.engine.answer
	d.engine.answer = nil
	if lost := d.opts.Faults.DropAnswer - 1 - d.answered; lost >= 0 && lost < len(a) {
		d.answered++
		a = append(a[:lost], a[lost+1:]...)
	}
	d.answered += len(a)
	if len(a) > 0 && !d.dying {
		d.answers = append(d.answers, a)
	}
}

// tripped carries out a fault whose count of executed bytes is reached.
func (d *Device) tripped() bool {
	f := &d.opts.Faults
	at := func(after int) bool { return after > 0 && d.engine.executed >= after }
	switch {
	case at(f.HangAfter):
		d.hung = true
	case at(f.StallAfter):
		f.StallAfter = 0
		d.stalled = true
	case at(f.UnplugAfter) && !f.UnplugDone:
		d.gone = true
	default:
		return false
	}
	return true
}

// allowed is how many more of n OUT bytes the faults let the engine execute.
func (d *Device) allowed(n int) int {
	f := d.opts.Faults
	limits := []int{f.HangAfter, f.StallAfter, f.UnplugAfter}
	if f.UnplugDone {
		limits = limits[:2]
	}
	for _, l := range limits {
		if l > 0 {
			n = min(n, max(l-d.engine.executed, 0))
		}
	}
	return n
}

func (d *Device) real() bool { return d.opts.Pace == Real }

// spend lets t pass on the wire.
func (d *Device) spend(t time.Duration) {
	if d.real() {
		d.engine.until = d.engine.until.Add(t)
	}
}

// ahead is how long the engine must wait for the wire now.
func (d *Device) ahead() time.Duration {
	if !d.real() {
		return 0
	}
	t := time.Until(d.engine.until)
	if t < wireChunk && !d.engine.settle {
		return 0
	}
	d.engine.settle = false
	return t
}

func (d *Device) sleep(t time.Duration) {
	for t > 0 {
		time.Sleep(min(t, longestSleep))
		t -= longestSleep
		d.mu.Lock()
		if d.gone {
			t = 0
		}
		d.mu.Unlock()
	}
}
