package flash

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

func TestReadRefuses(t *testing.T) {
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	for addr, n := range map[int64]int{-1: 1, c.Part().Size: 1, c.Part().Size - 1: 2} {
		if c.Read(t.Context(), addr, make([]byte, n)) == nil {
			t.Errorf("read %d bytes at %d", n, addr)
		}
	}
	bad := []Extent{{c.Part().Size, 1, nil}}
	if _, err := c.Survey(t.Context(), bad, nil); err == nil || c.Verify(t.Context(), bad, nil) == nil {
		t.Error("an extent outside was read")
	}
	if w.trips != 0 {
		t.Error("bad input reached the chip")
	}
	must(t, c.Read(t.Context(), c.Part().Size, nil))
}

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QU256ABA", nor.Options{Seed: 5})
		data := noise(1, 0x21000)
		want := []Extent{{0x11000, 0x24000, data}, {0x100, 3, nil}}
		write(t, c, want[0])
		var last int64
		must(t, c.Verify(t.Context(), want, func(done, total int64) {
			if done <= last || total != 0x25000 { // with what rounding adds
				t.Errorf("progress %d of %d", done, total)
			}
			last = done
		}))
		if last != 0x25000 {
			t.Errorf("progress ended at %d", last)
		}
		w.chip.SetFaults(nor.Faults{Flip: map[uint32]byte{0x31234: 0x40, 0x31FFF: 1}})
		e := as[*MismatchError](t, c.Verify(t.Context(), want, nil))
		if *e != (MismatchError{0x31234, data[0x20234], data[0x20234] ^ 0x40}) {
			t.Errorf("%+v", e)
		}
		// What rounding adds is nobody's business here.
		w.chip.SetFaults(nor.Faults{Flip: map[uint32]byte{0x99: 0x01, 0x104: 1}})
		must(t, c.Verify(t.Context(), want, nil))
		// In the part that is to be blank.
		w.chip.SetFaults(nor.Faults{Flip: map[uint32]byte{0x33000: 0x01}})
		if e := as[*MismatchError](t, c.Verify(t.Context(), want, nil)); *e != (MismatchError{0x33000, 0xFF, 0xFE}) {
			t.Errorf("%+v", e)
		}
		w.chip.SetFaults(nor.Faults{WeakContact: 5000})
		as[*UnstableError](t, c.Verify(t.Context(), want, nil))
		// One reading wrong, the next one right: still no match.
		w.chip.SetFaults(nor.Faults{})
		once := true
		w.forge = func(out, in []byte) {
			if out[0] == 0x13 && once {
				once = false
				in[0x101] ^= 0x10
			}
		}
		if e := as[*UnstableError](t, c.Verify(t.Context(), want, nil)); e.Addr != 0x101 || e.First[0] != 0xEF || e.Second[0] != 0xFF {
			t.Errorf("%+v", e)
		}
		ctx, cancel := context.WithCancel(t.Context())
		is(t, c.Verify(ctx, want, func(int64, int64) { cancel() }), context.Canceled)
	})
}

func TestSurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABA", nor.Options{})
		write(t, c, Extent{0x30010, 0x10, []byte{1, 2, 3}})
		var calls int
		known, err := c.Survey(t.Context(), []Extent{{0x2FFFF, 2, nil}, {0x3FFFF, 1, nil}, {0xFFFFFF, 1, nil}}, func(done, total int64) {
			if calls++; done != int64(calls)<<16 || total != 3<<16 {
				t.Errorf("progress %d of %d", done, total)
			}
		})
		must(t, err)
		if len(known) != 3 || calls != 3 || !known[2].Blank || !known[255].Blank || known[3].Blank {
			t.Errorf("%d sectors known", len(known))
		}
		if !bytes.Equal(known.Sector(3).Data, w.chip.Bytes(0x30000, 0x10000)) {
			t.Error("sector 3 is not what the chip holds")
		}
		if k := known.Sector(7); k.Blank || k.Data != nil {
			t.Error("sector 7 is known")
		}
		w.chip.SetFaults(nor.Faults{})
		w.chip.Power(false)
		_, err = c.Survey(t.Context(), []Extent{{0, 1, nil}}, nil)
		is(t, err, ErrAbsent)
	})
}
