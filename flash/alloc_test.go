package flash

import (
	"context"
	"testing"

	"station/spi"
)

// echo answers as a chip does that holds image and is always ready: as fast as an spi.Conn can be.
type echo struct {
	id    [20]byte
	image []byte
	wel   byte
}

func (e *echo) Limits() spi.Limits { return spi.Limits{ByteTime: 267, MaxFrame: 16 << 20, Grain: 1} }

func (e *echo) Do(_ context.Context, frames ...spi.Frame) error {
	for _, f := range frames {
		switch f.Out[0] {
		case 0x9F:
			copy(f.In, e.id[:])
		case 0x06:
			e.wel = 0x02
		case 0x12:
			e.wel = 0
		case 0x05:
			for i := range f.In {
				f.In[i] = e.wel
			}
		case 0x70:
			f.In[0] = 0x80
			for i := range f.In {
				f.In[i] = 0x80
			}
		case 0x13:
			copy(f.In, e.image[int(f.Out[1])<<24|int(f.Out[2])<<16|int(f.Out[3])<<8|int(f.Out[4]):])
		}
	}
	return nil
}

// on puts a chip that holds image behind an echo.
func on(t testing.TB, image []byte) *Chip {
	p, err := partNamed("MT25QL256ABA")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{image: image}
	copy(e.id[:], p.ID[:])
	return &Chip{conn: e, part: p, id: e.id, dies: 1}
}

// What a run allocates does not grow with what it writes and reads: once the buffers are there, some headers a batch.
func TestHotPathAllocates(t *testing.T) {
	const mebi = 1 << 20
	image := noise(1, 32*mebi)
	c := on(t, image)
	plan, err := NewPlan(c.part, []Extent{{0, 32 * mebi, image}}, func(int) Knowledge { return Knowledge{Blank: true} })
	must(t, err)
	apply := func() { must(t, c.Apply(t.Context(), plan, nil)) }
	apply()
	batches := 0
	n := testing.AllocsPerRun(1, func() {
		must(t, c.Apply(t.Context(), plan, func(int64, int64) { batches++ }))
	})
	if batches = batches / 2; n > 6*float64(batches) {
		t.Errorf("131072 pages in %d batches: %v allocations", batches, n)
	}
	buf := make([]byte, mebi)
	if n := testing.AllocsPerRun(5, func() { must(t, c.Read(t.Context(), mebi, buf)) }); n > 8 {
		t.Errorf("a MiB read: %v allocations", n)
	}
	want := []Extent{{0, 32 * mebi, image}}
	must(t, c.Verify(t.Context(), want, nil))
	n = testing.AllocsPerRun(1, func() { must(t, c.Verify(t.Context(), want, nil)) })
	if n > 40 {
		t.Errorf("32 MiB verified: %v allocations", n)
	}
}

func BenchmarkApply(b *testing.B) {
	image := noise(1, 4<<20)
	c := on(b, image)
	plan, err := NewPlan(c.part, []Extent{{0, 4 << 20, image}}, func(int) Knowledge { return Knowledge{Blank: true} })
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		if err := c.Apply(b.Context(), plan, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	image := noise(1, 4<<20)
	c := on(b, image)
	b.ReportAllocs()
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		if err := c.Verify(b.Context(), []Extent{{0, 4 << 20, image}}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
