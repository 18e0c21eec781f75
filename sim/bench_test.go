package sim_test

import (
	"testing"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/ch341a"
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

// newSlow is a CH341A over a board, opened, with reads posted.
func newSlow(t testing.TB, line *sim.Line, path string, pace ftdi.Pace) (usb.Link, usb.In) {
	t.Helper()
	chip, err := nor.New(rigPart, sim.UID(path), nor.Options{Pace: nor.Pace(pace)})
	if err != nil {
		t.Fatal(err)
	}
	if err := line.Insert(sim.Place{Port: path}, chip); err != nil {
		t.Fatal(err)
	}
	if err := line.Plug(path, ch341a.New(ch341a.Options{Pace: ch341a.Pace(pace)})); err != nil {
		t.Fatal(err)
	}
	k, err := line.Open(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	in, err := k.In(32, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	if _, err := k.Write(t.Context(), []byte{0xAB, 0xB7, 0x7F, 0x20}); err != nil {
		t.Fatal(err)
	}
	return k, in
}

func BenchmarkReadCH341A(b *testing.B) {
	line := sim.NewLine(sim.Options{})
	defer line.Close()
	k, in := newSlow(b, line, "1-4", ftdi.None)
	const n = 31 * 2000
	p := make([]byte, 32)
	b.SetBytes(n)
	out := spiTransfer(n-4, 0x03, 0, 0, 0)
	for b.Loop() {
		go k.Write(b.Context(), out)
		for got := 0; got < n; {
			m, err := in.Read(b.Context(), p)
			if err != nil {
				b.Fatal(err)
			}
			got += m
		}
	}
}
