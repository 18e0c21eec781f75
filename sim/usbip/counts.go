package usbip

import "sync"

// Counts is what the clients of a device did so far.
type Counts struct {
	Control    uint64 // control transfers
	Out        uint64 // bulk OUT transfers
	In         uint64 // bulk IN transfers that told something
	Empty      uint64 // bulk IN transfers that told nothing
	RoundTrips uint64 // OUT and control transfers that came after something was told since the last one
}

// counter counts for one device. Safe for concurrent use.
type counter struct {
	mu   sync.Mutex
	n    Counts
	told bool // something, since the last OUT or control transfer
}

// sent counts a transfer to the device, or a control transfer.
func (c *counter) sent(control bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if control {
		c.n.Control++
	} else {
		c.n.Out++
	}
	if c.told {
		c.n.RoundTrips++
	}
	c.told = false
}

// heard counts a transfer from the device.
func (c *counter) heard(control, something bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case control:
	case something:
		c.n.In++
	default:
		c.n.Empty++
	}
	c.told = c.told || something
}

func (c *counter) read() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
