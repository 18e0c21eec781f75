package serprog_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/sim/serprog"
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

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func newChip(t *testing.T) *nor.Chip {
	t.Helper()
	chip, err := nor.New("MT25QL256ABA", [14]byte{1, 2, 3}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return chip
}

// serve runs a server in the bubble of the test until the test ends.
func serve(t *testing.T, chip serprog.Chip, o serprog.Options) (*serprog.Server, *pipes) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ln, s, done := newPipes(), serprog.New(chip, o), make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, ln
}

// talk sends and expects exactly want.
func talk(t *testing.T, conn net.Conn, send, want []byte) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	errs := make(chan error, 1)
	go func() { _, err := conn.Write(send); errs <- err }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("% X: %v", send[:min(len(send), 16)], err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("% X answers % X, want % X", send[:min(len(send), 16)], got[:min(len(got), 40)], want[:min(len(want), 40)])
	}
}

func spi(out []byte, n int) []byte {
	return append([]byte{0x13, byte(len(out)), byte(len(out) >> 8), byte(len(out) >> 16), byte(n), byte(n >> 8), byte(n >> 16)}, out...)
}

func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ln := serve(t, newChip(t), serprog.Options{})
		conn := ln.dial()
		defer conn.Close()
		bitmap := make([]byte, 33)
		bitmap[0], bitmap[1], bitmap[2], bitmap[3] = 0x06, 0x3F, 0x01, 0x3F
		name := append([]byte{6}, "station sim\x00\x00\x00\x00\x00"...)
		for _, row := range []struct {
			what       string
			send, want []byte
		}{
			{"opening", make([]byte, 8), bytes.Repeat([]byte{6}, 8)},
			{"sync", []byte{0x10}, []byte{0x15, 6}},
			{"version", []byte{0x01}, []byte{6, 1, 0}},
			{"bitmap", []byte{0x02}, bitmap},
			{"name", []byte{0x03}, name},
			{"serial buffer", []byte{0x04}, []byte{6, 0xFF, 0xFF}},
			{"bus types", []byte{0x05}, []byte{6, 8}},
			{"max write", []byte{0x08}, []byte{6, 0, 0, 0x10}},
			{"max read", []byte{0x11}, []byte{6, 0, 0, 0}},
			{"SPI bus", []byte{0x12, 8}, []byte{6}},
			{"parallel bus", []byte{0x12, 1}, []byte{0x15}},
			{"1 MHz", []byte{0x14, 0x40, 0x42, 0x0F, 0}, []byte{6, 0x40, 0x42, 0x0F, 0}},
			{"0 Hz", []byte{0x14, 0, 0, 0, 0}, []byte{0x15}},
			{"999 Hz", []byte{0x14, 0xE7, 3, 0, 0}, []byte{0x15}},
			{"1 kHz", []byte{0x14, 0xE8, 3, 0, 0}, []byte{6, 0xE8, 3, 0, 0}},
			{"4 GHz is rounded down", []byte{0x14, 0xFF, 0xFF, 0xFF, 0xFF}, []byte{6, 0x80, 0xF9, 0x37, 0x03}},
			{"pins", []byte{0x15, 1}, []byte{6}},
			{"not offered", []byte{0x0E}, []byte{0x15}},
			{"unknown", []byte{0xEE}, []byte{0x15}},
			{"id", spi([]byte{0x9F}, 4), []byte{6, 0x20, 0xBA, 0x19, 0x10}},
			{"write enable", spi([]byte{0x06}, 0), []byte{6}},
			{"status", spi([]byte{0x05}, 1), []byte{6, 0x02}},
			{"nothing", spi(nil, 0), []byte{6}},
			{"two in one go", append(spi([]byte{0x05}, 1), spi([]byte{0x70}, 1)...), []byte{6, 0x02, 6, 0x80}},
		} {
			t.Log(row.what)
			talk(t, conn, row.send, row.want)
		}
		synctest.Wait()
		if got := s.Counts(); got.Commands != 32 || got.SPI != 6 {
			t.Errorf("counted %+v, want 32 commands and 6 SPI operations", got)
		}
	})
}

func TestLongOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := newChip(t)
		_, ln := serve(t, chip, serprog.Options{})
		conn := ln.dial()
		defer conn.Close()
		// one answer of more than a chunk, off its borders
		blank := bytes.Repeat([]byte{0xFF}, 200_001)
		talk(t, conn, spi([]byte{0x03, 0, 0, 0}, len(blank)), append([]byte{6}, blank...))
		// an answer does not wait for the rest of the next command
		talk(t, conn, []byte{0x01, 0x14, 1}, []byte{6, 1, 0})
		talk(t, conn, []byte{0, 1, 0}, []byte{6, 1, 0, 1, 0})
		// too long to take: refused, in step, and the chip saw nothing
		talk(t, conn, spi([]byte{0x06}, 0), []byte{6})
		long := append([]byte{0x02, 0, 0, 0}, make([]byte, 1_100_000)...)
		talk(t, conn, spi(long, 3), []byte{0x15})
		talk(t, conn, spi([]byte{0x05}, 1), []byte{6, 0x02})
		if chip.Bytes(0, 1)[0] != 0xFF {
			t.Error("the refused operation reached the array")
		}
	})
}

// A client that goes away, or falls silent, in the middle of a command leaves no half frame on the chip, and makes
// room for the next client.
func TestBrokenClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := newChip(t)
		_, ln := serve(t, chip, serprog.Options{})
		gone := ln.dial()
		talk(t, gone, spi([]byte{0x06}, 0), []byte{6})
		page := spi(append([]byte{0x02, 0, 0, 0}, make([]byte, 256)...), 0)
		if _, err := gone.Write(page[:100]); err != nil {
			t.Fatal(err)
		}
		gone.Close()

		silent := ln.dial()
		defer silent.Close()
		if _, err := silent.Write(page[:100]); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		next := ln.dial() // is taken when the silent one is given up
		defer next.Close()
		talk(t, next, spi([]byte{0x05}, 1), []byte{6, 0x02})
		if waited := time.Since(began).Truncate(time.Microsecond); waited != 10*time.Second {
			t.Errorf("the silent client was given up after %v, want 10s", waited)
		}
		next.Close()

		deaf := ln.dial() // asks for 16 MiB and takes none of it
		defer deaf.Close()
		if _, err := deaf.Write(spi([]byte{0x03, 0, 0, 0}, 1<<24-1)); err != nil {
			t.Fatal(err)
		}
		last := ln.dial()
		defer last.Close()
		talk(t, last, spi([]byte{0x9F}, 3), []byte{6, 0x20, 0xBA, 0x19})
		if !bytes.Equal(chip.Bytes(0, 256), bytes.Repeat([]byte{0xFF}, 256)) {
			t.Error("half a page program reached the array")
		}
	})
}

func TestEndsWithContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serprog.New(newChip(t), serprog.Options{}).Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk(t, conn, []byte{0x00}, []byte{6})
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Serve outlived its context with a client connected")
	}
	if _, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second); err == nil {
		t.Error("the listener is still open")
	}
}

// FuzzSession throws bytes at a server: it must end, answer no more than was asked for, and leave chip select high.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 0x10, 0x10, 1, 2, 5, 0x11})
	f.Add(spi([]byte{0x9F}, 3))
	f.Add(spi([]byte{0x03, 0, 0, 0}, 70_000))
	f.Add([]byte{0x13, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2})
	f.Add([]byte{0x14, 1})
	f.Add([]byte{0xFF, 0x0E, 1, 2, 3, 4, 0x13})
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 4096)]
		pin := &chipSelect{}
		ctx, cancel := context.WithCancel(t.Context())
		ln, done := newPipes(), make(chan error, 1)
		go func() { done <- serprog.New(pin, serprog.Options{}).Serve(ctx, ln) }()
		conn := ln.dial()
		var answered int64
		drained := make(chan struct{})
		go func() { answered, _ = io.Copy(io.Discard, conn); close(drained) }()
		conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		conn.Write(script) // a server that hangs up is right, too
		conn.Close()
		<-drained
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if pin.low || pin.wrong {
			t.Errorf("chip select: left low %v, clocked while high or lowered twice %v", pin.low, pin.wrong)
		}
		if limit := int64(len(script))*33 + int64(pin.clocked); answered > limit {
			t.Errorf("%d bytes answered to %d sent and %d clocked", answered, len(script), pin.clocked)
		}
	})
}

// chipSelect watches that frames are framed.
type chipSelect struct {
	low, wrong bool
	clocked    int
}

func (c *chipSelect) Select()              { c.wrong = c.wrong || c.low; c.low = true }
func (c *chipSelect) Shift(out, in []byte) { c.wrong = c.wrong || !c.low; c.clocked += len(in) }
func (c *chipSelect) Deselect()            { c.wrong = c.wrong || !c.low; c.low = false }
