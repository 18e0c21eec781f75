// Package spitest is the contract suite of spi.Conn: what every driver must do, judged by what arrives at the
// pins. A driver's tests call Run with a way to open it over a Chip.
//
// What is particular to one programmer or to one flash does not belong here.
package spitest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/spi"
)

// Rig is one freshly opened driver whose pins lead to Chip.
type Rig struct {
	Conn interface {
		spi.Conn
		Close() error
	}
	Chip *Chip
	// Unplug takes the programmer off the bus; Do then fails with an error that wraps Gone. It is called from
	// a goroutine of its own, also while a Do is under way.
	Unplug func()
	Gone   error
	// Mute makes the programmer fall silent for good: it accepts everything and answers nothing. Do then fails with an
	// error that wraps Silent.
	Mute   func()
	Silent error
	// Tick is how coarse the simulated programmer's time is: a moment that Chip recorded may be wrong by this much.
	Tick time.Duration
}

// Run runs the suite. A Conn with a MaxAnswer gets every frame of it cut to that, Out and In each; what more it carries is for the driver's own tests. open is called inside a testing/synctest bubble: a programmer that takes its real
// time costs none here. Everything that open starts must end with the cleanup of its t.
func Run(t *testing.T, open func(t *testing.T) Rig) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, r Rig)
	}{
		{"Sizes", testSizes},
		{"Batch", testBatch},
		{"LargeBatch", testLargeBatch},
		{"LargeFrame", testLargeFrame},
		{"NoFrames", testNoFrames},
		{"Random", testRandom},
		{"Barrier", testBarrier},
		{"Limits", testLimits},
		{"Idle", testIdle},
		{"CancelledBefore", testCancelledBefore},
		{"CancelledAmid", testCancelledAmid},
		{"CancelledInIdle", testCancelledInIdle},
		{"CancelledInLastIdle", testCancelledInLastIdle},
		{"TooLarge", testTooLarge},
		{"UnpluggedBefore", testUnpluggedBefore},
		{"UnpluggedAmid", testUnpluggedAmid},
		{"MuteBefore", testMuteBefore},
		{"MuteAmid", testMuteAmid},
		{"Secret", testSecret},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.test(t, open(t)) })
		})
	}
}

// fataler is what testing.T and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// mustDo carries out frames and compares what the chip saw and said.
func mustDo(t fataler, r Rig, frames ...spi.Frame) {
	t.Helper()
	frames = cut(r, frames)
	before := r.Chip.Count()
	if err := r.Conn.Do(context.Background(), frames...); err != nil {
		t.Fatalf("Do: %v", err)
	}
	check(t, r, before, frames)
}

// cut returns frames as far as the Conn's MaxAnswer lets it carry them.
func cut(r Rig, frames []spi.Frame) []spi.Frame {
	most := r.Conn.Limits().MaxAnswer
	if most == 0 {
		return frames
	}
	frames = slices.Clone(frames)
	for i := range frames {
		f := &frames[i]
		f.Out, f.In = f.Out[:min(len(f.Out), most)], f.In[:min(len(f.In), most)]
	}
	return frames
}

// check wants the chip to have seen exactly frames since its frame number before, and their In to be its answers.
func check(t fataler, r Rig, before int, frames []spi.Frame) {
	t.Helper()
	seen := r.Chip.Since(before)
	if len(seen) != len(frames) {
		t.Fatalf("the chip saw %d frames of %d", len(seen), len(frames))
	}
	if r.Chip.Selected() {
		t.Fatalf("the chip is still selected")
	}
	for i, f := range frames {
		if err := seen[i].differs(f); err != nil {
			t.Fatalf("frame %d of %d: %v", i, len(frames), err)
		}
	}
}

// frameError wants err to be a *spi.FrameError around target.
func frameError(t fataler, err, target error) *spi.FrameError {
	t.Helper()
	var f *spi.FrameError
	if !errors.As(err, &f) {
		t.Fatalf("error is %v, want a *spi.FrameError", err)
	}
	if target != nil && !errors.Is(err, target) {
		t.Fatalf("error is %v, want it to wrap %q", err, target)
	}
	return f
}
