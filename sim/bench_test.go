package sim_test

import (
	"testing"

	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
)

// What the simulation itself costs, with Pace None: MB/s of a programmer and its chip, with a client that does next to nothing.

func BenchmarkReadPart(b *testing.B) {
	line := sim.NewLine(sim.Options{})
	defer line.Close()
	r := newRig(b, line, "1-2", ftdi.None, nor.Options{})
	p := make([]byte, 8<<20)
	r.program(b, 0, randomBytes(len(p)), 1, 100)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		r.read(b, p)
	}
}

func BenchmarkProgramPart(b *testing.B) {
	line := sim.NewLine(sim.Options{})
	defer line.Close()
	r := newRig(b, line, "1-2", ftdi.None, nor.Options{})
	p := randomBytes(8 << 20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		r.program(b, 0, p, 4, 100)
	}
}
