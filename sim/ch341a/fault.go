package ch341a

type fault byte

const (
	hang fault = 1 + iota
	stall
	unplug
)

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
	limits := [...]int{f.HangAfter, f.StallAfter, f.UnplugAfter}
	if f.UnplugDone {
		limits[2] = 0
	}
	for _, l := range limits {
		if l > 0 {
			n = min(n, max(l-d.engine.executed, 0))
		}
	}
	return n
}
