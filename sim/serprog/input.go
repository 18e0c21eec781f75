package serprog

import (
	"io"
	"net"
	"syscall"
	"time"
)

// input is what a client sends.
type input struct {
	from io.Reader
	conn net.Conn        // from, where it is one
	raw  syscall.RawConn // nil: conn is no socket
	try  func(fd uintptr) bool
	held func() int // how much waits in a Port; nil on a network
	buf  []byte
	rest []byte // of buf: come, not yet taken
}

func newInput(conn net.Conn, size int) *input {
	in := &input{from: conn, conn: conn, buf: make([]byte, size)}
	if s, ok := conn.(syscall.Conn); ok {
		in.raw, _ = s.SyscallConn()
	}
	in.try = func(fd uintptr) bool {
		n, _ := syscall.Read(int(fd), in.buf)
		in.rest = in.buf[:max(n, 0)]
		return true
	}
	return in
}

// peek tells whether the client has sent more than was taken, without waiting for it.
func (in *input) peek() bool {
	switch {
	case len(in.rest) > 0:
	case in.held != nil:
		return in.held() > 0
	case in.raw != nil:
		in.raw.Read(in.try) // its errors come again from wait
	default:
		// On a pipe a nanosecond is long enough for a client who has something to send in a bubble, and too short for one who waits.
		in.conn.SetReadDeadline(time.Now().Add(1))
		n, _ := in.conn.Read(in.buf)
		in.rest = in.buf[:n]
	}
	return len(in.rest) > 0
}

// wait waits for more, on a network for at most limit; 0 is no limit.
func (in *input) wait(limit time.Duration) error {
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if in.conn != nil {
		in.conn.SetReadDeadline(deadline)
	}
	for len(in.rest) == 0 {
		n, err := in.from.Read(in.buf)
		if in.rest = in.buf[:n]; n == 0 && err != nil {
			return err
		}
	}
	return nil
}

// take fills p as far as what has come goes.
func (in *input) take(p []byte) int {
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n
}
