package usbguest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/sim/dediprog"
	"station/sim/nor"
)

// TestInDediprog has Debian's flashrom write, verify and erase a chip under every version of the Dediprog protocol, and read under one, where the station
// verifies what flashrom wrote, and writes what flashrom then verifies; both writes are counted at the device. Each of them switches the supply on for that and off again.
func TestInDediprog(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	for i, row := range []struct {
		name  string
		model dediprog.Model
		opts  dediprog.Options
		part  string
		chip  string // as flashrom calls it

		station bool // it works on the same chip, in turn with flashrom
	}{
		{"SF100 V1", dediprog.SF100, dediprog.Options{Firmware: [3]int{5, 1, 9}, Asleep: true}, "MT25QL128ABA", "MT25QL128", false},
		{"SF100 V2", dediprog.SF100, dediprog.Options{}, "MT25QL256ABA", "MT25QL256", false},
		{"SF600 V3", dediprog.SF600, dediprog.Options{Pace: dediprog.Real}, "MT25QL128ABA", "MT25QL128", true}, // the smaller part: an emulated machine is slow with images
	} {
		busID := fmt.Sprintf("1-%d", i+1)
		dev, chip := dediprog.New(row.model, row.opts), newChip(t, row.part)
		b.plug(busID, dev, 1, chip)
		if chip.Powered() {
			t.Errorf("%s: the board has power before anybody switched it on", row.name)
		}
		t.Run(row.name, func(t *testing.T) {
			b := &bench{b.Server, t}
			const at, size = 0x20000, 16 * kib
			dir := t.TempDir()
			image := bytes.Repeat([]byte{0xFF}, chip.Size())
			copy(image[at:], random(size))
			file, got := save(t, dir, "image", image), filepath.Join(dir, "got")
			layout := save(t, dir, "layout", fmt.Appendf(nil, "%08x:%08x region\n", at, at+size-1))
			flash := func(says string, args ...string) cost {
				t.Helper()
				before, counted, began := chip.PowerUps(), b.counted(busID), time.Now()
				out := b.run(flashrom, append([]string{"-p", "dediprog", "-c", row.chip}, args...)...)
				c := cost{b.counted(busID).Sub(counted), time.Since(began)}
				if found := `Found Micron flash chip "` + row.chip + `"`; !strings.Contains(out, found) || !strings.Contains(out, says) {
					t.Fatalf("flashrom %q said\n%s, want %q and %q", args, out, found, says)
				}
				if n := chip.PowerUps() - before; n != 1 || chip.Powered() || dev.Millivolts() != 0 {
					t.Errorf("flashrom %q: %d times powered, now %d mV", args, n, dev.Millivolts())
				}
				return c
			}
			region := []string{"-l", layout, "-i", "region", "-N"}
			holds := func(who string, want []byte) {
				t.Helper()
				if !bytes.Equal(chip.Bytes(at, size), want) {
					t.Errorf("the chip holds something else than %s wrote", who)
				}
			}
			his := flash("VERIFIED.", append(region, "-w", file)...)
			holds("flashrom", image[at:at+size])
			if row.station {
				flash("Reading flash... done.", append(region, "-r", got)...)
				if p, err := os.ReadFile(got); err != nil || len(p) != len(image) || !bytes.Equal(p[at:at+size], image[at:at+size]) {
					t.Errorf("flashrom read something else than there is: %v", err)
				}
			}
			w := &worker{bench: b, busID: busID, dir: dir, chip: chip}
			content, where := save(t, dir, "content", image[at:at+size]), []string{"--slot", "1", "--at", fmt.Sprintf("0x%x", at)}
			if row.station {
				w.slot(fmt.Sprintf(`name: "1", port: %q, volts: "3.5", power: switched`, filepath.Base(device(t, "dada"))))
				w.station("", append([]string{"chip", "verify", content}, where...)...)
			}
			erases := chip.Counters()[nor.CountErase]
			flash("Erase/write done", append(region, "-E")...)
			holds("flashrom", bytes.Repeat([]byte{0xFF}, size))
			if chip.Counters()[nor.CountErase] == erases {
				t.Error("flashrom did not erase")
			}
			if row.station {
				mine := w.station("", append([]string{"chip", "write", content, "--yes"}, where...)...)
				holds("the station", image[at:at+size])
				table := newTable(row.name + ", write + verify 16 KiB")
				table.line("flashrom", his, 1)
				table.line("station", mine, 1)
				t.Log("\n" + table.String())
				beside(t, writeJob(row.name), "flashrom", his)
				beside(t, writeJob(row.name), "station", mine)
				// flashrom has a transfer for each page, the station one for 32.
				bounds{size / page, size / page}.hold(t, "flashrom's OUT transfers", float64(his.Outs))
				bounds{2, 2}.hold(t, "the station's OUT transfers", float64(mine.Outs))
				bounds{0, 100}.hold(t, "the station's round trips", float64(mine.RoundTrips))
				flash("VERIFIED.", append(region, "-v", file)...)
				if w.late {
					t.Error("a transfer was given up")
				}
			}
		})
		if err := b.Unplug(busID); err != nil {
			t.Fatal(err)
		}
		b.wait("the kernel to lose it", func() bool { return len(b.attached()) == 0 })
	}
}
