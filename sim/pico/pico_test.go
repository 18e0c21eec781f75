package pico

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"station/sim/serprog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a target that writes down what reaches it, and answers with 00, 01, 02 from each falling edge of chip select on.
type probe struct {
	trace strings.Builder
	n     byte
}

func (p *probe) Select()                        { p.trace.WriteString("["); p.n = 0 }
func (p *probe) Deselect()                      { p.trace.WriteString("]") }
func (p *probe) ShiftBits(out byte, _ int) byte { return out }

func (p *probe) Shift(out, in []byte) {
	fmt.Fprintf(&p.trace, "%x", out)
	for i := range in {
		in[i] = p.n
		p.n++
	}
}

// plugged is a device whose DTR is up, with a probe on it.
func plugged(t *testing.T, o Options) (*Device, *probe) {
	t.Helper()
	d, p := New(o), &probe{}
	t.Cleanup(d.Close)
	if err := d.Attach(0, p); err != nil {
		t.Fatal(err)
	}
	control(t, d, 0x21, 0x22, 1, 0, nil)
	return d, p
}

func setup(kind, request byte, value, index uint16) (s [8]byte) {
	s[0], s[1] = kind, request
	binary.LittleEndian.PutUint16(s[2:], value)
	binary.LittleEndian.PutUint16(s[4:], index)
	return s
}

func control(t *testing.T, d *Device, kind, request byte, value, index uint16, data []byte) []byte {
	t.Helper()
	n, err := d.Control(setup(kind, request, value, index), data)
	if err != nil {
		t.Fatalf("control %02x %02x: %v", kind, request, err)
	}
	return data[:n]
}

// fetch takes the packets that are there and returns what they hold, and their sizes.
func fetch(t *testing.T, d *Device) (data []byte, sizes []int) {
	t.Helper()
	for p := make([]byte, maxPacket); ; {
		synctest.Wait()
		n, ok, err := d.In(dataInterface, p)
		if err != nil {
			t.Fatalf("IN: %v", err)
		}
		if !ok {
			return data, sizes
		}
		data, sizes = append(data, p[:n]...), append(sizes, n)
	}
}

func send(t *testing.T, d *Device, p []byte) {
	t.Helper()
	if n, err := d.Out(dataInterface, p); n != len(p) || err != nil {
		t.Fatalf("OUT took %d bytes of %d, %v", n, len(p), err)
	}
}

// TestCommands holds the answers that make pico-serprog what it is.
func TestCommands(t *testing.T) {
	bitmap := append([]byte{0x06, 0x3F, 0x00, 0x3D}, make([]byte, 29)...)
	for _, row := range []struct{ out, want []byte }{
		{[]byte{0x00}, []byte{0x06}},
		{[]byte{0x02}, bitmap}, // 00 to 05, 10, 12 to 15
		{[]byte{0x03}, append([]byte("\x06pico-serprog"), 0, 0, 0, 0)},
		{[]byte{0x04}, []byte{0x06, 0xFF, 0xFF}},
		{[]byte{0x05}, []byte{0x06, 0x08}},
		{[]byte{0x08}, []byte{0x15}},
		{[]byte{0x11}, []byte{0x15}},
		{[]byte{0x10}, []byte{0x15, 0x06}},
		{[]byte{0x13, 1, 0, 0, 3, 0, 0, 0x9F}, []byte{0x06, 0, 1, 2}},
		{binary.LittleEndian.AppendUint32([]byte{0x14}, 15_000_000), binary.LittleEndian.AppendUint32([]byte{0x06}, 12_500_000)},
		{binary.LittleEndian.AppendUint32([]byte{0x14}, 12_500_000), binary.LittleEndian.AppendUint32([]byte{0x06}, 12_500_000)},
		{binary.LittleEndian.AppendUint32([]byte{0x14}, 12_499_999), binary.LittleEndian.AppendUint32([]byte{0x06}, 10_416_666)},
		{binary.LittleEndian.AppendUint32([]byte{0x14}, 4_000_000_000), binary.LittleEndian.AppendUint32([]byte{0x06}, 62_500_000)},
		{[]byte{0x14, 0, 0, 0, 0}, []byte{0x15}},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := plugged(t, Options{})
			send(t, d, row.out)
			if got, _ := fetch(t, d); !bytes.Equal(got, row.want) {
				t.Errorf("% x is answered % x, want % x", row.out, got, row.want)
			}
		})
	}
}

// TestStartClock: before a host asks, a byte takes what 125 MHz divided by 126 make of it.
func TestStartClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := plugged(t, Options{Pace: serprog.Real})
		start := time.Now()
		send(t, d, []byte{0x13, 1, 0, 0, 99, 0, 0, 0x9F})
		for n := 0; n < 100; time.Sleep(time.Microsecond) {
			got, _ := fetch(t, d)
			n += len(got)
		}
		if took, want := time.Since(start), 100*8*1008*time.Nanosecond; took < want-20*time.Microsecond || took > want+time.Microsecond { // so far does the wire run ahead
			t.Errorf("100 bytes took %v, want %v", took, want)
		}
	})
}

// TestDTR: what is said while nobody listens is lost, and not said later.
func TestDTR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := plugged(t, Options{})
		control(t, d, 0x21, 0x22, 0, 0, nil)
		send(t, d, []byte{0x00, 0x13, 1, 0, 0, 0, 4, 0, 0x9F})
		if got, _ := fetch(t, d); len(got) != 0 || p.trace.String() != "[9f]" {
			t.Errorf("with DTR low it says % x, and the target saw %s", got, &p.trace)
		}
		control(t, d, 0x21, 0x22, 3, 0, nil)
		if got, _ := fetch(t, d); len(got) != 0 {
			t.Errorf("with DTR up again it says % x", got)
		}
		send(t, d, []byte{0x10})
		if got, _ := fetch(t, d); !bytes.Equal(got, []byte{0x15, 0x06}) {
			t.Errorf("and then % x", got)
		}
		// A host that goes amid an answer: the firmware does not wait for it.
		send(t, d, []byte{0x13, 1, 0, 0, 0, 4, 0, 0x9F})
		synctest.Wait()
		control(t, d, 0x21, 0x22, 0, 0, nil)
		synctest.Wait()
		if want := "[9f][9f]"; p.trace.String() != want {
			t.Errorf("the target saw %s, want %s", &p.trace, want)
		}
		control(t, d, 0x00, 0x09, 1, 0, nil) // SET_CONFIGURATION empties the buffers
		control(t, d, 0x21, 0x22, 1, 0, nil)
		if got, _ := fetch(t, d); len(got) != 0 {
			t.Errorf("after SET_CONFIGURATION it says % x", got)
		}
	})
}

// TestPackets: an answer is cut into packets, and the end of one whose last packet is full is an empty one.
func TestPackets(t *testing.T) {
	for _, row := range []struct {
		in      byte
		noEmpty bool
		sizes   []int
	}{
		{62, false, []int{63}},
		{63, false, []int{64, 0}},
		{127, false, []int{64, 64, 0}},
		{130, false, []int{64, 64, 3}},
		{127, true, []int{64, 64}},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := plugged(t, Options{NoEmpty: row.noEmpty})
			send(t, d, []byte{0x13, 1, 0, 0, row.in, 0, 0, 0x9F})
			if _, sizes := fetch(t, d); fmt.Sprint(sizes) != fmt.Sprint(row.sizes) {
				t.Errorf("%d bytes in: packets of %v, want %v", row.in, sizes, row.sizes)
			}
		})
	}
}

// TestBackPressure: the firmware stops when nobody fetches its answers, then OUT does; nothing is lost, and the host is told when it goes on.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := plugged(t, Options{})
		told := 0
		d.Notify(dataInterface, func() { told++ })
		syncs := bytes.Repeat([]byte{0x10}, 4096)
		sent := 0
		for range 100 {
			n, err := d.Out(dataInterface, syncs[sent:])
			if err != nil {
				t.Fatal(err)
			}
			sent += n
			synctest.Wait()
		}
		// 256 answers of two bytes fill 256 bytes; one command waits for room, 63 are taken at once with it, 256 wait.
		if most := 128 + 64 + 256; sent < 256 || sent > most {
			t.Errorf("%d bytes were taken, want at most %d", sent, most)
		}
		told = 0
		got := 0
		for range 1000 {
			if data, _ := fetch(t, d); len(data) > 0 {
				got += len(data)
			}
			n, err := d.Out(dataInterface, syncs[sent:])
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
		if data, _ := fetch(t, d); sent != len(syncs) || got+len(data) != 2*len(syncs) {
			t.Errorf("%d of %d bytes sent, %d of %d answered", sent, len(syncs), got+len(data), 2*len(syncs))
		}
		if told == 0 {
			t.Error("the host was not told")
		}
	})
}

// TestOverrun: 4096 bytes out are carried out, one more is the end.
func TestOverrun(t *testing.T) {
	for n, want := range map[int]string{4096: "\x06", 4097: ""} {
		synctest.Test(t, func(t *testing.T) {
			d, p := plugged(t, Options{})
			out := append([]byte{0x13, byte(n), byte(n >> 8), 0, 0, 0, 0}, bytes.Repeat([]byte{0xAA}, n)...)
			for out = append(out, 0x00); len(out) > 0; synctest.Wait() {
				m, err := d.Out(dataInterface, out)
				if err != nil {
					t.Fatal(err)
				}
				if out = out[m:]; m == 0 {
					break
				}
			}
			got, _ := fetch(t, d)
			if want != "" {
				want += "\x06" // the NOP behind it
			}
			if string(got) != want || (p.trace.Len() > 0) != (want != "") {
				t.Errorf("%d bytes out are answered % x, want % x; the target saw %d characters", n, got, want, p.trace.Len())
			}
		})
	}
}

// TestUnplugged: chip select rises, nothing reaches the target any more, and everything answers ErrGone; also amid an operation.
func TestUnplugged(t *testing.T) {
	for _, out := range [][]byte{nil, {0x13, 1, 0}, {0x13, 1, 0, 0, 0, 4, 0, 0x9F}} {
		synctest.Test(t, func(t *testing.T) {
			d, p := plugged(t, Options{Pace: serprog.Real})
			send(t, d, out)
			time.Sleep(100 * time.Microsecond)
			told := false
			d.Notify(dataInterface, func() { told = true })
			d.Close()
			before := p.trace.String()
			time.Sleep(time.Second)
			synctest.Wait()
			if p.trace.String() != before || strings.Count(before, "[") != strings.Count(before, "]") || !told {
				t.Errorf("the target saw %s, then %s; told: %v", before, &p.trace, told)
			}
			if _, err := d.Out(dataInterface, []byte{0}); !errors.Is(err, ErrGone) {
				t.Errorf("OUT: %v", err)
			}
			if _, _, err := d.In(dataInterface, make([]byte, maxPacket)); !errors.Is(err, ErrGone) {
				t.Errorf("IN: %v", err)
			}
			if _, err := d.Control(setup(0x80, 0, 0, 0), nil); !errors.Is(err, ErrGone) {
				t.Errorf("control: %v", err)
			}
		})
	}
}

// TestTargets: one that comes while chip select is low hears nothing of that frame, and where there is none data in are FF.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := plugged(t, Options{Pace: serprog.Real})
		other := &probe{}
		send(t, d, []byte{0x13, 1, 0, 0, 100, 0, 0, 0x9F})
		time.Sleep(100 * time.Microsecond)
		if err := d.Attach(0, other); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		got, _ := fetch(t, d)
		if !bytes.HasSuffix(got, []byte{0xFF, 0xFF}) || !bytes.HasPrefix(got, []byte{0x06, 0, 1, 2}) || p.trace.String() != "[9f" || other.trace.Len() != 0 {
			t.Errorf("answered % x; the targets saw %q and %q", got, p.trace.String(), other.trace.String())
		}
		send(t, d, []byte{0x13, 1, 0, 0, 1, 0, 0, 0x05})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if other.trace.String() != "[05]" {
			t.Errorf("then the other one saw %q", other.trace.String())
		}
		if err := d.Attach(1, other); err == nil {
			t.Error("there is a channel 1")
		}
	})
}

func TestControl(t *testing.T) {
	d, _ := plugged(t, Options{})
	for _, row := range []struct {
		kind, request byte
		value, index  uint16
		want          []byte
	}{
		{0x80, 0x06, 0x0100, 0, []byte{18, 1, 0, 2, 0xEF, 2, 1, 64, 0x8A, 0x2E, 0x0A, 0, 0, 1, 1, 2, 3, 1}},
		{0x80, 0x06, 0x0302, 0, []byte{10, 3, 'P', 0, 'i', 0, 'c', 0, 'o', 0}},
		{0x80, 0x08, 0, 0, []byte{1}},
		{0xA1, 0x21, 0, 0, []byte{0x00, 0xC2, 0x01, 0x00, 0, 0, 8}},
	} {
		if got := control(t, d, row.kind, row.request, row.value, row.index, make([]byte, 64)); !bytes.Equal(got, row.want) {
			t.Errorf("%02x %02x %04x: % x, want % x", row.kind, row.request, row.value, got, row.want)
		}
	}
	if c := control(t, d, 0x80, 0x06, 0x0200, 0, make([]byte, 255)); len(c) != int(c[2]) {
		t.Errorf("the configuration has %d bytes and says %d", len(c), c[2])
	}
	coding := []byte{0x80, 0x25, 0, 0, 2, 1, 7}
	control(t, d, 0x21, 0x20, 0, 0, coding)
	if got := control(t, d, 0xA1, 0x21, 0, 0, make([]byte, 7)); !bytes.Equal(got, coding) {
		t.Errorf("line coding % x, want % x", got, coding)
	}
	for _, s := range [][8]byte{
		setup(0x80, 0x06, 0x0600, 0), // device qualifier: it knows full speed only
		setup(0x21, 0x22, 1, 1),      // the data interface has no lines
		setup(0x21, 0x20, 0, 0),      // no coding comes with it
		setup(0x00, 0x09, 2, 0),
		setup(0x40, 0x00, 0, 0),
		setup(0x02, 0x01, 0, 0x83),
		setup(0x80, 0x06, 0x0304, 0),
	} {
		if _, err := d.Control(s, nil); !errors.Is(err, ErrStall) {
			t.Errorf("% x: %v, want a stall", s, err)
		}
	}
	if _, err := d.Out(controlInterface, []byte{0}); !errors.Is(err, ErrStall) {
		t.Errorf("OUT of the control interface: %v", err)
	}
}
