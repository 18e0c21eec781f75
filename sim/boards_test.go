package sim_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"station/fixtures/usb"
	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
)

var (
	place1 = sim.Place{Port: "1-2", Channel: 0}
	place2 = sim.Place{Port: "1-2", Channel: 1}
)

func boards(t *testing.T, dir string) (*sim.Boards, *sim.Line, usb.Link) {
	t.Helper()
	line, k := plugged(t, ftdi.None, ftdi.FT2232H, ftdi.Options{})
	b, err := sim.OpenBoards(dir, line, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, line, k
}

func scan(t *testing.T, b *sim.Boards, slot string, place sim.Place, serial string) {
	t.Helper()
	if err := b.Scan(slot, place, serial, part); err != nil {
		t.Fatal(err)
	}
}

// uid reads the UID of the chip on channel A: the last 14 of the 20 bytes that 9F answers.
func uid(t *testing.T, k usb.Link) (uid [14]byte) {
	t.Helper()
	in := posted(t, k, 512, 1)
	defer in.Close()
	write(t, k, append(frame(20, 0x9F), 0x87)...)
	id, _ := read(t, in, 512, 20)
	copy(uid[:], id[6:])
	return uid
}

// enableWrite sets WEL: volatile state, gone with the power.
func enableWrite(t *testing.T, k usb.Link) {
	t.Helper()
	write(t, k, frame(0, 0x06)...)
}

// writeEnabled tells whether WEL is set.
func writeEnabled(t *testing.T, k usb.Link) bool {
	t.Helper()
	in := posted(t, k, 512, 1)
	defer in.Close()
	write(t, k, append(frame(1, 0x05), 0x87)...)
	status, _ := read(t, in, 512, 1)
	return status[0]&2 != 0
}

func slots(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "slots"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestScan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sim")
	b, line, k := boards(t, dir)
	scan(t, b, "left", place1, "GW-1")
	if got := uid(t, k); got != sim.UID("GW-1") {
		t.Errorf("UID % x, want % x", got, sim.UID("GW-1"))
	}
	enableWrite(t, k)
	scan(t, b, "left", place1, "GW-1")
	if !writeEnabled(t, k) {
		t.Error("a scan of the board that is there power-cycled it")
	}
	scan(t, b, "left", place1, "GW-2") // the next board
	if got := uid(t, k); got != sim.UID("GW-2") || writeEnabled(t, k) {
		t.Errorf("UID % x after the swap", got)
	}
	scan(t, b, "right", place2, "GW-1")
	if got, want := slots(t, dir), "left\tGW-2.chip\nright\tGW-1.chip\n"; got != want {
		t.Errorf("slots %q, want %q", got, want)
	}

	// A board that sits in another slot is taken out of it.
	scan(t, b, "left", place1, "GW-1")
	if got := uid(t, k); got != sim.UID("GW-1") {
		t.Errorf("UID % x", got)
	}
	if chip := line.Remove(place2); chip != nil {
		t.Error("the board is still in the other slot")
	}
	if got, want := slots(t, dir), "left\tGW-1.chip\n"; got != want {
		t.Errorf("slots %q, want %q", got, want)
	}
	// What was removed is free for others.
	chip, err := nor.Open(filepath.Join(dir, "GW-2.chip"), nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if chip.Powered() {
		t.Error("a removed board has power")
	}
	chip.Close()
}

func TestScanRefusals(t *testing.T) {
	dir := t.TempDir()
	b, _, k := boards(t, dir)
	scan(t, b, "1", place1, "GW-1")
	enableWrite(t, k)
	before := slots(t, dir)
	for _, serial := range []string{"", ".", "..", ".hidden", "../x", "a/b", `a\b`, "a\x00", "a\nb", "a\tb", "Ä", strings.Repeat("x", 65)} {
		if err := b.Scan("1", place1, serial, part); !errors.Is(err, sim.ErrSerial) {
			t.Errorf("serial %q: %v", serial, err)
		}
	}
	if err := b.Scan("1", place1, "GW-2", "MT99"); !errors.Is(err, nor.ErrPart) {
		t.Errorf("unknown part: %v", err)
	}
	if err := b.Scan("2", place1, "GW-2", part); !errors.Is(err, sim.ErrOccupied) {
		t.Errorf("two slots in one place: %v", err)
	}
	if err := b.Scan("1\t", place1, "GW-2", part); err == nil {
		t.Error("a slot with a tab")
	}
	if err := b.InsertFile("1", place1, filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	held, err := nor.Create(filepath.Join(dir, "held.chip"), part, sim.UID("held"), nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := b.Scan("1", place1, "held", part); !errors.Is(err, nor.ErrInUse) {
		t.Errorf("board in use: %v", err)
	}
	if !writeEnabled(t, k) || uid(t, k) != sim.UID("GW-1") {
		t.Error("a refused scan touched the board")
	}
	if got := slots(t, dir); got != before {
		t.Errorf("a refused scan changed slots to %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // GW-1.chip, held.chip, slots
		t.Errorf("refused scans left files: %v, %v", entries, err)
	}
	if err := b.Scan("3", sim.Place{Port: "1-2", Channel: 7}, "GW-3", part); err == nil {
		t.Error("a board on channel H")
	}
}

func TestInsertFile(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	path := filepath.Join(elsewhere, "golden.chip")
	chip, err := nor.Create(path, part, sim.UID("golden"), nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := chip.Close(); err != nil {
		t.Fatal(err)
	}
	b, _, k := boards(t, dir)
	t.Chdir(elsewhere)
	if err := b.InsertFile("1", place1, "golden.chip"); err != nil {
		t.Fatal(err)
	}
	if got := uid(t, k); got != sim.UID("golden") {
		t.Errorf("UID % x", got)
	}
	if got, want := slots(t, dir), "1\t"+path+"\n"; got != want {
		t.Errorf("slots %q, want %q", got, want)
	}
}

// The station dies and comes back: boards are where they were, with power and volatile state.
func TestRestartKeepsPower(t *testing.T) {
	dir := t.TempDir()
	b, line, k := boards(t, dir)
	scan(t, b, "1", place1, "GW-1")
	scan(t, b, "2", place2, "GW-2")
	enableWrite(t, k)
	uid(t, k) // the engine has executed that
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	line.Close()
	if err := os.Remove(filepath.Join(dir, "GW-2.chip")); err != nil {
		t.Fatal(err)
	}

	b, _, k = boards(t, dir)
	if err := b.Restore(map[string]sim.Place{}); err != nil {
		t.Fatal(err)
	}
	if got, want := slots(t, dir), "1\tGW-1.chip\n2\tGW-2.chip\n"; got != want {
		t.Errorf("slots of unknown places %q, want %q", got, want)
	}
	if err := b.Restore(map[string]sim.Place{"1": place1, "2": place2}); err != nil {
		t.Fatal(err)
	}
	if uid(t, k) != sim.UID("GW-1") || !writeEnabled(t, k) {
		t.Error("the board did not go on as it was")
	}
	if got, want := slots(t, dir), "1\tGW-1.chip\n"; got != want {
		t.Errorf("slots %q, want %q", got, want)
	}
	scan(t, b, "1", place1, "GW-1")
	if !writeEnabled(t, k) {
		t.Error("a scan after the restart power-cycled the board")
	}
}

func TestRestoreReportsAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.chip"), []byte("no board"), 0o600); err != nil {
		t.Fatal(err)
	}
	good, err := nor.Create(filepath.Join(dir, "good.chip"), part, sim.UID("good"), nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	good.Close()
	if err := os.WriteFile(filepath.Join(dir, "slots"), []byte("0\tbad.chip\n1\tgood.chip\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _, k := boards(t, dir)
	if err := b.Restore(map[string]sim.Place{"0": place2, "1": place1}); err == nil || !strings.Contains(err.Error(), "slot 0") {
		t.Errorf("Restore: %v", err)
	}
	if uid(t, k) != sim.UID("good") {
		t.Error("the good board is not there")
	}
	if got := slots(t, dir); !strings.Contains(got, "bad.chip") {
		t.Errorf("slots forgot the bad board: %q", got)
	}
}

func TestSlotsFile(t *testing.T) {
	for _, text := range []string{"1", "1\t", "\tx", "1\ta\n1\tb\n", "1\ta\n\n", "1\ta\tb\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "slots"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sim.OpenBoards(dir, sim.NewLine(sim.Options{}), nor.Options{}); err == nil || !strings.Contains(err.Error(), "line") {
			t.Errorf("slots %q: %v", text, err)
		}
	}
}

func TestReseat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, k := boards(t, t.TempDir())
		if err := b.Reseat(t.Context(), "1"); !errors.Is(err, sim.ErrNoBoard) {
			t.Errorf("reseat of nothing: %v", err)
		}
		scan(t, b, "1", place1, "GW-1")
		enableWrite(t, k)
		synctest.Wait()
		start := time.Now()
		done := make(chan error)
		go func() { done <- b.Reseat(t.Context(), "1") }()
		synctest.Wait()
		if got := uid(t, k); !bytes.Equal(got[:], bytes.Repeat([]byte{0xFF}, 14)) {
			t.Errorf("meanwhile the socket answers % x", got)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if time.Since(start) == 0 {
			t.Error("reseating took no time")
		}
		if uid(t, k) != sim.UID("GW-1") || writeEnabled(t, k) {
			t.Error("the reseated board was not power-cycled")
		}
		// When ctx ends the board is back nevertheless.
		ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		defer cancel()
		if err := b.Reseat(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Reseat: %v", err)
		}
		if uid(t, k) != sim.UID("GW-1") {
			t.Error("the board is not back")
		}
	})
}

// What is taken out is in no slot, not even after a restart, and its file is free.
func TestRemove(t *testing.T) {
	dir := t.TempDir()
	b, _, _ := boards(t, dir)
	if err := b.Remove("1"); !errors.Is(err, sim.ErrNoBoard) {
		t.Errorf("out of an empty slot: %v", err)
	}
	scan(t, b, "1", place1, "A")
	if err := b.Remove("1"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "slots")); err != nil || len(text) > 0 {
		t.Errorf("slots has %q, %v", text, err)
	}
	chip, err := nor.Open(filepath.Join(dir, "A.chip"), nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if chip.Powered() {
		t.Error("it kept its power")
	}
	if err := chip.Close(); err != nil {
		t.Fatal(err)
	}
	scan(t, b, "2", place2, "A")
}

// Whatever is scanned where: a board is in one slot, and a restart finds what was there.
func TestScansProperty(t *testing.T) {
	places := map[string]sim.Place{"1": place1, "2": place2}
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		start := func() (*sim.Line, *sim.Boards) {
			line := sim.NewLine(sim.Options{})
			if err := line.Plug("1-2", ftdi.New(ftdi.FT2232H, ftdi.Options{})); err != nil {
				rt.Fatal(err)
			}
			b, err := sim.OpenBoards(dir, line, nor.Options{})
			if err != nil {
				rt.Fatal(err)
			}
			return line, b
		}
		line, b := start()
		want := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(rt, "scans") {
			slot := rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "slot")
			serial := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(rt, "serial")
			if rapid.Bool().Draw(rt, "restart") {
				b.Close()
				line.Close()
				line, b = start()
				if err := b.Restore(places); err != nil {
					rt.Fatal(err)
				}
			}
			if err := b.Scan(slot, places[slot], serial, part); err != nil {
				rt.Fatal(err)
			}
			for s := range want {
				if want[s] == serial {
					delete(want, s)
				}
			}
			want[slot] = serial
		}
		for slot, place := range places {
			chip := line.Remove(place)
			if serial, ok := want[slot]; ok != (chip != nil) || ok && chip.UID() != sim.UID(serial) {
				rt.Errorf("slot %s: board %v, want %q", slot, chip != nil, serial)
			}
		}
		b.Close()
		line.Close()
	})
}
