package serprog_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"station/sim/nor"
	"station/sim/serprog"
)

const flashrom = "/usr/sbin/flashrom"

// TestFlashrom is the judge from outside: Debian's flashrom, which knows nothing of this project, identifies the chip
// on a board file, reads it, writes a change into it and verifies the change.
func TestFlashrom(t *testing.T) {
	if _, err := os.Stat(flashrom); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("flashrom is not installed")
		}
		t.Skip("NOT RUN: flashrom is not installed")
	}
	if testing.Short() {
		t.Skip("NOT RUN: flashrom takes seconds")
	}
	dir := t.TempDir()
	board := filepath.Join(dir, "board.chip")
	chip, err := nor.Create(board, "MT25QL256ABA", [14]byte{7}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { chip.Close() }()

	// content at both ends, around 16 MiB, and off every border
	want := bytes.Repeat([]byte{0xFF}, chip.Size())
	dice := rand.New(rand.NewPCG(1, 2))
	for _, at := range []int{0, 1<<20 + 77, 16<<20 - 1000, chip.Size() - 4096} {
		for i := range 4096 {
			want[at+i] = byte(dice.Uint32())
		}
		program(chip, at, want[at:at+4096])
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, done := serprog.New(chip), make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	run := func(args ...string) (string, serprog.Counts) {
		t.Helper()
		before := s.Counts()
		limit, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		args = append([]string{"-p", "serprog:ip=" + ln.Addr().String(), "-c", "MT25QL256"}, args...)
		out, err := exec.CommandContext(limit, flashrom, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("flashrom %q: %v\n%s", args, err, out)
		}
		after := s.Counts()
		return string(out), serprog.Counts{Commands: after.Commands - before.Commands, SPI: after.SPI - before.SPI, RoundTrips: after.RoundTrips - before.RoundTrips}
	}

	began := time.Now()
	out, identify := run()
	if !bytes.Contains([]byte(out), []byte(`Micron flash chip "MT25QL256" (32768 kB, SPI)`)) {
		t.Fatalf("not identified:\n%s", out)
	}
	t.Logf("identify: %+v, %v", identify, time.Since(began))

	began = time.Now()
	image := filepath.Join(dir, "out")
	_, reading := run("-r", image)
	if got, err := os.ReadFile(image); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read back %d bytes (%v) that are not the array", len(got), err)
	}
	mib := float64(chip.Size() >> 20)
	t.Logf("read of %v MiB: %+v, %v; a MiB: %.2f SPI operations, %.2f round trips", mib, reading, time.Since(began),
		float64(reading.SPI-identify.SPI)/mib, float64(reading.RoundTrips-identify.RoundTrips)/mib)

	const at, size = 0x120000, 64 << 10
	for i := range size {
		want[at+i] = byte(dice.Uint32())
	}
	layout := filepath.Join(dir, "layout")
	if err := os.WriteFile(image, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(layout, fmt.Appendf(nil, "%08x:%08x region\n", at, at+size-1), 0o600); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	out, writing := run("-l", layout, "-i", "region", "-N", "-w", image)
	if !bytes.Contains([]byte(out), []byte("VERIFIED")) {
		t.Fatalf("not verified:\n%s", out)
	}
	pages := float64(size / 256)
	t.Logf("write and verify of %d KiB: %+v, %v; a page: %.2f SPI operations, %.2f round trips", size>>10, writing, time.Since(began),
		float64(writing.SPI-identify.SPI)/pages, float64(writing.RoundTrips-identify.RoundTrips)/pages)

	// over a part that was programmed before, flashrom must erase
	for i := range size {
		want[at+i] ^= byte(dice.Uint32())
	}
	if err := os.WriteFile(image, want, 0o600); err != nil {
		t.Fatal(err)
	}
	run("-l", layout, "-i", "region", "-N", "-w", image)
	if chip.Counters()[nor.CountErase] == 0 {
		t.Error("flashrom wrote over programmed cells without an erase")
	}

	if err := chip.Close(); err != nil {
		t.Fatal(err)
	}
	if chip, err = nor.Open(board, nor.Options{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(chip.Bytes(0, chip.Size()), want) {
		t.Error("the board file does not hold what flashrom wrote")
	}
}

// program writes p at an address through the pins, page by page.
func program(chip *nor.Chip, at int, p []byte) {
	for len(p) > 0 {
		n := min(256-at%256, len(p))
		chip.Select()
		chip.Shift([]byte{0x06}, nil)
		chip.Deselect()
		chip.Select()
		chip.Shift([]byte{0x12, byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}, nil)
		chip.Shift(p[:n], nil)
		chip.Deselect()
		at, p = at+n, p[n:]
	}
}
