package performance

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"station/fixtures"
	"station/flash"
	"station/sim/nor"
	"station/sim/serprog"
	"station/spi"
)

// TestRoundTrips counts at the simulated programmer what the host had to wait for before it could send on, in modelled time and with a chip that takes its own.
func TestRoundTrips(t *testing.T) {
	usb := func(p programmer) func(*testing.T) (spi.Conn, func() int64) {
		return func(t *testing.T) (spi.Conn, func() int64) {
			l := newLine(t, true, p)
			t.Cleanup(l.close)
			l.seat("1", l.chip(0))
			return lease(t, l.rack), func() int64 { return l.sim.Count(p.port).RoundTrips }
		}
	}
	for _, c := range []struct {
		n        int
		name     string
		open     func(*testing.T) (conn spi.Conn, roundTrips func() int64)
		page     float64 // the most for a page
		mib      int64   // the most for a MiB
		his, him string  // the rival's
	}{
		{10, "FTDI", usb(fast("1", "1-1")), 0.1, 1, "flashrom 1 to 2", "flashrom 16"},
		{11, "CH341A", usb(programmer{slot: "1", port: "1-1", ch341a: true}), 1, 16, "flashrom 4", "flashrom 256"},
		{12, "serprog", overSerprog, 0.1, 1, "flashrom 3.02", "flashrom 0.2, in pieces of up to 16 MiB"},
		// Its firmware programs the pages. Of a read two Dos again, in each of which an ID of 20 bytes is two requests with an answer, before and behind, and status and
		// blocks are waited for, too.
		{13, "Dediprog SF600", usb(programmer{slot: "1", port: "1-1", dediprog: true}), 0.1, 12, "flashrom waits for its OUT transfer", "flashrom 3 requests, and 2048 reads 8 deep"},
		// Two Dos of half a second each, with an OUT transfer for what follows the long frame in each.
		{14, "serprog on a Pico", usb(programmer{slot: "1", port: "1-1", pico: true}), 0.1, 4, "flashrom 3", "flashrom 16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const pages = mebibyte / page
			var written, read int64
			synctest.Test(t, func(t *testing.T) {
				conn, count := c.open(t)
				chip, err := flash.Identify(t.Context(), conn)
				must(t, err)
				want := []flash.Extent{{Size: mebibyte, Data: image(1, mebibyte)}}
				plan, err := flash.NewPlan(chip.Part(), want, func(int) flash.Knowledge { return flash.Knowledge{Blank: true} })
				must(t, err)
				before := count()
				must(t, chip.Apply(t.Context(), plan, nil))
				after := count()
				back := make([]byte, mebibyte)
				must(t, chip.Read(t.Context(), 0, back))
				written, read = after-before, count()-after
				if string(back) != string(want[0].Data) {
					t.Error("the chip does not hold what was written")
				}
			})
			each := float64(written) / pages
			hold(t, each <= c.page, row{n: c.n, what: "round trips per 256-byte page, " + c.name, limit: c.his, reach: fmt.Sprintf("%v or fewer", c.page),
				measured: fmt.Sprintf("%.4f (%d for %d pages)", each, written, pages)})
			hold(t, read <= c.mib, row{n: c.n + 5, what: "round trips to read 1 MiB, " + c.name, limit: c.him, reach: fmt.Sprintf("%d or fewer", c.mib),
				measured: fmt.Sprint(read)})
		})
	}
}

func lease(t *testing.T, rack *fixtures.Rack) spi.Conn {
	t.Helper()
	conn, release, err := rack.Lease(t.Context(), "1")
	must(t, err)
	t.Cleanup(func() { release() })
	return conn
}

// overSerprog is a slot on a simulated serprog programmer at 30 MHz, over a pipe in place of TCP.
func overSerprog(t *testing.T) (spi.Conn, func() int64) {
	chip, err := nor.New(partName, uid(0), nor.Options{Pace: nor.Real})
	must(t, err)
	server, ln := serprog.New(chip, serprog.Options{Pace: serprog.Real}), pipes{make(chan net.Conn), make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		must(t, <-done)
	})
	rack, err := fixtures.NewRack(nil, []fixtures.Slot{{Name: "1", Port: "tcp:localhost:4000", Clock: "30MHz"}})
	must(t, err)
	rack.Dial = func(context.Context, string) (net.Conn, error) {
		here, there := net.Pipe()
		ln.conns <- there
		return here, nil
	}
	return lease(t, rack), func() int64 { return int64(server.Counts().RoundTrips) }
}

// pipes is a listener whose clients are pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }
