package ftdi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a target that writes down what reaches it, bit by bit, and answers with a fixed sequence of bytes
// that starts over at every falling edge of chip select.
type probe struct {
	trace strings.Builder
	bits  int // clocked since Select
}

func (p *probe) Select()   { p.trace.WriteString("["); p.bits = 0 }
func (p *probe) Deselect() { p.trace.WriteString("]") }

func (p *probe) Shift(out, in []byte) {
	for i := range max(len(out), len(in)) {
		var b byte
		if out != nil {
			b = out[i]
		}
		a := p.ShiftBits(b, 8)
		if in != nil {
			in[i] = a
		}
	}
}

func (p *probe) ShiftBits(out byte, n int) (in byte) {
	for i := range n {
		p.trace.WriteByte('0' + out<<i>>7)
		in = in<<1 | answerByte(p.bits/8)<<(p.bits%8)>>7
		p.bits++
	}
	return in
}

// answerByte is the probe's i-th answer: no palindrome, neither 00 nor FF.
func answerByte(i int) byte { return byte(0xC5 + 0x1D*i) }

func answers(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = answerByte(i)
	}
	return b
}

func bitString(b ...byte) string {
	var s strings.Builder
	for _, x := range b {
		fmt.Fprintf(&s, "%08b", x)
	}
	return s.String()
}

// mpsse returns a device with channel A in MPSSE mode and a probe on it.
func mpsse(t *testing.T, m Model, o Options) (*Device, *probe) {
	t.Helper()
	d := New(m, o)
	t.Cleanup(d.Close)
	p := &probe{}
	if err := d.Attach(0, p); err != nil {
		t.Fatal(err)
	}
	control(t, d, 0x40, 0x0B, 0x0200, 1)
	return d, p
}

func control(t *testing.T, d *Device, kind, request byte, value, index uint16) []byte {
	t.Helper()
	data := make([]byte, 64)
	if kind&0x80 == 0 {
		data = nil
	}
	n, err := d.Control(setup(kind, request, value, index), data)
	if err != nil {
		t.Fatalf("control %02x %02x %04x %04x: %v", kind, request, value, index, err)
	}
	return data[:n]
}

func setup(kind, request byte, value, index uint16) (s [8]byte) {
	s[0], s[1] = kind, request
	binary.LittleEndian.PutUint16(s[2:], value)
	binary.LittleEndian.PutUint16(s[4:], index)
	return s
}

// drain takes the packets that are there and returns their data and their sizes.
func drain(t *testing.T, d *Device) (data []byte, sizes []int) {
	t.Helper()
	for p := make([]byte, 512); ; {
		synctest.Wait()
		n, ok, err := d.In(0, p)
		if err != nil {
			t.Fatalf("IN: %v", err)
		}
		if !ok {
			return data, sizes
		}
		if n < 2 || p[0] != 0x32 || p[1] != 0x60 {
			t.Fatalf("packet of %d bytes begins % x, want the status bytes 32 60", n, p[:min(n, 2)])
		}
		data, sizes = append(data, p[2:n]...), append(sizes, n)
	}
}

// exchange sends the pieces as OUT transfers, collects IN meanwhile, and returns the answers; the last ones come by
// send-immediate, which is appended.
func exchange(t *testing.T, d *Device, pieces ...[]byte) (data []byte) {
	t.Helper()
	for _, p := range append(pieces, []byte{0x87}) {
		for stuck := 0; len(p) > 0; {
			n, err := d.Out(0, p)
			if err != nil {
				t.Fatalf("OUT: %v", err)
			}
			p = p[n:]
			got, _ := drain(t, d)
			data = append(data, got...)
			if stuck++; n > 0 || len(got) > 0 {
				stuck = 0
			}
			if stuck > 1 {
				return data // the engine waits for something that will not come
			}
		}
	}
	got, _ := drain(t, d)
	return append(data, got...)
}

var (
	idle   = []byte{0x80, 0x08, 0x0B}
	csLow  = []byte{0x80, 0x00, 0x0B}
	csHigh = []byte{0x80, 0x08, 0x0B}
)

func frame(body ...byte) []byte {
	return bytes.Join([][]byte{csLow, body, csHigh}, nil)
}

func TestCommands(t *testing.T) {
	a0, a1 := answerByte(0), answerByte(1)
	rev := func(b byte) (r byte) {
		for i := range 8 {
			r |= b >> i & 1 << (7 - i)
		}
		return r
	}
	for _, c := range []struct {
		name  string
		send  []byte
		trace string
		want  []byte
	}{
		{"write", frame(0x11, 1, 0, 0x9F, 0x01), "[" + bitString(0x9F, 0x01) + "]", nil},
		{"read", frame(0x20, 1, 0), "[" + bitString(0, 0) + "]", []byte{a0, a1}},
		{"write and read", frame(0x31, 1, 0, 0x9F, 0x80), "[" + bitString(0x9F, 0x80) + "]", []byte{a0, a1}},
		{"DO stays where the write left it", frame(0x11, 0, 0, 0x01, 0x20, 0, 0), "[" + bitString(0x01, 0xFF) + "]", []byte{a1}},
		{"write bits", frame(0x13, 2, 0xA0), "[101]", nil},
		{"read bits", frame(0x22, 2), "[000]", []byte{a0 >> 5}},
		{"write and read bits", frame(0x33, 4, 0xA8), "[10101]", []byte{a0 >> 3}},
		{"bits and bytes make a stream", frame(0x13, 3, 0x90, 0x33, 3, 0xF0, 0x31, 0, 0, 0x55), "[" + bitString(0x9F, 0x55) + "]", []byte{a0 & 0xF, a1}},
		{"bit reads keep older bits", frame(0x20, 0, 0, 0x22, 1), "[" + bitString(0) + "00]", []byte{a0, a0<<2 | a1>>6}},

		{"out on the rising edge is a bit late", frame(0x10, 1, 0, 0x9F, 0x80), "[" + bitString(0x9F>>1, 0x80|0x80>>1) + "]", nil},
		{"bits out on the rising edge are a bit late", frame(0x12, 3, 0xB0), "[0101]", nil},
		{"in on the falling edge is a bit early", frame(0x24, 0, 0), "[" + bitString(0) + "]", []byte{a0<<1 | 1}},
		{"bits in on the falling edge are a bit early", frame(0x26, 3), "[0000]", []byte{a0>>4<<1&0xF | 1}},
		{"both wrong", frame(0x34, 0, 0, 0x9F), "[" + bitString(0x9F>>1) + "]", []byte{a0<<1 | 1}},
		{"only in is wrong", frame(0x35, 0, 0, 0x9F), "[" + bitString(0x9F) + "]", []byte{a0<<1 | 1}},
		{"out edge of a read means nothing", frame(0x21, 0, 0), "[" + bitString(0) + "]", []byte{a0}},
		{"SK resting high", []byte{0x80, 0x01, 0x0B, 0x31, 0, 0, 0x9F, 0x80, 0x09, 0x0B}, "[" + bitString(0x9F>>1) + "]", []byte{a0<<1 | 1}},

		{"LSB first write", frame(0x19, 0, 0, 0x9F), "[" + bitString(rev(0x9F)) + "]", nil},
		{"LSB first read", frame(0x28, 1, 0), "[" + bitString(0, 0) + "]", []byte{rev(a0), rev(a1)}},
		{"LSB first write and read", frame(0x39, 0, 0, 0x9F), "[" + bitString(rev(0x9F)) + "]", []byte{rev(a0)}},
		{"LSB first bits", frame(0x3B, 2, 0x06), "[011]", []byte{rev(a0 >> 5)}},

		{"clocks without data", frame(0x8E, 4, 0x8F, 1, 0), "[" + strings.Repeat("0", 5+16) + "]", nil},
		{"clocks with CS high reach nobody", []byte{0x8F, 9, 0, 0x8E, 7}, "", nil},
		{"data with CS high reaches nobody", []byte{0x31, 0, 0, 0x9F}, "", []byte{0xFF}},
		{"bits with CS high", []byte{0x22, 7}, "", []byte{0xFF}},
		{"CS as an input floats high", []byte{0x80, 0x00, 0x03, 0x31, 0, 0, 0x9F}, "", []byte{0xFF}},
		{"SK as an input", []byte{0x80, 0x00, 0x0A, 0x20, 0, 0, 0x80, 0x08, 0x0B}, "[]", []byte{0xFF}},
		{"DO as an input floats high", []byte{0x80, 0x00, 0x09, 0x31, 0, 0, 0x00, 0x80, 0x08, 0x0B}, "[" + bitString(0xFF) + "]", []byte{a0}},
		{"CS low twice is one edge", bytes.Join([][]byte{csLow, csLow, {0x11, 0, 0, 0x9F}, csLow, csHigh, csHigh}, nil), "[" + bitString(0x9F) + "]", nil},
		{"pins by hand", []byte{0x80, 0x02, 0x0B, 0x80, 0x03, 0x0B, 0x81, 0x80, 0x02, 0x0B, 0x80, 0x00, 0x0B, 0x80, 0x01, 0x0B, 0x80, 0x08, 0x0B}, "[10]", []byte{0xF7}},

		{"read the pins", []byte{0x80, 0x08, 0x0B, 0x81, 0x83, 0x82, 0x5A, 0xF0, 0x83}, "", []byte{0xFC, 0xFF, 0x5F}},
		{"loopback", append(frame(0x84, 0x31, 1, 0, 0x12, 0x34, 0x33, 3, 0xA0, 0x85), 0x20, 0, 0), "[" + bitString(0x12, 0x34) + "1010]", []byte{0x12, 0x34, 0x4A, 0xFF}},
		{"bad opcodes", []byte{0xAA, 0x00, 0x4B, 0x0F, 0xFF}, "", []byte{0xFA, 0xAA, 0xFA, 0x00, 0xFA, 0x4B, 0xFA, 0x0F, 0xFA, 0xFF}},
		{"accepted without an effect", append([]byte{0x8A, 0x8B, 0x8C, 0x8D, 0x86, 5, 0, 0x96, 0x97, 0x9E, 1, 2}, frame(0x20, 0, 0)...), "[" + bitString(0) + "]", []byte{a0}},
		{"wait for GPIOL1, which floats high", append([]byte{0x88, 0x94, 0x9C, 9, 0}, frame(0x20, 0, 0)...), "[" + bitString(0) + "]", []byte{a0}},
		{"wait in vain", append([]byte{0xAA, 0x87, 0x89}, frame(0x20, 0, 0)...), "", []byte{0xFA, 0xAA}},
		{"wait for GPIOL1 driven low", []byte{0x80, 0x08, 0x2B, 0x89, 0x95, 0x9D, 9, 0, 0xAA, 0x87, 0x88, 0xAB}, "", []byte{0xFA, 0xAA}},
		{"clock until GPIOL1, in vain", []byte{0x80, 0x00, 0x2B, 0x9C, 1, 0, 0x80, 0x08, 0x0B}, "[" + strings.Repeat("0", 16) + "]", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, p := mpsse(t, FT232H, Options{})
				exchange(t, d, idle)
				got := exchange(t, d, c.send)
				if !bytes.Equal(got, c.want) {
					t.Errorf("answers % x, want % x", got, c.want)
				}
				if trace := p.trace.String(); trace != c.trace {
					t.Errorf("the target saw %s, want %s", trace, c.trace)
				}
			})
		})
	}
}

func TestDriveZeroIsOnlyIn232H(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := mpsse(t, FT2232H, Options{})
		if got, want := exchange(t, d, []byte{0x9E}), []byte{0xFA, 0x9E}; !bytes.Equal(got, want) {
			t.Errorf("9E: % x, want % x", got, want)
		}
	})
}

// TestOnlyTwoOfFourChannelsHaveAnEngine: C and D take the bit mode, and what comes then leads nowhere.
func TestOnlyTwoOfFourChannelsHaveAnEngine(t *testing.T) {
	for channel := range 4 {
		d := New(FT4232H, Options{})
		t.Cleanup(d.Close)
		p := &probe{}
		if err := d.Attach(channel, p); err != nil {
			t.Fatal(err)
		}
		control(t, d, 0x40, 0x0B, 0x0200, uint16(channel+1))
		commands := append(idle, frame(0x11, 0x00, 0x00, 0x9F)...)
		if n, err := d.Out(channel, commands); n != len(commands) || err != nil {
			t.Errorf("channel %d took %d bytes, %v", channel, n, err)
		}
		want := ""
		if channel < 2 {
			want = "[" + bitString(0x9F) + "]"
		}
		if got := p.trace.String(); got != want {
			t.Errorf("channel %d: the target saw %q, want %q", channel, got, want)
		}
	}
}

func TestNoTargetFloatsHigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := mpsse(t, FT232H, Options{})
		if err := d.Attach(0, nil); err != nil {
			t.Fatal(err)
		}
		if got := exchange(t, d, frame(0x31, 1, 0, 1, 2, 0x22, 3)); !bytes.Equal(got, []byte{0xFF, 0xFF, 0xFF}) {
			t.Errorf("bare pins answer % x", got)
		}
		// A target that comes in mid frame hears nothing of it, then everything.
		exchange(t, d, csLow)
		if err := d.Attach(0, p); err != nil {
			t.Fatal(err)
		}
		exchange(t, d, []byte{0x11, 0, 0, 0x9F}, csHigh, frame(0x11, 0, 0, 0x05))
		if got, want := p.trace.String(), "["+bitString(0x05)+"]"; got != want {
			t.Errorf("the target saw %s, want %s", got, want)
		}
		if err := d.Attach(1, p); err == nil {
			t.Error("an FT232H has a channel B")
		}
	})
}

// The same stream gives the same answers and the same bits, wherever OUT transfers are cut.
func FuzzCutAnywhere(f *testing.F) {
	f.Add(frame(0x11, 3, 0, 0x03, 0, 0, 0, 0x20, 0x20, 0), []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add(append(frame(0x31, 5, 0, 1, 2, 3, 4, 5, 6, 0x33, 4, 0xA8), 0xAA, 0x81, 0x8F, 1, 0), []byte{2, 5, 3, 1})
	f.Add(frame(0x20, 0xFF, 0x0F, 0x86, 1, 0, 0x8A, 0x35, 2, 0, 7, 8, 9, 0x3B, 1, 2), []byte{4, 4, 4})
	f.Add([]byte{0x80, 0, 0x0B, 0x10, 0xFF, 0x03, 1}, []byte{6})
	f.Add([]byte{0x89, 0xAA}, []byte{1})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if len(stream) > 4096 || len(cuts) > 256 {
			return
		}
		run := func(pieces [][]byte) (data []byte, trace string) {
			synctest.Test(t, func(t *testing.T) {
				d, p := mpsse(t, FT232H, Options{})
				data = exchange(t, d, pieces...)
				trace = p.trace.String()
			})
			return data, trace
		}
		var pieces [][]byte
		rest := stream
		for _, c := range cuts {
			n := min(int(c), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		wantData, wantTrace := run([][]byte{stream})
		gotData, gotTrace := run(append(pieces, rest))
		if !bytes.Equal(gotData, wantData) {
			t.Errorf("answers % x cut, % x whole", gotData, wantData)
		}
		if gotTrace != wantTrace {
			t.Errorf("bits %s cut, %s whole", gotTrace, wantTrace)
		}
	})
}

// With time the same stream gives the same answers and the same bits as without.
func TestPaceChangesNothing(t *testing.T) {
	run := func(pace Pace, stream []byte) (data []byte, trace string) {
		synctest.Test(t, func(t *testing.T) {
			d, p := mpsse(t, FT232H, Options{Pace: pace})
			start := time.Now()
			for at := 0; at < len(stream) || time.Since(start) < time.Second; {
				n, err := d.Out(0, stream[at:])
				if err != nil {
					t.Fatal(err)
				}
				at += n
				got, _ := drain(t, d)
				data = append(data, got...)
				time.Sleep(100 * time.Microsecond)
			}
			trace = p.trace.String()
		})
		return data, trace
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var stream []byte
		for range 60 {
			n := 1 + dice.IntN(700)
			size := []byte{byte(n - 1), byte((n - 1) >> 8)}
			switch dice.IntN(8) {
			case 0, 1:
				stream = append(append(append(stream, 0x11), size...), answers(n)...)
			case 2, 3:
				stream = append(append(stream, 0x20), size...)
			case 4:
				stream = append(append(append(stream, 0x31), size...), answers(n)...)
			case 5:
				stream = append(append(stream, 0x8F), size...)
			case 6:
				stream = append(stream, 0x22, byte(n&7), 0x81, 0x87, 0xAA)
			case 7:
				stream = append(append(stream, csHigh...), csLow...)
			}
		}
		stream = append(stream, 0x87)
		wantData, wantTrace := run(None, stream)
		gotData, gotTrace := run(Real, stream)
		if !bytes.Equal(gotData, wantData) || len(wantData) == 0 {
			t.Errorf("%d answers with time, %d without, or others", len(gotData), len(wantData))
		}
		if gotTrace != wantTrace {
			t.Error("the target saw other bits with time")
		}
	}
}

func TestPacketFraming(t *testing.T) {
	for _, n := range []int{1, 62, 509, 510, 511, 512, 1019, 1020, 1021, 1024, 4080, 4096} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := mpsse(t, FT2232H, Options{}) // 4 KiB: holds it all
			cmd := append(csLow[:3:3], 0x20, byte(n-1), byte((n-1)>>8), 0x87)
			if m, err := d.Out(0, cmd); m != len(cmd) || err != nil {
				t.Fatalf("OUT took %d of %d: %v", m, len(cmd), err)
			}
			data, sizes := drain(t, d)
			if !bytes.Equal(data, answers(n)) {
				t.Errorf("%d bytes: data differs (%d bytes)", n, len(data))
			}
			for i, s := range sizes[:len(sizes)-1] {
				if s != 512 {
					t.Errorf("%d bytes: packet %d has %d bytes", n, i, s)
				}
			}
			if want := (n + 509) / 510; len(sizes) != want {
				t.Errorf("%d bytes: %d packets %v, want %d", n, len(sizes), sizes, want)
			}
		})
	}
}

// Without 87 the tail waits for the latency timer, and a polled device without data sends status packets.
func TestLatencyTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := mpsse(t, FT232H, Options{})
		heard := make(chan time.Time, 10)
		d.Notify(0, func() { heard <- time.Now() })
		packet := func(after time.Duration) int {
			t.Helper()
			p := make([]byte, 512)
			if n, ok, _ := d.In(0, p); ok {
				t.Fatalf("a packet of %d bytes before the timer", n)
			}
			start := time.Now()
			if got := (<-heard).Sub(start); got != after {
				t.Errorf("packet after %v, want %v", got, after)
			}
			n, ok, err := d.In(0, p)
			if !ok || err != nil {
				t.Fatalf("no packet when the timer had expired: %v", err)
			}
			return n
		}
		if n := packet(16 * time.Millisecond); n != 2 {
			t.Errorf("idle packet of %d bytes, want 2", n)
		}
		control(t, d, 0x40, 0x09, 2, 1)
		if got := control(t, d, 0xC0, 0x0A, 0, 1); !bytes.Equal(got, []byte{2}) {
			t.Errorf("latency reads % x", got)
		}
		if _, err := d.Out(0, append(csLow[:3:3], 0x20, 4, 0)); err != nil {
			t.Fatal(err)
		}
		<-heard // the engine's own
		if n := packet(2 * time.Millisecond); n != 7 {
			t.Errorf("packet of %d bytes, want 5 answers", n)
		}
		if n := packet(2 * time.Millisecond); n != 2 {
			t.Errorf("idle packet of %d bytes, want 2", n)
		}
		// Nobody polls: nobody ticks.
		time.Sleep(time.Second)
		if len(heard) != 0 {
			t.Error("the timer ran with nobody polling")
		}
	})
}

func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := mpsse(t, FT232H, Options{})
		send := func(b []byte) int {
			n, err := d.Out(0, b)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return n
		}
		send(append(csLow[:3:3], 0x20, 0xFF, 0x07)) // 2048 answers into 1024 bytes of room
		if p.bits != 1024*8 {
			t.Errorf("the engine clocked %d bytes, want to stop at 1024", p.bits/8)
		}
		if n := send(make([]byte, 3000)); n != 1024 {
			t.Errorf("OUT took %d bytes behind a stopped engine, want 1024", n)
		}
		if n := send([]byte{0}); n != 0 {
			t.Errorf("OUT took %d bytes with a full FIFO", n)
		}
		control(t, d, 0x40, 0x00, 1, 1) // purge what waits towards the chip
		if n := send([]byte{0x87}); n != 1 {
			t.Errorf("OUT took %d bytes after the purge", n)
		}
		if data, _ := drain(t, d); !bytes.Equal(data, answers(2048)) {
			t.Errorf("%d answers, or wrong ones, want 2048", len(data))
		}
	})
}

func TestWireTime(t *testing.T) {
	for _, c := range []struct {
		clock []byte
		bit   time.Duration // of 3000 bits
	}{
		{[]byte{0x8A, 0x86, 0, 0}, 100 * time.Microsecond},                   // 30 MHz
		{[]byte{0x8A, 0x86, 1, 0}, 200 * time.Microsecond},                   // 15 MHz
		{[]byte{0x8B, 0x86, 0, 0}, 500 * time.Microsecond},                   // 6 MHz
		{[]byte{0x8A, 0x86, 0xFF, 0x01, 0x8C}, 512 * 150 * time.Microsecond}, // 58.6 kHz, three phases
	} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := mpsse(t, FT232H, Options{Pace: Real})
			exchange(t, d, c.clock)
			var took time.Duration
			control(t, d, 0x40, 0x09, 255, 1)
			control(t, d, 0x40, 0x00, 0, 1)
			time.Sleep(time.Second) // the latency timer has run out
			start := time.Now()
			d.Notify(0, func() { took = time.Since(start) })
			if _, err := d.Out(0, frame(0x8F, 0x76, 0x01)); err != nil { // 375 bytes
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if diff := (took - c.bit).Abs(); diff > time.Microsecond {
				t.Errorf("% x: 3000 clocks took %v, want %v", c.clock, took, c.bit)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	write := func(b ...byte) []byte { return frame(append([]byte{0x11, byte(len(b) - 1), 0}, b...)...) }
	var hears int
	for _, c := range []struct {
		name   string
		faults Faults
		trace  string
		data   int // answers
		err    error
	}{
		{"none", Faults{}, "[" + bitString(6) + "][" + bitString(5, 0xFF, 0xFF) + "]", 2, nil},
		{"hang", Faults{HangAfter: 10}, "[" + bitString(6) + "]", 0, nil},
		{"hang in the data", Faults{HangAfter: 17}, "[" + bitString(6) + "][" + bitString(5), 0, nil},
		{"stall", Faults{StallAfter: 10}, "[" + bitString(6) + "]", 0, ErrStall},
		{"not done", Faults{UnplugAfter: 6}, "[]", 0, ErrGone},
		{"done, answers lost", Faults{UnplugAfter: 6, UnplugDone: true}, "[" + bitString(6) + "][" + bitString(5, 0xFF, 0xFF) + "]", 0, ErrGone},
		{"one answer lost", Faults{DropAnswer: 1}, "[" + bitString(6) + "][" + bitString(5, 0xFF, 0xFF) + "]", 1, nil},
		{"another channel", Faults{Channel: 1, UnplugAfter: 1}, "[" + bitString(6) + "][" + bitString(5, 0xFF, 0xFF) + "]", 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, p := mpsse(t, FT232H, Options{Faults: c.faults})
				d.Notify(0, func() { hears++ })
				stream := append(write(6), frame(0x11, 0, 0, 5, 0x20, 1, 0)...)
				stream = append(stream, 0x87)
				if n, err := d.Out(0, stream); n != len(stream) || err != nil {
					t.Fatalf("OUT took %d: %v", n, err)
				}
				synctest.Wait()
				p512 := make([]byte, 512)
				n, ok, err := d.In(0, p512)
				if !errors.Is(err, c.err) {
					t.Fatalf("IN: %v, want %v", err, c.err)
				}
				if ok != (c.data > 0) || ok && n != 2+c.data {
					t.Errorf("IN: packet %v of %d bytes, want %d answers", ok, n, c.data)
				}
				if c.err != nil {
					if _, err := d.Out(0, stream); !errors.Is(err, c.err) {
						t.Errorf("OUT: %v, want %v", err, c.err)
					}
				}
				if got := p.trace.String(); got != c.trace {
					t.Errorf("the target saw %s, want %s", got, c.trace)
				}
				if c.err == ErrStall {
					control(t, d, 0x02, 0x01, 0, 0x81)
					synctest.Wait()
					if n, ok, err := d.In(0, p512); !ok || n != 4 || err != nil {
						t.Errorf("after clearing the halt: %d bytes, %v, %v", n, ok, err)
					}
				}
				if c.err == ErrGone {
					if _, err := d.Control(setup(0x80, 0, 0, 0), nil); !errors.Is(err, ErrGone) {
						t.Errorf("control: %v", err)
					}
				}
			})
		})
	}
	if hears == 0 {
		t.Error("nobody was notified")
	}
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := mpsse(t, FT2232H, Options{})
		for _, c := range []struct {
			kind, request byte
			value, index  uint16
			want          []byte
		}{
			{0xC0, 0x05, 0, 1, []byte{0x32, 0x60}},
			{0xC0, 0x0A, 0, 2, []byte{16}},
			{0xC0, 0x0C, 0, 1, []byte{0xFF}},
			{0xC0, 0x90, 0, 0x3F, []byte{0xFF, 0xFF}},
			{0x40, 0x03, 0x04E2, 0x0201, nil},
			{0x40, 0x04, 8, 1, nil},
			{0x80, 0x08, 0, 0, []byte{1}},
			{0x80, 0x06, 0x0100, 0, []byte{18, 1, 0, 2, 0, 0, 0, 64, 0x03, 0x04, 0x10, 0x60, 0, 7, 1, 2, 0, 1}},
			{0x80, 0x06, 0x0301, 0x0409, []byte{10, 3, 'F', 0, 'T', 0, 'D', 0, 'I', 0}},
		} {
			if got := control(t, d, c.kind, c.request, c.value, c.index); !bytes.Equal(got, c.want) {
				t.Errorf("%02x %02x: % x, want % x", c.kind, c.request, got, c.want)
			}
		}
		for _, s := range [][8]byte{
			setup(0x40, 0x0B, 0x0200, 3), // no channel C
			setup(0x40, 0x00, 3, 1),
			setup(0x40, 0x09, 0, 1),
			setup(0x40, 0x09, 256, 1),
			setup(0x40, 0x33, 0, 1),
			setup(0xC0, 0x09, 2, 1), // direction
			setup(0x80, 0x06, 0x0303, 0),
			setup(0x21, 0x22, 0, 0), // a class request
			setup(0x02, 0x01, 0, 0x85),
		} {
			if _, err := d.Control(s, nil); !errors.Is(err, ErrStall) {
				t.Errorf("% x: %v, want a stall", s, err)
			}
		}
		// Bit mode reset lets go of the pins, so that chip select rises, and forgets a command cut short.
		exchange(t, d, csLow, []byte{0x31, 9, 0, 1}) // and 87 is data too
		control(t, d, 0x40, 0x0B, 0, 1)
		control(t, d, 0x40, 0x00, 0, 1)
		if got := exchange(t, d, []byte{0xAA}); got != nil {
			t.Errorf("out of MPSSE mode it answers % x", got)
		}
		control(t, d, 0x40, 0x0B, 0x0200, 1)
		if got := exchange(t, d, []byte{0xAA}); !bytes.Equal(got, []byte{0xFA, 0xAA}) {
			t.Errorf("sync after the reset: % x", got)
		}
		if got, want := p.trace.String(), "["+bitString(1, 0x87)+"]"; got != want {
			t.Errorf("the target saw %s, want %s", got, want)
		}
	})
}
