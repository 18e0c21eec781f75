package usbip

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"station/sim"
)

// errClient ends the connection of a client that does what no kernel does.
var errClient = errors.New("USB/IP client broke the protocol")

// session is a device that is attached: a reader (run), a writer, and the device's ear (pump). What one URB may see of another is
// decided under mu, the order of the replies too.
type session struct {
	server *Server
	device *device
	conn   net.Conn
	wake   chan struct{} // there are replies, or it is over
	head   [headerSize]byte

	mu      sync.Mutex
	ended   bool
	pending map[uint32]*urb // by seqnum
	queues  map[byte][]*urb // by endpoint address, oldest first
	replies []reply         // to be written, in order
	owed    int             // bytes
	packet  [maxPacket]byte // scratch
}

// urb is a bulk or interrupt transfer that is queued.
type urb struct {
	command
	data []byte // of an OUT: what the device has not taken; of an IN: what it has sent
	all  []byte // of an OUT: all of it
}

func newSession(s *Server, d *device, conn net.Conn) *session {
	return &session{
		server: s, device: d, conn: conn, wake: make(chan struct{}, 1),
		pending: map[uint32]*urb{}, queues: map[byte][]*urb{},
	}
}

// end is the end of the connection. The device's packets and the client's replies go nowhere from now on.
func (x *session) end() {
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	x.conn.Close()
	x.signal()
}

func (x *session) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// run serves the client until one of the two has enough.
func (x *session) run(in *bufio.Reader) {
	var writer sync.WaitGroup
	writer.Go(x.write)
	defer writer.Wait()
	defer x.end()
	for _, i := range x.device.desc.Interfaces {
		x.device.dev.Notify(i.Number, func() { x.hear(i.Number) })
		defer x.device.dev.Notify(i.Number, nil)
	}
	for {
		if err := x.next(in); err != nil {
			if sim.IsGone(err) {
				x.server.drop(x.device)
			}
			return
		}
	}
}

// next carries out the client's next message.
func (x *session) next(in *bufio.Reader) error {
	if _, err := in.Peek(1); err != nil {
		return err
	}
	if err := x.fill(in, x.head[:]); err != nil {
		return err
	}
	c, err := parse(&x.head)
	switch {
	case err != nil:
		return err
	case c.device != x.device.id():
		return errClient
	case c.code == cmdUnlink:
		return x.unlink(c)
	}
	if err := x.owe(c.length); err != nil {
		return err
	}
	var out []byte
	if !c.in {
		out = make([]byte, c.length)
		if err := x.fill(in, out); err != nil {
			return err
		}
	}
	if c.endpoint == 0 {
		return x.control(c, out)
	}
	return x.submit(c, out)
}

// fill reads what belongs to a message that has begun.
func (x *session) fill(in *bufio.Reader, p []byte) error {
	if in.Buffered() < len(p) {
		x.conn.SetReadDeadline(time.Now().Add(patience))
		defer x.conn.SetReadDeadline(time.Time{})
	}
	_, err := io.ReadFull(in, p)
	return err
}

// owe charges the client for a message with a buffer of n bytes.
func (x *session) owe(n int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.owed += urbCost + n
	if x.owed > maxOwed {
		return errClient
	}
	return nil
}

// control does a control transfer at once: the device never waits.
func (x *session) control(c command, data []byte) error {
	if c.in {
		data = make([]byte, min(c.length, int(c.setup[6])|int(c.setup[7])<<8))
	}
	x.device.count.Control(c.setup)
	n, err := x.device.dev.Control(c.setup, data)
	x.mu.Lock()
	defer x.mu.Unlock()
	r := reply{code: retSubmit, seqnum: c.seqnum, actual: n, packets: c.packets, owed: urbCost + c.length}
	switch {
	case sim.IsStall(err):
		r.status, r.actual = statusStall, 0
	case err != nil:
		return err
	case c.in:
		r.data = data[:n]
	}
	x.send(r)
	return x.pumpAll()
}

// submit queues a URB behind those of its endpoint.
func (x *session) submit(c command, out []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending[c.seqnum] != nil || len(x.pending) == maxURBs {
		return errClient
	}
	at, ok := x.device.endpoints[c.address()]
	if !ok {
		x.send(reply{code: retSubmit, seqnum: c.seqnum, status: statusStall, packets: c.packets, owed: urbCost + c.length})
		return nil
	}
	if at.bulk && !c.in {
		x.device.count.Out(at.iface, c.length)
	}
	u := &urb{command: c, data: out, all: out}
	x.pending[c.seqnum] = u
	x.queues[c.address()] = append(x.queues[c.address()], u)
	return x.pump(c.address(), at)
}

// unlink takes a URB back. One whose reply is on its way is not there any more.
func (x *session) unlink(c command) error {
	if err := x.owe(0); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	r := reply{code: retUnlink, seqnum: c.seqnum, owed: urbCost}
	if u := x.pending[c.target]; u != nil {
		q := x.queues[u.address()]
		i := slices.Index(q, u)
		x.queues[u.address()] = slices.Delete(q, i, i+1)
		delete(x.pending, c.target)
		clear(u.all)
		clear(u.data)
		x.owed -= urbCost + u.length
		r.status = statusUnlinked
	}
	x.send(r)
	return nil
}
