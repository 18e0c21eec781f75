// Package usbip offers simulated programmers to any Linux machine over the USB/IP protocol, version 1.1.1: `usbip attach -r HOST
// -b BUSID` plugs one into that machine's kernel, whose USB stack, libusb and programs then meet it as they would the real one. Its
// reading of the protocol is the fixture fact sheet, section 11.
//
// What belongs here: the protocol, the endpoint queues between its URBs and the device's packets, and limits that keep a
// hostile or broken client from holding more than a kernel would. What does not: what a programmer answers (sim and its
// families), the chip under its pins (sim/nor), and the choice of address and devices (the front door).
//
// # USB
//
// A bulk OUT URB is offered to the device piece by piece as the device has room. IN URBs of an endpoint wait in order; each takes
// packets until it is full or a short packet ends it, and is held while there is none. A packet that is longer than what is left of
// the URB is babble: the URB fails with EOVERFLOW. An interrupt endpoint never has anything. Isochronous URBs do not
// exist. No time passes but the device's.
//
// One client at a time has a device. The end of its connection is the detaching: what it had queued is forgotten, the
// device keeps its power and its pins. Unplug, or a device that goes by a fault of its own, closes the connection, as
// pulling the cable would.
//
// # Limits
//
// A client that has attached may be silent for ever (the network's keep-alive finds one that died). All else has a limit: the first
// phase, the rest of a message that has begun and the taking of an answer have patience each; a client may have maxURBs URBs and
// maxOwed bytes queued, both directions and the answers that it has not taken together; there are maxClients connections. What goes
// beyond, and any malformed message, is answered by closing the connection.
package usbip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"station/sim"
)

const (
	patience   = 10 * time.Second
	maxClients = 64
	maxURBs    = 4096     // that wait for the device
	maxOwed    = 32 << 20 // usbfs lends all programs of a machine 16 MiB
	urbCost    = 256      // what a message counts for besides its buffer
)

// ErrTaken says that there is a device with this bus id already.
var ErrTaken = errors.New("bus id is taken")

// ErrNoDevice says that there is no device with this bus id.
var ErrNoDevice = errors.New("no device with this bus id")

// Server is a machine that exports USB devices. Safe for concurrent use.
type Server struct {
	mu      sync.Mutex
	devices map[string]*device // by bus id
	last    uint32             // device number given
	clients int
}

// New returns a server without devices.
func New() *Server { return &Server{devices: map[string]*device{}} }

// Plug offers a device under a bus id such as "1-1", of at most 31 bytes. A device that was unplugged is not plugged in again;
// make a new one. Errors: ErrTaken, a bus id that does not fit, or descriptors that make no sense.
func (s *Server) Plug(busID string, dev sim.Device) error {
	if busID == "" || len(busID) >= busIDSize {
		return fmt.Errorf("bus id %q: want 1 to %d bytes", busID, busIDSize-1)
	}
	d, err := newDevice(busID, dev)
	if err != nil {
		return fmt.Errorf("bus id %s: %w", busID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices[busID] != nil {
		return fmt.Errorf("bus id %s: %w", busID, ErrTaken)
	}
	s.last++
	d.number = s.last
	s.devices[busID] = d
	return nil
}

// Unplug pulls the device: it is gone, and so is the connection of the client that has it. The error is ErrNoDevice.
func (s *Server) Unplug(busID string) error {
	s.mu.Lock()
	d := s.devices[busID]
	s.mu.Unlock()
	if d == nil {
		return fmt.Errorf("bus id %s: %w", busID, ErrNoDevice)
	}
	s.drop(d)
	return nil
}

// drop forgets a device that is gone.
func (s *Server) drop(d *device) {
	s.mu.Lock()
	if s.devices[d.busID] == d {
		delete(s.devices, d.busID)
	}
	x := d.session
	s.mu.Unlock()
	d.dev.Close()
	if x != nil {
		x.end()
	}
}

// Count is what the clients of a device did since it was plugged in. The error is ErrNoDevice.
func (s *Server) Count(busID string) (sim.Count, error) {
	s.mu.Lock()
	d := s.devices[busID]
	s.mu.Unlock()
	if d == nil {
		return sim.Count{}, fmt.Errorf("bus id %s: %w", busID, ErrNoDevice)
	}
	return d.count.Count(), nil
}

// Serve serves clients until ctx ends and all of them are gone, and then returns nil; ln is closed in any case. What a client
// does wrong ends its connection only. Another error is the listener's.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if !s.enter() {
			conn.Close()
			continue
		}
		clients.Go(func() {
			defer s.leave()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			s.client(conn)
		})
	}
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == maxClients {
		return false
	}
	s.clients++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients--
}
