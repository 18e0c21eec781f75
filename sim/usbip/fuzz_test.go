package usbip_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"station/sim/usbip"
)

// A header that is accepted stays within what the server lends, whatever is in it.
func FuzzHeader(f *testing.F) {
	f.Add(header([10]uint32{1, 1, 0x10001, 1, 2, 0x200, 31, 0, notIsochronous}, ""))
	f.Add(header([10]uint32{1, 2, 0x10001, 0, 2, 0, 4096, 0, 0}, ""))
	f.Add(header([10]uint32{1, 3, 0x10001, 1, 0, 0x200, 18, 0, notIsochronous}, "80 06 0001 0000 1200"))
	f.Add(header([10]uint32{2, 4, 0x10001, 0, 0, 1}, ""))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < 48 {
			return
		}
		follow, ok := usbip.Accepts((*[48]byte)(p))
		word := func(at int) uint32 { return binary.BigEndian.Uint32(p[at:]) }
		submit, out, length := word(0) == 1, word(12) == 0, word(24)
		switch {
		case !ok && follow != 0, ok && word(0) != 1 && word(0) != 2:
			t.Fatalf("% X: %d, %v", p, follow, ok)
		case ok && submit && (length > 16<<20 || word(12) > 1 || word(16) > 15):
			t.Fatalf("% X was accepted", p)
		case ok && follow != 0 && (!submit || !out || uint32(follow) != length):
			t.Fatalf("% X: %d bytes follow", p, follow)
		case ok && submit && out && uint32(follow) != length:
			t.Fatalf("% X: %d bytes follow", p, follow)
		}
	})
}

// Whatever a client says once it has attached, the server ends when the client does, and has closed nothing but its connection.
func FuzzSession(f *testing.F) {
	in := header([10]uint32{1, 1, 0x10001, 1, 2, 0x200, 31, 0, notIsochronous}, "")
	out := append(header([10]uint32{1, 2, 0x10001, 0, 2, 0, 3, 0, 0}, ""), 1, 2, 3)
	control := header([10]uint32{1, 3, 0x10001, 1, 0, 0x200, 18, 0, notIsochronous}, "80 06 0001 0000 1200")
	unlink := header([10]uint32{2, 4, 0x10001, 0, 0, 1}, "")
	f.Add(append(append(append(append([]byte{}, in...), out...), control...), unlink...))
	f.Fuzz(func(t *testing.T, p []byte) {
		l := serve(t)
		d := &toy{room: 10, packets: [][]byte{{1}, make([]byte, 32), {2, 3}}}
		if err := l.Plug("1-1", d); err != nil {
			t.Fatal(err)
		}
		c := l.attach("1-1", 1)
		heard := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, c.conn)
			close(heard)
		}()
		_, _ = c.conn.Write(p)
		c.conn.Close()
		<-heard
		again(t, l)
	})
}

// again attaches as soon as the client before has gone.
func again(t *testing.T, l *line) {
	t.Helper()
	for range 1000 {
		here, there := net.Pipe()
		l.ln.conns <- there
		here.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = here.Write(importRequest("1-1"))
		var head [8]byte
		_, err := io.ReadFull(here, head[:])
		here.Close()
		if err != nil {
			t.Fatal(err)
		}
		if head[7] == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the device is not given back")
}
