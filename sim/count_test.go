package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/nor"
)

// TestCount counts at the device: packets that hold status bytes only are no data, and a pipelined transfer is no round trip.
func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := sim.NewLine(sim.Options{Pace: ftdi.Real})
		defer line.Close()
		r := newRig(t, line, "1-2", ftdi.Real, nor.Options{})
		before := line.Count("1-2")
		counted := func(want sim.Count) {
			t.Helper()
			time.Sleep(time.Second) // the latency timer sends packets without data
			now := line.Count("1-2")
			if got := now.Sub(before); got != want {
				t.Errorf("counted %+v, want %+v", got, want)
			}
			before = now
		}
		go func() { // so that reads stay posted
			for {
				if _, err := r.in.Read(t.Context(), make([]byte, rigReads)); err != nil {
					return
				}
			}
		}()
		counted(sim.Count{})
		id := append(frame(3, 0x9F), 0x87)
		r.send(t, id)
		counted(sim.Count{Outs: 1, OutBytes: int64(len(id)), Ins: 1, InBytes: 5, RoundTrips: 1}) // opening had an answer
		r.send(t, frame(0, 0x06))
		r.send(t, frame(0, 0x04))
		counted(sim.Count{Outs: 2, OutBytes: 26 - 6, RoundTrips: 1})
		r.send(t, id)
		r.send(t, frame(0, 0x04)) // a microframe later, and the answer is there
		counted(sim.Count{Outs: 2, OutBytes: int64(len(id)) + 10, Ins: 1, InBytes: 5, RoundTrips: 1})
		if err := line.Unplug("1-2"); err != nil {
			t.Fatal(err)
		}
		counted(sim.Count{})
		if err := line.Plug("1-2", ftdi.New(ftdi.FT232H, ftdi.Options{})); err != nil {
			t.Fatal(err)
		}
		counted(sim.Count{}) // the port's counts go on
	})
}

// request is a setup packet with a data stage of n bytes.
func request(kind byte, n int) [8]byte { return [8]byte{kind, 1, 0, 0, 0, 0, byte(n), byte(n >> 8)} }

// TestCounter is the definition itself, for whatever carries the transfers.
func TestCounter(t *testing.T) {
	for _, c := range []struct {
		name string
		dev  sim.Device
		do   func(c *sim.Counter)
		want sim.Count
	}{
		{"an answer, then a write", ftdi.New(ftdi.FT232H, ftdi.Options{}), func(c *sim.Counter) { c.Out(0, 5); c.In(0, 3); c.Out(0, 7) },
			sim.Count{Outs: 2, OutBytes: 12, Ins: 1, InBytes: 3, RoundTrips: 1}},
		{"several answers count once", ftdi.New(ftdi.FT232H, ftdi.Options{}), func(c *sim.Counter) { c.In(0, 3); c.In(0, 512); c.Out(0, 1); c.Out(0, 1) },
			sim.Count{Outs: 2, OutBytes: 2, Ins: 2, InBytes: 515, RoundTrips: 1}},
		{"status bytes are no data", ftdi.New(ftdi.FT232H, ftdi.Options{}), func(c *sim.Counter) { c.In(0, 2); c.In(0, 0); c.Out(0, 1) },
			sim.Count{Outs: 1, OutBytes: 1}},
		{"nor are those of a second packet", ftdi.New(ftdi.FT232H, ftdi.Options{}), func(c *sim.Counter) { c.In(0, 514); c.Out(0, 1) },
			sim.Count{Outs: 1, OutBytes: 1, Ins: 1, InBytes: 514, RoundTrips: 1}},
		{"channels do not wait for each other", ftdi.New(ftdi.FT2232H, ftdi.Options{}), func(c *sim.Counter) { c.In(0, 3); c.Out(1, 1); c.Out(0, 1) },
			sim.Count{Outs: 2, OutBytes: 2, Ins: 1, InBytes: 3, RoundTrips: 1}},
		{"a CH341A has data only", ch341a.New(ch341a.Options{}), func(c *sim.Counter) { c.In(0, 1); c.Out(0, 1) },
			sim.Count{Outs: 1, OutBytes: 1, Ins: 1, InBytes: 1, RoundTrips: 1}},
		{"requests set an FT232H up", ftdi.New(ftdi.FT232H, ftdi.Options{}), func(c *sim.Counter) { c.In(0, 3); c.Control(request(0xC0, 2)); c.Out(0, 1) },
			sim.Count{Outs: 1, OutBytes: 1, Ins: 1, InBytes: 3, RoundTrips: 1}},
		{"requests run an SF600", dediprog.New(dediprog.SF600, dediprog.Options{}), func(c *sim.Counter) {
			c.Control(request(0x42, 1))
			c.Control(request(0xC2, 1))
			c.Control(request(0xC2, 0x100)) // a round trip
			c.Control(request(0x42, 1))     // another one
			c.Control(request(0xC2, 0))     // nothing comes
			c.Control(request(0x80, 18))    // a standard one
			c.Out(0, 512)
			c.In(0, 512)
			c.Control(request(0x42, 0)) // a round trip
			c.Control(request(0xC2, 1))
			c.Out(0, 512) // a round trip
		}, sim.Count{Outs: 2, OutBytes: 1024, Ins: 1, InBytes: 512, Controls: 7, RoundTrips: 4}},
	} {
		counter := sim.NewCounter(c.dev)
		c.do(counter)
		if got := counter.Count(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
