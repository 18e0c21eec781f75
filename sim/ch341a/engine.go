package ch341a

import "time"

const (
	maxPacket = 32
	maxAnswer = 31
	buffered  = 2 // OUT packets held besides the one that is executed

	// uioTime is what a byte of a pin stream takes, fact sheet 2.3.
	uioTime = 750 * time.Nanosecond

	// ahead is how far the engine runs ahead of the time.
	ahead = time.Millisecond
	// mostLate is how much lateness is made good for: a process that was stopped does not race afterwards.
	mostLate = 10 * time.Millisecond
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
	late    time.Duration // that the timer fired last, as those of a real machine do: what waited for it goes on as if it had not. In a bubble none is late
}

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
	if d.real() {
		e.until = max(e.until, e.now-e.late)
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
