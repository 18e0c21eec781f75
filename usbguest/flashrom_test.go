package usbguest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
)

// TestInFlashrom has Debian's flashrom identify, read, write and verify a chip under each programmer, through libusb and this kernel, and
// counts at the device what that costs. Chip and wire take their typical times, the bus what it takes here.
func TestInFlashrom(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	for i, row := range []struct {
		name, programmer string
		dev              sim.Device
		interfaces       int
		page             bounds // of round trips
		read             int    // bytes
		mib              bounds // of round trips
	}{
		// A page is one OUT with write-enable and program, which nobody waits for, and N status reads. A MiB is 16 commands, and
		// the few round trips that begin a run.
		{"FT232H", "ft2232_spi:type=232H", ftdi.New(ftdi.FT232H, ftdi.Options{Pace: ftdi.Real}), 1, bounds{1, 2}, mib, bounds{16, 20}},
		{"FT2232H", "ft2232_spi:type=2232H,port=A", ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: ftdi.Real}), 2, bounds{1, 2}, mib, bounds{16, 20}},
		// Here flashrom waits for the answers to write-enable and program too, and the program begins with the first
		// status read, so that N is 2; but where the machine is held up between the two packets of that read, the chip is
		// ready by then. A MiB is 256 commands; what begins a run counts four times here.
		{"CH341A", "ch341a_spi", ch341a.New(ch341a.Options{Pace: ch341a.Real}), 1, bounds{3, 6}, mib / 4, bounds{256, 272}},
	} {
		busID := fmt.Sprintf("1-%d", i+1)
		b.plug(busID, row.dev, row.interfaces)
		t.Run(row.name, func(t *testing.T) {
			b := &bench{b.Server, t}
			b.unhurried(row.dev, func(chip *nor.Chip) bool {
				j := &judge{bench: b, busID: busID, programmer: row.programmer, chip: chip}
				j.measure(row.name, row.page, row.read, row.mib)
				return j.late
			})
		})
	}
}

// TestInPortB has flashrom find each of two chips under one FT2232H.
func TestInPortB(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	b.plug("1-1", ftdi.New(ftdi.FT2232H, ftdi.Options{}), 2, newChip(t, "MT25QL256ABA"), newChip(t, "MT25QL128ABA"))
	for port, chip := range map[string]string{"A": "MT25QL256", "B": "MT25QL128"} {
		out := b.run(flashrom, "-p", "ft2232_spi:type=2232H,port="+port, "-c", chip)
		if !strings.Contains(out, `Found Micron flash chip "`+chip+`"`) {
			t.Errorf("port %s:\n%s", port, out)
		}
	}
}

// judge is flashrom before one programmer.
type judge struct {
	*bench
	busID, programmer string
	chip              *nor.Chip
	late              bool // a transfer was given up
}

// flashrom runs it, wants it to say something, and tells the cost; or notes that it was late.
func (j *judge) flashrom(says string, args ...string) cost {
	j.t.Helper()
	if j.late {
		return cost{}
	}
	out, c, late, err := j.cost(j.busID, flashrom, append([]string{"-p", j.programmer, "-c", "MT25QL256"}, args...)...)
	switch {
	case late:
		j.late = true
	case err != nil || !strings.Contains(out, says):
		j.t.Fatalf("flashrom %q: %v, want %q\n%s", args, err, says, out)
	case j.chip.Counters()[nor.CountErase] > 0:
		j.t.Fatalf("flashrom %q erased what was blank: it read something else\n%s", args, out)
	}
	return c
}

// read has flashrom read a region, and compares.
func (j *judge) read(at, size int, file string, args ...string) cost {
	j.t.Helper()
	c := j.flashrom("Reading flash... done.", append(args, "-r", file)...)
	if p, err := os.ReadFile(file); !j.late && (err != nil || len(p) != j.chip.Size() || !bytes.Equal(p[at:at+size], j.chip.Bytes(uint32(at), size))) {
		j.t.Errorf("flashrom %q read something else than there is: %v", args, err)
	}
	return c
}

// measure works on two regions of 16 KiB, of which one is written without and one with the verification that flashrom does by itself, and
// reads one of a MiB. It tells nothing where flashrom was late.
func (j *judge) measure(name string, perPage bounds, read int, perMiB bounds) {
	t, dir := j.t, j.t.TempDir()
	const first, second, big, size = 0x10000, 0x1000000 - 8*kib, 0x800000, 16 * kib
	layout := save(t, dir, "layout", fmt.Appendf(nil, "%08x:%08x first\n%08x:%08x second\n%08x:%08x big\n",
		first, first+size-1, second, second+size-1, big, big+read-1))
	region := func(name string, args ...string) []string {
		return append([]string{"-l", layout, "-i", name, "-N"}, args...)
	}
	image := bytes.Repeat([]byte{0xFF}, j.chip.Size())
	for _, at := range []int{first, second} {
		copy(image[at:], random(size))
	}
	file, got := save(t, dir, "image", image), filepath.Join(dir, "got")

	identify := j.flashrom(`Found Micron flash chip "MT25QL256" (32768 kB, SPI)`)
	small := j.read(first, size, got, region("first")...)
	bare := j.flashrom("Erase/write done", region("first", "-n", "-w", file)...)
	whole := j.flashrom("VERIFIED.", region("second", "-w", file)...)
	large := j.read(big, read, got, region("big")...)
	j.flashrom("VERIFIED.", region("first", "-v", file)...)
	if j.late {
		return
	}
	for _, at := range []int{first, second} {
		if !bytes.Equal(j.chip.Bytes(uint32(at), size), image[at:at+size]) {
			t.Errorf("0x%08x holds something else than flashrom wrote", at)
		}
	}

	pages, mibs := bare.less(small), large.less(identify)
	table := newTable("flashrom, " + name)
	table.line("identify", identify, 1)
	table.line("write + verify 16 KiB", whole, 1)
	table.line("  the same, above identify", whole.less(identify), 1)
	table.line("  program of one page", pages, size/page)
	table.line(fmt.Sprintf("read %d KiB", read/kib), large, 1)
	table.line("  the same, above identify", mibs, 1)
	t.Log("\n" + table.String())
	beside(t, writeJob(name), "flashrom", whole)
	beside(t, readJob(read, name), "flashrom", large)
	perPage.hold(t, "round trips per page", float64(pages.RoundTrips)/(size/page))
	perMiB.hold(t, "round trips per MiB", float64(mibs.RoundTrips)*mib/float64(read))
}
