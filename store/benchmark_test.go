package store

import (
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

// BenchmarkAppend makes one entry durable after the other: an fsync each.
func BenchmarkAppend(b *testing.B) {
	d := newBenchmark(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := d.Append(b.Context(), start(n, "A")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify is what an auditor's computer does: 1000 units of three entries, every leaf decoded, every hash of the tree computed anew.
func BenchmarkVerify(b *testing.B) {
	d := newBenchmark(b)
	var bodies []ledger.Body
	for n := range 1000 {
		serial := run(n)
		bodies = append(bodies, start(n, serial), step(n, serial, 1), end(n, serial, ledger.Pass))
	}
	if _, err := d.Append(b.Context(), bodies...); err != nil {
		b.Fatal(err)
	}
	v, err := note.NewVerifier(options(b, "line1", 1).VerifierKey)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := ledger.Verify(b.Context(), d, v); err != nil || r.Entries != 3001 || len(r.Findings) > 0 {
			b.Fatal(r, err)
		}
	}
}

func newBenchmark(b *testing.B) *DB {
	d, err := Create(filepath.Join(b.TempDir(), "ledger.db"), options(b, "line1", 1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}
