package usbguest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
	"station/sim/usbip"
)

// TestInFlashrom has Debian's flashrom identify, read, write and verify a chip under each programmer, through libusb and this kernel, and
// counts at the device what that costs. The chip takes its typical times; the programmers and the bus take none.
func TestInFlashrom(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	for i, row := range []struct {
		name, programmer string
		dev              sim.Device
		interfaces       int
		page, mib        bounds // of round trips
	}{
		// A page is one OUT with write-enable and program, which nobody waits for, and N status reads. A MiB is 16 commands, and
		// the few round trips that begin a run.
		{"FT232H", "ft2232_spi:type=232H", ftdi.New(ftdi.FT232H, ftdi.Options{}), 1, bounds{1, 2}, bounds{16, 20}},
		{"FT2232H", "ft2232_spi:type=2232H,port=A", ftdi.New(ftdi.FT2232H, ftdi.Options{}), 2, bounds{1, 2}, bounds{16, 20}},
		// Here flashrom waits for the answers to write-enable and program too, and the program begins with the first
		// status read, so that N is 2 or more; but where the machine is held up between the two packets of that read, the chip
		// is ready by then. A MiB is 256 commands.
		{"CH341A", "ch341a_spi", ch341a.New(ch341a.Options{}), 1, bounds{3.5, 6}, bounds{256, 260}},
	} {
		busID := fmt.Sprintf("1-%d", i+1)
		b.plug(busID, row.dev, row.interfaces)
		t.Run(row.name, func(t *testing.T) {
			// flashrom gives a transfer a second, which an emulated machine may miss when its host is busy. Such a run tells
			// nothing, and is repeated on a blank chip.
			for range 4 {
				j := &judge{bench: &bench{b.Server, t}, busID: busID, programmer: row.programmer, chip: newChip(t, "MT25QL256ABA")}
				if err := row.dev.Attach(0, j.chip); err != nil {
					t.Fatal(err)
				}
				if j.measure(row.name, row.page, row.mib); !j.late {
					return
				}
				t.Log("flashrom gave up a transfer, again")
			}
			t.Error("flashrom gave up a transfer every time")
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

// bounds are of a count, both included.
type bounds struct{ least, most float64 }

func (b bounds) hold(t *testing.T, what string, got float64) {
	t.Helper()
	if got < b.least || got > b.most {
		t.Errorf("%s: %.2f, want %v to %v", what, got, b.least, b.most)
	}
}

// judge is flashrom before one programmer.
type judge struct {
	*bench
	busID, programmer string
	chip              *nor.Chip
	late              bool // a transfer was given up
}

// cost is what flashrom did to the device, and how long it ran.
type cost struct {
	usbip.Counts
	took time.Duration
}

func (c cost) less(d cost) cost {
	return cost{usbip.Counts{
		Control: c.Control - d.Control, Out: c.Out - d.Out, In: c.In - d.In, Empty: c.Empty - d.Empty, RoundTrips: c.RoundTrips - d.RoundTrips,
	}, c.took - d.took}
}

// flashrom runs it, wants it to say something, and tells the cost; or notes that it was late.
func (j *judge) flashrom(says string, args ...string) cost {
	j.t.Helper()
	if j.late {
		return cost{}
	}
	count := func() cost {
		n, err := j.Counts(j.busID)
		if err != nil {
			j.t.Fatal(err)
		}
		return cost{Counts: n}
	}
	before, began := count(), time.Now()
	out, err := output(flashrom, append([]string{"-p", j.programmer, "-c", "MT25QL256"}, args...)...)
	took, after := time.Since(began), count()
	switch {
	case err != nil && strings.Contains(out, "LIBUSB_TRANSFER_TIMED_OUT"):
		j.late = true
	case err != nil || !strings.Contains(out, says):
		j.t.Fatalf("flashrom %q: %v, want %q\n%s", args, err, says, out)
	}
	c := after.less(before)
	c.took = took
	return c
}

const (
	kib  = 1 << 10
	mib  = 1 << 20
	page = 256
)

// measure works on two regions of 16 KiB, of which one is written without and one with the verification that flashrom does by itself, and
// reads one of a MiB. It tells nothing where flashrom was late.
func (j *judge) measure(name string, perPage, perMiB bounds) {
	t, dir := j.t, j.t.TempDir()
	write := func(name string, p []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const first, second, big, size = 0x10000, 0x1000000 - 8*kib, 0x800000, 16 * kib
	layout := write("layout", fmt.Appendf(nil, "%08x:%08x first\n%08x:%08x second\n%08x:%08x big\n",
		first, first+size-1, second, second+size-1, big, big+mib-1))
	region := func(name string, args ...string) []string {
		return append([]string{"-l", layout, "-i", name, "-N"}, args...)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	image := bytes.Repeat([]byte{0xFF}, j.chip.Size())
	for _, at := range []int{first, second} {
		for i := range size {
			image[at+i] = byte(dice.Uint32())
		}
	}
	file, got := write("image", image), filepath.Join(dir, "got")

	identify := j.flashrom(`Found Micron flash chip "MT25QL256" (32768 kB, SPI)`)
	small := j.flashrom("Reading flash... done.", region("first", "-r", got)...)
	bare := j.flashrom("Erase/write done", region("first", "-n", "-w", file)...)
	whole := j.flashrom("VERIFIED.", region("second", "-w", file)...)
	large := j.flashrom("Reading flash... done.", region("big", "-r", got)...)
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
	const n = size / page
	var table strings.Builder
	fmt.Fprintf(&table, "%-34s %11s %8s %8s %8s %8s %9s\n", "flashrom, "+name, "round trips", "control", "OUT", "IN", "empty IN", "ms")
	line := func(what string, c cost, by float64) {
		fmt.Fprintf(&table, "%-34s %11.2f %8.2f %8.2f %8.2f %8.2f %9.2f\n", what,
			float64(c.RoundTrips)/by, float64(c.Control)/by, float64(c.Out)/by, float64(c.In)/by, float64(c.Empty)/by, c.took.Seconds()*1000/by)
	}
	line("identify", identify, 1)
	line("write + verify 16 KiB, above it", whole.less(identify), 1)
	line("program one page of 256 bytes", pages, n)
	line("read 1 MiB, above identify", mibs, 1)
	t.Log("\n" + table.String())
	perPage.hold(t, "round trips per page", float64(pages.RoundTrips)/n)
	perMiB.hold(t, "round trips per MiB", float64(mibs.RoundTrips))
}
