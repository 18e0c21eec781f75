package flash

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkPlan plans 32 MiB that do not compress, onto a blank part and onto one that is known to be full of something else.
func BenchmarkPlan(b *testing.B) {
	part, err := partNamed("MT25QL256ABA")
	if err != nil {
		b.Fatal(err)
	}
	noise := func(seed byte) []byte {
		data := make([]byte, part.Size)
		rand.NewChaCha8([32]byte{seed}).Read(data)
		return data
	}
	want, other := []Extent{{Size: part.Size, Data: noise(1)}}, noise(2)
	for _, c := range []struct {
		name  string
		known func(sector int) Knowledge
	}{
		{"blank", func(int) Knowledge { return Knowledge{Blank: true} }},
		{"dirty", func(sector int) Knowledge {
			at := int64(sector) * part.Sector
			return Knowledge{Data: other[at : at+part.Sector]}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(part.Size)
			for b.Loop() {
				if _, err := NewPlan(part, want, c.known); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
