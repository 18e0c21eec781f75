package serprog_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"station/sim/nor"
)

// smallErases are the erases of 4, 32 and 64 KiB.
const smallErases = "\x20\x21\x52\x5C\xD8\xDC"

// TestFlashrom is the judge from outside: Debian's flashrom identifies each standard part that it knows, writes into regions that hold
// other content, verifies and reads them back, and erases them; and on some it erases all. It looks at three bytes of the ID, and so takes
// the secure variant and the Authenta parts for standard ones.
func TestFlashrom(t *testing.T) {
	present(t)
	type all struct {
		op    byte
		times int
	}
	for _, row := range []struct {
		name, part string
		mib        int
		all        []all
	}{
		{"MT25QL128", "MT25QL128ABA", 16, []all{{0x20, 4096}, {0xC7, 1}}},
		{"MT25QL256", "MT25QL256ABA", 32, []all{{0x21, 8192}, {0xC7, 1}}},
		{"MT25QU256", "MT25QU256ABA", 32, nil},
		{"MT25QL512", "MT25QL512ABB", 64, nil},
		{"MT25QU512", "MT25QU512ABB", 64, nil},
		{"MT25QL01G", "MT25QL01GBBB", 128, []all{{0xC4, 2}}},
		{"MT25QL02G", "MT25QL02GCBB", 256, []all{{0xC4, 4}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			testRegions(t, row.name, row.part, row.mib)
			for _, a := range row.all {
				testEraseAll(t, row.name, row.part, a.op, a.times)
			}
		})
	}
	for _, row := range [][2]string{{"MT25QU256", "MT25QU256ABA-1SIT"}, {"MT25QL128", "MT25QL128ABB"}} {
		t.Run(row[1], func(t *testing.T) {
			t.Parallel()
			newJudge(t, row[0], newPart(t, row[1]), "").run("Found Micron flash chip \"" + row[0])
		})
	}
	t.Run("deep", func(t *testing.T) {
		t.Parallel()
		testDeep(t)
	})
}

// span is content of the array from an address on.
type span struct {
	at   int
	data []byte
}

// holds compares the whole array with spans, later over earlier, and FF elsewhere.
func holds(t *testing.T, what string, chip *nor.Chip, spans ...[]span) {
	t.Helper()
	const piece = 1 << 20
	for at := 0; at < chip.Size(); at += piece {
		want := bytes.Repeat([]byte{0xFF}, piece)
		for _, s := range slices.Concat(spans...) {
			if s.at < at+piece && s.at+len(s.data) > at {
				from, skip := max(0, s.at-at), max(0, at-s.at)
				copy(want[from:], s.data[skip:])
			}
		}
		got := chip.Bytes(uint32(at), piece)
		if bytes.Equal(got, want) {
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: 0x%08x holds %02X, want %02X", what, at+i, got[i], want[i])
				return
			}
		}
	}
}

// testRegions has regions at both ends, across 16 MiB (across the middle of a part that ends there) and across each border between
// dies. They and the 256 bytes beside them hold something before.
func testRegions(t *testing.T, name, part string, mib int) {
	const size, unit = 8 << 10, 4 << 10
	starts := []int{0, min(16, mib/2)<<20 - size/2, mib<<20 - size}
	for border := 64; border < mib; border += 64 {
		starts = append(starts, border<<20-size/2)
	}
	chip := newPart(t, part)
	j := newJudge(t, name, chip, "")
	image, err := os.Create(filepath.Join(j.dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if err := image.Truncate(int64(chip.Size())); err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, uint64(mib)))
	random := func(at, n int) span {
		s := span{at, make([]byte, n)}
		for i := range s.data {
			s.data[i] = byte(dice.Uint32())
		}
		return s
	}
	var before, wanted, blank []span
	layout, regions := "", []string{"-N"}
	for i, at := range starts {
		from, to := max(0, at-256), min(chip.Size(), at+size+256)
		old, data := random(from, to-from), random(at, size)
		before, wanted, blank = append(before, old), append(wanted, data), append(blank, span{at, bytes.Repeat([]byte{0xFF}, size)})
		program(chip, old.at, old.data)
		if _, err := image.WriteAt(data.data, int64(at)); err != nil {
			t.Fatal(err)
		}
		layout += fmt.Sprintf("%08x:%08x region%d\n", at, at+size-1, i)
		regions = append(regions, "-i", fmt.Sprintf("region%d", i))
	}
	regions = append(regions, "-l", j.write("layout", []byte(layout)))

	op := byte(0x21)
	if mib == 16 {
		op = 0x20
	}
	erased := func(what string) { // each unit of the regions once, and nothing else, since the last call
		t.Helper()
		want := len(starts) * size / unit
		if got := j.erases(); got.sent != want || got.byOpcode[op] != want || got.effects != uint64(want) {
			t.Errorf("%s: %+v, want %d by %02X", what, got, want, op)
		}
	}
	j.run(fmt.Sprintf("Found Micron flash chip %q (%d kB, SPI)", name, mib<<10), append(regions, "-w", image.Name())...)
	holds(t, "after the write", chip, before, wanted)
	erased("write")

	read := filepath.Join(j.dir, "read")
	j.run("Reading flash... done.", append(regions, "-r", read)...)
	f, err := os.Open(read)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range wanted {
		got := make([]byte, size)
		if _, err := f.ReadAt(got, int64(s.at)); err != nil || !bytes.Equal(got, s.data) {
			t.Errorf("flashrom read something else at 0x%08x: %v", s.at, err)
		}
	}
	j.run("VERIFIED.", append(regions, "-v", image.Name())...)
	holds(t, "after the reads", chip, before, wanted)

	j.run("Erase/write done", append(regions, "-E")...)
	holds(t, "after the erase", chip, before, blank)
	erased("erase")
}

// testEraseAll erases a whole chip. flashrom takes the smallest unit first; bulk and die erase come last, and so only where the chip
// does not answer to the others.
func testEraseAll(t *testing.T, name, part string, op byte, times int) {
	chip := newPart(t, part)
	deaf := ""
	if op == 0xC7 || op == 0xC4 {
		deaf = smallErases
	}
	for at := 0; at < chip.Size(); at += 8 << 20 {
		program(chip, at, []byte{1, 2, 3})
		program(chip, at+8<<20-3, []byte{4, 5, 6})
	}
	j := newJudge(t, name, chip, deaf)
	j.run("Erase/write done", "-E")
	holds(t, fmt.Sprintf("after -E by %02X", op), chip)
	if got := j.erases(); got.byOpcode[op] != times || got.effects != uint64(times) {
		t.Errorf("-E: %+v, want %d by %02X", got, times, op)
	}
}

// testDeep is more of one part, on a board file: all of it read, a change written into it, verified, and what that costs.
func testDeep(t *testing.T) {
	board := filepath.Join(t.TempDir(), "board.chip")
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
	j := newJudge(t, "MT25QL256", chip, "")

	began := time.Now()
	identify := j.run(`Micron flash chip "MT25QL256" (32768 kB, SPI)`)
	t.Logf("identify: %+v, %v", identify, time.Since(began))

	began = time.Now()
	image := filepath.Join(j.dir, "image")
	reading := j.run("Reading flash... done.", "-r", image)
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
	layout := j.write("layout", fmt.Appendf(nil, "%08x:%08x region\n", at, at+size-1))
	began = time.Now()
	writing := j.run("VERIFIED", "-l", layout, "-i", "region", "-N", "-w", j.write("image", want))
	pages := float64(size / 256)
	t.Logf("write and verify of %d KiB: %+v, %v; a page: %.2f SPI operations, %.2f round trips", size>>10, writing, time.Since(began),
		float64(writing.SPI-identify.SPI)/pages, float64(writing.RoundTrips-identify.RoundTrips)/pages)

	// over a part that was programmed before, flashrom must erase
	for i := range size {
		want[at+i] ^= byte(dice.Uint32())
	}
	j.run("VERIFIED", "-l", layout, "-i", "region", "-N", "-w", j.write("image", want))
	if chip.Counters()[nor.CountErase] == 0 {
		t.Error("flashrom wrote over programmed cells without an erase")
	}
	chip.SetFaults(nor.Faults{Flip: map[uint32]byte{at + size - 1: 0x10}})
	if out, _, err := j.try("-l", layout, "-i", "region", "-N", "-v", j.write("image", want)); err == nil || !strings.Contains(out, "FAILED") {
		t.Errorf("flashrom verified a bad cell: %v\n%s", err, out)
	}
	chip.SetFaults(nor.Faults{})

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
