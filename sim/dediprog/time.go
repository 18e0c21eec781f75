package dediprog

import "time"

func (d *Device) now() time.Duration { return time.Since(d.epoch) }

// mostLate is how much lateness is made good for: a process that was stopped does not race afterwards.
const mostLate = 10 * time.Millisecond

// begin is the start of something on the wire: when it is done with what was before, and not in the past.
func (d *Device) begin() { d.until = max(d.until, d.now()-d.late) }

// Busy is how long it takes from now until the host has the answer to the control transfer that was done last.
func (d *Device) Busy() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.answered - d.now()
}

// wake tells the host of what is there, and sets the timer for what it is to hear of next.
func (d *Device) wake() {
	if d.gone {
		return
	}
	at := d.until
	if len(d.read.blocks) > 0 {
		at = d.read.blocks[0].at
	}
	now := d.now()
	d.alarmAt = max(at, now)
	wait := d.alarmAt - now
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.tell)
	} else {
		d.timer.Reset(wait)
	}
}

// tell calls the host's ear.
func (d *Device) tell() {
	d.mu.Lock()
	d.late = min(max(0, d.now()-d.alarmAt), mostLate)
	f := d.notify
	d.mu.Unlock()
	if f != nil {
		f()
	}
}
