package usbip

import (
	"bufio"
	"time"

	"station/sim"
)

// hear is the device's Notify for an interface.
func (x *session) hear(iface int) {
	x.mu.Lock()
	var err error
	for address, at := range x.device.endpoints {
		if at.iface == iface && err == nil {
			err = x.pump(address, at)
		}
	}
	x.mu.Unlock()
	if sim.IsGone(err) {
		x.server.drop(x.device)
	}
}

// pumpAll is for what may have changed any endpoint. x.mu is held.
func (x *session) pumpAll() error {
	for address, at := range x.device.endpoints {
		if err := x.pump(address, at); err != nil {
			return err
		}
	}
	return nil
}

// pump moves what can be moved between the URBs of an endpoint and the device. The error is the device's, never a stall. x.mu is held.
func (x *session) pump(address byte, at place) error {
	for !x.ended && at.bulk && len(x.queues[address]) > 0 {
		u := x.queues[address][0]
		move := x.take
		if u.in {
			move = x.fetch
		}
		done, status, err := move(u, at)
		switch {
		case sim.IsStall(err):
			done, status = true, statusStall
		case err != nil:
			return err
		}
		if !done {
			return nil
		}
		x.complete(u, status)
	}
	return nil
}

// take offers the device the rest of an OUT.
func (x *session) take(u *urb, at place) (done bool, status int32, err error) {
	for len(u.data) > 0 {
		if at.deaf {
			return false, 0, nil
		}
		n, err := x.device.dev.Out(at.iface, u.data)
		u.data = u.data[n:]
		if err != nil || n == 0 {
			return false, 0, err
		}
	}
	return true, statusOK, nil
}

// fetch asks the device for packets of an IN.
func (x *session) fetch(u *urb, at place) (done bool, status int32, err error) {
	for {
		n, ok, err := x.device.dev.In(at.iface, x.packet[:at.maxPacket])
		if err != nil || !ok {
			return false, 0, err
		}
		room := u.length - len(u.data)
		if u.data == nil {
			u.data = make([]byte, 0, min(u.length, at.maxPacket))
		}
		u.data = append(u.data, x.packet[:min(n, room)]...)
		clear(x.packet[:n]) // it may have held a secret
		switch {
		case n > room:
			return true, statusBabble, nil
		case len(u.data) == u.length:
			return true, statusOK, nil
		case n < at.maxPacket && u.flags&shortNotOK != 0:
			return true, statusShort, nil
		case n < at.maxPacket:
			return true, statusOK, nil
		}
	}
}

// complete answers the oldest URB of an endpoint. x.mu is held.
func (x *session) complete(u *urb, status int32) {
	q := x.queues[u.address()]
	q[0] = nil
	x.queues[u.address()] = q[1:]
	delete(x.pending, u.seqnum)
	r := reply{code: retSubmit, seqnum: u.seqnum, status: status, packets: u.packets, owed: urbCost + u.length}
	if u.in {
		r.actual, r.data = len(u.data), u.data
		x.device.count.In(x.device.endpoints[u.address()].iface, len(u.data))
	} else {
		r.actual = len(u.all) - len(u.data)
		clear(u.all)
	}
	x.send(r)
}

// send queues a reply for the writer. x.mu is held.
func (x *session) send(r reply) {
	x.replies = append(x.replies, r)
	x.signal()
}

// write is the writer: the only one, so that no reply cuts another in two.
func (x *session) write() {
	out := bufio.NewWriterSize(x.conn, 64<<10)
	defer x.end()
	for range x.wake {
		for {
			x.mu.Lock()
			all, over := x.replies, x.ended
			x.replies = nil
			x.mu.Unlock()
			if over {
				return
			}
			if len(all) == 0 {
				break
			}
			if !x.put(out, all) {
				return
			}
		}
	}
}

// put writes replies and takes them off what the client owes.
func (x *session) put(out *bufio.Writer, all []reply) bool {
	x.conn.SetWriteDeadline(time.Now().Add(patience))
	paid := 0
	for i := range all {
		r := &all[i]
		head := r.header()
		_, _ = out.Write(head[:])
		_, _ = out.Write(r.data)
		clear(r.data)
		paid += r.owed
	}
	if out.Flush() != nil {
		return false
	}
	x.mu.Lock()
	x.owed -= paid
	x.mu.Unlock()
	return true
}
