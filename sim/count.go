package sim

import "sync"

// Count is what passed through a device, counted at the device. Two Counts subtract.
type Count struct {
	Outs     int64 // bulk OUT transfers
	OutBytes int64
	Ins      int64 // bulk IN transfers that completed with data
	InBytes  int64 // of these, status bytes of their packets included
	Controls int64 // control transfers, of a device that is run by them
	// RoundTrips counts the OUT transfers that arrived after an IN transfer of the same interface had completed with data since
	// the OUT transfer before (fixture fact sheet, 0.2). Controls are OUT transfers of interface 0 in this, and IN transfers too where they have a data stage that is one.
	RoundTrips int64
}

// Sub returns c - d, field by field.
func (c Count) Sub(d Count) Count {
	return Count{c.Outs - d.Outs, c.OutBytes - d.OutBytes, c.Ins - d.Ins, c.InBytes - d.InBytes, c.Controls - d.Controls, c.RoundTrips - d.RoundTrips}
}

// Counter counts the transfers of one device, whatever carries them. Safe for concurrent use.
type Counter struct {
	data func(n int) int
	runs func(setup [8]byte) bool

	mu    sync.Mutex
	n     Count
	heard uint64 // bit i: interface i had data since its last OUT transfer
}

// NewCounter returns a Counter for dev. A device whose IN packets have more in them than data tells how much by a method Data. A device that is run by control transfers
// tells by a method Runs which of them do that: of others they set it up, and are not counted.
func NewCounter(dev Device) *Counter {
	c := &Counter{data: func(n int) int { return n }, runs: func([8]byte) bool { return false }}
	if d, ok := dev.(interface{ Data(n int) int }); ok {
		c.data = d.Data
	}
	if d, ok := dev.(interface{ Runs(setup [8]byte) bool }); ok {
		c.runs = d.Runs
	}
	return c
}

// Out is an OUT transfer of n bytes that arrives at an interface, 0 to 63.
func (c *Counter) Out(iface, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Outs++
	c.n.OutBytes += int64(n)
	c.issued(iface)
}

// issued is something that the host sends; under c.mu.
func (c *Counter) issued(iface int) {
	if bit := uint64(1) << iface; c.heard&bit != 0 {
		c.n.RoundTrips++
		c.heard &^= bit
	}
}

// Control is a control transfer that arrives, by its setup packet. One with a data stage IN is waited for, whatever that brings.
func (c *Counter) Control(setup [8]byte) {
	if !c.runs(setup) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Controls++
	c.issued(0)
	if setup[0]&0x80 != 0 && setup[6]|setup[7] != 0 {
		c.heard |= 1
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
