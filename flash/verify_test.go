package flash

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// prove does what a write step does: sample, plan, apply, compare, and what is not right then. It returns both plans.
func prove(t *testing.T, c *Chip, want ...Extent) (plan, rest *Plan) {
	t.Helper()
	known, err := c.Sample(t.Context(), want)
	must(t, err)
	plan = mustPlan(t, c, known, want...)
	must(t, c.Apply(t.Context(), plan, nil))
	known, err = c.Compare(t.Context(), want, nil)
	must(t, err)
	rest = mustPlan(t, c, known, want...)
	must(t, c.Apply(t.Context(), rest, nil))
	must(t, c.Verify(t.Context(), rest.Touched(want), nil))
	return plan, rest
}

// What a sample of a page a sector makes of every kind of part, and what it costs: reads of the array, erases, programs.
func TestSampleAndCompare(t *testing.T) {
	const sectors = 20
	image := noise(1, sectors<<16)
	fillFF(image[5<<16+100 : 6<<16]) // a sector whose last pages are blank
	fillFF(image[7<<16 : 8<<16])     // and one that is blank
	want := []Extent{{0x20000, sectors << 16, image}}
	for name, x := range map[string]struct {
		before         func(present []byte)
		erases, pages  int
		again, rewrite int // erases and pages that the sample did not show
		read           int // bytes read, in sectors
	}{
		"blank":                            {func(p []byte) { fillFF(p) }, 0, 18*256 + 1, 0, 0, sectors},
		"right":                            {func([]byte) {}, 0, 0, 0, 0, sectors},
		"other content":                    {func(p []byte) { copy(p, noise(2, len(p))) }, sectors, 18*256 + 1, 0, 0, sectors},
		"one byte differs, bit cleared":    {func(p []byte) { p[3<<16+70] = 0xFF }, 0, 0, 0, 1, sectors + 2},
		"one byte differs, bit to be set":  {func(p []byte) { p[3<<16+70] = 0 }, 0, 0, 1, 16, sectors + 2},
		"a byte in the blank sector":       {func(p []byte) { p[7<<16+70] = 0 }, 0, 0, 1, 0, sectors + 2},
		"half written":                     {func(p []byte) { fillFF(p[10<<16+0x8000:]) }, 0, 10 * 256, 0, 0, sectors},
		"blank but for one byte":           {func(p []byte) { fillFF(p); p[2<<16+1] = 0 }, 0, 18*256 + 1, 1, 16, sectors + 2},
		"more wrong sectors than are kept": {func(p []byte) { sprinkle(p, image) }, 0, 0, 18 - 16 + 16, 18*16 - 32, 2*sectors + 16},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, w := identified(t, "MT25QL256ABA", nor.Options{})
			present := bytes.Clone(image)
			x.before(present)
			write(t, c, Extent{0x20000, sectors << 16, present})
			erased, read := w.chip.Counters()[nor.CountErase], 0
			w.forge = func(out, in []byte) {
				if out[0] == 0x13 {
					read += len(in)
				}
			}
			plan, rest := prove(t, c, want...)
			if name == "more wrong sectors than are kept" {
				if kept := rest.Erases[4096]; kept != 16 || rest.Erases[65536] != 2 {
					t.Errorf("%s: erases %v", name, rest.Erases)
				}
			} else {
				erases := func(p *Plan) (n int) {
					for _, k := range p.Erases {
						n += k
					}
					return n
				}
				if erases(plan) != x.erases || plan.Programs != x.pages || erases(rest) != x.again || rest.Programs != x.rewrite {
					t.Errorf("%s: erases %v and programs %d, then %v and %d", name, plan.Erases, plan.Programs, rest.Erases, rest.Programs)
				}
				if most := x.read<<16 + sectors*256; read > most || read < sectors<<16 {
					t.Errorf("%s: read 0x%X bytes, more than 0x%X", name, read, most)
				}
			}
			if !bytes.Equal(w.chip.Bytes(0x20000, len(image)), image) {
				t.Errorf("%s: wrong bytes", name)
			}
			if all := int(w.chip.Counters()[nor.CountErase] - erased); all != plan.Erases[65536]+plan.Erases[4096]+rest.Erases[65536]+rest.Erases[4096] {
				t.Errorf("%s: %d erases", name, all)
			}
			w.idle(t)
		})
	}
}

// sprinkle clears a byte of each sector that holds something, far from where a sample looks.
func sprinkle(p, image []byte) {
	for at := 0x100; at < len(p); at += 1 << 16 {
		if !blank(image[at : at+256]) {
			p[at] = 0
		}
	}
}

// A cell that does not hold what it is told is found after each try, at its address; a contact that is to blame is blamed.
func TestCompareFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL128ABA", nor.Options{})
		data := noise(1, 0x20000)
		want := []Extent{{0, 0x20000, data}}
		w.chip.SetFaults(nor.Faults{Flip: map[uint32]byte{0x12345: 4}})
		must(t, c.Apply(t.Context(), mustPlan(t, c, nil, want...), nil))
		for range 2 {
			known, err := c.Compare(t.Context(), want, nil)
			must(t, err)
			if !known[0].Right || known[1].Right || known[1].Data[0x2345] != data[0x12345]^4 {
				t.Fatal("the bad sector is not found")
			}
			rest := mustPlan(t, c, known, want...)
			must(t, c.Apply(t.Context(), rest, nil))
			if e := as[*MismatchError](t, c.Verify(t.Context(), rest.Touched(want), nil)); *e != (MismatchError{0x12345, data[0x12345], data[0x12345] ^ 4}) {
				t.Errorf("%+v", e)
			}
		}
		w.chip.SetFaults(nor.Faults{WeakContact: 3000})
		_, err := c.Compare(t.Context(), want, nil)
		as[*UnstableError](t, err)
		w.chip.SetFaults(nor.Faults{})
		w.byteTime = 8 * time.Microsecond // so that a sector is a batch of its own
		ctx, cancel := context.WithCancel(t.Context())
		_, err = c.Compare(ctx, want, func(int64, int64) { cancel() })
		is(t, err, context.Canceled)
		for _, do := range []func() error{
			func() error { _, err := c.Sample(t.Context(), []Extent{{c.Part().Size, 1, nil}}); return err },
			func() error { _, err := c.Compare(t.Context(), []Extent{{0, 0, nil}}, nil); return err },
		} {
			if do() == nil {
				t.Error("an extent outside was read")
			}
		}
		w.chip.Power(false)
		_, err = c.Sample(t.Context(), want)
		is(t, err, ErrAbsent)
	})
}
