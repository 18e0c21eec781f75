package serprog

import (
	"errors"
	"io"
	"net"
	"os"
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
	gone bool   // look found the client's end closed
}

func newInput(conn net.Conn, size int) *input {
	in := &input{from: conn, conn: conn, buf: make([]byte, size)}
	if s, ok := conn.(syscall.Conn); ok {
		in.raw, _ = s.SyscallConn()
	}
	in.try = func(fd uintptr) bool {
		n, err := syscall.Read(int(fd), in.buf[len(in.rest):])
		in.rest = in.buf[:len(in.rest)+max(n, 0)]
		in.gone = n == 0 || n < 0 && err != syscall.EAGAIN && err != syscall.EINTR
		return true
	}
	return in
}

// peek tells whether the client has sent more than was taken, without waiting for it.
func (in *input) peek() bool {
	if len(in.rest) == 0 {
		in.look()
	}
	return len(in.rest) > 0 || in.held != nil && in.held() > 0
}

// look adds to rest what the client has sent, as far as there is room, and sees whether it has hung up behind that. It does not wait.
func (in *input) look() {
	n := copy(in.buf, in.rest)
	in.rest = in.buf[:n]
	switch {
	case n == len(in.buf), in.held != nil:
	case in.raw != nil:
		in.conn.SetReadDeadline(time.Time{}) // one that has passed would end this before it began
		in.raw.Read(in.try)                  // its errors come again from wait
	default:
		// On a pipe a nanosecond is long enough for a client who has something to send in a bubble, and too short for one who waits.
		in.conn.SetReadDeadline(time.Now().Add(1))
		m, err := in.conn.Read(in.buf[n:])
		in.rest = in.buf[:n+m]
		in.gone = err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
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
