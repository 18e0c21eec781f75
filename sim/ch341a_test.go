package sim_test

import (
	"bytes"
	"context"
	"errors"
	"math/bits"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
)

// fullSpeed returns a line with a CH341A at port "1-4" over a board, opened, its pins enabled.
func fullSpeed(t *testing.T, pace ftdi.Pace, o ch341a.Options) (*sim.Line, usb.Link, *nor.Chip) {
	t.Helper()
	line := sim.NewLine(sim.Options{Pace: pace})
	t.Cleanup(func() { line.Close() })
	if pace == ftdi.Real {
		o.Pace = ch341a.Real
	}
	if err := line.Plug("1-4", ch341a.New(o)); err != nil {
		t.Fatal(err)
	}
	chip := newChip(t, nor.None)
	if err := line.Insert(sim.Place{Port: "1-4"}, chip); err != nil {
		t.Fatal(err)
	}
	k, err := line.Open(t.Context(), "1-4", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	write(t, k, 0xAB, 0xB7, 0x7F, 0x20)
	return line, k, chip
}

// spiTransfer is a chip-select pulse of one packet, then out and n bytes of FF in A8 packets of 31 bytes.
func spiTransfer(n int, out ...byte) []byte {
	p := append([]byte{0xAB, 0xB7, 0xB7, 0xB7, 0xB6, 0x20}, make([]byte, 26)...)
	for data := append(flipped(out), bytes.Repeat([]byte{0xFF}, n)...); len(data) > 0; {
		m := min(31, len(data))
		p = append(append(p, 0xA8), data[:m]...)
		data = data[m:]
	}
	return p
}

func flipped(b []byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[i] = bits.Reverse8(b[i])
	}
	return r
}

// collect reads n bytes of answers.
func collect(t *testing.T, in usb.In, n int) (data []byte) {
	t.Helper()
	for p := make([]byte, 32); len(data) < n; {
		m, err := in.Read(t.Context(), p)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", len(data), n, err)
		}
		if want := min(31, n-len(data)); m != want {
			t.Fatalf("a read completed with %d bytes, want %d", m, want)
		}
		data = append(data, p[:m]...)
	}
	return flipped(data)
}

func TestCH341AThroughEverything(t *testing.T) {
	line, k, chip := fullSpeed(t, ftdi.None, ch341a.Options{})
	all, err := line.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("List: %v, %v", all, err)
	}
	d := all[0]
	if d.Vendor != 0x1A86 || d.Product != 0x5512 || d.Release != 0x0304 || d.Speed != usb.FullSpeed || d.Maker+d.Name+d.Serial != "" {
		t.Errorf("device %+v", d)
	}
	ends := []usb.Endpoint{
		{Address: 0x82, Bulk: true, MaxPacket: 32}, {Address: 0x02, Bulk: true, MaxPacket: 32}, {Address: 0x81, MaxPacket: 8},
	}
	if len(d.Interfaces) != 1 || d.Interfaces[0].Class != 0xFF || d.Interfaces[0].SubClass != 1 || d.Interfaces[0].Protocol != 2 ||
		!slices.Equal(d.Interfaces[0].Endpoints, ends) {
		t.Errorf("interfaces %+v", d.Interfaces)
	}
	if _, err := line.Open(t.Context(), "1-4", 1); !errors.Is(err, usb.ErrNotFound) {
		t.Errorf("interface 1: %v", err)
	}
	for _, size := range []int{31, 33, 512 + 31} {
		if _, err := k.In(size, 1); err == nil {
			t.Errorf("reads of %d bytes were accepted", size)
		}
	}
	in := posted(t, k, 32, 8)
	read := func(n int, out ...byte) []byte {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			_, err := k.Write(t.Context(), spiTransfer(n, out...))
			done <- err
		}()
		data := collect(t, in, len(out)+n)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return data[len(out):]
	}
	if id := read(3, 0x9F); !bytes.Equal(id, wantID) {
		t.Errorf("ID % x, want % x", id, wantID)
	}
	page := bytes.Repeat([]byte{0x5A, 0x01, 0xFE, 0x80}, 64)
	read(0, 0x06)
	read(0, append([]byte{0x02, 0, 1, 0}, page...)...)
	if got := read(20_000, 0x03, 0, 0, 0); !bytes.Equal(got[0x100:0x200], page) || !bytes.Equal(got, chip.Bytes(0, 20_000)) {
		t.Error("what was programmed reads back differently")
	}
	if line.Remove(sim.Place{Port: "1-4"}) != chip {
		t.Error("another board came out")
	}
	if id := read(3, 0x9F); !bytes.Equal(id, []byte{0xFF, 0xFF, 0xFF}) {
		t.Errorf("emptied socket answers % x", id)
	}
	if err := line.Insert(sim.Place{Port: "1-4", Channel: 1}, chip); err == nil {
		t.Error("a board on channel B")
	}
}

// A station that dies leaves the programmer as it is: chip select low, answers unread.
func TestCH341AOutlivesLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, k, chip := fullSpeed(t, ftdi.None, ch341a.Options{})
		write(t, k, spiTransfer(0, 0x06)...)
		write(t, k, spiTransfer(0, 0x02, 0, 0, 0, 0x55)...)
		synctest.Wait()
		k.Close()
		if n := chip.Counters()[nor.CountProgram]; n != 0 {
			t.Fatal("chip select rose by itself")
		}
		k, err := line.Open(t.Context(), "1-4", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		in := posted(t, k, 32, 4)
		for _, want := range []int{1, 5} {
			if n, err := in.Read(t.Context(), make([]byte, 32)); n != want || err != nil {
				t.Errorf("stale read of %d bytes, %v; want %d", n, err, want)
			}
		}
		write(t, k, 0xAB, 0xB7, 0x20)
		synctest.Wait()
		if n := chip.Counters()[nor.CountProgram]; n != 1 {
			t.Errorf("%d programs took effect after chip select rose", n)
		}
	})
}

func TestCH341ABackPressure(t *testing.T) {
	for _, pace := range []ftdi.Pace{ftdi.None, ftdi.Real} {
		synctest.Test(t, func(t *testing.T) {
			_, k, chip := fullSpeed(t, pace, ch341a.Options{})
			stream := spiTransfer(3000, 0x03, 0, 0, 0)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			n, err := k.Write(ctx, stream)
			if !errors.Is(err, context.DeadlineExceeded) || n != 32*(1+4+3) {
				t.Fatalf("wrote %d of %d without anybody reading: %v", n, len(stream), err)
			}
			start := time.Now()
			if m, err := k.Write(t.Context(), stream[n:]); !errors.Is(err, usb.ErrTimeout) || m != 0 || time.Since(start) > time.Minute {
				t.Fatalf("wrote %d after %v: %v", m, time.Since(start), err)
			}
			in := posted(t, k, 32, 2)
			done := make(chan error, 1)
			go func() {
				_, err := k.Write(t.Context(), stream[n:])
				done <- err
			}()
			if got := collect(t, in, 3004); !bytes.Equal(got[4:], chip.Bytes(0, 3000)) {
				t.Error("data differ after the stop")
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Frames at full speed: what the host waits for costs a frame, packets share it, and the wire bounds the rest.
func TestFullSpeedPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, k, _ := fullSpeed(t, ftdi.Real, ch341a.Options{})
		in := posted(t, k, 32, 8)
		took := func(f func()) time.Duration {
			start := time.Now()
			f()
			return time.Since(start)
		}
		const frame = time.Millisecond
		// Writing and reading its answer end in the same frame.
		for range 3 {
			if got := took(func() { write(t, k, spiTransfer(3, 0x9F)...); collect(t, in, 4) }); got != frame {
				t.Errorf("an exchange took %v, want a frame", got)
			}
		}
		// 330 packets of one pin write each do not wait for the wire but for room on the bus, 33 a frame.
		pins := bytes.Repeat(append([]byte{0xAB, 0xB7, 0x20}, make([]byte, 29)...), 330)
		if got := took(func() { write(t, k, pins...) }); got != 10*frame {
			t.Errorf("330 packets took %v, want 10 frames", got)
		}
		// SPI data waits for the wire: 31 bytes of 8 clocks at 1.5 MHz a packet, less than 19 packets both ways a frame.
		const n = 31 * 400
		wire := n * 8 * time.Second / 1_500_000
		got := took(func() {
			done := make(chan error, 1)
			go func() {
				_, err := k.Write(t.Context(), spiTransfer(n-4, 0x03, 0, 0, 0))
				done <- err
			}()
			collect(t, in, n)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		if got < wire || got > wire+2*frame {
			t.Errorf("%d bytes took %v, the wire %v", n, got, wire)
		}
	})
}

// Room in a frame is an option, and sets what both directions get together.
func TestFullSpeedRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := sim.NewLine(sim.Options{Pace: ftdi.Real, FramePackets: 10})
		defer line.Close()
		if err := line.Plug("1-4", ch341a.New(ch341a.Options{})); err != nil {
			t.Fatal(err)
		}
		k, err := line.Open(t.Context(), "1-4", 0)
		if err != nil {
			t.Fatal(err)
		}
		in := posted(t, k, 32, 200)
		start := time.Now()
		write(t, k, bytes.Repeat(append([]byte{0xAB, 0x00, 0x20}, make([]byte, 29)...), 100)...)
		for range 100 { // a sample each
			if m, err := in.Read(t.Context(), make([]byte, 32)); m != 1 || err != nil {
				t.Fatalf("read %d, %v", m, err)
			}
		}
		if got := time.Since(start); got < 19*time.Millisecond || got > 22*time.Millisecond {
			t.Errorf("100 packets each way took %v, want some 20 frames", got)
		}
		if n, err := k.Control(t.Context(), usb.Setup{RequestType: 0xC0, Request: 0x5F}, make([]byte, 2)); n != 2 || err != nil {
			t.Errorf("version: %d, %v", n, err)
		}
	})
}

// A page program that the cable, the engine or the endpoint cuts: never sent, sent in part, sent whole.
func TestCH341AFaults(t *testing.T) {
	const (
		opening = 4
		wren    = 32 + 2
		page    = 32 + 9 + 260
	)
	for _, c := range []struct {
		name    string
		faults  ch341a.Faults
		want    error
		counted uint64 // page programs that took effect
		left    int    // devices listed afterwards
	}{
		{"unplugged, not done", ch341a.Faults{UnplugAfter: opening + wren + 30}, usb.ErrGone, 0, 0},
		{"unplugged in the page's data", ch341a.Faults{UnplugAfter: opening + wren + 32 + 20}, usb.ErrGone, 1, 0},
		{"unplugged, done", ch341a.Faults{UnplugAfter: opening + wren + 1, UnplugDone: true}, usb.ErrGone, 1, 0},
		{"stall", ch341a.Faults{StallAfter: opening + wren + page - 1}, usb.ErrStall, 0, 1},
		{"hang", ch341a.Faults{HangAfter: opening + wren + page - 1}, usb.ErrTimeout, 0, 1},
	} {
		for _, pace := range []ftdi.Pace{ftdi.None, ftdi.Real} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					line, k, chip := fullSpeed(t, pace, ch341a.Options{Faults: c.faults})
					in := posted(t, k, 32, 4)
					ended := make(chan error, 1)
					go func() {
						for {
							if _, err := in.Read(t.Context(), make([]byte, 32)); err != nil {
								ended <- err
								return
							}
						}
					}()
					var err error
					for _, p := range [][]byte{spiTransfer(0, 0x06), spiTransfer(0, append([]byte{0x02, 0, 0, 0}, make([]byte, 256)...)...), spiTransfer(1, 0x05)} {
						if err == nil {
							_, err = k.Write(t.Context(), p)
						}
					}
					if err != nil && !errors.Is(err, c.want) {
						t.Errorf("Write: %v, want %v or none", err, c.want)
					}
					if err := <-ended; !errors.Is(err, c.want) {
						t.Errorf("Read: %v, want %v", err, c.want)
					}
					if got := chip.Counters()[nor.CountProgram]; got != c.counted {
						t.Errorf("%d programs took effect, want %d", got, c.counted)
					}
					if all, err := line.List(t.Context()); len(all) != c.left || err != nil {
						t.Errorf("List: %d devices, %v; want %d", len(all), err, c.left)
					}
					if err := k.Close(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// Wherever the device goes, every call ends, with usb.ErrGone.
func TestCH341AUnplugAtEveryByte(t *testing.T) {
	stream := append(spiTransfer(0, 0x06), make([]byte, 30)...)
	stream = append(stream, spiTransfer(100, 0x9F)...)
	for n := 5; n < 5+len(stream); n++ {
		for _, done := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				line, k, _ := fullSpeed(t, ftdi.None, ch341a.Options{Faults: ch341a.Faults{UnplugAfter: n, UnplugDone: done}})
				in := posted(t, k, 32, 2)
				ended := make(chan error)
				go func() {
					for {
						if _, err := in.Read(t.Context(), make([]byte, 32)); err != nil {
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
