package spitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"station/spi"
)

// sizes lie on and beside the borders of packets, transfers and opcodes of every programmer family.
var sizes = []int{0, 1, 2, 29, 30, 31, 32, 33, 61, 62, 63, 64, 65, 255, 256, 257, 507, 508, 509, 510, 511, 512, 513,
	1019, 1020, 1021, 4080, 4096, 16320, 16384, 65535, 65536, 65537}

// pattern returns n bytes that no byte order and no shift by a packet leaves the same.
func pattern(n, seed int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*3+i>>8*7+i>>16*13) + byte(seed*17+1)
	}
	return p
}

// mostOut is the most bytes of Out that a frame may have.
func (r Rig) mostOut() int {
	l := r.Conn.Limits()
	return cmp.Or(l.MaxOut, l.MaxFrame)
}

func testSizes(t *testing.T, r Rig) {
	for _, n := range append(slices.Clone(sizes), r.Conn.Limits().MaxOut) {
		mustDo(t, r, spi.Frame{In: make([]byte, n)})
		mustDo(t, r, spi.Frame{Out: pattern(5, n), In: make([]byte, n)})
		if n <= r.mostOut() {
			mustDo(t, r, spi.Frame{Out: pattern(n, n)})
			mustDo(t, r, spi.Frame{Out: pattern(n, n), In: make([]byte, 3)})
		}
	}
	// Bit order: a byte that is no palindrome, both ways.
	mustDo(t, r, spi.Frame{Out: []byte{0x80, 0x01, 0xB4}, In: make([]byte, 3)})
}

func testBatch(t *testing.T, r Rig) {
	var frames []spi.Frame
	for i := range 300 {
		frames = append(frames, spi.Frame{Out: pattern(i%7, i), In: make([]byte, i*13%70)})
	}
	mustDo(t, r, frames...)
	mustDo(t, r, frames[17])
}

func testLargeBatch(t *testing.T, r Rig) {
	// Enough for several transfers whatever the driver's cap; page programs with status reads, then reads.
	var frames []spi.Frame
	for n := 0; n < 200<<10; n += 262 {
		frames = append(frames,
			spi.Frame{Out: []byte{0x06}},
			spi.Frame{Out: pattern(260, n), Idle: 50 * time.Microsecond},
			spi.Frame{Out: []byte{0x05}, In: make([]byte, 1)})
	}
	for range 20 {
		frames = append(frames, spi.Frame{Out: pattern(4, 9), In: make([]byte, 40000)})
	}
	mustDo(t, r, frames...)
}

func testLargeFrame(t *testing.T, r Rig) {
	n := min(r.Conn.Limits().MaxFrame-5, 1<<20)
	mustDo(t, r,
		spi.Frame{Out: []byte{0x9F}, In: make([]byte, 3)},
		spi.Frame{Out: pattern(5, 1), In: make([]byte, n)},
		spi.Frame{Out: pattern(min(n, r.mostOut()), 2), In: make([]byte, 2)},
		spi.Frame{Out: []byte{0x05}, In: make([]byte, 1)})
}

func testNoFrames(t *testing.T, r Rig) {
	mustDo(t, r)
	mustDo(t, r, spi.Frame{}, spi.Frame{})
}

// testRandom is the property: whatever the frames, the chip sees them and they hold its answers.
func testRandom(t *testing.T, r Rig) {
	size := rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(0, 600), rapid.SampledFrom(sizes[:len(sizes)-3]))
	idle := rapid.SampledFrom([]time.Duration{0, 0, 0, time.Nanosecond, 30 * time.Microsecond, 5 * time.Millisecond, 40 * time.Millisecond})
	frame := rapid.Custom(func(t *rapid.T) spi.Frame {
		return spi.Frame{
			Out:    pattern(min(size.Draw(t, "out"), r.mostOut()), rapid.IntRange(0, 255).Draw(t, "seed")),
			In:     make([]byte, size.Draw(t, "in")),
			Idle:   idle.Draw(t, "idle"),
			Secret: rapid.Bool().Draw(t, "secret"),
		}
	})
	// Not t itself: rapid would ask it for its deadline, which a bubble does not have.
	rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
		mustDo(t, r, rapid.SliceOfN(frame, 1, 12).Draw(t, "frames")...)
		if n := r.Chip.Stray(); n != 0 {
			t.Fatalf("%d stray events at the pins", n)
		}
	})
}

// testBarrier looks at the chip the moment Do returns, where no answer was asked for.
func testBarrier(t *testing.T, r Rig) {
	for _, n := range []int{1, 40, 1000} {
		var frames []spi.Frame
		for i := range n {
			frames = append(frames, spi.Frame{Out: pattern(30, i)})
		}
		mustDo(t, r, frames...)
	}
}

func testLimits(t *testing.T, r Rig) {
	l := r.Conn.Limits()
	if l.ByteTime <= 0 || l.ByteTime > time.Millisecond || l.MaxFrame < 512 || r.mostOut() < 261 || r.mostOut() > l.MaxFrame || l.Grain < 1 {
		t.Fatalf("limits %+v make no sense", l)
	}
	mustDo(t, r, spi.Frame{Out: pattern(min(4096, r.mostOut()), 0)})
	seen := r.Chip.Since(0)[0]
	n := len(seen.Bytes)
	if took, least := seen.Released.Sub(seen.Selected), l.ByteTime*time.Duration(n)*9/10; took < least {
		t.Errorf("%d bytes took %v on the wire, less than the %v that ByteTime %v promises", n, took, least, l.ByteTime)
	}
	if again := r.Conn.Limits(); again != l {
		t.Errorf("limits changed from %+v to %+v", l, again)
	}
}

func testIdle(t *testing.T, r Rig) {
	var frames []spi.Frame
	var sum time.Duration
	for _, d := range []time.Duration{0, time.Microsecond, 10 * time.Microsecond, 400 * time.Microsecond, 3 * time.Millisecond,
		19 * time.Millisecond, 20 * time.Millisecond, 21 * time.Millisecond, 150 * time.Millisecond, -time.Second, 2 * time.Second} {
		for i := range 3 {
			frames = append(frames, spi.Frame{Out: pattern(4, i), In: make([]byte, i), Idle: d})
			sum += max(d, 0)
		}
	}
	for range 300 { // so many that a shortfall adds up to more than a tick
		frames = append(frames, spi.Frame{Out: pattern(1, 1), Idle: 7 * time.Microsecond})
		sum += 7 * time.Microsecond
	}
	for i := range 33 {
		checkIdle(t, r, fmt.Sprintf("alone, frame %d", i), frames[i])
	}
	start := time.Now()
	checkIdle(t, r, "batch", frames...)
	if took := time.Since(start); took > sum+sum/2+time.Second {
		t.Errorf("idles of %v in all took %v", sum, took)
	}
}

// checkIdle compares the times between the chip's frames, and from the last one to the end of Do.
func checkIdle(t *testing.T, r Rig, name string, frames ...spi.Frame) {
	t.Helper()
	before := r.Chip.Count()
	if err := r.Conn.Do(context.Background(), frames...); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	check(t, r, before, frames)
	seen := r.Chip.Since(before)
	var sum time.Duration
	for i, f := range frames {
		next := end
		if i+1 < len(seen) {
			next = seen[i+1].Selected
		}
		if gap := next.Sub(seen[i].Released); gap+r.Tick < f.Idle {
			t.Errorf("%s: chip select was high for %v after frame %d, want at least %v", name, gap, i, f.Idle)
		}
		sum += max(f.Idle, 0)
		if since := next.Sub(seen[0].Released); since+r.Tick < sum {
			t.Errorf("%s: frame %d ended its idle time %v after the first one, want at least %v", name, i, since, sum)
		}
	}
}
