package flash

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"station/sim/nor"
	"station/spi"
)

// wire holds a simulated chip under its own chip select: the shortest possible spi.Conn.
type wire struct {
	chip     *nor.Chip
	byteTime time.Duration
	maxFrame int
	grain    int
	hostIdle bool
	trips    int                       // calls of Do so far
	sent     []byte                    // opcodes so far
	drop     func(out []byte) bool     // true: the frame never reaches the chip, its answer is FF
	forge    func(out, in []byte)      // alters answers
	fail     func(out []byte) error    // the frame breaks the link
	onDo     func(frames ...spi.Frame) // before each Do
}

func (w *wire) Limits() spi.Limits {
	return spi.Limits{ByteTime: w.byteTime, MaxFrame: w.maxFrame, Grain: max(w.grain, 1), HostIdle: w.hostIdle}
}

func (w *wire) Do(ctx context.Context, frames ...spi.Frame) error {
	if err := ctx.Err(); err != nil {
		return &spi.FrameError{Sent: spi.No, Err: err}
	}
	w.trips++
	if w.onDo != nil {
		w.onDo(frames...)
	}
	for i, f := range frames {
		if len(f.Out)+len(f.In) > w.maxFrame {
			return &spi.FrameError{Index: i, Sent: spi.No, Err: errors.New("frame too long")}
		}
		if w.fail != nil {
			if err := w.fail(f.Out); err != nil {
				return &spi.FrameError{Index: i, Err: err}
			}
		}
		w.sent = append(w.sent, f.Out[0])
		w.frame(f)
		if w.forge != nil {
			w.forge(f.Out, f.In)
		}
		pause(f.Idle)
	}
	return nil
}

func (w *wire) frame(f spi.Frame) {
	if w.drop != nil && w.drop(f.Out) {
		copy(f.In, bytes.Repeat([]byte{0xFF}, len(f.In)))
		return
	}
	w.chip.Select()
	pause(time.Duration(len(f.Out)) * w.byteTime)
	w.chip.Shift(f.Out, nil)
	if status := f.Out[0] == 0x05 || f.Out[0] == 0x70; status {
		for i := range f.In {
			pause(w.byteTime)
			w.chip.Shift(nil, f.In[i:i+1])
		}
	} else {
		w.chip.Shift(nil, f.In)
		pause(time.Duration(len(f.In)) * w.byteTime)
	}
	w.chip.Deselect()
}

func pause(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
}

var testUID = [14]byte{0xA1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xE0}

func newWire(t *testing.T, part string, o nor.Options) *wire {
	t.Helper()
	chip, err := nor.New(part, testUID, o)
	if err != nil {
		t.Fatal(err)
	}
	return &wire{chip: chip, maxFrame: 70000}
}

// single are the shipped parts of a single die.
func single() []*Part {
	return slices.DeleteFunc(Parts(), func(p *Part) bool { return p.Dies > 1 })
}

// identified is a chip of that part, found by Identify among parts (none given: the shipped ones).
func identified(t *testing.T, part string, o nor.Options, parts ...*Part) (*Chip, *wire) {
	t.Helper()
	w := newWire(t, part, o)
	c, err := Identify(t.Context(), w, parts...)
	if err != nil {
		t.Fatal(err)
	}
	w.trips, w.sent = 0, nil
	return c, w
}

// raw sends frames past the driver.
func (w *wire) raw(outs ...[]byte) {
	for _, out := range outs {
		w.frame(spi.Frame{Out: out})
	}
}

func (w *wire) status() (sr, fsr byte) {
	b := make([]byte, 2)
	w.frame(spi.Frame{Out: []byte{0x05}, In: b[:1]})
	w.frame(spi.Frame{Out: []byte{0x70}, In: b[1:]})
	return b[0], b[1]
}

// idle insists on a chip without a trace of what was done: no busy, no write enable, no error flags, mode as given.
func (w *wire) idle(t *testing.T) {
	t.Helper()
	if sr, fsr := w.status(); sr&3 != 0 || fsr|1 != 0x81 {
		t.Errorf("the chip was left with status 0x%02X, flag status 0x%02X", sr, fsr)
	}
}

func dropping(op byte) func([]byte) bool {
	return func(out []byte) bool { return out[0] == op }
}

func (w *wire) count(op byte) int {
	return len(slices.DeleteFunc(slices.Clone(w.sent), func(b byte) bool { return b != op }))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// as insists on an error of type E and returns it.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("got %v (%T), want a %T", err, err, e)
	}
	return e
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// program programs data at addr, and at the pages behind it.
func (c *Chip) program(ctx context.Context, addr int64, data []byte) error {
	return c.programs(ctx, []Op{{addr, int64(len(data)), data}}, func(int64) {})
}
