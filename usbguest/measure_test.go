package usbguest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"station/sim"
	"station/sim/nor"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	page = 256
)

// cost is what a program did to a device, and how long it ran.
type cost struct {
	sim.Count
	took time.Duration
}

func (c cost) less(d cost) cost { return cost{c.Sub(d.Count), c.took - d.took} }

// gaveUp is what flashrom and the station say of a transfer that took too long. flashrom gives each a second, the station not much more,
// which an emulated machine may miss when its host is busy. Such a run tells nothing, even if it ends well: flashrom then tries another way.
var gaveUp = regexp.MustCompile(`TRANSFER_TIMED_OUT|transfer timed out|fell silent`)

const tries = 4

// counted is what a device counted so far.
func (b *bench) counted(busID string) sim.Count {
	b.t.Helper()
	n, err := b.Count(busID)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// cost runs a program and tells what it said and what it cost at a device. One that gave a transfer up is run again where it does not
// write, and otherwise is late.
func (b *bench) cost(busID, program string, args ...string) (out string, c cost, late bool, err error) {
	b.t.Helper()
	for range tries {
		before, began := b.counted(busID), time.Now()
		out, err = output(program, args...)
		c = cost{b.counted(busID).Sub(before), time.Since(began)}
		if late = gaveUp.MatchString(out); !late || slices.Contains(args, "-w") || slices.Contains(args, "write") {
			break
		}
		b.t.Logf("%s %q gave a transfer up, again", program, args)
	}
	return out, c, late, err
}

// unhurried measures with a blank chip under channel A, until nothing was late.
func (b *bench) unhurried(dev sim.Device, measure func(chip *nor.Chip) (late bool)) {
	b.t.Helper()
	for range tries {
		chip := newChip(b.t, "MT25QL256ABA")
		if err := dev.Attach(0, chip); err != nil {
			b.t.Fatal(err)
		}
		if !measure(chip) {
			return
		}
		b.t.Log("a transfer was given up, again from the beginning")
	}
	b.t.Error("a transfer was given up every time")
}

// bounds are of a count, both included.
type bounds struct{ least, most float64 }

func (b bounds) hold(t *testing.T, what string, got float64) {
	t.Helper()
	if got < b.least || got > b.most {
		t.Errorf("%s: %.2f, want %v to %v", what, got, b.least, b.most)
	}
}

// table is of costs.
type table struct{ strings.Builder }

func newTable(title string) *table {
	var t table
	fmt.Fprintf(&t, "%-34s %11s %9s %9s %9s %10s %10s %9s\n", title, "round trips", "control", "OUT", "IN", "OUT bytes", "IN bytes", "ms")
	return &t
}

// line is a cost, divided by how often the thing was done.
func (t *table) line(what string, c cost, times float64) {
	fmt.Fprintf(t, "%-34s %11.2f %9.2f %9.2f %9.2f %10.1f %10.1f %9.2f\n", what, float64(c.RoundTrips)/times, float64(c.Controls)/times, float64(c.Outs)/times,
		float64(c.Ins)/times, float64(c.OutBytes)/times, float64(c.InBytes)/times, c.took.Seconds()*1000/times)
}

func writeJob(device string) string { return "write + verify 16 KiB, " + device }
func readJob(size int, device string) string {
	return fmt.Sprintf("read %d KiB, %s", size/kib, device)
}

// beside prints a whole job as a row of the table in docs/performance.md, which the host of the guest writes.
func beside(t *testing.T, job, who string, c cost) {
	t.Logf("%s| %s | %s | %d | %d | %d | %d | %.1f |", rowMark, job, who, c.RoundTrips, c.Controls, c.Outs, c.Ins, c.took.Seconds())
}

// rowMark stands before a row in what the guest says.
const rowMark = "row: "

// random is content that is no two pages' the same.
func random(n int) []byte {
	dice := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(dice.Uint32())
	}
	return p
}

func save(t *testing.T, dir, name string, p []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
