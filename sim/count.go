package sim

import "sync"

// Count is what passed through a device, counted at the device. Two Counts subtract.
type Count struct {
	Outs     int64 // bulk OUT transfers
	OutBytes int64
	Ins      int64 // bulk IN transfers that completed with data
	InBytes  int64 // of these, status bytes of their packets included
	// RoundTrips counts the OUT transfers that arrived after an IN transfer of the same interface had completed with data since
	// the OUT transfer before (fixture fact sheet, 0.2).
	RoundTrips int64
}

// Sub returns c - d, field by field.
func (c Count) Sub(d Count) Count {
	return Count{c.Outs - d.Outs, c.OutBytes - d.OutBytes, c.Ins - d.Ins, c.InBytes - d.InBytes, c.RoundTrips - d.RoundTrips}
}

// Counter counts the transfers of one device, whatever carries them. Safe for concurrent use.
type Counter struct {
	data func(n int) int

	mu    sync.Mutex
	n     Count
	heard uint64 // bit i: interface i had data since its last OUT transfer
}

// NewCounter returns a Counter for dev. A device whose IN packets have more in them than data tells how much by a method Data.
func NewCounter(dev Device) *Counter {
	c := &Counter{data: func(n int) int { return n }}
	if d, ok := dev.(interface{ Data(n int) int }); ok {
		c.data = d.Data
	}
	return c
}

// Out is an OUT transfer of n bytes that arrives at an interface, 0 to 63.
func (c *Counter) Out(iface, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Outs++
	c.n.OutBytes += int64(n)
	if bit := uint64(1) << iface; c.heard&bit != 0 {
		c.n.RoundTrips++
		c.heard &^= bit
	}
}

// In is an IN transfer of an interface that completes with n bytes.
func (c *Counter) In(iface, n int) {
	if c.data(n) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Ins++
	c.n.InBytes += int64(n)
	c.heard |= 1 << iface
}

// Count returns what was counted so far.
func (c *Counter) Count() Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
