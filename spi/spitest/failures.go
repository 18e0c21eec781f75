package spitest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"station/spi"
)

// bounded is the longest that a failing Do of small frames may take.
const bounded = 10 * time.Second

func testCancelledBefore(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := r.Conn.Do(ctx, spi.Frame{Out: []byte{0xC7}}, spi.Frame{In: make([]byte, 4)})
	if f := frameError(t, err, context.Canceled); f.Index != 0 || f.Sent != spi.No {
		t.Errorf("error is %v, want frame 0 not sent", f)
	}
	if n := r.Chip.Count(); n != 0 {
		t.Errorf("the chip saw %d frames", n)
	}
	mustDo(t, r, spi.Frame{Out: []byte{0x9F}, In: make([]byte, 3)})
}

// testCancelledAmid cancels at different frames of a Do that takes many transfers.
func testCancelledAmid(t *testing.T, r Rig) {
	cut := 0
	for _, at := range []int{0, 9} {
		frames := make([]spi.Frame, 40)
		for i := range frames {
			frames[i] = spi.Frame{Out: pattern(300, i), In: make([]byte, 110_000)}
		}
		if cancelled(t, r, at, frames) {
			cut++
		}
	}
	if cut == 0 {
		t.Error("no cancellation had any effect")
	}
}

// testCancelledInIdle cancels where the driver has nothing to do but wait.
func testCancelledInIdle(t *testing.T, r Rig) {
	frames := make([]spi.Frame, 12)
	for i := range frames {
		frames[i] = spi.Frame{Out: pattern(5, i), In: make([]byte, 2), Idle: 300 * time.Millisecond}
	}
	start := time.Now()
	if !cancelled(t, r, 4, frames) {
		t.Error("cancellation had no effect")
	}
	if took := time.Since(start); took > 6*300*time.Millisecond {
		t.Errorf("Do ended %v after its start", took)
	}
}

// cancelled does frames, cancels when the chip sees the one at index at, and checks that the rest was cut off cleanly.
// It tells whether anything was cut off.
func cancelled(t *testing.T, r Rig, at int, frames []spi.Frame) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	frames = cut(r, frames)
	before := r.Chip.Count()
	r.Chip.OnSelect(func(n int) {
		if n == before+at {
			cancel()
		}
	})
	err := r.Conn.Do(ctx, frames...)
	r.Chip.OnSelect(nil)
	done := len(frames)
	if err != nil {
		f := frameError(t, err, context.Canceled)
		if f.Sent != spi.No {
			t.Fatalf("cancelled at frame %d: %v, want the rest not sent", at, f)
		}
		done = f.Index
	}
	check(t, r, before, frames[:done])
	mustDo(t, r, spi.Frame{Out: []byte{0x9F}, In: make([]byte, 600)}) // no stale answer, not out of step
	return done < len(frames)
}

func testCancelledInLastIdle(t *testing.T, r Rig) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	start := time.Now()
	frames := []spi.Frame{{Out: []byte{0x06}}, {Out: []byte{0xC7}, Idle: time.Minute}}
	err := r.Conn.Do(ctx, frames...)
	if f := frameError(t, err, context.DeadlineExceeded); f.Index != 1 || f.Sent != spi.Yes {
		t.Errorf("error is %v, want frame 1 sent", f)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Do ended %v after its start", took)
	}
	check(t, r, 0, frames)
	mustDo(t, r, spi.Frame{Out: []byte{0x05}, In: make([]byte, 1)})
}

func testTooLarge(t *testing.T, r Rig) {
	huge := spi.Frame{Out: []byte{0x03}, In: make([]byte, r.Conn.Limits().MaxFrame)}
	long := spi.Frame{Out: make([]byte, r.mostOut()+1)}
	for _, frames := range [][]spi.Frame{{huge}, {{Out: []byte{0x06}}, huge}, {long}, {{Out: []byte{0x06}}, long}} {
		before := r.Chip.Count()
		if f := frameError(t, r.Conn.Do(context.Background(), frames...), nil); f.Sent != spi.No {
			t.Errorf("error is %v, want not sent", f)
		} else if n := r.Chip.Count() - before; n != f.Index {
			t.Errorf("the chip saw %d frames, the error tells of %d", n, f.Index)
		}
	}
	mustDo(t, r, spi.Frame{Out: []byte{0x9F}, In: make([]byte, 3)})
}

func testUnpluggedBefore(t *testing.T, r Rig) {
	r.Unplug()
	Broken(t, r, r.Gone, program(20))
}

func testUnpluggedAmid(t *testing.T, r Rig) {
	r.Chip.OnSelect(func(n int) {
		if n == 30 {
			go r.Unplug()
		}
	})
	Broken(t, r, r.Gone, program(1000))
}

func testMuteBefore(t *testing.T, r Rig) {
	r.Mute()
	Broken(t, r, r.Silent, program(20))
}

func testMuteAmid(t *testing.T, r Rig) {
	r.Chip.OnSelect(func(n int) {
		if n == 30 {
			r.Mute()
		}
	})
	Broken(t, r, r.Silent, program(1000))
}

// program returns the frames of n page programs.
func program(n int) []spi.Frame {
	var frames []spi.Frame
	for i := range n {
		frames = append(frames,
			spi.Frame{Out: []byte{0x06}},
			spi.Frame{Out: pattern(260, i), Idle: 100 * time.Microsecond},
			spi.Frame{Out: []byte{0x05}, In: make([]byte, 4)})
	}
	return frames
}

// Broken does frames over a link that fails in the midst with want (nil for any error), and compares what
// the error claims with what the chip saw. It returns the error.
func Broken(t *testing.T, r Rig, want error, frames []spi.Frame) *spi.FrameError {
	t.Helper()
	frames = cut(r, frames)
	start := time.Now()
	err := r.Conn.Do(context.Background(), frames...)
	f := frameError(t, err, want)
	if took := time.Since(start); took > bounded {
		t.Errorf("Do failed after %v", took)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v looks like a cancellation by the caller", err)
	}
	seen := r.Chip.Since(0)
	if len(seen) < f.Index {
		t.Fatalf("%v: but the chip saw only %d frames", f, len(seen))
	}
	for i := range f.Index {
		if err := seen[i].differs(frames[i]); err != nil {
			t.Fatalf("%v: but frame %d: %v", f, i, err)
		}
	}
	switch whole := len(seen) > f.Index && seen[f.Index].differs(spi.Frame{Out: frames[f.Index].Out}) == nil; {
	case f.Sent == spi.No && len(seen) > f.Index:
		t.Errorf("%v: but the chip saw it", f)
	case f.Sent == spi.Yes && len(frames[f.Index].In) == 0 && !whole:
		t.Errorf("%v: but the chip did not see it whole", f)
	}
	start = time.Now()
	if f := frameError(t, r.Conn.Do(context.Background(), frames...), nil); f.Index != 0 || f.Sent != spi.No {
		t.Errorf("a broken link answers %v, want frame 0 not sent", f)
	}
	if took := time.Since(start); took > 100*time.Millisecond {
		t.Errorf("a broken link takes %v to say so", took)
	}
	return f
}

// testSecret looks for the bytes of secret frames, in any common spelling, in the errors.
func testSecret(t *testing.T, r Rig) {
	secret := []byte("\x28open sesame 0")
	frames := []spi.Frame{
		{Out: secret, Secret: true},
		{Out: []byte{0x27}, In: make([]byte, 9), Secret: true},
	}
	mustDo(t, r, frames...)
	answered := bytes.Clone(frames[1].In)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	errs := []error{
		r.Conn.Do(ctx, frames...),
		r.Conn.Do(context.Background(), append(frames, spi.Frame{In: make([]byte, r.Conn.Limits().MaxFrame+1)})...),
	}
	r.Mute()
	errs = append(errs, r.Conn.Do(context.Background(), frames...))
	for _, err := range errs {
		if err == nil {
			t.Fatal("no error")
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, text := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
				for _, s := range [][]byte{secret, answered} {
					if spelled(text, s) {
						t.Errorf("the error %q holds bytes of a secret frame", text)
					}
				}
			}
		}
	}
}

// spelled tells whether text holds p, as it is, in hex with and without gaps, or as Go prints it.
func spelled(text string, p []byte) bool {
	text = strings.ToLower(text)
	for _, s := range []string{string(p), hex.EncodeToString(p), fmt.Sprintf("% x", p), fmt.Sprint(p), fmt.Sprintf("%#v", p), fmt.Sprintf("%q", p)} {
		if strings.Contains(text, strings.ToLower(strings.Trim(s, `"[]`))) {
			return true
		}
	}
	return false
}

func testClose(t *testing.T, r Rig) {
	mustDo(t, r, spi.Frame{Out: []byte{0x9F}, In: make([]byte, 3)})
	for range 2 {
		if err := r.Conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r.Chip.Selected() {
		t.Error("the chip is selected after Close")
	}
	err := r.Conn.Do(context.Background(), spi.Frame{Out: []byte{0x06}})
	if f := frameError(t, err, nil); f.Index != 0 || f.Sent != spi.No {
		t.Errorf("a closed Conn answers %v, want frame 0 not sent", f)
	}
	if n := r.Chip.Count(); n != 1 {
		t.Errorf("the chip saw %d frames, want 1", n)
	}
}
