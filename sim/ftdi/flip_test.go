package ftdi

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// TestFlips: long wires flip the named bits of every so many-th byte that is read, above their clock and not at it.
func TestFlips(t *testing.T) {
	const n = 6
	for _, c := range []struct {
		above, every int
		divisor      byte
		base         byte // 8A is 30 MHz, 8B 6 MHz
		flipped      []int
	}{
		{0, 0, 0, 0x8A, nil},
		{15_000_000, 0, 1, 0x8A, nil},
		{15_000_000, 0, 0, 0x8A, []int{0, 1, 2, 3, 4, 5}},
		{14_999_999, 3, 1, 0x8A, []int{2, 5}},
		{15_000_000, 1, 0, 0x8B, nil},
		{5_999_999, 4, 0, 0x8B, []int{3}},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, p := mpsse(t, FT2232H, Options{Faults: Faults{FlipAbove: c.above, FlipBits: 0x81, FlipEvery: c.every}})
			want := answers(n)
			for _, i := range c.flipped {
				want[i] ^= 0x81
			}
			if got := exchange(t, d, []byte{c.base, 0x86, c.divisor, 0}, idle, frame(0x20, n-1, 0)); !bytes.Equal(got, want) {
				t.Errorf("%+v: read % x, want % x", c, got, want)
			}
			if got, want := p.trace.String(), "["+bitString(make([]byte, n)...)+"]"; got != want {
				t.Errorf("%+v: the target saw %s, want %s", c, got, want)
			}
		})
	}
}
