package sim_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
)

// These tests drive an FT232H by its bytes, as a driver does that batches and pipelines, and hold what a run takes on the modelled line.

const clock = 30_000_000 // Hz, as open sets it

// onWire is the time of n bytes.
func onWire(n int) time.Duration { return time.Duration(n) * 8 * time.Second / clock }

// rig is a programmer over a board, opened, with reads posted.
type rig struct {
	link usb.Link
	in   usb.In
	chip *nor.Chip
	buf  []byte
	rest []byte // of buf, status bytes taken out: answers not asked for yet
}

const (
	rigReads = 16 << 10
	rigPart  = "MT25QL256ABA"
	capacity = 32 << 20
)

func newRig(t testing.TB, line *sim.Line, path string, pace ftdi.Pace, o nor.Options) *rig {
	t.Helper()
	if pace == ftdi.Real {
		o.Pace = nor.Real
	}
	chip, err := nor.New(rigPart, sim.UID(path), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := line.Insert(sim.Place{Port: path}, chip); err != nil {
		t.Fatal(err)
	}
	if err := line.Plug(path, ftdi.New(ftdi.FT232H, ftdi.Options{Pace: pace})); err != nil {
		t.Fatal(err)
	}
	k, err := line.Open(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	r := &rig{link: k, chip: chip, buf: make([]byte, rigReads)}
	for _, s := range []usb.Setup{
		{RequestType: 0x40, Request: 0x09, Value: 50, Index: 1},
		{RequestType: 0x40, Request: 0x0B, Value: 0x0200, Index: 1},
	} {
		if _, err := k.Control(t.Context(), s, nil); err != nil {
			t.Fatal(err)
		}
	}
	if r.in, err = k.In(rigReads, 8); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.in.Close() })
	r.send(t, []byte{0x8A, 0x86, 0, 0, 0x80, 0x08, 0x0B, 0x81, 0x87})
	r.answers(t, make([]byte, 1))
	return r
}

func (r *rig) send(t testing.TB, p []byte) {
	if n, err := r.link.Write(t.Context(), p); n != len(p) || err != nil {
		t.Errorf("wrote %d of %d: %v", n, len(p), err)
	}
}

// answers fills p with answer bytes.
func (r *rig) answers(t testing.TB, p []byte) {
	for {
		n := copy(p, r.rest)
		p, r.rest = p[n:], r.rest[n:]
		if len(p) == 0 {
			return
		}
		m, err := r.in.Read(t.Context(), r.buf)
		if err != nil {
			t.Errorf("%d bytes missing: %v", len(p), err)
			return
		}
		r.rest = r.buf[:0]
		for i := 0; i < m; i += 512 {
			r.rest = append(r.rest, r.buf[i+2:min(i+512, m)]...)
		}
	}
}

// program writes data from addr on, which is 0 or a multiple of 256, and returns how many pages were not ready in time: WREN, status,
// program, samples status bytes, flag status a page; batch pages an OUT transfer, two of them in flight.
func (r *rig) program(t testing.TB, addr int, data []byte, samples, batch int) (late int) {
	sent := make(chan int, 1) // pages; with the one that is being sent, two in flight
	go func() {
		defer close(sent)
		var out []byte
		for at := 0; at < len(data); {
			out = out[:0]
			pages := 0
			for ; pages < batch && at < len(data); pages++ {
				a := addr + at
				out = append(out, 0x80, 0, 0x0B, 0x11, 0, 0, 0x06, 0x80, 0x08, 0x0B)
				out = append(out, 0x80, 0, 0x0B, 0x11, 0, 0, 0x05, 0x20, 0, 0, 0x80, 0x08, 0x0B)
				out = append(out, 0x80, 0, 0x0B, 0x11, 4, 1, 0x12, byte(a>>24), byte(a>>16), byte(a>>8), byte(a))
				out = append(out, data[at:at+256]...)
				out = append(out, 0x80, 0x08, 0x0B)
				out = append(out, 0x80, 0, 0x0B, 0x11, 0, 0, 0x05, 0x20, byte(samples-1), byte((samples-1)>>8), 0x80, 0x08, 0x0B)
				out = append(out, 0x80, 0, 0x0B, 0x11, 0, 0, 0x70, 0x20, 0, 0, 0x80, 0x08, 0x0B)
				at += 256
			}
			sent <- pages
			r.send(t, append(out, 0x87))
		}
	}()
	p := make([]byte, batch*(samples+2))
	for pages := range sent {
		r.answers(t, p[:pages*(samples+2)])
		for i := range pages {
			page := p[i*(samples+2):][:samples+2]
			switch {
			case page[0] != 0x02:
				t.Fatalf("status %02x behind write enable, later %02x, %02x, flags %02x", page[0], page[1:samples], page[samples], page[samples+1])
			case page[samples]&1 != 0 || page[samples+1] != 0x80:
				late++
			}
		}
	}
	return late
}

// read fills p from addr 0 on, a MiB in each OUT transfer, the next one sent while the last is read.
func (r *rig) read(t testing.TB, p []byte) {
	const most = 1 << 20
	size := len(p)
	sent := make(chan int, 1)
	go func() {
		defer close(sent)
		for at := 0; at < size; at += most {
			n := min(most, size-at)
			out := []byte{0x80, 0, 0x0B, 0x11, 4, 0, 0x13, byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}
			for left := n; left > 0; left -= 65536 {
				m := min(left, 65536) - 1
				out = append(out, 0x20, byte(m), byte(m>>8))
			}
			sent <- n
			r.send(t, append(out, 0x80, 0x08, 0x0B, 0x87))
		}
	}()
	for n := range sent {
		r.answers(t, p[:n])
		p = p[n:]
	}
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// TestWholeRun programs and reads a whole part, and holds it to the wire's time.
func TestWholeRun(t *testing.T) {
	size := capacity
	if testing.Short() {
		size = 1 << 20
	}
	synctest.Test(t, func(t *testing.T) {
		line := sim.NewLine(sim.Options{Pace: ftdi.Real})
		defer line.Close()
		r := newRig(t, line, "1-2", ftdi.Real, nor.Options{})
		data := randomBytes(size)
		const samples = 460 // 122.7 µs, and a page program takes 120
		start := time.Now()
		if late := r.program(t, 0, data, samples, 100); late > 0 {
			t.Errorf("%d pages were late", late)
		}
		took := time.Since(start)
		wire := onWire(size / 256 * (1 + 2 + 261 + 1 + samples + 2))
		t.Logf("programmed %d MiB in %v, the wire %v (%.4f)", size>>20, took, wire, float64(took)/float64(wire))
		if took < wire || took > wire*1001/1000+time.Millisecond {
			t.Errorf("programmed in %v, the wire %v", took, wire)
		}
		back := make([]byte, size)
		start = time.Now()
		r.read(t, back)
		took = time.Since(start)
		wire = onWire(size + 5*size>>20)
		t.Logf("read in %v, the wire %v (%.4f)", took, wire, float64(took)/float64(wire))
		if took < wire || took > wire*1001/1000+time.Millisecond {
			t.Errorf("read in %v, the wire %v", took, wire)
		}
		if !bytes.Equal(back, data) {
			t.Error("another content was read than programmed")
		}
	})
}

// TestExchange holds one exchange to the nanosecond: a microframe ahead, the wire, a slot of the bus, a microframe back; and without
// send-immediate the rest of the latency timer, which began with the packet before.
func TestExchange(t *testing.T) {
	const microframe, slot = 125 * time.Microsecond, 125 * time.Microsecond / 13
	synctest.Test(t, func(t *testing.T) {
		line := sim.NewLine(sim.Options{Pace: ftdi.Real})
		defer line.Close()
		r := newRig(t, line, "1-2", ftdi.Real, nor.Options{})
		took := func(p []byte, n int) time.Duration {
			start := time.Now()
			r.send(t, p)
			r.answers(t, make([]byte, n))
			return time.Since(start)
		}
		for _, n := range []int{1, 20, 510 - 1} {
			got := took(append(frame(n, 0x9F), 0x87), n)
			want := 2*microframe + slot + max(slot, onWire(1+n)) // the answer comes after the slot of the write
			if (got - want).Abs() > time.Nanosecond {
				t.Errorf("an exchange with %d bytes took %v, want %v", n, got, want)
			}
		}
		// Two packets, and the second is there when the wire is done: they do not wait for each other.
		if got, want := took(append(frame(600, 0x9F), 0x87), 600), 2*microframe+slot+onWire(601); (got - want).Abs() > time.Nanosecond {
			t.Errorf("an exchange with 600 bytes took %v, want %v", got, want)
		}
		const timer = 2 * time.Millisecond
		if _, err := r.link.Control(t.Context(), usb.Setup{RequestType: 0x40, Request: 0x09, Value: 2, Index: 1}, nil); err != nil {
			t.Fatal(err)
		}
		took(append(frame(1, 0x9F), 0x87), 1) // the host polls again when its packet is across, a microframe ago
		if got, want := took(frame(3, 0x9F), 3), timer+slot; (got - want).Abs() > time.Nanosecond {
			t.Errorf("without send-immediate an exchange took %v, want %v", got, want)
		}
	})
}

// TestControllers reads with many programmers at once. What shares a controller shares 13 packets of 512 bytes a microframe: eight
// that read at 30 MHz leave room, sixteen do not.
func TestControllers(t *testing.T) {
	const size = 1 << 20
	run := func(devices, controllers int) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			line := sim.NewLine(sim.Options{Pace: ftdi.Real})
			defer line.Close()
			var all []*rig
			for i := range devices {
				all = append(all, newRig(t, line, fmt.Sprintf("%d-%d", 1+i%controllers, 1+i), ftdi.Real, nor.Options{}))
			}
			start := time.Now()
			var wg sync.WaitGroup
			for _, r := range all {
				wg.Go(func() { r.read(t, make([]byte, size)) })
			}
			wg.Wait()
			took = time.Since(start)
		})
		return took
	}
	alone := run(1, 1)
	if wire := onWire(size + 5); alone < wire || alone > wire+500*time.Microsecond {
		t.Errorf("one alone took %v, the wire %v", alone, wire)
	}
	// 510 data bytes a packet.
	full := time.Duration(16*size/510) * 125 * time.Microsecond / 13
	for _, c := range []struct {
		devices, controllers int
		want                 time.Duration
	}{
		{8, 1, alone},
		{16, 1, full},
		{16, 2, alone},
		{32, 4, alone},
	} {
		got := run(c.devices, c.controllers)
		t.Logf("%d on %d: %v, %.4f of one alone", c.devices, c.controllers, got, float64(got)/float64(alone))
		if got < c.want || got > c.want*1005/1000 {
			t.Errorf("%d devices on %d controllers took %v, want %v", c.devices, c.controllers, got, c.want)
		}
	}
}

// TestBothDirections has a writer whose bytes lead nowhere (no bit mode), so that the bus alone holds it up, beside readers: it gets what
// they leave, and they get what they need.
func TestBothDirections(t *testing.T) {
	const size, packets = 1 << 20, 2048
	slots := func(n int) time.Duration { return time.Duration(n) * 125 * time.Microsecond / 13 }
	for _, readers := range []int{0, 4, 8} {
		synctest.Test(t, func(t *testing.T) {
			line := sim.NewLine(sim.Options{Pace: ftdi.Real})
			defer line.Close()
			writer := newRig(t, line, "1-1", ftdi.Real, nor.Options{})
			if _, err := writer.link.Control(t.Context(), usb.Setup{RequestType: 0x40, Request: 0x0B, Index: 1}, nil); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range readers {
				r := newRig(t, line, fmt.Sprintf("1-%d", 2+i), ftdi.Real, nor.Options{})
				wg.Go(func() {
					start := time.Now()
					r.read(t, make([]byte, size))
					if got, want := time.Since(start), onWire(size); got > want*1005/1000 {
						t.Errorf("a reader beside a writer took %v, alone %v", got, want)
					}
				})
			}
			time.Sleep(time.Millisecond) // they are under way
			start := time.Now()
			writer.send(t, make([]byte, size))
			got := time.Since(start)
			// In a second the readers take so many of the 104 000 packets.
			taken := float64(readers) * clock / 8 / 510 / 104_000
			want := time.Duration(float64(slots(packets)) / (1 - taken))
			t.Logf("1 MiB written beside %d readers: %v, want %v", readers, got, want)
			if (got - want).Abs() > want/100+250*time.Microsecond {
				t.Errorf("1 MiB written beside %d readers took %v, want %v", readers, got, want)
			}
			wg.Wait()
		})
	}
}
