package ch341a

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCoalesce(t *testing.T) {
	for _, c := range []struct {
		coalesce bool
		want     []int
	}{{false, []int{31, 5, 31, 1}}, {true, []int{31, 31, 6}}} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := probed(t, Options{Coalesce: c.coalesce})
			exchange(t, d, enablePins)
			for _, p := range [][]byte{pulse, transaction(31)[32:], transaction(5)[32:], transaction(31)[32:], transaction(1)[32:]} {
				if n, err := d.Out(0, p); n != len(p) || err != nil {
					t.Fatalf("OUT took %d: %v", n, err)
				}
				synctest.Wait() // all four answers wait
			}
			var sizes []int
			packets := drain(t, d)
			for _, p := range packets {
				sizes = append(sizes, len(p))
			}
			if !slices.Equal(sizes, c.want) || !bytes.Equal(bytes.Join(packets, nil), answers(0, 68)) {
				t.Errorf("coalesce %v: packets of %v, want %v", c.coalesce, sizes, c.want)
			}
		})
	}
}

// Without a reader the chip stops after its segments, and OUT NAKs once its buffer is full, until somebody reads.
func TestBackPressure(t *testing.T) {
	for _, c := range []struct{ option, segments int }{{0, 4}, {1, 1}, {7, 7}} {
		synctest.Test(t, func(t *testing.T) {
			d, p := probed(t, Options{Segments: c.option})
			exchange(t, d, enablePins)
			stream := transaction(31 * 40)
			taken := 0
			for {
				n, err := d.Out(0, stream[taken:])
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if taken += n; n == 0 {
					break
				}
			}
			if want := 31 * 8 * c.segments; p.bits != want {
				t.Errorf("clocked %d bits with nobody reading, want %d", p.bits, want)
			}
			// The pulse, what is answered, the packet that waits for room, two in the buffer.
			if want := 32 * (1 + c.segments + 1 + 2); taken != want {
				t.Errorf("OUT took %d bytes, want %d", taken, want)
			}
			if got := bytes.Join(exchange(t, d, stream[taken:]), nil); !bytes.Equal(got, answers(0, 31*40)) {
				t.Errorf("%d answers, or wrong ones, want %d", len(got), 31*40)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // packets that answer nothing need no room, samples do
		d, p := probed(t, Options{Segments: 1})
		exchange(t, d, enablePins)
		for _, b := range [][]byte{pulse, {0xA8, 1}, {0xAB, 0xB7, 0xB6, 0x00, 0xB7, 0x20}} {
			if _, err := d.Out(0, b); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got, want := p.trace.String(), "["+bitString(0x80)+"]["; got != want {
			t.Errorf("the target saw %s, want %s", got, want)
		}
		if got := drain(t, d); len(got) != 2 || !strings.HasSuffix(p.trace.String(), "[]") {
			t.Errorf("answers % x, trace %s", got, p.trace.String())
		}
	})
}

// The same packets give the same answers and the same bits, wherever OUT transfers are cut between them.
func FuzzCutBetweenPackets(f *testing.F) {
	f.Add(append(append(bytes.Clone(pulse), make([]byte, 26)...), transaction(70, 0x9F)...), []byte{1, 1, 1})
	f.Add(append([]byte{0xAB, 0x7F, 0x00, 0x00, 0x86, 0xAE, 0x20}, make([]byte, 25)...), []byte{0})
	f.Add([]byte{0xAA, 0x65, 0x74}, []byte{2})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if len(stream) > 4096 || len(cuts) > 256 {
			return
		}
		run := func(pieces [][]byte, o Options) (data []byte, trace string) {
			synctest.Test(t, func(t *testing.T) {
				d, p := probed(t, o)
				data = bytes.Join(exchange(t, d, append([][]byte{enablePins}, pieces...)...), nil)
				trace = p.trace.String()
			})
			return data, trace
		}
		var pieces [][]byte
		rest := stream
		for _, c := range cuts {
			n := min(32*int(c%8), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		pieces = append(pieces, rest)
		wantData, wantTrace := run([][]byte{stream}, Options{})
		for _, o := range []Options{{}, {Coalesce: true, Segments: 2}, {Pace: Real}} {
			gotData, gotTrace := run(pieces, o)
			if !bytes.Equal(gotData, wantData) {
				t.Errorf("%+v: answers % x cut, % x whole", o, gotData, wantData)
			}
			if gotTrace != wantTrace {
				t.Errorf("%+v: bits %s cut, %s whole", o, gotTrace, wantTrace)
			}
		}
	})
}

// stamps is a target that notes when its edges come.
type stamps struct {
	probe
	at        time.Time
	perByte   time.Duration
	low, high time.Time
	clocks    []time.Time // of every byte
}

func (s *stamps) At(t time.Time, perByte time.Duration) { s.at, s.perByte = t, perByte }
func (s *stamps) Select()                               { s.low = s.at }
func (s *stamps) Deselect()                             { s.high = s.at }
func (s *stamps) Shift(out, in []byte) {
	for i := range out {
		s.clocks = append(s.clocks, s.at.Add(time.Duration(i)*s.perByte))
	}
	s.probe.Shift(out, in)
}

func TestWireTime(t *testing.T) {
	for _, c := range []struct {
		clock int
		bytes time.Duration // 310 of them
	}{{0, 310 * 5333 * time.Nanosecond}, {2_000_000, 310 * 4 * time.Microsecond}} {
		synctest.Test(t, func(t *testing.T) {
			d := New(Options{Pace: Real, Clock: c.clock, Segments: 100})
			defer d.Close()
			s := &stamps{}
			if err := d.Attach(0, s); err != nil {
				t.Fatal(err)
			}
			all := func(p []byte) time.Duration {
				t.Helper()
				room := make(chan struct{}, 1)
				d.Notify(0, func() {
					select {
					case room <- struct{}{}:
					default:
					}
				})
				start := time.Now()
				for len(p) > 0 {
					n, err := d.Out(0, p)
					if err != nil {
						t.Fatal(err)
					}
					if p = p[n:]; n == 0 {
						<-room
					}
				}
				for d.busy() {
					<-room
				}
				return time.Since(start)
			}
			near := func(what string, got, want time.Duration) {
				t.Helper()
				if diff := (got - want).Abs(); diff > time.Microsecond {
					t.Errorf("%s took %v, want %v", what, got, want)
				}
			}
			all(enablePins)
			time.Sleep(time.Second)
			s.clocks = nil
			near("the transfer", all(transaction(310)), 5*uioTime+c.bytes)
			for i := 1; i < len(s.clocks); i++ {
				if gap := s.clocks[i].Sub(s.clocks[i-1]); gap != c.bytes/310 {
					t.Fatalf("the target saw a byte %v after the one before", gap)
				}
			}
			// Edges of chip select come at their time, and UIO delays are in µs.
			all(pulse)
			if got := s.low.Sub(s.high); got != 3*uioTime {
				t.Errorf("chip select was high for %v, want %v", got, 3*uioTime)
			}
			time.Sleep(time.Second)
			start := time.Now()
			all(append([]byte{0xA8}, make([]byte, 31)...))
			all([]byte{0xAB, 0xC5, 0x7E, 0x7F, 0x20}) // a direction is an edge too
			if got, want := s.high.Sub(start), 31*(c.bytes/310)+uioTime+5*time.Microsecond; got != want {
				t.Errorf("chip select rose after %v, want %v", got, want)
			}
			near("delays", all([]byte{0xAB, 0xFF, 0xFF, 0xC1, 0x20}), 127*time.Microsecond+4*uioTime)
			near("long delays", all([]byte{0xAA, 0x5F, 0x5F, 0x4F, 0x00}), 30015*time.Microsecond)
		})
	}
}

func (d *Device) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUp()
	return len(d.engine.coming) > 0 || d.aheadOfTime()
}

func TestFaults(t *testing.T) {
	const whole = "[" + "00000110" + "][" + "000001011111111111111111" + "]"
	var hears int
	for _, c := range []struct {
		name   string
		faults Faults
		trace  string
		sizes  []int // of the answers
		err    error
	}{
		{"none", Faults{}, whole, []int{1, 3}, nil},
		{"hang", Faults{HangAfter: 4 + 32 + 2}, "[00000110", nil, nil},
		{"hang in the data", Faults{HangAfter: 4 + 34 + 32 + 2}, "[00000110][00000101", nil, nil},
		{"stall", Faults{StallAfter: 4 + 34 + 32 + 3}, "[00000110][0000010111111111", nil, ErrStall},
		{"not done", Faults{UnplugAfter: 4 + 33}, "[]", nil, ErrGone},
		{"cut in the data", Faults{UnplugAfter: 4 + 34 + 32 + 2}, "[00000110][00000101]", nil, ErrGone},
		{"done, answers lost", Faults{UnplugAfter: 4 + 34 + 1, UnplugDone: true}, whole, nil, ErrGone},
		{"first answer lost", Faults{DropAnswer: 1}, whole, []int{3}, nil},
		{"third answer lost", Faults{DropAnswer: 3}, whole, []int{1, 2}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, p := probed(t, Options{Faults: c.faults})
				d.Notify(0, func() { hears++ })
				for _, s := range [][]byte{enablePins, transaction(0, 0x06), transaction(2, 0x05), {0xAB, 0xB7, 0x20}} {
					n, err := d.Out(0, s)
					if n == 0 && (d.hung || c.err != nil) {
						break
					}
					if n != len(s) || err != nil {
						t.Fatalf("OUT took %d: %v", n, err)
					}
					synctest.Wait()
				}
				var sizes []int
				p32 := make([]byte, 32)
				n, ok, err := d.In(0, p32)
				for ; ok; n, ok, err = d.In(0, p32) {
					sizes = append(sizes, n)
				}
				if !errors.Is(err, c.err) {
					t.Fatalf("IN: %v, want %v", err, c.err)
				}
				if !slices.Equal(sizes, c.sizes) {
					t.Errorf("answers of %v bytes, want %v", sizes, c.sizes)
				}
				if c.err == ErrGone && c.faults.UnplugDone {
					// The last transfer is the one that crossed the count; chip select rose with the cable.
					if !strings.HasSuffix(p.trace.String(), "]") {
						t.Error("a pin is still driven")
					}
				}
				if got := p.trace.String(); got != c.trace {
					t.Errorf("the target saw %s, want %s", got, c.trace)
				}
				if c.err != nil {
					if _, err := d.Out(0, pulse); !errors.Is(err, c.err) {
						t.Errorf("OUT: %v, want %v", err, c.err)
					}
				}
				if c.err == ErrStall {
					control(t, d, 0x02, 0x01, 0, 0x82)
					synctest.Wait()
					if got := drain(t, d); len(got) != 2 || len(got[0]) != 1 || len(got[1]) != 3 {
						t.Errorf("after clearing the halt: % x", got)
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

// The last transfer of a device that goes needs no reader, not even where answers wait already.
func TestDoneWithoutReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := transaction(31 * 4)
		d, p := probed(t, Options{Faults: Faults{UnplugAfter: 4 + len(stream) + 1, UnplugDone: true}})
		for _, s := range [][]byte{enablePins, stream, stream} {
			for len(s) > 0 {
				n, err := d.Out(0, s)
				if n == 0 || err != nil {
					break // all of the last one is taken, or the device is gone
				}
				s = s[n:]
				synctest.Wait()
			}
		}
		if _, _, err := d.In(0, make([]byte, 32)); !errors.Is(err, ErrGone) {
			t.Errorf("IN: %v", err)
		}
		frame := "[" + strings.Repeat("1", 31*4*8) + "]"
		if got := p.trace.String(); got != frame+frame {
			t.Errorf("the target saw %s", got)
		}
	})
}

func TestBareAndSwappedPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := probed(t, Options{})
		exchange(t, d, enablePins, []byte{0xAB, 0xB6, 0x20})
		if err := d.Attach(0, nil); err != nil { // just left: no rising edge
			t.Fatal(err)
		}
		if got := exchange(t, d, []byte{0xA8, 1, 2}); !bytes.Equal(got[0], []byte{0xFF, 0xFF}) {
			t.Errorf("bare pins answer % x", got)
		}
		if err := d.Attach(0, p); err != nil { // came in mid frame: hears nothing of it, then everything
			t.Fatal(err)
		}
		exchange(t, d, []byte{0xA8, 1}, pulse, []byte{0xA8, 0xA0})
		if got, want := p.trace.String(), "[["+bitString(0x05); got != want {
			t.Errorf("the target saw %s, want %s", got, want)
		}
		if err := d.Attach(1, p); err == nil {
			t.Error("there is a channel 1")
		}
		for _, iface := range []int{-1, 1} {
			if _, err := d.Out(iface, pulse); !errors.Is(err, ErrStall) {
				t.Errorf("OUT of interface %d: %v", iface, err)
			}
			if _, _, err := d.In(iface, make([]byte, 32)); !errors.Is(err, ErrStall) {
				t.Errorf("IN of interface %d: %v", iface, err)
			}
		}
		if _, ok, err := d.In(0, make([]byte, 31)); ok || err != nil {
			t.Errorf("IN into 31 bytes: %v, %v", ok, err)
		}
	})
}
