package ch341a

import (
	"slices"
	"time"
)

const (
	maxPacket = 32
	maxAnswer = 31
	buffered  = 2 // OUT packets held besides the one that is executed

	// uioTime is what a byte of a pin stream takes, fact sheet 2.3.
	uioTime = 750 * time.Nanosecond

	// ahead is how far the engine runs ahead of the time.
	ahead = time.Millisecond
)

// engine executes packets, one byte or one piece of a byte stream after the other. It works in the calls of Out, In and the timer, as far
// as packets, room and ahead let it. With Pace Real it so runs ahead of the time: the target is told the wire's time (Timed), and of
// what the engine did the host sees each thing when its time has come (coming).
type engine struct {
	executed int  // OUT bytes
	halted   bool // it executes nothing more: a fault

	packet packet // under way, if active
	active bool
	at     int    // its next byte
	ended  bool   // what is left of it is padding
	answer packet // to it

	now    time.Duration // of the call under way, with Pace Real
	until  time.Duration // when the wire is done with what was executed
	coming []event       // in order
	begun  int           // packets taken up in coming, whose place is not free yet

	news    bool // something happened that the host has not been told
	telling bool // it is being told: teller runs
	untold  bool // and has to tell more
	timer   *time.Timer
	alarmed bool // it runs, until alarmAt
	alarmAt time.Duration
}

// event is what the host sees of the engine's work from a time on.
type event struct {
	at             time.Duration
	begun, answers int // packets
	fault          fault
}

type fault byte

const (
	hang fault = 1 + iota
	stall
	unplug
)

// work lets the engine do what it can after a call that changed something.
func (d *Device) work() {
	d.run()
	if d.mustTell() {
		go d.teller() // callers of Out and In may hold what the ear needs
	}
	d.wake()
}

// run lets the engine execute as far as it can go now.
func (d *Device) run() {
	e := &d.engine
	if e.halted {
		return
	}
	if d.real() && e.until < e.now {
		e.until = e.now
	}
	for !d.aheadOfTime() && d.step() {
	}
	d.catchUp()
}

// aheadOfTime says that the engine stops because it is too far ahead.
func (d *Device) aheadOfTime() bool { return d.real() && d.engine.until-d.engine.now >= ahead }

// step executes the next piece; false where there is none, or no room for its answer.
func (d *Device) step() bool {
	e := &d.engine
	switch {
	case e.halted:
		return false
	case e.active && e.at == e.packet.n:
		d.finish()
	case !e.active && d.packets.len() == 0:
		if d.dying {
			d.end(unplug)
		}
		return false
	case d.tripped():
		return false
	case !e.active:
		e.packet, e.active = d.packets.pop(), true
		e.at, e.ended = 0, false
		d.note(event{begun: 1})
	case d.wantsRoom() && d.answers.len() >= d.opts.Segments:
		return false
	default:
		d.execute()
	}
	return true
}

// finish ends the packet under way.
func (d *Device) finish() {
	e := &d.engine
	e.packet = packet{} // it may have held a secret
	e.active = false
	d.deliver()
	d.note(event{}) // the wire is done
}

// deliver makes what was answered so far one answer, which is there for the host.
func (d *Device) deliver() {
	a := d.engine.answer
	d.engine.answer = packet{}
	if lost := d.opts.Faults.DropAnswer - 1 - d.answered; lost >= 0 && lost < a.n {
		d.answered++
		copy(a.data[lost:], a.data[lost+1:a.n])
		a.n--
	}
	d.answered += a.n
	if a.n > 0 && !d.dying {
		d.answers.push(a)
		d.note(event{answers: 1})
	}
}

// end is a fault: the engine stops here for good, or until the halt is cleared, and the host sees it at this time.
func (d *Device) end(f fault) {
	d.engine.halted = true
	d.note(event{fault: f})
}

// tripped carries out a fault whose count of executed bytes is reached.
func (d *Device) tripped() bool {
	f := &d.opts.Faults
	at := func(after int) bool { return after > 0 && d.engine.executed >= after }
	switch {
	case at(f.HangAfter):
		d.end(hang)
	case at(f.StallAfter):
		f.StallAfter = 0
		d.end(stall)
	case at(f.UnplugAfter) && !f.UnplugDone:
		d.end(unplug)
	default:
		return false
	}
	return true
}

// allowed is how many more of n OUT bytes the faults let the engine execute.
func (d *Device) allowed(n int) int {
	f := &d.opts.Faults
	for _, l := range [...]int{f.HangAfter, f.StallAfter, f.UnplugAfter} {
		if l > 0 && (l != f.UnplugAfter || !f.UnplugDone) {
			n = min(n, max(l-d.engine.executed, 0))
		}
	}
	return n
}

func (d *Device) real() bool { return d.opts.Pace == Real }

// spend lets t pass on the wire.
func (d *Device) spend(t time.Duration) {
	if d.real() {
		d.engine.until += t
	}
}

// timeTarget tells the target what time the wire has.
func (d *Device) timeTarget() {
	if d.real() && d.pins.timed != nil {
		d.pins.timed.At(d.epoch.Add(d.engine.until), d.byteTime)
	}
}

// catchUp lets happen what is due.
func (d *Device) catchUp() {
	if !d.real() {
		return
	}
	e := &d.engine
	e.now = time.Since(d.epoch)
	i := 0
	for ; i < len(e.coming) && e.coming[i].at <= e.now; i++ {
		e.begun -= e.coming[i].begun
		d.happen(e.coming[i])
	}
	e.coming = slices.Delete(e.coming, 0, i)
}

func (d *Device) happen(v event) {
	d.engine.news = true
	d.ready += v.answers
	switch v.fault {
	case hang:
		d.hung = true
	case stall:
		d.stalled = true
	case unplug:
		d.gone = true
	}
}

// note is what the engine did at its time.
func (d *Device) note(v event) {
	e := &d.engine
	if !d.real() {
		d.happen(v)
		return
	}
	e.begun += v.begun
	v.at = e.until
	if n := len(e.coming); n > 0 && v.fault == 0 {
		if last := &e.coming[n-1]; last.at == v.at && last.fault == 0 {
			last.begun += v.begun
			last.answers += v.answers
			return
		}
	}
	e.coming = append(e.coming, v)
}

// mustTell says that the host is to hear of something, and that the caller is to start teller.
func (d *Device) mustTell() bool {
	e := &d.engine
	if !e.news {
		return false
	}
	e.news, e.untold = false, true
	first := !e.telling
	e.telling = true
	return first
}

// teller calls the host's ear.
func (d *Device) teller() {
	for {
		d.mu.Lock()
		f, gone, untold := d.notify, d.gone, d.engine.untold
		d.engine.untold, d.engine.telling = false, untold
		d.mu.Unlock()
		switch {
		case !untold:
			return
		case gone:
			d.Close()
		case f != nil:
			f()
		}
	}
}

// wake sets the timer for the next thing that the host is to hear, and for the engine to go on.
func (d *Device) wake() {
	e := &d.engine
	var at time.Duration
	switch {
	case d.gone || !d.real():
		return
	case len(e.coming) > 0:
		at = e.coming[0].at
	case d.aheadOfTime() && !e.halted:
		at = e.until - ahead/2
	default:
		return
	}
	if e.alarmed && e.alarmAt <= at {
		return // what comes too soon sets the timer anew
	}
	e.alarmed, e.alarmAt = true, at
	wait := at - time.Since(d.epoch)
	if e.timer == nil {
		e.timer = time.AfterFunc(wait, d.alarm)
	} else {
		e.timer.Reset(wait)
	}
}

// alarm is the timer.
func (d *Device) alarm() {
	d.mu.Lock()
	d.engine.alarmed = false
	d.catchUp()
	d.run()
	told := d.mustTell()
	d.wake()
	d.mu.Unlock()
	if told {
		d.teller()
	}
}
