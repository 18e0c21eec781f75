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

// firmware is a wire whose programmer programs pages itself, and carries frames of 16 bytes each way, besides reads.
type firmware struct {
	*wire
	runs   []int       // pages of each
	atPage func(n int) // before the page with this number, over all runs
	total  int
	broken int // the page of a run at which the link breaks, counted from 1
}

func (f *firmware) Limits() spi.Limits {
	l := f.wire.Limits()
	l.MaxAnswer, l.HostIdle = 16, true
	return l
}

func (f *firmware) Do(ctx context.Context, frames ...spi.Frame) error {
	for i, frame := range frames {
		read := bytes.IndexByte([]byte{0x03, 0x13, 0x5A, 0x4B, 0x9F}, frame.Out[0]) >= 0
		if len(frame.Out) > 16 || len(frame.In) > 16 && !read {
			return &spi.FrameError{Index: i, Sent: spi.No, Err: errors.New("the firmware cannot carry this")}
		}
	}
	return f.wire.Do(ctx, frames...)
}

func (f *firmware) ProgramPages(_ context.Context, command, data []byte) error {
	f.runs = append(f.runs, len(data)/256)
	addr := command[len(command)-3:]
	n := int(addr[0])<<16 | int(addr[1])<<8 | int(addr[2])
	for page := 0; len(data) > 0; page++ {
		if f.broken == page+1 {
			return &spi.FrameError{Index: page, Err: errors.New("broken")}
		}
		if f.atPage != nil {
			f.atPage(f.total)
		}
		f.total++
		addr[0], addr[1], addr[2] = byte(n>>16), byte(n>>8), byte(n)
		f.frame(spi.Frame{Out: []byte{0x06}})
		f.frame(spi.Frame{Out: append(bytes.Clone(command), data[:256]...)})
		for status := []byte{1}; status[0]&1 != 0; time.Sleep(10 * time.Microsecond) {
			f.frame(spi.Frame{Out: []byte{0x05}, In: status})
		}
		data, n = data[256:], n+256
	}
	return nil
}

func onFirmware(t *testing.T, part string, o nor.Options) (*Chip, *firmware) {
	t.Helper()
	f := &firmware{wire: newWire(t, part, o)}
	f.byteTime = 8 * time.Second / 12_000_000
	c, err := Identify(t.Context(), f)
	must(t, err)
	return c, f
}

// Pages, whole and in part, reach the chip in runs, whatever the address width, and nothing beside them changes.
func TestFirmwarePrograms(t *testing.T) {
	for _, part := range []string{"MT25QL128ABA", "MT25QL256ABA"} {
		synctest.Test(t, func(t *testing.T) {
			c, f := onFirmware(t, part, nor.Options{Pace: nor.Real})
			data := noise(1, 600*256)
			want := bytes.Repeat([]byte{0xFF}, 1<<18)
			var done int64
			var ops []Op
			for _, at := range [][2]int{{0x10, 0x20}, {0x80, 0x10}, {0x1F0, 0x220}, {0x1000, 300 * 256}, {0x30001, 0xFE}} {
				ops = append(ops, Op{int64(at[0]), int64(at[1]), data[:at[1]]})
				copy(want[at[0]:], data[:at[1]])
			}
			must(t, c.programs(t.Context(), ops, func(n int64) { done += n }))
			if !bytes.Equal(f.chip.Bytes(0, len(want)), want) {
				t.Errorf("%s: wrong bytes", part)
			}
			if done != 0x20+0x10+0x220+300*256+0xFE {
				t.Errorf("%s: %d bytes were told", part, done)
			}
			// Two ops in one page are in two runs; 44 pages of the fourth op are a run of their own.
			if !slices.Equal(f.runs, []int{1, 5, 256, 44, 1}) {
				t.Errorf("%s: runs of %v pages", part, f.runs)
			}
			f.idle(t)
			// A page costs no frame, only a run does.
			if n := len(f.sent); n > 200 {
				t.Errorf("%s: %d frames", part, n)
			}
		})
	}
}

// A page that fails, or is locked, is found in its run; those before it are there.
func TestFirmwareFindsThePage(t *testing.T) {
	for _, bad := range []int{0, 1, 100, 255, 256, 299} {
		synctest.Test(t, func(t *testing.T) {
			c, f := onFirmware(t, "MT25QL256ABA", nor.Options{})
			data := noise(1, 300*256)
			var addr uint32
			f.drop = func(out []byte) bool {
				if out[0] == 0x12 {
					addr = uint32(out[2])<<16 | uint32(out[3])<<8
					f.chip.SetFaults(nor.Faults{FailProgram: int(addr/256) == bad})
				}
				return false
			}
			e := as[*OperationError](t, c.program(t.Context(), 0, data))
			f.drop = nil
			f.chip.SetFaults(nor.Faults{})
			if e.Addr != int64(bad)*256 {
				t.Errorf("page %d is bad: %v", bad, e)
			}
			if !bytes.Equal(f.chip.Bytes(0, bad*256), data[:bad*256]) {
				t.Errorf("page %d is bad: a page before it is not there", bad)
			}
			f.idle(t)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, f := onFirmware(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		must(t, c.LockNonvolatile(t.Context(), 5))
		if e := as[*ProtectedError](t, c.program(t.Context(), 5<<16-1024, noise(1, 4096))); e.Addr != 5<<16 {
			t.Errorf("%v", e)
		}
		f.idle(t)
	})
}

// A failure that does not come again is an error all the same, and so is a break of the link, at its page, which is not done again.
func TestFirmwareFailsOnce(t *testing.T) {
	c, f := onFirmware(t, "MT25QL256ABA", nor.Options{})
	f.atPage = func(n int) { f.chip.SetFaults(nor.Faults{FailProgram: n == 7}) }
	e := as[*OperationError](t, c.program(t.Context(), 0x10000, noise(1, 20*256)))
	if e.Addr != 0x10000 || len(f.runs) != 21 {
		t.Errorf("%v, runs %v", e, f.runs)
	}
	f.idle(t)
	f.runs, f.broken = nil, 5
	err := c.program(t.Context(), 0x20000, noise(1, 20*256))
	as[*spi.FrameError](t, err)
	if want := at("program", 0x20400); len(f.runs) != 1 || !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("%v, runs %v, want %q", err, f.runs, want)
	}
}

// The end of the context acts between runs.
func TestFirmwareCancelled(t *testing.T) {
	c, f := onFirmware(t, "MT25QL256ABA", nor.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	f.atPage = func(n int) {
		if n == 300 {
			cancel()
		}
	}
	data := noise(1, 700*256)
	is(t, c.program(ctx, 0, data), context.Canceled)
	if !slices.Equal(f.runs, []int{256, 256}) || !bytes.Equal(f.chip.Bytes(0, 512*256), data[:512*256]) || !blank(f.chip.Bytes(512*256, 188*256)) {
		t.Errorf("runs %v", f.runs)
	}
	f.idle(t)
}

// Everything else that a write needs has frames that the firmware carries.
func TestFirmwareWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := onFirmware(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		data := noise(1, 0x12345)
		write(t, c, Extent{0x8000, 0x20000, data})
		if !bytes.Equal(f.chip.Bytes(0x8000, len(data)), data) {
			t.Error("wrong bytes")
		}
		must(t, c.LockNonvolatile(t.Context(), 1))
		must(t, c.ProbeLocked(t.Context(), 0x10000))
		f.idle(t)
	})
}
