package flash

import (
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			c, w := identified(t, p.Name, nor.Options{})
			must(t, c.Freeze(t.Context()))
			must(t, c.LockVolatile(t.Context(), false, Range{0x10000, 0x10000}))
			w.raw([]byte{0x06}, []byte{0xB7})
			must(t, c.Reset(t.Context()))
			got, err := c.Protection(t.Context())
			must(t, err)
			if _, fsr := w.status(); got.Frozen || len(got.LockedRanges()) != 0 || fsr != 0x80 {
				t.Errorf("%s: after reset %v, flag status 0x%02X", p.Name, got.LockedRanges(), fsr)
			}
			w.idle(t)
			for _, op := range []byte{0x66, 0x99} {
				w.drop = dropping(op)
				is(t, c.Reset(t.Context()), ErrNotExecuted)
				w.drop = nil
				w.idle(t)
			}
		}
	})
}

func TestPowerLost(t *testing.T) {
	c, w := identified(t, "MT25QL512ABB", nor.Options{})
	must(t, c.MarkPower(t.Context()))
	for range 2 {
		if lost, err := c.PowerLost(t.Context()); lost || err != nil {
			t.Errorf("lost %v, %v", lost, err)
		}
		// Looking at the chip keeps the mark.
		must(t, c.Contact(t.Context()))
		must(t, c.Read(t.Context(), 0, make([]byte, 300)))
		_, err := c.Protection(t.Context())
		must(t, err)
	}
	w.chip.Power(false)
	_, err := c.PowerLost(t.Context())
	is(t, err, ErrAbsent)
	w.chip.Power(true)
	if lost, err := c.PowerLost(t.Context()); !lost || err != nil {
		t.Errorf("lost %v, %v", lost, err)
	}
	w.drop = dropping(0x06)
	is(t, c.MarkPower(t.Context()), ErrNotExecuted)
	w.drop = nil

	// Another chip in its place is no power cycle of this one.
	other, err := nor.New("MT25QL512ABB", [14]byte{1}, nor.Options{})
	must(t, err)
	w.chip = other
	_, err = c.PowerLost(t.Context())
	as[*OtherChipError](t, err)
}
