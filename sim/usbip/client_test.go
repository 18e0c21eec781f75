package usbip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/usbip"
)

// pipes is a listener whose clients are pipes, so that tests can run in a bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// line is a server in the bubble of the test, until the test ends.
type line struct {
	*usbip.Server
	t  *testing.T
	ln *pipes
}

func serve(t *testing.T) *line {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &line{usbip.New(), t, newPipes()}
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, l.ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

// client is the kernel's side, written from the protocol.
type client struct {
	t    *testing.T
	conn net.Conn
	dev  uint32
}

func (l *line) dial() *client {
	l.t.Helper()
	here, there := net.Pipe()
	l.ln.conns <- there
	l.t.Cleanup(func() { here.Close() })
	here.SetDeadline(time.Now().Add(time.Hour))
	return &client{t: l.t, conn: here}
}

// attach imports a device, which must be the n-th that was plugged in.
func (l *line) attach(busID string, n uint32) *client {
	l.t.Helper()
	c := l.dial()
	c.send(importRequest(busID))
	rep := c.read(8 + 312)
	if !bytes.Equal(rep[:8], unhex("0111 0003 00000000")) {
		l.t.Fatalf("import of %s answers % X", busID, rep[:8])
	}
	c.dev = 1<<16 | n
	return c
}

func importRequest(busID string) []byte {
	return append(unhex("0111 8003 00000000"), append([]byte(busID), make([]byte, 32-len(busID))...)...)
}

func unhex(s string) []byte {
	p, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		panic(err)
	}
	return p
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatalf("send % X: %v", p[:min(len(p), 48)], err)
	}
}

func (c *client) read(n int) []byte {
	c.t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(c.conn, p); err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return p
}

// closed wants the server to have closed the connection, with nothing more said.
func (c *client) closed() {
	c.t.Helper()
	if n, err := c.conn.Read(make([]byte, 48)); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		c.t.Fatalf("connection is not closed: %d bytes, %v", n, err)
	}
}

// quiet wants nothing to have come, and nothing to come.
func (c *client) quiet() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := c.conn.Read(make([]byte, 48)); n != 0 || !isTimeout(err) {
		c.t.Fatalf("heard %d bytes (%v), want silence", n, err)
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Hour))
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// header is a message's 48 bytes from its words at offsets 0 to 36, and its setup packet.
func header(words [10]uint32, setup string) []byte {
	p := make([]byte, 0, 64)
	for _, w := range words {
		p = binary.BigEndian.AppendUint32(p, w)
	}
	if setup == "" {
		return append(p, make([]byte, 8)...)
	}
	return append(p, unhex(setup)...)
}

const notIsochronous = 0xFFFFFFFF

// in submits an IN of n bytes.
func (c *client) in(seq, endpoint, n uint32) {
	c.t.Helper()
	c.send(header([10]uint32{1, seq, c.dev, 1, endpoint, 0x200, n, 0, notIsochronous}, ""))
}

// out submits an OUT.
func (c *client) out(seq, endpoint uint32, p []byte) {
	c.t.Helper()
	c.send(append(header([10]uint32{1, seq, c.dev, 0, endpoint, 0, uint32(len(p)), 0, notIsochronous}, ""), p...))
}

func (c *client) unlink(seq, target uint32) {
	c.t.Helper()
	c.send(header([10]uint32{2, seq, c.dev, 0, 0, target}, ""))
}

// done wants a RET_SUBMIT of an IN with these bytes, or with nil of an OUT that moved n.
func (c *client) done(seq uint32, status int32, n int, data []byte) {
	c.t.Helper()
	got := c.read(48 + len(data))
	want := append(header([10]uint32{3, seq, 0, 0, 0, uint32(status), uint32(n), 0, notIsochronous}, ""), data...)
	if !bytes.Equal(got, want) {
		c.t.Fatalf("answer\n% X, want\n% X", got, want)
	}
}

// unlinked wants a RET_UNLINK.
func (c *client) unlinked(seq uint32, status int32) {
	c.t.Helper()
	if got, want := c.read(48), header([10]uint32{4, seq, 0, 0, 0, uint32(status)}, ""); !bytes.Equal(got, want) {
		c.t.Fatalf("answer\n% X, want\n% X", got, want)
	}
}

// bubble runs a test in one; it ends only if every goroutine of the server has.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
