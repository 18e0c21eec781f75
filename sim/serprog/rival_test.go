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
	"slices"
	"strings"
	"testing"
	"time"

	driver "station/fixtures/serprog"
	"station/flash"
	"station/sim/nor"
	"station/sim/serprog"
)

// What the rivals write: a MiB of random data at a MiB, over a blank chip or other random data.
const (
	rivalAt    = 1 << 20
	rivalSize  = 1 << 20
	rivalClock = 30_000_000
	rivalPages = rivalSize / 256
)

// TestBesideFlashrom holds the station against Debian's flashrom, on equal chips behind the same simulated programmer, one after the other. flashrom knows the
// chip's name and writes that MiB alone, and what it needs to start (a second of it is a pause of its own) is not counted. The station's opening is. The
// middle of several runs counts.
func TestBesideFlashrom(t *testing.T) {
	present(t)
	for _, row := range []struct {
		name  string
		pace  serprog.Pace
		dirty bool
		runs  int
		most  float64 // the station's time, flashrom's being 1
	}{
		{"blank, paced at 30 MHz", serprog.Real, false, 3, 0.5},
		{"dirty, paced at 30 MHz", serprog.Real, true, 1, 0.5},
		{"blank, unpaced", serprog.None, false, 3, 0.3},
		{"dirty, unpaced", serprog.None, true, 3, 0.3},
	} {
		t.Run(row.name, func(t *testing.T) {
			var ratios []float64
			for run := range row.runs {
				idle := newRival(t, row.pace, row.dirty)
				start, opening := idle.flashrom(t)
				his := newRival(t, row.pace, row.dirty)
				took, cost := his.flashrom(t, "-N", "-l", his.write(t, "layout", fmt.Appendf(nil, "%08x:%08x region\n", rivalAt, rivalAt+rivalSize-1)), "-i", "region", "-w", his.write(t, "image", his.image))
				took, cost = took-start, cost.Sub(opening)
				ours := newRival(t, row.pace, row.dirty)
				own, ownCost := ours.station(t)
				for _, r := range []*rival{his, ours} {
					if got := r.chip.Bytes(0, len(r.image)); !bytes.Equal(got, r.image) {
						t.Fatal("a chip does not hold what was to be written")
					}
				}
				ratios = append(ratios, own.Seconds()/took.Seconds())
				for _, r := range []struct {
					who  string
					took time.Duration
					cost serprog.Counts
				}{{"flashrom", took, cost}, {"station", own, ownCost}} {
					t.Logf("run %d: %-8s %6.0f ms, %.2f round trips a page, %d in all, %d operations", run+1, r.who, r.took.Seconds()*1000,
						float64(r.cost.RoundTrips)/rivalPages, r.cost.RoundTrips, r.cost.SPI)
				}
				if !row.dirty && ownCost.RoundTrips > rivalPages/20 { // a dirty chip is asked besides whether its erases have ended
					t.Errorf("%d round trips of the station for %d pages", ownCost.RoundTrips, rivalPages)
				}
			}
			slices.Sort(ratios)
			middle := ratios[len(ratios)/2]
			t.Logf("the station takes %.2f of flashrom's time (%.2f to %.2f)", middle, ratios[0], ratios[len(ratios)-1])
			if middle > row.most {
				t.Errorf("the station takes %.2f of flashrom's time, want at most %.2f", middle, row.most)
			}
		})
	}
}

// TestReadBesideFlashrom is the same for reading all of the chip, unpaced.
func TestReadBesideFlashrom(t *testing.T) {
	present(t)
	r := newRival(t, serprog.None, true)
	start, opening := r.flashrom(t)
	file := filepath.Join(r.dir, "read")
	took, cost := r.flashrom(t, "-r", file)
	took, cost = took-start, cost.Sub(opening)
	his, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, began := r.server.Counts(), time.Now()
	chip := r.open(t)
	ours := make([]byte, chip.Part().Size)
	if err := chip.Read(t.Context(), 0, ours); err != nil {
		t.Fatal(err)
	}
	own, ownCost := time.Since(began), r.server.Counts().Sub(before)
	if whole := r.chip.Bytes(0, len(ours)); !bytes.Equal(his, whole) || !bytes.Equal(ours, whole) {
		t.Error("something else was read than the chip holds")
	}
	mib := float64(len(ours) >> 20)
	t.Logf("flashrom %v, %.2f round trips a MiB; the station %v, %.2f, opening included", took, float64(cost.RoundTrips)/mib, own, float64(ownCost.RoundTrips)/mib)
	if ownCost.RoundTrips > uint64(len(ours)>>20)+32 {
		t.Errorf("%d round trips of the station for %v MiB", ownCost.RoundTrips, mib)
	}
}

// rival is one of them with its programmer and its chip.
type rival struct {
	chip   *nor.Chip
	server *serprog.Server
	addr   string
	dir    string
	image  []byte // what the chip is to hold in the end
}

// past is a chip to which something happened before, with time enough.
type past struct {
	*nor.Chip
	now time.Time
}

func (p *past) later() {
	p.now = p.now.Add(200 * time.Microsecond)
	p.At(p.now, 0)
}

func (p *past) Select()              { p.later(); p.Chip.Select() }
func (p *past) Shift(out, in []byte) { p.later(); p.Chip.Shift(out, in) }
func (p *past) Deselect()            { p.later(); p.Chip.Deselect() }

func newRival(t *testing.T, pace serprog.Pace, dirty bool) *rival {
	t.Helper()
	dice := rand.NewChaCha8([32]byte{1})
	random := make([]byte, 2*rivalSize)
	dice.Read(random)

	o := nor.Options{}
	if pace == serprog.Real {
		o.Pace = nor.Real
	}
	chip, err := nor.New("MT25QL256ABA", [14]byte{7}, o)
	if err != nil {
		t.Fatal(err)
	}
	if dirty {
		program(&past{chip, time.Now().Add(-time.Hour)}, rivalAt, random[rivalSize:])
		if !bytes.Equal(chip.Bytes(rivalAt, rivalSize), random[rivalSize:]) {
			t.Fatal("the chip was not prepared")
		}
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, done := serprog.New(chip, serprog.Options{Pace: pace}), make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r := &rival{chip: chip, server: s, addr: ln.Addr().String(), dir: t.TempDir(), image: bytes.Repeat([]byte{0xFF}, chip.Size())}
	copy(r.image[rivalAt:], random[:rivalSize])
	return r
}

func (r *rival) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// flashrom runs it; without further arguments it identifies the chip.
func (r *rival) flashrom(t *testing.T, args ...string) (time.Duration, serprog.Counts) {
	t.Helper()
	args = append([]string{"-p", fmt.Sprintf("serprog:ip=%s,spispeed=%d", r.addr, rivalClock), "-c", "MT25QL256"}, args...)
	for try := 1; ; try++ {
		before, start := r.server.Counts(), time.Now()
		out, err := exec.CommandContext(t.Context(), flashrom, args...).CombinedOutput()
		took := time.Since(start)
		switch {
		case err == nil && (!slices.Contains(args, "-w") || strings.Contains(string(out), "VERIFIED")):
			return took, r.server.Counts().Sub(before)
		case try < 3 && strings.Contains(string(out), "Programmer initialization failed"):
			// A machine with more to do than cores let its opening wait for half a second, which is its limit.
			t.Logf("flashrom could not start: %s", out)
		default:
			t.Fatalf("flashrom %q: %v\n%s", args, err, out)
		}
	}
}

// station writes and proves it as a recipe's step does: a sample, a plan, the plan, all of it read back.
func (r *rival) station(t *testing.T) (time.Duration, serprog.Counts) {
	t.Helper()
	ctx, before, start := t.Context(), r.server.Counts(), time.Now()
	chip := r.open(t)
	want := []flash.Extent{{Addr: rivalAt, Size: rivalSize, Data: r.image[rivalAt : rivalAt+rivalSize]}}
	known, err := chip.Sample(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := flash.NewPlan(chip.Part(), want, known.Sector)
	if err != nil {
		t.Fatal(err)
	}
	if err := chip.Apply(ctx, plan, nil); err != nil {
		t.Fatal(err)
	}
	if err := chip.Verify(ctx, want, nil); err != nil {
		t.Fatal(err)
	}
	return time.Since(start), r.server.Counts().Sub(before)
}

// open connects, and identifies the chip, as the program does.
func (r *rival) open(t *testing.T) *flash.Chip {
	t.Helper()
	stream, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := driver.Open(t.Context(), stream, driver.Options{Clock: rivalClock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	chip, err := flash.Identify(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return chip
}
