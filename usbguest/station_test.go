package usbguest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
)

// TestInStation has the station write and verify through libusb and this kernel, counted as flashrom is.
func TestInStation(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	for i, row := range []struct {
		name             string
		product, channel string
		dev              sim.Device
		interfaces       int
		perPage          bounds // of round trips
		read             int    // bytes
		perMiB           bounds // of round trips
	}{
		{"FT2232H", "6010", "A", ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: ftdi.Real}), 2, bounds{0, 0.1}, mib, bounds{0, 1}},
		{"CH341A", "5512", "", ch341a.New(ch341a.Options{Pace: ch341a.Real}), 1, bounds{0, 1}, mib / 4, bounds{0, 16}},
	} {
		busID := fmt.Sprintf("1-%d", i+1)
		b.plug(busID, row.dev, row.interfaces)
		t.Run(row.name, func(t *testing.T) {
			b := &bench{b.Server, t}
			b.unhurried(row.dev, func(chip *nor.Chip) bool {
				w := &worker{bench: b, busID: busID, dir: t.TempDir(), chip: chip}
				w.config(filepath.Base(device(t, row.product)), row.channel)
				w.measure(row.name, row.perPage, row.read, row.perMiB)
				return w.late
			})
			// The other channel is not the station's: it keeps its driver.
			if drivers, _ := filepath.Glob("/sys/bus/usb/drivers/ftdi_sio/*:1.1"); row.interfaces == 2 && len(drivers) != 1 {
				t.Errorf("the kernel's serial driver has %q, want channel B", drivers)
			}
		})
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
	slot := fmt.Sprintf("name: %q, port: %q, volts: %q", "1", port, "3.3")
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
func (w *worker) measure(name string, perPage bounds, read int, perMiB bounds) {
	t := w.t
	const small, large, from, size, more = 0x10000, 0x200000, 0x800000, 16 * kib, 80 * kib
	chip := func(verb string, at int, args ...string) []string {
		return append([]string{"chip", verb, "--slot", "1", "--at", fmt.Sprintf("0x%x", at)}, args...)
	}
	first, second, got := save(t, w.dir, "first", random(size)), save(t, w.dir, "second", random(more)), filepath.Join(w.dir, "got")
	identify := w.station("MT25QL256ABA", "chip", "info", "--slot", "1")
	little := w.station("", chip("write", small, first, "--yes")...)
	lots := w.station("", chip("write", large, second, "--yes")...)
	few := w.station("", chip("read", from, "--size", "4KiB", "-o", filepath.Join(w.dir, "few"))...)
	whole := w.station("", chip("read", from, "--size", strconv.Itoa(read), "-o", got)...)
	if w.late {
		return
	}
	if p, err := os.ReadFile(got); err != nil || !bytes.Equal(p, w.chip.Bytes(from, read)) {
		t.Errorf("the station read something else than there is: %v", err)
	}
	for at, want := range map[uint32][]byte{small: random(size), large: random(more)} {
		if !bytes.Equal(w.chip.Bytes(at, len(want)), want) {
			t.Errorf("0x%08x holds something else than the station wrote", at)
		}
	}

	pages, mibs := lots.less(little), whole.less(few)
	const n = (more - size) / page
	table := newTable("station, " + name)
	table.line("identify", identify, 1)
	table.line("write + verify 16 KiB", little, 1)
	table.line("  the same, above identify", little.less(identify), 1)
	table.line("  one more page, with its verify", pages, n)
	table.line(fmt.Sprintf("read %d KiB", read/kib), whole, 1)
	table.line("  the same, above a read of 4 KiB", mibs, 1)
	t.Log("\n" + table.String())
	beside(t, writeJob(name), "station", little)
	beside(t, readJob(read, name), "station", whole)
	perPage.hold(t, "round trips per page", float64(pages.RoundTrips)/n)
	perMiB.hold(t, "round trips per MiB", float64(mibs.RoundTrips)*mib/float64(read))
}
