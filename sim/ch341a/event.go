package ch341a

import (
	"slices"
	"time"
)

// event is what the host sees of the engine's work from a time on.
type event struct {
	at             time.Duration
	begun, answers int // packets
	fault          fault
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
	d.engine.late = min(max(0, d.engine.now-d.engine.alarmAt), mostLate)
	d.run()
	told := d.mustTell()
	d.wake()
	d.mu.Unlock()
	if told {
		d.teller()
	}
}
