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

var errSilent = errors.New("no page is taken")

// firmware is a wire whose programmer programs pages itself, and carries frames of 16 bytes each way, besides reads.
type firmware struct {
	*wire
	runs   []int       // pages of each
	atPage func(n int) // before the page with this number, over all runs
	total  int
	broken int  // the page of a run at which the link breaks, counted from 1
	most   int  // how often it asks for the status of a page; 0: until the chip is ready
	gives  bool // it goes on with the next page then; otherwise it takes no more
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
		asked := 0
		for status := []byte{1}; status[0]&1 != 0 && (f.most == 0 || asked < f.most); time.Sleep(10 * time.Microsecond) {
			f.frame(spi.Frame{Out: []byte{0x05}, In: status})
			asked++
		}
		if asked == f.most && asked > 0 && !f.gives && len(data) > 256 {
			return &spi.FrameError{Index: page + 1, Err: errSilent}
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

// A failure that does not come again is told at its page, which is found by what it holds, and where that is as wanted, as the run's range. A break of the link is
// told at its page. Nothing is done again.
func TestFirmwareFailsOnce(t *testing.T) {
	c, f := onFirmware(t, "MT25QL256ABA", nor.Options{})
	f.raw([]byte{0x06}, []byte{0x12, 0, 0x01, 0x03, 0, 0}) // bits that are 0 already are none that a program lacks
	f.atPage = func(n int) { f.chip.SetFaults(nor.Faults{FailProgram: n == 7}) }
	data := noise(1, 20*256)
	e := as[*OperationError](t, c.program(t.Context(), 0x10010, data))
	if e.Op != "program" || e.Addr != 0x10700 || len(f.runs) != 1 {
		t.Errorf("%v, runs %v", e, f.runs)
	}
	f.idle(t)
	f.runs, f.total = nil, 0
	f.raw([]byte{0x06}, append([]byte{0x12, 0, 0x02, 0x07, 0}, data[0x700-0x10:][:256]...))
	e = as[*OperationError](t, c.program(t.Context(), 0x20010, data))
	if e.Op != "program at 0x020010 to 0x02140F" || e.Addr != -1 || len(f.runs) != 1 {
		t.Errorf("%v, runs %v", e, f.runs)
	}
	f.idle(t)
	f.runs, f.broken = nil, 5
	err := c.program(t.Context(), 0x30000, data)
	as[*spi.FrameError](t, err)
	if want := at("program", 0x30400); len(f.runs) != 1 || !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("%v, runs %v, want %q", err, f.runs, want)
	}
}

// What cannot be read twice alike, or not at all, names no page.
func TestFirmwareFailsUnread(t *testing.T) {
	for _, unread := range []int{1, 2} {
		c, f := onFirmware(t, "MT25QL256ABA", nor.Options{})
		f.atPage = func(n int) { f.chip.SetFaults(nor.Faults{FailProgram: n == 7}) }
		reads := 0
		f.fail = func(out []byte) error {
			if out[0] == 0x13 {
				if reads++; reads == unread {
					return errors.New("broken")
				}
			}
			return nil
		}
		if e := as[*OperationError](t, c.program(t.Context(), 0x10000, noise(1, 20*256))); e.Op != "program at 0x010000 to 0x0113FF" || e.Addr != -1 {
			t.Errorf("reading %d breaks: %v", unread, e)
		}
	}
	c, f := onFirmware(t, "MT25QL256ABA", nor.Options{})
	f.atPage = func(n int) { f.chip.SetFaults(nor.Faults{FailProgram: n == 7}) }
	reads := 0
	f.forge = func(out, in []byte) { // a bad contact: two pages before have bits only once that they lack
		if out[0] == 0x13 {
			if reads++; reads == 1 {
				in[0], in[0x300] = 0xFF, 0xFF
			}
		}
	}
	if e := as[*OperationError](t, c.program(t.Context(), 0x10000, noise(1, 20*256))); e.Addr != 0x10700 || reads != 2 {
		t.Errorf("%v, %d readings", e, reads)
	}
}

// A chip that hangs in a run is at fault, not the programmer, whether that goes on or takes no more pages: it is told as the range in which it was. A chip that
// is gone is a bad contact, and where the chip is ready the programmer is at fault.
func TestFirmwareHangs(t *testing.T) {
	for _, row := range []struct {
		name    string
		gives   bool
		pages   int
		at      int    // the page that hangs
		op      string // of the error
		addr    int64
		contact error
	}{
		{"the firmware goes on", true, 20, 7, "program at 0x010000 to 0x0113FF", -1, nil},
		{"the firmware takes no more", false, 20, 7, "program at 0x010000 to 0x0108FF", -1, nil},
		{"the last page", false, 20, 19, "program at 0x010000 to 0x0113FF", -1, nil},
		{"a page alone", true, 1, 0, "program", 0x10000, nil},
		{"no chip any more", false, 20, 7, "program at 0x010000 to 0x0108FF", -1, ErrAbsent},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, f := onFirmware(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
			f.most, f.gives = 1000, row.gives
			f.atPage = func(n int) {
				switch {
				case n != row.at:
				case row.contact != nil:
					f.drop = func([]byte) bool { return true }
				default:
					f.chip.SetFaults(nor.Faults{StuckBusy: true})
				}
			}
			e := as[*BusyError](t, c.program(t.Context(), 0x10000, noise(1, row.pages*256)))
			if e.StuckBusy != (row.contact == nil) || !errors.Is(e, row.contact) && row.contact != nil || e.Op != row.op || e.Addr != row.addr || len(f.runs) != 1 {
				t.Errorf("%s: %v, runs %v", row.name, e, f.runs)
			}
			if row.contact == nil {
				must(t, c.Contact(t.Context()))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, f := onFirmware(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		f.most = 1 // of a page that the chip ends in time
		err := c.program(t.Context(), 0x10000, noise(1, 20*256))
		is(t, err, errSilent)
		as[*spi.FrameError](t, err)
	})
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
