package flash

import (
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// Every value of the status register protects a range, and of every such range BlockProtection knows the value; of no other.
func TestBlockProtectionValues(t *testing.T) {
	for _, p := range Parts() {
		ranges := map[Range]bool{}
		for sr := range 256 {
			r := Protection{SR: byte(sr), part: p}.BlockRange()
			ranges[r] = true
			got, ok := p.BlockProtection(r)
			if !ok || got&^statusBlock != 0 || (Protection{SR: got, part: p}).BlockRange() != r {
				t.Errorf("%s: SR %02X is %v, for that %02X, %v", p.Name, sr, r, got, ok)
			}
		}
		for _, r := range []Range{{0, 1}, {0, 0x30000}, {0x10000, 0x10000}, {0, 2 * p.Size}, {-0x10000, 0x10000}, {p.Size - 0x20000, 0x10000}, {0, -0x10000}} {
			if _, ok := p.BlockProtection(r); ok || ranges[r] {
				t.Errorf("%s: %v can be protected", p.Name, r)
			}
		}
	}
	p, err := partNamed("MT25QL256ABA")
	must(t, err)
	for r, want := range map[Range]byte{
		{}: 0, {0x1FF0000, 0x10000}: 0x04, {0, 0x10000}: 0x24, {0x1FE0000, 0x20000}: 0x08, {0, 0x800000}: 0x60, {0x1000000, 0x1000000}: 0x44, {0, 0x2000000}: 0x48,
	} {
		if got, ok := p.BlockProtection(r); got != want || !ok {
			t.Errorf("%v: %02X, want %02X", r, got, want)
		}
	}
}

// The chip agrees: the first and last byte of the range are refused, their neighbours are not, and all of it is lifted again.
func TestProtectBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			c, w := identified(t, p.Name, nor.Options{Pace: nor.Real})
			for _, r := range []Range{{0, 0x10000}, {p.Size - 0x40000, 0x40000}, {0, p.Size / 2}, {0, p.Size}, {p.Size / 2, p.Size / 2}} {
				must(t, c.ProtectBlock(t.Context(), r))
				must(t, c.ProtectBlock(t.Context(), r))
				got, err := c.Protection(t.Context())
				must(t, err)
				if got.BlockRange() != r || !got.Locked(r.Addr, r.Size) {
					t.Errorf("%s: %v is protected, not %v", p.Name, got.BlockRange(), r)
				}
				must(t, c.ProbeLocked(t.Context(), r.Addr))
				must(t, c.ProbeLocked(t.Context(), r.Addr+r.Size-1))
				for _, outside := range []int64{r.Addr - 1, r.Addr + r.Size} {
					if outside >= 0 && outside < p.Size {
						must(t, c.program(t.Context(), outside, []byte{0}))
					}
				}
			}
			must(t, c.ProtectBlock(t.Context(), Range{}))
			must(t, c.program(t.Context(), 0, []byte{0}))
			w.idle(t)
		}
	})
}

func TestProtectBlockFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		if c.ProtectBlock(t.Context(), Range{0x10000, 0x10000}) == nil || w.trips != 0 {
			t.Error("a range that cannot be protected reached the chip")
		}
		r := Range{0, 0x10000}
		w.drop = dropping(0x01)
		is(t, c.ProtectBlock(t.Context(), r), ErrNotExecuted)
		w.drop = nil
		w.idle(t)
		w.chip.SetFaults(nor.Faults{FailProgram: true})
		as[*OperationError](t, c.ProtectBlock(t.Context(), r))
		w.idle(t)
		w.chip.SetFaults(nor.Faults{})
		// Bit 7 stays.
		w.raw([]byte{0x06}, []byte{0x01, 0x80})
		time.Sleep(time.Second)
		must(t, c.ProtectBlock(t.Context(), r))
		if sr, _ := w.status(); sr != 0xA4 {
			t.Errorf("status 0x%02X", sr)
		}
		// A register that takes some of the bits only.
		w.forge = func(out, in []byte) {
			if out[0] == 0x05 {
				for i := range in {
					in[i] &^= 0x40
				}
			}
		}
		is(t, c.ProtectBlock(t.Context(), Range{0, c.Part().Size}), ErrNotExecuted)
		w.forge = nil
		w.chip.SetFaults(nor.Faults{StuckBusy: true})
		if e := as[*BusyError](t, c.ProtectBlock(t.Context(), r)); e.Limit != 100*time.Millisecond {
			t.Errorf("%v", e)
		}
	})
}
