package ftdi

import (
	"slices"
	"time"
)

// event is what the host sees of the engine's work from a time on.
type event struct {
	at              time.Duration
	freed, answered int  // bytes
	flush           bool // after these answers
	fault           fault
}

// clock is the time now.
func (c *channel) clock() time.Duration { return time.Since(c.epoch) }

// catchUp lets happen what is due.
func (c *channel) catchUp() {
	if !c.real {
		return
	}
	c.now = c.clock()
	i := 0
	for ; i < len(c.coming) && c.coming[i].at <= c.now; i++ {
		c.leaving -= c.coming[i].freed
		c.happen(&c.coming[i])
	}
	if i > 0 {
		c.coming = slices.Delete(c.coming, 0, i)
	}
}

func (c *channel) happen(e *event) {
	c.news = true
	c.ready += e.answered
	if e.flush {
		c.flush = c.ready > 0
	}
	switch e.fault {
	case hang:
		c.hung = true
	case stall:
		c.stalled = true
	case unplug:
		c.gone = true
	}
}

// note is what the engine did at its time.
func (c *channel) note(e event) {
	if !c.real {
		c.happen(&e)
		return
	}
	c.leaving += e.freed
	e.at = c.until
	if n := len(c.coming); n > 0 && e.fault == 0 {
		if last := &c.coming[n-1]; last.at == e.at && !last.flush && last.fault == 0 {
			last.freed += e.freed
			last.answered += e.answered
			last.flush = e.flush
			return
		}
	}
	c.coming = append(c.coming, e)
}

// tell calls the host's ear where there is news, from a goroutine of its own: callers of Out and In may hold what the ear needs.
func (c *channel) tell() {
	if c.mustTell() {
		go c.teller()
	}
}

// mustTell says that the caller is to start teller.
func (c *channel) mustTell() bool {
	if !c.news {
		return false
	}
	c.news, c.wanted, c.untold = false, 0, true
	first := !c.telling
	c.telling = true
	return first
}

func (c *channel) teller() {
	for {
		c.mu.Lock()
		f, gone, untold := c.notify, c.gone, c.untold
		c.untold, c.telling = false, untold
		c.mu.Unlock()
		switch {
		case !untold:
			return
		case gone:
			c.dev.Close()
		case f != nil:
			f()
		}
	}
}

// wake sets the timer for the next thing that the host is to hear, and for the engine to go on.
func (c *channel) wake() {
	at, wanted := c.tick, c.armed
	sooner := func(t time.Duration) {
		if !wanted || t < at {
			at, wanted = t, true
		}
	}
	if len(c.coming) > 0 {
		sooner(c.nextNews())
	}
	if c.aheadOfTime() {
		sooner(c.until - ahead/2)
	}
	if !wanted || c.gone || c.alarmed && c.alarmAt <= at {
		return // what comes too soon sets the timer anew
	}
	c.alarmed, c.alarmAt = true, at
	d := at - c.clock()
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.alarm)
	} else {
		c.timer.Reset(d)
	}
}

// nextNews is the time of the first event with which there is a packet for the host, or room for its packet, or nothing more to come.
func (c *channel) nextNews() time.Duration {
	room, ready := c.toChip.free()-c.leaving, c.ready
	for i := range c.coming {
		e := &c.coming[i]
		room += e.freed
		ready += e.answered
		if e.fault != 0 || e.flush && ready > 0 || ready >= payload && c.ready < payload || c.wanted > 0 && room >= c.wanted {
			return e.at
		}
	}
	return c.coming[len(c.coming)-1].at
}

// alarm is the timer.
func (c *channel) alarm() {
	deepen(0)
	c.mu.Lock()
	c.alarmed = false
	c.catchUp()
	if c.armed && c.clock() >= c.tick {
		c.armed, c.due, c.news = false, true, true
	}
	c.run()
	told := c.mustTell()
	c.wake()
	c.mu.Unlock()
	if told {
		c.teller()
	}
}

// deepen makes the stack of the timer's goroutine, which is a new one each time, big enough while there is next to nothing on it. Growing
// under a dozen frames, it would cost a quarter of all.
//
//go:noinline
func deepen(i int) byte {
	var room [5 << 10]byte
	return room[i]
}
