package usbip

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"time"
)

// The first phase of a connection: a device list, or the import of one device, on which the second phase follows (urb.go).
const (
	version uint16 = 0x0111

	reqList   uint16 = 0x8005
	repList   uint16 = 0x0005
	reqImport uint16 = 0x8003
	repImport uint16 = 0x0003

	busIDSize  = 32
	recordSize = 312
)

// client is one connection, until its end.
func (s *Server) client(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReaderSize(conn, 64<<10)
	var head [8]byte // version, code, status
	if _, err := io.ReadFull(in, head[:]); err != nil || binary.BigEndian.Uint16(head[:]) != version {
		return
	}
	switch binary.BigEndian.Uint16(head[2:]) {
	case reqList:
		_, _ = conn.Write(s.list())
	case reqImport:
		var id [busIDSize]byte
		if _, err := io.ReadFull(in, id[:]); err != nil {
			return
		}
		name, _, _ := bytes.Cut(id[:], []byte{0})
		x := s.take(string(name), conn)
		if x == nil {
			_, _ = conn.Write(header(repImport, 1))
			return
		}
		defer s.give(x)
		if _, err := conn.Write(append(header(repImport, 0), x.device.record()...)); err != nil {
			return
		}
		conn.SetDeadline(time.Time{})
		x.run(in)
	}
}

func header(code uint16, status uint32) []byte {
	p := binary.BigEndian.AppendUint16(nil, version)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(p, code), status)
}

// list is the reply to a device list request: the devices by number.
func (s *Server) list() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*device, 0, len(s.devices))
	for _, d := range s.devices {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *device) int { return cmp.Compare(a.number, b.number) })
	p := binary.BigEndian.AppendUint32(header(repList, 0), uint32(len(all)))
	for _, d := range all {
		p = append(append(p, d.record()...), d.interfaces()...)
	}
	return p
}

// take gives a client a device; nil where there is none, or another client has it.
func (s *Server) take(busID string, conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[busID]
	if d == nil || d.session != nil {
		return nil
	}
	d.session = newSession(s, d, conn)
	return d.session
}

// give takes the device back.
func (s *Server) give(x *session) {
	x.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	x.device.session = nil
}
