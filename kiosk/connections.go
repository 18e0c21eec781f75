package kiosk

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// How many connections are held open, whatever is asked over them. All of them are far below the 1024 descriptors that the meanest system gives: the ledger, the programmers and
// the socket of this PC have the rest.
const (
	ownConnections     = 128 // of this PC
	otherConnections   = 512 // of all others together
	addressConnections = 64  // of one address that is not this PC's; a browser has up to 6, and one for each page that listens
)

// connections counts who is connected. What is above its share is closed at once, and not left waiting: who is accepted behind it may be the operator of this PC.
type connections struct {
	net.Listener
	note      func(address string)
	mu        sync.Mutex
	own       int
	others    int
	addresses map[string]int // of the others; none is 0
}

// Listen lets in over l, below TLS, as many as the limits are; strangers never have what is this PC's.
func (s *Server) Listen(l net.Listener) net.Listener {
	return &connections{Listener: l, note: s.crowded, addresses: map[string]int{}}
}

// Accept is the next connection within the limits.
func (l *connections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := ""
		if !isOwn(c) {
			address = networkOf(c.RemoteAddr().String())
		}
		if l.enter(address) {
			return &connection{Conn: c, leave: sync.OnceFunc(func() { l.leave(address) })}, nil
		}
		c.Close()
		l.note(address)
	}
}

// enter counts one more of an address, "" for this PC, or tells that there are enough.
func (l *connections) enter(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case address == "":
		if l.own >= ownConnections {
			return false
		}
		l.own++
	case l.others >= otherConnections || l.addresses[address] >= addressConnections:
		return false
	default:
		l.others++
		l.addresses[address]++
	}
	return true
}

func (l *connections) leave(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if address == "" {
		l.own--
		return
	}
	l.others--
	if l.addresses[address]--; l.addresses[address] == 0 {
		delete(l.addresses, address)
	}
}

// connection is counted until it is closed.
type connection struct {
	net.Conn
	leave func()
}

func (c *connection) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// isOwn tells whether the other end is this PC: at 127.0.0.1, or at the address that it called, as a browser does that opens the station by its name. What comes from elsewhere in
// 127.0.0.0/8 chose that, as no browser does.
func isOwn(c net.Conn) bool {
	there, err := netip.ParseAddrPort(c.RemoteAddr().String())
	here, other := netip.ParseAddrPort(c.LocalAddr().String())
	return errors.Join(err, other) == nil && (there.Addr() == here.Addr() || there.Addr().Unmap() == netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}
