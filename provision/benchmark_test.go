package provision

import (
	"testing"

	"station/ledger"
	"station/sim/nor"
)

// BenchmarkEngine is one unit from the order to its last entry: an image written and read back, a lock, a freeze and a check, on a chip straight at the pins and with an
// account in memory.
func BenchmarkEngine(b *testing.B) {
	r := recipe(b, 1, full)
	b.ReportAllocs()
	for b.Loop() {
		s, books := newSocket(), &account{escrow: map[string][]byte{}, notes: map[string][]byte{}}
		s.put("1", fresh(b, 1, nor.Options{}))
		if res := New(s, books, Options{Software: "station test"}).Run(b.Context(), Order{Recipe: r, Serial: "S1", Slot: "1", Operator: "op-1"}); res.Outcome != ledger.Pass {
			b.Fatal(res.Message)
		}
	}
}
