package sim_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const part = "MT25QL128ABA"

// plugged returns a line with one programmer at port "1-2", and interface 0 of it opened and in MPSSE mode.
func plugged(t *testing.T, pace ftdi.Pace, m ftdi.Model, o ftdi.Options) (*sim.Line, usb.Link) {
	t.Helper()
	line := sim.NewLine(sim.Options{Pace: pace})
	t.Cleanup(func() { line.Close() })
	o.Pace = pace
	if err := line.Plug("1-2", ftdi.New(m, o)); err != nil {
		t.Fatal(err)
	}
	return line, open(t, line)
}

func open(t *testing.T, line *sim.Line) usb.Link {
	t.Helper()
	k, err := line.Open(t.Context(), "1-2", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	for _, s := range []usb.Setup{
		{RequestType: 0x40, Request: 0x00, Index: 1},
		{RequestType: 0x40, Request: 0x09, Value: 255, Index: 1},
		{RequestType: 0x40, Request: 0x0B, Value: 0x0200, Index: 1},
	} {
		if _, err := k.Control(t.Context(), s, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(t, k, 0x8A, 0x86, 0, 0, 0x80, 0x08, 0x0B) // 30 MHz, chip select high
	return k
}

func write(t *testing.T, k usb.Link, b ...byte) {
	t.Helper()
	if n, err := k.Write(t.Context(), b); n != len(b) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(b), err)
	}
}

func posted(t *testing.T, k usb.Link, size, depth int) usb.In {
	t.Helper()
	in, err := k.In(size, depth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in
}

// read collects n bytes of answers, and the sizes of the completions that they came in.
func read(t *testing.T, in usb.In, size, n int) (data []byte, sizes []int) {
	t.Helper()
	for p := make([]byte, size); len(data) < n; {
		m, err := in.Read(t.Context(), p)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", len(data), n, err)
		}
		sizes = append(sizes, m)
		for i := 0; i < m; i += 512 {
			if m-i < 2 || p[i] != 0x32 || p[i+1] != 0x60 {
				t.Fatalf("completion of %d bytes has no status bytes at %d", m, i)
			}
			data = append(data, p[i+2:min(i+512, m)]...)
		}
	}
	return data, sizes
}

func newChip(t *testing.T, pace nor.Pace) *nor.Chip {
	t.Helper()
	chip, err := nor.New(part, sim.UID("A"), nor.Options{Pace: pace})
	if err != nil {
		t.Fatal(err)
	}
	return chip
}

// frame is one assertion of chip select: out, then n bytes in.
func frame(n int, out ...byte) []byte {
	b := append([]byte{0x80, 0x00, 0x0B, 0x11, byte(len(out) - 1), byte((len(out) - 1) >> 8)}, out...)
	if n > 0 {
		b = append(b, 0x20, byte(n-1), byte((n-1)>>8))
	}
	return append(b, 0x80, 0x08, 0x0B)
}

func readID(t *testing.T, k usb.Link, in usb.In, size int) []byte {
	t.Helper()
	write(t, k, append(frame(3, 0x9F), 0x87)...)
	id, _ := read(t, in, size, 3)
	return id
}

var wantID = []byte{0x20, 0xBA, 0x18}

func TestReadIDThroughEverything(t *testing.T) {
	for _, m := range []ftdi.Model{ftdi.FT232H, ftdi.FT2232H} {
		line, k := plugged(t, ftdi.None, m, ftdi.Options{})
		in := posted(t, k, 512, 2)
		if id := readID(t, k, in, 512); !bytes.Equal(id, []byte{0xFF, 0xFF, 0xFF}) {
			t.Errorf("empty socket answers % x", id)
		}
		place := sim.Place{Port: "1-2"}
		chip := newChip(t, nor.None)
		if err := line.Insert(place, chip); err != nil {
			t.Fatal(err)
		}
		if id := readID(t, k, in, 512); !bytes.Equal(id, wantID) {
			t.Errorf("ID % x, want % x", id, wantID)
		}
		if err := line.Insert(place, newChip(t, nor.None)); !errors.Is(err, sim.ErrOccupied) {
			t.Errorf("second board in one place: %v", err)
		}
		if err := line.Insert(sim.Place{Port: "1-9"}, chip); !errors.Is(err, sim.ErrOccupied) {
			t.Errorf("one board in two places: %v", err)
		}
		if err := line.Insert(sim.Place{Port: "1-2", Channel: 2}, newChip(t, nor.None)); err == nil {
			t.Error("a board on channel C")
		}
		if got := line.Remove(place); got != chip || chip.Powered() {
			t.Errorf("removed %p, powered %v", got, chip.Powered())
		}
		if id := readID(t, k, in, 512); !bytes.Equal(id, []byte{0xFF, 0xFF, 0xFF}) {
			t.Errorf("emptied socket answers % x", id)
		}
	}
}

func TestListAndExclusiveOpen(t *testing.T) {
	ctx := t.Context()
	line, k := plugged(t, ftdi.None, ftdi.FT2232H, ftdi.Options{})
	if err := line.Plug("1-1", ftdi.New(ftdi.FT232H, ftdi.Options{})); err != nil {
		t.Fatal(err)
	}
	if err := line.Plug("1-1", ftdi.New(ftdi.FT232H, ftdi.Options{})); err == nil {
		t.Error("two devices at one port")
	}
	all, err := line.List(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("List: %v, %v", all, err)
	}
	ends := func(i usb.Interface) []usb.Endpoint { return i.Endpoints }
	for i, want := range []usb.Device{
		{Port: "1-1", Vendor: 0x0403, Product: 0x6014, Release: 0x0900, Speed: usb.HighSpeed, Maker: "FTDI", Name: "Single RS232-HS"},
		{Port: "1-2", Vendor: 0x0403, Product: 0x6010, Release: 0x0700, Speed: usb.HighSpeed, Maker: "FTDI", Name: "Dual RS232-HS"},
	} {
		got := all[i]
		got.Interfaces = nil
		if got.Port != want.Port || got.Product != want.Product || got.Release != want.Release || got.Vendor != want.Vendor ||
			got.Speed != want.Speed || got.Maker != want.Maker || got.Name != want.Name || got.Serial != "" {
			t.Errorf("device %+v, want %+v", got, want)
		}
		for n, f := range all[i].Interfaces {
			e := []usb.Endpoint{{Address: 0x81 + 2*byte(n), Bulk: true, MaxPacket: 512}, {Address: 0x02 + 2*byte(n), Bulk: true, MaxPacket: 512}}
			if f.Number != n || f.Class != 0xFF || !slices.Equal(ends(f), e) {
				t.Errorf("port %s interface %+v", want.Port, f)
			}
		}
		if len(all[i].Interfaces) != i+1 {
			t.Errorf("port %s has %d interfaces", want.Port, len(all[i].Interfaces))
		}
	}
	refused := func(port string, iface int, want error) {
		t.Helper()
		if _, err := line.Open(ctx, port, iface); !errors.Is(err, want) {
			t.Errorf("open %s %d: %v, want %v", port, iface, err, want)
		}
	}
	refused("1-2", 0, usb.ErrInUse)
	refused("1-2", 2, usb.ErrNotFound)
	refused("1-3", 0, usb.ErrNotFound)
	b, err := line.Open(ctx, "1-2", 1) // the other channel is free
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := k.Write(ctx, []byte{0x87}); !errors.Is(err, usb.ErrClosed) {
		t.Errorf("write on a closed link: %v", err)
	}
	open(t, line)
	refused("1-2", 0, usb.ErrInUse)
}

func TestCompletions(t *testing.T) {
	for _, c := range []struct {
		answers, size int
		want          []int // completions; a read that stays open is closed by the latency timer's empty packet
	}{
		{1, 512, []int{3}},
		{509, 512, []int{511}},
		{510, 512, []int{512}},
		{511, 512, []int{512, 3}},
		{512, 512, []int{512, 4}},
		{1020, 1024, []int{1024}},
		{1021, 1024, []int{1024, 3}},
		{1020, 4096, []int{1026}},
		{1024, 4096, []int{512 + 512 + 6}},
		{4080, 4096, []int{4096}},
		{4096, 4096, []int{4096, 18}},
	} {
		synctest.Test(t, func(t *testing.T) {
			line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
			if err := line.Insert(sim.Place{Port: "1-2"}, newChip(t, nor.None)); err != nil {
				t.Fatal(err)
			}
			in := posted(t, k, c.size, 2)
			synctest.Wait()
			write(t, k, append(frame(c.answers, 0x03, 0, 0, 0), 0x87)...)
			data, sizes := read(t, in, c.size, c.answers)
			if len(data) != c.answers || !slices.Equal(sizes, c.want) {
				t.Errorf("%d answers into %d: %d bytes in completions %v, want %v", c.answers, c.size, len(data), sizes, c.want)
			}
			in.Close()
		})
	}
}

// A station that dies leaves the programmer as it is, in the middle of a command; reset and bit mode help.
func TestDeviceOutlivesLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
		if err := line.Insert(sim.Place{Port: "1-2"}, newChip(t, nor.None)); err != nil {
			t.Fatal(err)
		}
		write(t, k, append(frame(3, 0x9F), 0x80, 0, 0x0B, 0x11, 0xFF, 0xFF, 1, 2, 3)...)
		k.Close()
		k, err := line.Open(t.Context(), "1-2", 0)
		if err != nil {
			t.Fatal(err)
		}
		in := posted(t, k, 512, 1)
		write(t, k, 0xAA, 0x87) // data of the command cut short
		if got, _ := read(t, in, 512, 3); !bytes.Equal(got, wantID) {
			t.Errorf("the last answer of the link before: % x", got)
		}
		k.Close()
		k = open(t, line)
		in = posted(t, k, 512, 1)
		if id := readID(t, k, in, 512); !bytes.Equal(id, wantID) {
			t.Errorf("ID % x", id)
		}
	})
}

func TestInRefusals(t *testing.T) {
	_, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
	for _, c := range [][2]int{{0, 1}, {511, 1}, {513, 1}, {512, 0}, {-512, 1}} {
		if _, err := k.In(c[0], c[1]); err == nil {
			t.Errorf("In%v was accepted", c)
		}
	}
	in := posted(t, k, 512, 1)
	if _, err := k.In(512, 1); !errors.Is(err, usb.ErrInUse) {
		t.Errorf("a second In: %v", err)
	}
	if _, err := in.Read(t.Context(), make([]byte, 511)); err == nil {
		t.Error("Read into a short buffer")
	}
	in.Close()
	in.Close()
	if _, err := in.Read(t.Context(), make([]byte, 512)); !errors.Is(err, usb.ErrClosed) {
		t.Errorf("Read of a closed In: %v", err)
	}
	posted(t, k, 512, 1)
}

// The end of a read's ctx loses nothing, and the stream goes on.
func TestDeadlineKeepsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
		if err := line.Insert(sim.Place{Port: "1-2"}, newChip(t, nor.None)); err != nil {
			t.Fatal(err)
		}
		in := posted(t, k, 512, 4)
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			start := time.Now()
			if _, err := in.Read(ctx, make([]byte, 512)); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Read: %v", err)
			}
			if d := time.Since(start); d != time.Millisecond {
				t.Errorf("the deadline took %v", d)
			}
			cancel()
			write(t, k, append(frame(3, 0x9F), 0x87)...)
			synctest.Wait() // completed, and nobody has read it
			p := make([]byte, 512)
			if n, err := in.Read(ctx, p); err != nil || !bytes.Equal(p[2:n], wantID) {
				t.Fatalf("Read of what is there with an ended ctx: % x, %v", p[:n], err)
			}
			if _, err := in.Read(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Read of nothing with an ended ctx: %v", err)
			}
			write(t, k, append(frame(3, 0x9F), 0x87)...)
			if id, _ := read(t, in, 512, 3); !bytes.Equal(id, wantID) {
				t.Fatalf("ID % x", id)
			}
		}
	})
}

// A device whose answers nobody collects makes Write wait, within its limits, and goes on where it stopped.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
		if err := line.Insert(sim.Place{Port: "1-2"}, newChip(t, nor.None)); err != nil {
			t.Fatal(err)
		}
		var stream []byte
		for range 1000 {
			stream = append(stream, frame(20, 0x9F)...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n, err := k.Write(ctx, stream)
		if !errors.Is(err, context.DeadlineExceeded) || n == 0 || n == len(stream) {
			t.Fatalf("wrote %d of %d without anybody reading: %v", n, len(stream), err)
		}
		start := time.Now()
		m, err := k.Write(t.Context(), stream[n:])
		if !errors.Is(err, usb.ErrTimeout) || m != 0 || time.Since(start) > time.Minute {
			t.Fatalf("wrote %d after %v: %v", m, time.Since(start), err)
		}
		in := posted(t, k, 4096, 4)
		done := make(chan error, 1)
		go func() {
			_, err := k.Write(t.Context(), append(stream[n:], 0x87))
			done <- err
		}()
		data, _ := read(t, in, 4096, 20*1000)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(data); i += 20 {
			if !bytes.Equal(data[i:i+3], wantID) {
				t.Fatalf("frame %d: ID % x", i/20, data[i:i+3])
			}
		}
	})
}

func TestUnplugEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
		chip := newChip(t, nor.None)
		if err := line.Insert(sim.Place{Port: "1-2"}, chip); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() {
			_, err := k.Write(t.Context(), append([]byte{0x80, 0, 0x0B, 0x20, 0xFF, 0xFF}, make([]byte, 9000)...))
			ended <- err
		}()
		synctest.Wait() // it hangs in mid transfer, with no read posted
		if err := line.Unplug("1-2"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, usb.ErrGone) {
			t.Errorf("the pending write: %v", err)
		}
		if _, err := k.Write(t.Context(), []byte{0x87}); !errors.Is(err, usb.ErrGone) {
			t.Errorf("a later write: %v", err)
		}
		if _, err := k.Control(t.Context(), usb.Setup{RequestType: 0xC0, Request: 5}, make([]byte, 2)); !errors.Is(err, usb.ErrGone) {
			t.Errorf("a later control: %v", err)
		}
		if _, err := k.In(512, 1); !errors.Is(err, usb.ErrGone) {
			t.Errorf("a later In: %v", err)
		}
		if all, _ := line.List(t.Context()); len(all) != 0 {
			t.Errorf("List: %v", all)
		}
		if err := line.Unplug("1-2"); !errors.Is(err, usb.ErrNotFound) {
			t.Errorf("second unplug: %v", err)
		}
		if !chip.Powered() {
			t.Error("the board lost its power with the cable")
		}

		// Plugged in again, the board is there.
		if err := line.Plug("1-2", ftdi.New(ftdi.FT232H, ftdi.Options{})); err != nil {
			t.Fatal(err)
		}
		k2 := open(t, line)
		in := posted(t, k2, 512, 1)
		if id := readID(t, k2, in, 512); !bytes.Equal(id, wantID) {
			t.Errorf("ID % x", id)
		}
		go func() {
			for {
				if _, err := in.Read(t.Context(), make([]byte, 512)); err != nil {
					ended <- err
					return
				}
			}
		}()
		synctest.Wait()
		if err := line.Unplug("1-2"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, usb.ErrGone) {
			t.Errorf("the pending read: %v", err)
		}
	})
}

// A device that goes by a fault of its own, or stalls, ends the calls likewise.
func TestDeviceFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		faults  ftdi.Faults
		want    error
		counted uint64 // page programs that took effect
		left    int    // devices listed afterwards
	}{
		{"unplugged, not done", ftdi.Faults{UnplugAfter: 24}, usb.ErrGone, 0, 0},
		{"unplugged in the page's data", ftdi.Faults{UnplugAfter: 40}, usb.ErrGone, 1, 0}, // of 13 bytes
		{"unplugged, done", ftdi.Faults{UnplugAfter: 40, UnplugDone: true}, usb.ErrGone, 1, 0},
		{"stall", ftdi.Faults{StallAfter: 40}, usb.ErrStall, 0, 1},
		{"hang", ftdi.Faults{HangAfter: 40}, usb.ErrTimeout, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{Faults: c.faults})
				chip := newChip(t, nor.None)
				if err := line.Insert(sim.Place{Port: "1-2"}, chip); err != nil {
					t.Fatal(err)
				}
				in := posted(t, k, 512, 2)
				page := append([]byte{0x02, 0, 0, 0}, make([]byte, 256)...)
				stream := append(append(frame(0, 0x06), frame(0, page...)...), frame(1, 0x05)...)
				write(t, k, append(stream, 0x87)...)
				_, err := in.Read(t.Context(), make([]byte, 512))
				if !errors.Is(err, c.want) {
					t.Errorf("Read: %v, want %v", err, c.want)
				}
				if got := chip.Counters()[nor.CountProgram]; got != c.counted {
					t.Errorf("%d programs took effect, want %d", got, c.counted)
				}
				if all, err := line.List(t.Context()); len(all) != c.left || err != nil {
					t.Errorf("List: %d devices, %v; want %d", len(all), err, c.left)
				}
			})
		})
	}
}

// With Pace Real a read takes the wire's time plus the USB's, and status samples see an operation end.
func TestRealPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, k := plugged(t, ftdi.Real, ftdi.FT232H, ftdi.Options{})
		if err := line.Insert(sim.Place{Port: "1-2"}, newChip(t, nor.Real)); err != nil {
			t.Fatal(err)
		}
		in := posted(t, k, 4096, 4)
		time.Sleep(100 * time.Millisecond) // power-up

		const n = 1 << 18
		start := time.Now()
		stream := []byte{0x80, 0, 0x0B, 0x11, 3, 0, 0x03, 0, 0, 0}
		for range n >> 16 {
			stream = append(stream, 0x20, 0xFF, 0xFF)
		}
		write(t, k, append(stream, 0x80, 0x08, 0x0B, 0x87)...)
		read(t, in, 4096, n)
		wire := time.Duration(n+4) * 8 * time.Second / 30e6
		if got := time.Since(start); got < wire || got > wire+500*time.Microsecond {
			t.Errorf("reading %d bytes took %v, the wire %v", n, got, wire)
		}

		page := append([]byte{0x02, 0, 0, 0}, make([]byte, 256)...)
		const samples = 8000 // 2.1 ms
		write(t, k, append(append(append(frame(0, 0x06), frame(0, page...)...), frame(samples, 0x05)...), 0x87)...)
		status, _ := read(t, in, 4096, samples)
		busy := slices.IndexFunc(status, func(b byte) bool { return b&1 == 0 })
		if took := time.Duration(busy) * 8 * time.Second / 30e6; busy <= 0 || took < 10*time.Microsecond || took > 2*time.Millisecond {
			t.Errorf("the page program seemed to take %v (%d samples)", took, busy)
		}
		if slices.ContainsFunc(status[max(busy, 0):], func(b byte) bool { return b&1 != 0 }) {
			t.Error("busy again after ready")
		}
	})
}

// Boards come and go while frames run.
func TestSwapUnderTraffic(t *testing.T) {
	line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
	in := posted(t, k, 512, 4)
	place := sim.Place{Port: "1-2"}
	swapped := make(chan error, 1)
	go func() {
		chip, err := nor.New(part, sim.UID("A"), nor.Options{})
		for range 200 {
			if err == nil {
				err = line.Insert(place, chip)
			}
			line.Remove(place)
		}
		swapped <- err
	}()
	for range 500 {
		id := readID(t, k, in, 512)
		for i, b := range id {
			if b != wantID[i] && b != 0xFF {
				t.Fatalf("ID % x: neither a board nor none", id)
			}
		}
	}
	if err := <-swapped; err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	line := sim.NewLine(sim.Options{})
	defer line.Close()
	if err := line.Plug("1-2", ftdi.New(ftdi.FT232H, ftdi.Options{})); err != nil {
		b.Fatal(err)
	}
	chip, err := nor.New(part, sim.UID("A"), nor.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := line.Insert(sim.Place{Port: "1-2"}, chip); err != nil {
		b.Fatal(err)
	}
	k, err := line.Open(b.Context(), "1-2", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Control(b.Context(), usb.Setup{RequestType: 0x40, Request: 0x0B, Value: 0x0200, Index: 1}, nil); err != nil {
		b.Fatal(err)
	}
	in, err := k.In(16384, 4)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	const n = 1 << 16
	b.SetBytes(n)
	p := make([]byte, 16384)
	cmd := append(frame(n, 0x03, 0, 0, 0), 0x87)
	for b.Loop() {
		if _, err := k.Write(b.Context(), cmd); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < n; {
			m, err := in.Read(b.Context(), p)
			if err != nil {
				b.Fatal(err)
			}
			got += m - 2*((m+511)/512)
		}
	}
}

// Wherever the device goes, every call ends, with usb.ErrGone.
func TestUnplugAtEveryByte(t *testing.T) {
	var stream []byte
	for range 4 {
		stream = append(stream, frame(600, 0x9F)...)
	}
	stream = append(stream, 0x87)
	const opening = 7 // bytes that open sends
	for n := opening; n < opening+len(stream); n++ {
		for _, done := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{Faults: ftdi.Faults{UnplugAfter: n, UnplugDone: done}})
				in := posted(t, k, 512, 2)
				ended := make(chan error)
				go func() {
					for {
						if _, err := in.Read(t.Context(), make([]byte, 512)); err != nil {
							ended <- err
							return
						}
					}
				}()
				var err error
				for err == nil {
					_, err = k.Write(t.Context(), stream)
				}
				if !errors.Is(err, usb.ErrGone) {
					t.Errorf("byte %d: Write: %v", n, err)
				}
				if err := <-ended; !errors.Is(err, usb.ErrGone) {
					t.Errorf("byte %d: Read: %v", n, err)
				}
				if all, err := line.List(t.Context()); len(all) != 0 || err != nil {
					t.Errorf("byte %d: List: %v, %v", n, all, err)
				}
			})
		}
	}
}
