package flash

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// states that a crash of somebody's program, or another program, leaves a chip in, and what recovery makes of them.
var states = []struct {
	name string
	put  func(w *wire)
	want []string
}{
	{"nothing", func(*wire) {}, nil},
	{"write enable", func(w *wire) { w.raw([]byte{0x06}) }, nil},
	{"deep power-down", func(w *wire) { w.raw([]byte{0xB9}) }, []string{"deep power-down"}},
	{"quad by 35", func(w *wire) { w.raw([]byte{0x35}) }, []string{"quad or dual protocol"}},
	{"quad by 61", func(w *wire) { w.raw([]byte{0x06}, []byte{0x61, 0x7F}) }, []string{"quad or dual protocol"}},
	{"dual by 61", func(w *wire) { w.raw([]byte{0x06}, []byte{0x61, 0xBF}) }, []string{"quad or dual protocol"}},
	{"4-byte mode", func(w *wire) { w.raw([]byte{0x06}, []byte{0xB7}) }, []string{"4-byte mode"}},
	{"wrapped reads", func(w *wire) { w.raw([]byte{0x06}, []byte{0x81, 0xA8}) }, []string{"wrapped reads"}},
	{"wrapped reads in 4-byte mode", func(w *wire) { w.raw([]byte{0x06}, []byte{0xB7}, []byte{0x06}, []byte{0x81, 0xFA}) }, []string{"wrapped reads", "4-byte mode"}},
	{"4-byte mode from power-up on", func(w *wire) {
		w.raw([]byte{0x06}, []byte{0xB1, 0xFE, 0xFF})
		time.Sleep(2 * time.Second)
		w.raw([]byte{0x66}, []byte{0x99})
	}, nil},
	{"suspended erase", func(w *wire) { w.raw([]byte{0x06}, []byte{0xD8, 0x05, 0, 0}, []byte{0x75}) }, []string{"suspended erase"}},
	{"suspended program", func(w *wire) { w.raw([]byte{0x06}, []byte{0x02, 0x05, 0, 0, 0x12}, []byte{0x75}) }, []string{"suspended program"}},
	{"suspended in 4-byte mode", func(w *wire) {
		w.raw([]byte{0x06}, []byte{0xB7}, []byte{0x06}, []byte{0xD8, 0, 0x05, 0, 0}, []byte{0x75})
	}, []string{"suspended erase", "4-byte mode"}},
	{"suspended and asleep", func(w *wire) {
		w.raw([]byte{0x06}, []byte{0xD8, 0x05, 0, 0}, []byte{0x75})
		time.Sleep(time.Millisecond)
		w.raw([]byte{0xB9})
	}, []string{"deep power-down", "suspended erase"}},
	{"busy erasing", func(w *wire) { w.raw([]byte{0x06}, []byte{0xD8, 0x05, 0, 0}) }, nil},
}

func TestIdentifyRecovers(t *testing.T) {
	for _, part := range []string{"MT25QL128ABA", "MT25QL256ABA", "MT25QL01GBBB"} {
		for _, s := range states {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, part, nor.Options{Pace: nor.Real})
				w.byteTime = time.Microsecond
				w.raw([]byte{0x06}, []byte{0x02, 0x04, 0, 0, 0xA5})
				time.Sleep(time.Second)
				s.put(w)
				time.Sleep(100 * time.Microsecond)
				c, err := Identify(t.Context(), w)
				if err != nil {
					t.Fatalf("%s, %s: %v", part, s.name, err)
				}
				if !slices.Equal(c.Recovered(), s.want) {
					t.Errorf("%s, %s: recovered %q, want %q", part, s.name, c.Recovered(), s.want)
				}
				r, err := c.Registers(t.Context())
				must(t, err)
				vcr := byte(0xFB)
				if s.name == "wrapped reads" {
					vcr = 0xAB // dummy clocks stay
				}
				if r.VCR != vcr {
					t.Errorf("%s, %s: VCR %02X", part, s.name, r.VCR)
				}
				// It does everything again: wherever it was, its array is as it should be.
				var got [1]byte
				must(t, c.Read(t.Context(), 0x40000, got[:]))
				if got[0] != 0xA5 {
					t.Errorf("%s, %s: reads %02X", part, s.name, got[0])
				}
				write(t, c, Extent{0x50000, 0x1000, noise(1, 0x1000)})
				if !bytes.Equal(w.chip.Bytes(0x50000, 0x1000), noise(1, 0x1000)) {
					t.Errorf("%s, %s: wrong bytes", part, s.name)
				}
				w.idle(t)
			})
		}
	}
}

// A register that says execute in place is none of a chip that answers: nothing is written to it. One that stays as it is ends the identification.
func TestUnwrapOfOddRegisters(t *testing.T) {
	for _, vcr := range []byte{0x00, 0xF0, 0xF8} {
		w := newWire(t, "MT25QL256ABA", nor.Options{})
		w.forge = func(out, in []byte) {
			if out[0] == 0x85 {
				in[0] = vcr
			}
		}
		c, err := Identify(t.Context(), w)
		if vcr == 0xF8 {
			is(t, err, ErrNotExecuted)
			continue
		}
		must(t, err)
		if w.count(0x81) != 0 || c.Recovered() != nil {
			t.Errorf("VCR %02X: %d writes, recovered %q", vcr, w.count(0x81), c.Recovered())
		}
	}
}

// A chip that looks absent is sent ones and AB, and is looked at: nothing else.
func TestAbsentIsSentNothingElse(t *testing.T) {
	for _, level := range []byte{0x00, 0xFF} {
		w := newWire(t, "MT25QL256ABA", nor.Options{})
		w.chip.Power(false)
		w.forge = func(_, in []byte) { copy(in, bytes.Repeat([]byte{level}, len(in))) }
		var lengths []int
		w.onDo = func(frames ...spi.Frame) {
			for _, f := range frames {
				switch op := f.Out[0]; op {
				case 0xFF:
					if !blank(f.Out) || len(f.In) > 0 {
						t.Errorf("sent % X", f.Out)
					}
					lengths = append(lengths, len(f.Out))
				case 0xAB:
					if len(f.Out) != 1 || f.Idle < 30*time.Microsecond {
						t.Errorf("% X, idle %v", f.Out, f.Idle)
					}
					lengths = append(lengths, 0)
				case 0x05, 0x70, 0x9F, 0x5A:
				default:
					t.Errorf("sent % X", f.Out)
				}
			}
		}
		_, err := Identify(t.Context(), w)
		is(t, err, ErrAbsent)
		if !slices.Equal(lengths, []int{1, 5, 0, 1, 5}) {
			t.Errorf("sent frames %v", lengths)
		}
	}
}

// A chip that answers is not sent ones.
func TestPresentIsNotRescued(t *testing.T) {
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	_, err := Identify(t.Context(), w)
	must(t, err)
	// Nor one whose contact is so bad that it looked absent for once.
	n := 0
	w.forge = func(_, in []byte) {
		if n++; n <= 2 {
			copy(in, bytes.Repeat([]byte{0xFF}, len(in)))
		}
	}
	_, err = Identify(t.Context(), w)
	is(t, err, ErrAbsent)
	if w.count(0xFF)+w.count(0xAB)+w.count(0x7A)+w.count(0xE9)+w.count(0x06) != 0 {
		t.Errorf("sent % X", w.sent)
	}
}

// A chip that is refused is left as it was found, but awake.
func TestRefusedIsLeftAsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted, err := partNamed("MT25QL128ABA")
		must(t, err)
		for _, sleeping := range []bool{false, true} {
			w := newWire(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
			w.raw([]byte{0x06}, []byte{0xB7}, []byte{0x06}, []byte{0xD8, 0, 5, 0, 0}, []byte{0x75})
			time.Sleep(time.Millisecond)
			if sleeping {
				w.raw([]byte{0x50}, []byte{0xB9})
			}
			_, before := w.status()
			_, err := Identify(t.Context(), w, wanted)
			as[*WrongPartError](t, err)
			for _, op := range w.sent {
				if !slices.Contains([]byte{0x05, 0x70, 0x9F, 0x5A, 0xFF, 0xAB}, op) {
					t.Errorf("sent %02X", op)
				}
			}
			if _, after := w.status(); after&0x41 != 0x41 || !sleeping && after != before {
				t.Errorf("flag status 0x%02X became 0x%02X", before, after)
			}
			// One whose SFDP is another part's, neither.
			w.sent = nil
			w.forge = func(out, in []byte) {
				if out[0] == 0x5A {
					in[0x37] = 0x1F
				}
			}
			_, err = Identify(t.Context(), w)
			as[*WrongSFDPError](t, err)
			if w.count(0x7A)+w.count(0xE9)+w.count(0x06) != 0 {
				t.Errorf("sent % X", w.sent)
			}
		}
	})
}

// What recovery does is seen to have worked, or told.
func TestRecoveryThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		suspended := func() *wire {
			w := newWire(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
			w.raw([]byte{0x06}, []byte{0xB7}, []byte{0x06}, []byte{0xD8, 0, 5, 0, 0}, []byte{0x75})
			time.Sleep(time.Millisecond)
			return w
		}
		w := suspended()
		w.drop = dropping(0x7A)
		_, err := Identify(t.Context(), w)
		is(t, err, ErrNotExecuted)
		w.drop = dropping(0xE9)
		_, err = Identify(t.Context(), w)
		is(t, err, ErrNotExecuted)
		gone := errors.New("gone")
		for _, op := range []byte{0x7A, 0xB5, 0xE9} {
			w := suspended()
			w.fail = func(out []byte) error {
				if out[0] == op {
					return gone
				}
				return nil
			}
			_, err := Identify(t.Context(), w)
			is(t, err, gone)
			as[*spi.FrameError](t, err)
		}
		for _, op := range []byte{0xFF, 0xAB} {
			w := newWire(t, "MT25QL256ABA", nor.Options{})
			w.chip.Power(false)
			w.fail = func(out []byte) error {
				if out[0] == op {
					return gone
				}
				return nil
			}
			_, err := Identify(t.Context(), w)
			is(t, err, gone)
		}
		// The operation that is resumed may hang, or be cancelled by whoever waits.
		w = suspended()
		w.chip.SetFaults(nor.Faults{StuckBusy: true})
		w.forge = func(out, in []byte) {
			if out[0] == 0x70 && w.count(0x7A) > 0 {
				copy(in, bytes.Repeat([]byte{0x01}, len(in)))
			}
			if out[0] == 0x05 && w.count(0x7A) > 0 {
				copy(in, bytes.Repeat([]byte{0x01}, len(in)))
			}
		}
		_, err = Identify(t.Context(), w, single()...)
		if e := as[*BusyError](t, err); !e.StuckBusy {
			t.Errorf("%v", e)
		}
		w = suspended()
		ctx, cancel := context.WithCancel(t.Context())
		w.onDo = func(frames ...spi.Frame) {
			if frames[len(frames)-1].Out[0] == 0x7A {
				cancel()
			}
		}
		_, err = Identify(ctx, w)
		is(t, err, context.Canceled)
	})
}
