package flash

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

// The check values of the fact sheet, section 9; and one piece is as good as many.
func TestCRC64(t *testing.T) {
	const text = "123456789"
	for reflected, want := range map[bool]uint64{false: 0x6C40DF5F0B497347, true: 0x2B9C7EE4E2780C8A} {
		if got := CRC64(reflected, []byte(text)); got != want {
			t.Errorf("reflected %v: %016X, want %016X", reflected, got, want)
		}
		if got := CRC64(reflected, []byte(text[:2]), nil, []byte(text[2:])); got != want {
			t.Errorf("in pieces: %016X", got)
		}
		long := noise(1, 1000)
		if CRC64(reflected, long) != CRC64(reflected, long[:300], long[300:]) || CRC64(reflected) != 0 {
			t.Error("pieces differ from the whole")
		}
		// By the definition, a bit at a time.
		var crc uint64
		for _, b := range long {
			for i := range 8 {
				bit := uint64(b>>(7-i)) & 1
				if reflected {
					bit = uint64(b>>i) & 1
				}
				if top := crc >> 63; top != bit {
					crc = crc<<1 ^ 0x42F0E1EBA9EA3693
				} else {
					crc <<= 1
				}
			}
		}
		if reflected {
			var turned uint64
			for i := range 64 {
				turned |= crc >> i & 1 << (63 - i)
			}
			crc = turned
		}
		if got := CRC64(reflected, long); got != crc {
			t.Errorf("reflected %v: %016X, by the definition %016X", reflected, got, crc)
		}
	}
}

// With every layout that the simulator can have, whole parts and ranges at both ends, in both address modes.
func TestCheckCRC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := range 8 {
			o := nor.Options{Pace: nor.Real, CRC: nor.CRC{Unreflected: n&1 != 0, ModeAddresses: n&2 != 0, NoDummy: n&4 != 0}}
			for _, name := range []string{"MT25QL128ABA", "MT25QL256ABA"} {
				p := layoutCRC(t, name, o)
				c, w := identified(t, name, o, p)
				data := noise(uint64(n), 0x3000)
				write(t, c, Extent{0x1000, 0x3000, data}, Extent{p.Size - 0x2000, 0x2000, data[:0x1234]})
				for _, r := range []Range{{0x1000, 0x3000}, {0x1003, 5}, {p.Size - 0x2000, 0x1234}, {p.Size - 1, 1}, {0, 1}} {
					want := CRC64(p.CRC.Reflected, w.chip.Bytes(uint32(r.Addr), int(r.Size)))
					if err := c.CheckCRC(t.Context(), r, want); err != nil {
						t.Fatalf("%+v: %s: %v", o.CRC, name, err)
					}
					for _, bad := range []uint64{want ^ 1, ^want} {
						err := c.CheckCRC(t.Context(), r, bad)
						if bad == ^want {
							is(t, err, ErrNotExecuted) // the chip found right what was to be wrong
						} else if e := as[*CRCError](t, err); *e != (CRCError{r, bad, want}) {
							t.Errorf("%+v: %v", o.CRC, err)
						}
					}
					w.idle(t)
				}
				if n == 0 && name == "MT25QL128ABA" {
					all := CRC64(p.CRC.Reflected, w.chip.Bytes(0, int(p.Size)))
					must(t, c.CheckCRC(t.Context(), Range{0, p.Size}, all))
					as[*CRCError](t, c.CheckCRC(t.Context(), Range{0, p.Size}, all+1))
				}
				if _, fsr := w.status(); fsr != 0x80 {
					t.Errorf("flag status 0x%02X", fsr)
				}
			}
		}
	})
}

// layoutCRC is the profile that fits a chip with these options.
func layoutCRC(t *testing.T, name string, o nor.Options) *Part {
	t.Helper()
	p, err := partNamed(name)
	must(t, err)
	p.CRC.Reflected = !o.CRC.Unreflected
	if o.CRC.ModeAddresses {
		p.CRC.AddressBytes = 0
	}
	if o.CRC.NoDummy {
		p.CRC.ReadDummy = 0
	}
	return p
}

// A check that did not happen is never taken for a match, whatever frame is lost or garbled.
func TestCheckCRCNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABA", nor.Options{Pace: nor.Real})
		r := Range{0, 4096}
		want := CRC64(true, w.chip.Bytes(0, 4096))
		must(t, c.CheckCRC(t.Context(), r, want))
		w.drop = dropping(0x9B)
		is(t, c.CheckCRC(t.Context(), r, want), ErrNotExecuted)
		w.drop = dropping(0x96)
		as[*CRCError](t, c.CheckCRC(t.Context(), r, want))
		w.drop = func(out []byte) bool { return out[0] != 0x05 && out[0] != 0x70 && out[0] != 0x9B && out[0] != 0x50 }
		is(t, c.CheckCRC(t.Context(), r, want), ErrAbsent)
		w.drop = nil
		w.idle(t)
		passed := 0
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, 4))
			w.drop = func([]byte) bool { return rnd.IntN(12) == 0 }
			if err := c.CheckCRC(t.Context(), r, want^4); err == nil {
				t.Errorf("seed %d: a wrong CRC was right", seed)
			}
			if c.CheckCRC(t.Context(), r, want) == nil {
				passed++
			}
		}
		if passed == 0 || passed == 60 {
			t.Errorf("%d of 60 came through", passed)
		}
	})
}

func TestCheckCRCRefuses(t *testing.T) {
	for _, name := range []string{"MT25QL128ABB", "MT25QL01GBBB"} {
		c, w := identified(t, name, nor.Options{})
		is(t, c.CheckCRC(t.Context(), Range{0, 4096}, 0), ErrNoCRC)
		if w.trips != 0 {
			t.Error("something was sent")
		}
	}
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	for _, r := range []Range{{-1, 1}, {0, 0}, {0, -1}, {c.Part().Size, 1}, {1, c.Part().Size}} {
		if c.CheckCRC(t.Context(), r, 0) == nil {
			t.Errorf("%v was checked", r)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	is(t, c.CheckCRC(ctx, Range{0, 1}, 0), context.Canceled)
	if w.trips != 0 {
		t.Error("something was sent")
	}
	if e := (&CRCError{Range{0x1000, 16}, 1, 0xAB}).Error(); !strings.HasPrefix(e, "CRC of 0x001000..0x00100F is 0x00000000000000AB, want 0x0000000000000001") {
		t.Error(e)
	}
}
