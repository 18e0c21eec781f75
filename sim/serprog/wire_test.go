package serprog_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/sim/serprog"
)

const (
	grain    = 20 * time.Microsecond // how far the wire may be ahead
	tPP      = 120 * time.Microsecond
	at30MHz  = "\x14\x80\xC3\xC9\x01"
	byteTime = 267 * time.Nanosecond
	mostDebt = 100 * time.Millisecond // of sleeps that were too long, before the frames that are measured
)

// paced is a chip behind a wire that takes its time, and a client that has asked for 30 MHz.
func paced(t *testing.T) (*serprog.Server, *nor.Chip, net.Conn) {
	t.Helper()
	chip, err := nor.New("MT25QL256ABA", [14]byte{1}, nor.Options{Pace: nor.Real})
	if err != nil {
		t.Fatal(err)
	}
	s, ln := serve(t, chip, serprog.Options{Pace: serprog.Real})
	conn := ln.dial()
	t.Cleanup(func() { conn.Close() })
	talk(t, conn, []byte(at30MHz), []byte("\x06\x80\xC3\xC9\x01"))
	return s, chip, conn
}

// within wants d to be want, give or take the grain and a nanosecond for each of n roundings.
func within(t *testing.T, what string, d, want time.Duration, n int) {
	t.Helper()
	if d < want-grain || d > want+grain+time.Duration(n) {
		t.Errorf("%s took %v, want %v", what, d, want)
	}
}

func TestWireTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, conn := paced(t)
		wire := func(n int) time.Duration { return time.Duration(n) * 8 * time.Second / 30_000_000 }
		began := time.Now()
		talk(t, conn, spi([]byte{0x13, 0, 0, 0, 0}, 1<<20), append([]byte{6}, bytes.Repeat([]byte{0xFF}, 1<<20)...))
		within(t, "1 MiB", time.Since(began), wire(5+1<<20), 1<<20/75+3)

		// Frames that are shorter than the grain wait together.
		began = time.Now()
		for range 1000 {
			talk(t, conn, spi([]byte{0x05}, 1), []byte{6, 0})
		}
		within(t, "1000 status reads", time.Since(began), 1000*wire(2), 3*1000)

		talk(t, conn, []byte("\x14\x80\x1A\x06\x00"), []byte("\x06\x80\x1A\x06\x00")) // 400 kHz
		began = time.Now()
		talk(t, conn, spi([]byte{0x9F}, 1000), append([]byte{6}, id()...))
		within(t, "the ID at 400 kHz", time.Since(began), 1001*20*time.Microsecond, 2000)
	})
}

// id is what 9F answers in 1000 bytes.
func id() []byte {
	p := []byte{0x20, 0xBA, 0x19, 0x10, 0x44, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	return append(p, bytes.Repeat([]byte{0xFF}, 1000-len(p))...)
}

// TestStatusFallsInTime: a status read that goes on sees the program end when the chip's time has come, to the byte, wherever in the frame that is.
func TestStatusFallsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, conn := paced(t)
		for page := range byte(20) {
			const samples = 1000
			script := append(spi([]byte{0x06}, 0), spi(append([]byte{0x12, 0, 0, page, 0}, make([]byte, 100+10*int(page))...), 0)...)
			if _, err := conn.Write(append(script, spi([]byte{0x05}, samples)...)); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 3+samples)
			if _, err := io.ReadFull(conn, answer); err != nil {
				t.Fatal(err)
			}
			busy := bytes.Count(answer[3:], []byte{0x03})
			if ready := bytes.Count(answer[3:], []byte{0x00}); busy+ready != samples || answer[2+busy] != 0x03 || answer[3+busy] != 0x00 {
				t.Fatalf("page %d: %d busy and %d ready samples", page, busy, ready)
			}
			if at := time.Duration(1+busy) * byteTime; at < tPP-byteTime || at > tPP+2*byteTime {
				t.Errorf("page %d: ready after %v, want %v", page, at, tPP)
			}
		}
	})
}

// TestRoundTrips: only an answer counts that the client had to have before it sent more.
func TestRoundTrips(t *testing.T) {
	status := spi([]byte{0x05}, 1)
	read := spi([]byte{0x03, 0, 0, 0}, 200_000)
	for _, row := range []struct {
		name string
		do   func(t *testing.T, conn net.Conn)
		want uint64
	}{
		{"one by one", func(t *testing.T, conn net.Conn) {
			for range 10 {
				talk(t, conn, status, []byte{6, 0})
			}
		}, 9},
		{"in one write", func(t *testing.T, conn net.Conn) {
			talk(t, conn, bytes.Repeat(status, 10), bytes.Repeat([]byte{6, 0}, 10))
		}, 0},
		{"byte for byte", func(t *testing.T, conn net.Conn) {
			go func() {
				for _, b := range bytes.Repeat(status, 10) {
					conn.Write([]byte{b})
				}
			}()
			if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"long answers, one by one", func(t *testing.T, conn net.Conn) {
			for range 3 {
				talk(t, conn, read, append([]byte{6}, bytes.Repeat([]byte{0xFF}, 200_000)...))
			}
		}, 2},
		{"long answers, sent ahead", func(t *testing.T, conn net.Conn) {
			talk(t, conn, bytes.Repeat(read, 3), bytes.Repeat(append([]byte{6}, bytes.Repeat([]byte{0xFF}, 200_000)...), 3))
		}, 0},
		{"half a command ahead", func(t *testing.T, conn net.Conn) {
			talk(t, conn, append(status, 0x13), []byte{6, 0})
			talk(t, conn, status[1:], []byte{6, 0})
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, conn := paced(t)
				talk(t, conn, []byte{0}, []byte{6}) // one for the clock, and this answer is one for what comes
				synctest.Wait()
				before := s.Counts().RoundTrips
				row.do(t, conn)
				synctest.Wait()
				if got := s.Counts().RoundTrips - before - 1; got != row.want {
					t.Errorf("%d round trips, want %d", got, row.want)
				}
			})
		})
	}
}

// TestRoundTripsOnASocket: the same where bytes wait in the machine.
func TestRoundTripsOnASocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held := &heldChip{Chip: newChip(t), free: make(chan bool)}
	s := serprog.New(held, serprog.Options{})
	go s.Serve(t.Context(), ln)
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Each command is in the socket before the one before it is carried out, and in a write of its own.
	for range 20 {
		if _, err := conn.Write(spi([]byte{0x05}, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		held.free <- true
	}
	if _, err := io.ReadFull(conn, make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	if n := s.Counts().RoundTrips; n != 0 {
		t.Errorf("%d round trips of a client that waited for nothing", n)
	}
	for range 5 {
		go func() { held.free <- true }()
		talk(t, conn, spi([]byte{0x05}, 1), []byte{6, 0})
	}
	if n := s.Counts().RoundTrips; n != 5 {
		t.Errorf("%d round trips of a client that waited 5 times", n)
	}
}

// heldChip is selected when it is told so.
type heldChip struct {
	*nor.Chip
	free chan bool
}

func (c *heldChip) Select() { <-c.free; c.Chip.Select() }

// TestShortFramesInRealTime: the sleeps of the machine, of a millisecond where a page takes 70 µs, even out.
func TestShortFramesInRealTime(t *testing.T) {
	const pages = 2000
	page := spi(append([]byte{0x12, 0, 0, 0, 0}, make([]byte, 256)...), 0) // without write enable: the wire's time alone
	want := pages * 261 * 8 * time.Second / 30_000_000
	var best time.Duration
	for try := 0; try < 10 && (best == 0 || best > 2*want); try++ {
		_, _, conn := paced(t)
		began := time.Now()
		for range pages {
			talk(t, conn, page, []byte{6})
		}
		took := time.Since(began)
		conn.Close()
		if took < want-grain-mostDebt {
			t.Fatalf("%d pages took %v, less than the %v of the wire", pages, took, want)
		}
		if best == 0 || took < best {
			best = took
		}
	}
	t.Logf("%d pages of %v took %v", pages, want, best)
	if best > 2*want {
		t.Errorf("%d pages took %v at best, of %v on the wire", pages, best, want)
	}
}

// TestEndsAmid: a server that is stopped in a frame of minutes stops, and leaves chip select high.
func TestEndsAmid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := &chipSelect{}
		ctx, cancel := context.WithCancel(t.Context())
		ln, done := newPipes(), make(chan error)
		go func() { done <- serprog.New(pin, serprog.Options{Pace: serprog.Real, Clock: 100_000}).Serve(ctx, ln) }()
		conn := ln.dial()
		defer conn.Close()
		go conn.Write(spi(make([]byte, 1<<20), 1))
		time.Sleep(10 * time.Second)
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Millisecond || pin.low || pin.wrong {
			t.Errorf("ended after %v; chip select low: %v, wrong: %v", took, pin.low, pin.wrong)
		}
	})
}

// TestEndsAmidSlowest: a server whose own clock is of no use ends at once all the same.
func TestEndsAmidSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := &chipSelect{}
		ctx, cancel := context.WithCancel(t.Context())
		ln, done := newPipes(), make(chan error)
		go func() { done <- serprog.New(pin, serprog.Options{Pace: serprog.Real, Clock: 1}).Serve(ctx, ln) }()
		conn := ln.dial()
		defer conn.Close()
		if _, err := conn.Write(spi([]byte{0x03, 0, 0, 0}, 1<<24-1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond || pin.low || pin.wrong || pin.clocked > 100_000 {
			t.Errorf("ended after %v and %d bytes; chip select low: %v, wrong: %v", took, pin.clocked, pin.low, pin.wrong)
		}
	})
}

// TestHangsUpAmid: a client that leaves with hours of the wire ahead of it, behind one command or several, makes room for the next one; the chip saw whole commands only.
func TestHangsUpAmid(t *testing.T) {
	long := spi([]byte{0x03, 0, 0, 0}, 1<<24-1)
	for _, row := range []struct {
		name string
		send []byte
	}{
		{"one answer", long},
		{"answers behind one another", bytes.Repeat(long, 3)},
		{"a long command", spi(make([]byte, 1<<20), 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pin := &chipSelect{}
				_, ln := serve(t, pin, serprog.Options{Pace: serprog.Real})
				conn := ln.dial()
				talk(t, conn, []byte{0x14, 0xE8, 3, 0, 0}, []byte{6, 0xE8, 3, 0, 0})
				if _, err := conn.Write(row.send); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				conn.Close()
				began := time.Now()
				next := ln.dial()
				defer next.Close()
				talk(t, next, []byte{0}, []byte{6})
				if took := time.Since(began); took > 200*time.Millisecond || pin.low || pin.wrong || pin.clocked > 1<<20 {
					t.Errorf("served after %v and %d bytes; chip select low: %v, wrong: %v", took, pin.clocked, pin.low, pin.wrong)
				}
			})
		})
	}
}

// TestHangsUpOnASocket: the same where bytes wait in the machine, and behind the limit of a command's rest.
func TestHangsUpOnASocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serprog.New(&chipSelect{}, serprog.Options{Pace: serprog.Real})
	go s.Serve(t.Context(), ln)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}
	conn := dial()
	talk(t, conn, []byte{0x14, 0xE8, 3, 0, 0}, []byte{6, 0xE8, 3, 0, 0})
	if _, err := conn.Write(bytes.Repeat(spi([]byte{0x03, 0, 0, 0}, 1<<24-1), 3)); err != nil {
		t.Fatal(err)
	}
	for s.Counts().SPI == 0 {
		time.Sleep(time.Millisecond)
	}
	conn.Close()
	next := dial()
	defer next.Close()
	talk(t, next, []byte{0}, []byte{6})
}
