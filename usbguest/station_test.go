package usbguest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
)

// TestInStation has the station write and verify through libusb and this kernel what flashrom then reads back, and verify what flashrom
// wrote; counted as flashrom is.
func TestInStation(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	for i, row := range []struct {
		name, programmer string
		product, channel string
		dev              sim.Device
		interfaces       int
		perPage, perMiB  bounds // of round trips
	}{
		{"FT2232H", "ft2232_spi:type=2232H,port=A", "6010", "A", ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: ftdi.Real}), 2, bounds{0, 0.1}, bounds{0, 1}},
		{"CH341A", "ch341a_spi", "5512", "", ch341a.New(ch341a.Options{Pace: ch341a.Real}), 1, bounds{0, 1}, bounds{0, 16}},
	} {
		busID := fmt.Sprintf("1-%d", i+1)
		b.plug(busID, row.dev, row.interfaces)
		t.Run(row.name, func(t *testing.T) {
			b := &bench{b.Server, t}
			b.unhurried(row.dev, func(chip *nor.Chip) bool {
				w := &worker{bench: b, busID: busID, dir: t.TempDir(), chip: chip}
				w.config(filepath.Base(device(t, row.product)), row.channel)
				w.measure(row.name, row.programmer, row.perPage, row.perMiB)
				return w.late
			})
			// The other channel is not the station's: it keeps its driver.
			if drivers, _ := filepath.Glob("/sys/bus/usb/drivers/ftdi_sio/*:1.1"); row.interfaces == 2 && len(drivers) != 1 {
				t.Errorf("the kernel's serial driver has %q, want channel B", drivers)
			}
		})
	}
}

// TestInUnplug pulls the programmer while the station writes: an ERROR that says so, before any time-out, and a board that the station then
// finishes through another programmer.
func TestInUnplug(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	chip := newChip(t, "MT25QL256ABA")
	plug := func() { b.plug("1-1", ftdi.New(ftdi.FT232H, ftdi.Options{Pace: ftdi.Real}), 1, chip) }
	plug()
	w := &worker{bench: b, busID: "1-1", dir: t.TempDir(), chip: chip}
	w.config(filepath.Base(device(t, "6014")), "")
	content := random(mib / 2)
	write := []string{"--config", filepath.Join(w.dir, "config.yaml"), "chip", "write", "--slot", "1", "--yes", save(t, w.dir, "content", content)}
	var pulled time.Time
	go func() {
		for chip.Bytes(0x20000, 1)[0] != content[0x20000] {
			time.Sleep(time.Millisecond)
		}
		pulled = time.Now()
		if err := b.Unplug("1-1"); err != nil {
			t.Error(err)
		}
	}()
	out, err := output(station, write...)
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 3 || !strings.Contains(out, "unplugged") {
		t.Errorf("unplugged in mid-write: %v\n%s", err, out)
	}
	if took := time.Since(pulled); took > 10*time.Second {
		t.Errorf("the station heard of it after %v", took)
	}
	b.wait("the kernel to lose it", func() bool { return len(b.attached()) == 0 })
	plug()
	if out, err := output(station, write...); err != nil {
		t.Errorf("after the replug: %v\n%s", err, out)
	}
	if !bytes.Equal(chip.Bytes(0, len(content)), content) {
		t.Error("the board does not hold what the station says it wrote")
	}
}

// worker is a station with one slot.
type worker struct {
	*bench
	busID, dir string
	chip       *nor.Chip
	late       bool // a transfer was given up
}

func (w *worker) config(port, channel string) {
	w.t.Helper()
	slot := fmt.Sprintf("name: %q, port: %q", "1", port)
	if channel != "" {
		slot += ", channel: " + channel
	}
	w.slot(slot)
}

// slot makes a station with this slot.
func (w *worker) slot(slot string) {
	w.t.Helper()
	save(w.t, w.dir, "config.yaml", fmt.Appendf(nil, "station: guest\ndata: %s/data\nslots:\n  - {%s}\n", w.dir, slot))
	w.station("ready", "init")
}

// station runs it, wants it to say something, and tells the cost; or notes that it was late.
func (w *worker) station(says string, args ...string) cost {
	w.t.Helper()
	if w.late {
		return cost{}
	}
	out, c, late, err := w.cost(w.busID, station, append([]string{"--config", filepath.Join(w.dir, "config.yaml")}, args...)...)
	switch {
	case late:
		w.late = true
	case err != nil || !strings.Contains(out, says):
		w.t.Fatalf("station %q: %v, want %q\n%s", args, err, says, out)
	}
	return c
}

// measure writes 16 KiB and 80 KiB, of which the difference tells what a page costs, and reads 4 KiB and a MiB. It tells nothing where the
// station was late.
func (w *worker) measure(name, programmer string, perPage, perMiB bounds) {
	t := w.t
	const small, large, read, size, more = 0x10000, 0x200000, 0x800000, 16 * kib, 80 * kib
	chip := func(verb string, at int, args ...string) []string {
		return append([]string{"chip", verb, "--slot", "1", "--at", fmt.Sprintf("0x%x", at)}, args...)
	}
	first, second, got := save(t, w.dir, "first", random(size)), save(t, w.dir, "second", random(more)), filepath.Join(w.dir, "got")
	identify := w.station("MT25QL256ABA", "chip", "info", "--slot", "1")
	little := w.station("", chip("write", small, first, "--yes")...)
	lots := w.station("", chip("write", large, second, "--yes")...)
	few := w.station("", chip("read", read, "--size", "4KiB", "-o", filepath.Join(w.dir, "few"))...)
	whole := w.station("", chip("read", read, "--size", "1MiB", "-o", got)...)
	if w.late {
		return
	}
	if p, err := os.ReadFile(got); err != nil || !bytes.Equal(p, w.chip.Bytes(read, mib)) {
		t.Errorf("the station read something else than there is: %v", err)
	}
	for at, want := range map[uint32][]byte{small: random(size), large: random(more)} {
		if !bytes.Equal(w.chip.Bytes(at, len(want)), want) {
			t.Errorf("0x%08x holds something else than the station wrote", at)
		}
	}

	// flashrom has the last word on it, and then the first.
	const theirs = 0x400000
	layout := save(t, w.dir, "layout", fmt.Appendf(nil, "%08x:%08x small\n%08x:%08x theirs\n", small, small+size-1, theirs, theirs+size-1))
	image := bytes.Repeat([]byte{0xFF}, w.chip.Size())
	copy(image[theirs:], random(size))
	flash := func(region, does, file string) {
		w.run(flashrom, "-p", programmer, "-c", "MT25QL256", "-l", layout, "-i", region, "-N", does, file)
	}
	flash("small", "-r", got)
	if p, err := os.ReadFile(got); err != nil || len(p) != len(image) || !bytes.Equal(p[small:small+size], random(size)) {
		t.Errorf("flashrom read something else than the station wrote: %v", err)
	}
	flash("theirs", "-w", save(t, w.dir, "image", image))
	w.station("", chip("verify", theirs, first)...)

	pages, mibs := lots.less(little), whole.less(few)
	const n = (more - size) / page
	table := newTable("station, " + name)
	table.line("identify", identify, 1)
	table.line("write + verify 16 KiB", little, 1)
	table.line("  the same, above identify", little.less(identify), 1)
	table.line("  one more page, with its verify", pages, n)
	table.line("read 1 MiB", whole, 1)
	table.line("  the same, above a read of 4 KiB", mibs, 1)
	t.Log("\n" + table.String())
	perPage.hold(t, "round trips per page", float64(pages.RoundTrips)/n)
	perMiB.hold(t, "round trips per MiB", float64(mibs.RoundTrips))
}
