package sim_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/nor"
)

// vcc switches the supply of an SF600.
func vcc(t *testing.T, k usb.Link, value uint16) {
	t.Helper()
	if _, err := k.Control(t.Context(), usb.Setup{RequestType: 0x42, Request: 0x09, Value: value}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestFed: a board under a programmer with a supply has power while that is on, whatever hands do, and its place gives it none.
func TestFed(t *testing.T) {
	line := sim.NewLine(sim.Options{})
	t.Cleanup(func() { line.Close() })
	place := sim.Place{Port: "1-2"}
	wants := func(chip *nor.Chip, on bool, when string) {
		t.Helper()
		if chip.Powered() != on {
			t.Errorf("%s: powered %v", when, chip.Powered())
		}
	}
	chip := newChip(t, nor.None)
	if err := line.Insert(place, chip); err != nil {
		t.Fatal(err)
	}
	wants(chip, true, "without a programmer")
	if err := line.Plug("1-2", dediprog.New(dediprog.SF600, dediprog.Options{})); err != nil {
		t.Fatal(err)
	}
	wants(chip, false, "plugged in")
	k, err := line.Open(t.Context(), "1-2", 0)
	if err != nil {
		t.Fatal(err)
	}
	vcc(t, k, 0x10)
	wants(chip, true, "VCC on")
	vcc(t, k, 0)
	wants(chip, false, "VCC off")
	if err := line.Reseat(t.Context(), place, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	wants(chip, false, "reseated with VCC off")
	vcc(t, k, 0x11)
	ups := chip.PowerUps()
	if err := line.Reseat(context.Background(), place, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	wants(chip, true, "reseated with VCC on")
	if n := chip.PowerUps() - ups; n != 1 {
		t.Errorf("reseated, it was powered up %d times", n)
	}
	line.Remove(place)
	wants(chip, false, "taken out")
	if err := line.Insert(place, chip); err != nil {
		t.Fatal(err)
	}
	wants(chip, true, "put back")
	if err := line.Unplug("1-2"); err != nil {
		t.Fatal(err)
	}
	wants(chip, false, "without its cable")
}

// TestBothOuts: an SF100 with the endpoints of both models takes pages at its own, and at no other.
func TestBothOuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := sim.NewLine(sim.Options{})
		t.Cleanup(func() { line.Close() })
		if err := line.Plug("1-2", dediprog.New(dediprog.SF100, dediprog.Options{BothOuts: true})); err != nil {
			t.Fatal(err)
		}
		k, err := line.Open(t.Context(), "1-2", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		for _, address := range []uint8{0x03, 0x82} {
			if err := k.Out(address); !errors.Is(err, usb.ErrDescriptor) {
				t.Errorf("0x%02x: %v", address, err)
			}
		}
		setup := usb.Setup{RequestType: 0x42, Request: 0x30}
		if _, err := k.Control(t.Context(), setup, []byte{2, 0, 0, 1, 0x02, 0, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			address uint8 // 0: none is chosen
			want    error
		}{{0, usb.ErrTimeout}, {0x02, nil}, {0x01, usb.ErrTimeout}} {
			if row.address > 0 {
				if err := k.Out(row.address); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := k.Write(t.Context(), make([]byte, 512)); !errors.Is(err, row.want) {
				t.Errorf("0x%02x: %v, want %v", row.address, err, row.want)
			}
		}
	})
}

// TestDediprogLine moves pages and blocks through a line with its times: a request waits for the page in work, and nothing needs a round trip but the status that is read in between.
func TestDediprogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := sim.NewLine(sim.Options{Pace: ftdi.Real})
		t.Cleanup(func() { line.Close() })
		if err := line.Plug("1-2", dediprog.New(dediprog.SF600, dediprog.Options{Pace: dediprog.Real})); err != nil {
			t.Fatal(err)
		}
		chip := newChip(t, nor.Real)
		if err := line.Insert(sim.Place{Port: "1-2"}, chip); err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		k, err := line.Open(ctx, "1-2", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		vcc(t, k, 0x10)
		time.Sleep(200 * time.Millisecond)
		request := func(kind, number byte, value uint16, data []byte) {
			t.Helper()
			if n, err := k.Control(ctx, usb.Setup{RequestType: kind, Request: number, Value: value}, data); err != nil || n != len(data) {
				t.Fatalf("request %02x: %d bytes, %v", number, n, err)
			}
		}
		const pages = 64
		want := make([]byte, pages*256)
		for i := range want {
			want[i] = byte(i*5 + i>>8)
		}
		before := line.Count("1-2")
		request(0x42, 0x30, 0, []byte{pages, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0})
		start := time.Now()
		for at := 0; at < len(want); at += 256 {
			if n, err := k.Write(ctx, append(bytes.Clone(want[at:at+256]), bytes.Repeat([]byte{0xFF}, 256)...)); err != nil || n != 512 {
				t.Fatalf("page %d: %d bytes, %v", at/256, n, err)
			}
		}
		status := make([]byte, 1)
		request(0x42, 0x01, 1, []byte{0x05})
		request(0xC2, 0x01, 0, status)
		if status[0]&1 != 0 {
			t.Error("the chip is busy behind the last page")
		}
		wire := 261*8*time.Second/12_000_000 + 120*time.Microsecond
		if took := time.Since(start) / pages; took < wire*9/10 || took > wire*5/4 {
			t.Errorf("a page took %v, the wire and the chip need %v", took, wire)
		}
		in, err := k.In(512, 8)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		request(0x42, 0x20, 0, []byte{pages / 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
		var got []byte
		start = time.Now()
		for p := make([]byte, 512); len(got) < len(want); {
			n, err := in.Read(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p[:n]...)
		}
		if took, floor := time.Since(start), time.Duration(len(want))*8*time.Second/12_000_000; took > floor*11/10 {
			t.Errorf("%d bytes took %v, the wire needs %v", len(want), took, floor)
		}
		if !bytes.Equal(got, want) {
			t.Error("it reads back otherwise")
		}
		if n := line.Count("1-2").Sub(before); n.Outs != pages || n.Controls != 4 || n.RoundTrips != 1 || n.InBytes != int64(len(want)) {
			t.Errorf("counted %+v", n)
		}
	})
}
