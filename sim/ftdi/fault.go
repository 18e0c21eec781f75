package ftdi

import "time"

type fault byte

const (
	hang fault = 1 + iota
	stall
	unplug
)

// end is a fault: the engine stops here for good, or until the halt is cleared, and the host sees it at this time.
func (c *channel) end(f fault) {
	c.halted = true
	c.note(event{fault: f})
}

// tripped carries out a fault whose count of executed bytes is reached.
func (c *channel) tripped() bool {
	at := func(after int) bool { return after > 0 && c.executed >= after }
	f := &c.faults
	switch {
	case at(f.HangAfter):
		c.end(hang)
	case at(f.StallAfter):
		f.StallAfter = 0
		c.end(stall)
	case at(f.UnplugAfter) && !f.UnplugDone:
		c.end(unplug)
	default:
		return false
	}
	return true
}

// allowed is how many more of n OUT bytes the faults let the engine execute.
func (c *channel) allowed(n int) int {
	f := &c.faults
	limits := [...]int{f.HangAfter, f.StallAfter, f.UnplugAfter}
	if f.UnplugDone {
		limits[2] = 0
	}
	for _, l := range limits {
		if l > 0 {
			n = min(n, max(l-c.executed, 0))
		}
	}
	return n
}

// flip is what wires that are too long do to the bytes that the target answers.
func (c *channel) flip(in []byte) {
	f := &c.faults
	if f.FlipAbove == 0 || int64(f.FlipAbove)*c.engine.thirds(1) >= 3*int64(time.Second) {
		return
	}
	for i := range in {
		if c.clocked++; f.FlipEvery == 0 || c.clocked%f.FlipEvery == 0 {
			in[i] ^= f.FlipBits
		}
	}
}
