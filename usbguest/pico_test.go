package usbguest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"station/sim/nor"
	"station/sim/pico"
	"station/sim/serprog"
)

// TestInPico has flashrom and the station take turns at one programmer, each reading what the other one wrote: flashrom through the kernel's
// driver for serial ports, the station through libusb, for which that driver goes; it is back each time.
func TestInPico(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	dev := pico.New(pico.Options{Pace: serprog.Real})
	b.plug("1-1", dev, 1) // the serial port's interfaces are of other classes than those that are counted
	const ours, theirs, size = 0x10000, 0x400000, 16 * kib
	b.unhurried(dev, func(chip *nor.Chip) bool {
		w := &worker{bench: b, busID: "1-1", dir: t.TempDir(), chip: chip}
		w.config(filepath.Base(device(t, "000a")), "")
		driven := func() {
			t.Helper()
			drivers, _ := filepath.Glob("/sys/bus/usb/drivers/cdc_acm/*:1.[01]")
			if _, err := os.Stat("/dev/ttyACM0"); err != nil || len(drivers) != 2 {
				t.Errorf("the kernel's driver has %q, want both interfaces: %v", drivers, err)
			}
		}
		layout := save(t, w.dir, "layout", fmt.Appendf(nil, "%08x:%08x ours\n%08x:%08x theirs\n", ours, ours+size-1, theirs, theirs+size-1))
		image, got := bytes.Repeat([]byte{0xFF}, chip.Size()), filepath.Join(w.dir, "got")
		copy(image[theirs:], random(size))
		flash := func(says, region, does, file string) cost {
			t.Helper()
			out, c, _, err := b.cost(w.busID, flashrom, "-p", "serprog:dev=/dev/ttyACM0:115200", "-c", "MT25QL256", "-l", layout, "-i", region, "-N", does, file)
			if err != nil || !strings.Contains(out, says) {
				t.Fatalf("flashrom %s %s: %v, want %q\n%s", does, region, err, says, out)
			}
			return c
		}
		driven()
		his := flash("VERIFIED.", "theirs", "-w", save(t, w.dir, "image", image))
		content := save(t, w.dir, "content", random(size))
		w.station("", "chip", "verify", "--slot", "1", "--at", fmt.Sprint(theirs), content)
		mine := w.station("", "chip", "write", "--slot", "1", "--at", fmt.Sprint(ours), "--yes", content)
		if w.late {
			return true
		}
		driven()
		flash("Reading flash... done.", "ours", "-r", got)
		if p, err := os.ReadFile(got); err != nil || len(p) != len(image) || !bytes.Equal(p[ours:ours+size], random(size)) {
			t.Errorf("flashrom read something else than the station wrote: %v", err)
		}
		for _, at := range []uint32{ours, theirs} {
			if !bytes.Equal(chip.Bytes(at, size), random(size)) {
				t.Errorf("0x%08x holds something else than was written", at)
			}
		}
		table := newTable("Pico, write + verify 16 KiB")
		table.line("flashrom", his, 1)
		table.line("station", mine, 1)
		t.Log("\n" + table.String())
		beside(t, writeJob("Pico"), "flashrom", his)
		beside(t, writeJob("Pico"), "station", mine)
		bounds{0, 80}.hold(t, "the station's round trips", float64(mine.RoundTrips)) // of which opening and identification are a third
		return false
	})
}
