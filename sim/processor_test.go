package sim_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
)

// inhabited is a programmer over a board whose processor runs.
func inhabited(t *testing.T, seed uint64) (*sim.Line, *sim.Processor, usb.Link, usb.In) {
	t.Helper()
	line, k := plugged(t, ftdi.None, ftdi.FT232H, ftdi.Options{})
	p := line.Processor(newChip(t, nor.None), seed)
	if err := line.Insert(sim.Place{Port: "1-2"}, p.Chip); err != nil {
		t.Fatal(err)
	}
	return line, p, k, posted(t, k, 512, 2)
}

// heldID reads the ID with the reset line low.
func heldID(t *testing.T, k usb.Link, in usb.In) []byte {
	t.Helper()
	write(t, k, 0x80, 0x00, 0x8B, 0x11, 0, 0, 0x9F, 0x20, 2, 0, 0x80, 0x08, 0x8B, 0x87)
	id, _ := read(t, in, 512, 3)
	return id
}

// TestProcessor: while it runs no reading is right, and the seed says what they are; in reset it is not there.
func TestProcessor(t *testing.T) {
	readings := func(seed uint64) (all [][]byte) {
		_, p, k, in := inhabited(t, seed)
		for range 20 {
			all = append(all, readID(t, k, in, 512))
		}
		k.Close()
		if p.Fights() != 1 || p.Releases() != 0 || p.Held() {
			t.Errorf("seed %d: %d fights, %d releases, held %v", seed, p.Fights(), p.Releases(), p.Held())
		}
		return all
	}
	one := readings(1)
	if !slices.EqualFunc(one, readings(1), bytes.Equal) || slices.EqualFunc(one, readings(2), bytes.Equal) {
		t.Error("the seed does not say what is read")
	}
	differ := map[string]bool{}
	for seed := range uint64(20) {
		for _, id := range readings(seed) {
			if differ[string(id)] = true; bytes.Equal(id, wantID) {
				t.Errorf("seed %d: % x is read while the processor runs", seed, id)
			}
		}
	}
	if len(differ) < 8 {
		t.Errorf("400 readings: %x", slices.Collect(maps.Keys(differ)))
	}

	line, p, k, in := inhabited(t, 1)
	write(t, k, 0x80, 0x00, 0x00)
	for i := range 3 {
		write(t, k, 0x80, 0x00, 0x80)
		for range 20 {
			if id := heldID(t, k, in); !bytes.Equal(id, wantID) {
				t.Fatalf("held in reset, and % x is read", id)
			}
		}
		if p.Fights() != 1 || p.Releases() != i || !p.Held() {
			t.Errorf("held: %d fights, %d releases, held %v", p.Fights(), p.Releases(), p.Held())
		}
		write(t, k, 0x80, 0x00, 0x00)
		if p.Releases() != i+1 || p.Held() {
			t.Errorf("let go: %d releases, held %v", p.Releases(), p.Held())
		}
	}
	write(t, k, 0x80, 0x08, 0x8B)
	if p.Fights() != 2 {
		t.Error("the wires are taken together with the reset line, and nothing meets")
	}
	write(t, k, 0x80, 0x80, 0x80)
	if p.Fights() != 3 || p.Releases() != 4 {
		t.Errorf("the line is driven high: %d fights, %d releases", p.Fights(), p.Releases())
	}

	// Without supply nothing runs, whatever the line does.
	write(t, k, 0x80, 0x00, 0x80)
	line.Remove(sim.Place{Port: "1-2"})
	write(t, k, 0x80, 0x08, 0x0B)
	if p.Fights() != 3 || p.Releases() != 4 || p.Held() {
		t.Errorf("taken out: %d fights, %d releases, held %v", p.Fights(), p.Releases(), p.Held())
	}
	if err := line.Insert(sim.Place{Port: "1-2"}, p.Chip); err != nil {
		t.Fatal(err)
	}
	if id := readID(t, k, in, 512); bytes.Equal(id, wantID) || p.Held() {
		t.Errorf("put back with its line high: % x, held %v", id, p.Held())
	}
}
