package performance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"station/sim/nor"
	"station/sim/serprog"
)

const flashrom = "/usr/sbin/flashrom"

// TestBesideFlashrom holds the program that ships against Debian's flashrom, both as processes, on equal chips behind the same simulated serprog programmer, one after the
// other. flashrom knows the chip's name and writes the range alone. What either needs to start and to identify the chip (of flashrom's a second is a pause of its own) is not counted; all else of
// `station run` is: the ledger, both readings of the locks, the report. In full size the middle of three
// runs counts (of the long one there is one); every day another run, of at most three, follows only where the one before missed, since other tests keep the machine busy then.
func TestBesideFlashrom(t *testing.T) {
	unraced(t)
	if testing.Short() {
		t.Skip("NOT RUN: flashrom takes seconds")
	}
	if _, err := os.Stat(flashrom); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("flashrom is not installed")
		}
		t.Skip("NOT RUN: flashrom is not installed")
	}
	station := filepath.Join(t.TempDir(), "station")
	command(t, "", "go", "build", "-o", station, "station/cmd/station")
	for _, c := range []struct {
		n       int
		name    string
		pace    serprog.Pace
		dirty   bool
		content []byte
		runs    int
		most    float64 // the station's time, flashrom's being 1
	}{
		{70, "blank, paced at 30 MHz", serprog.Real, false, image(1, mebibyte), 3, 0.5},
		{71, "dirty, paced at 30 MHz", serprog.Real, true, image(1, size(mebibyte, 2*sector)), size(1, 3), 0.5},
		{72, "blank, no pace", serprog.None, false, image(1, mebibyte), 3, 0.3},
		{73, "dirty, no pace", serprog.None, true, image(1, mebibyte), 3, 0.3},
	} {
		t.Run(c.name, func(t *testing.T) {
			type result struct{ his, own spell }
			ratio := func(r result) float64 { return r.own.took.Seconds() / r.his.took.Seconds() }
			var results []result
			start, ownStart := newRival(t, c.pace, nil).starts(station)
			for run := range c.runs {
				var before []byte
				if c.dirty {
					before = image(2, len(c.content))
				}
				his, ours := newRival(t, c.pace, before), newRival(t, c.pace, before)
				layout := his.write("layout", fmt.Appendf(nil, "%08x:%08x region\n", 0, len(c.content)-1))
				whole := append(bytes.Clone(c.content), bytes.Repeat([]byte{0xFF}, his.chip.Size()-len(c.content))...)
				r := result{his.flashrom("-N", "-l", layout, "-i", "region", "-w", his.write("image", whole)).less(start), ours.station(station, c.content).less(ownStart)}
				for _, v := range []*rival{his, ours} {
					if !bytes.Equal(v.chip.Bytes(0, len(whole)), whole) {
						t.Fatal("a chip does not hold what was to be written")
					}
				}
				t.Logf("run %d: flashrom %v, station %v", run+1, r.his, r.own)
				results = append(results, r)
				if !full() && ratio(r) <= c.most {
					results = results[run:]
					break
				}
			}
			slices.SortFunc(results, func(a, b result) int { return cmp.Compare(ratio(a), ratio(b)) })
			middle := results[len(results)/2]
			pages := float64(len(c.content) / page)
			if n := middle.own.cost.RoundTrips; !c.dirty && float64(n) > pages/20 { // a dirty chip is asked besides whether its erases have ended
				t.Errorf("%d round trips of the station for %v pages", n, pages)
			}
			hold(t, ratio(middle) <= c.most, row{n: c.n, what: "wall time beside flashrom over serprog, " + sizeText(len(c.content)) + " written and verified, " + c.name,
				limit: fmt.Sprintf("flashrom = 1: %.2f s, %.2f round trips a page", middle.his.took.Seconds(), float64(middle.his.cost.RoundTrips)/pages), reach: fmt.Sprintf("%v or less", c.most),
				measured: fmt.Sprintf("%.2f: %.2f s, %.3f round trips a page", ratio(middle), middle.own.took.Seconds(), float64(middle.own.cost.RoundTrips)/pages)})
		})
	}
	t.Run("reading", func(t *testing.T) {
		r := newRival(t, serprog.None, nil)
		start, ownStart := r.starts(station)
		theirs, mine := filepath.Join(r.dir, "theirs"), filepath.Join(r.dir, "mine")
		his := r.flashrom("-r", theirs).less(start)
		own := r.measure(func() { command(t, r.dir, station, "chip", "read", "--slot", "1", "-o", mine) }).less(ownStart)
		a, err := os.ReadFile(theirs)
		must(t, err)
		b, err := os.ReadFile(mine)
		must(t, err)
		if content := r.chip.Bytes(0, r.chip.Size()); !bytes.Equal(a, content) || !bytes.Equal(b, content) {
			t.Error("something else was read than the chip holds")
		}
		t.Logf("flashrom %v, station %v", his, own)
		if mib := r.chip.Size() / mebibyte; own.cost.RoundTrips > uint64(mib+32) { // a MiB each, and some as its timing has it
			t.Errorf("%d round trips of the station for %d MiB", own.cost.RoundTrips, mib)
		}
	})
}

// rival is one of them with its programmer and its chip.
type rival struct {
	t      *testing.T
	chip   *nor.Chip
	server *serprog.Server
	addr   string
	dir    string
}

// spell is how long something took, and what passed at the programmer.
type spell struct {
	took time.Duration
	cost serprog.Counts
}

func (s spell) less(o spell) spell { return spell{s.took - o.took, s.cost.Sub(o.cost)} }

func (s spell) String() string {
	return fmt.Sprintf("%.0f ms, %d round trips, %d operations", s.took.Seconds()*1000, s.cost.RoundTrips, s.cost.SPI)
}

// newRival is one whose chip holds before from its beginning on.
func newRival(t *testing.T, pace serprog.Pace, before []byte) *rival {
	t.Helper()
	o, pause := nor.Options{}, time.Duration(0)
	if pace == serprog.Real {
		o.Pace, pause = nor.Real, programmed
	}
	chip, err := nor.New(partName, uid(len(before)), o)
	must(t, err)
	program(chip, before, pause)
	if !bytes.Equal(chip.Bytes(0, len(before)), before) {
		t.Fatal("the chip was not prepared")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s, done := serprog.New(chip, serprog.Options{Pace: pace}), make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	return &rival{t: t, chip: chip, server: s, addr: ln.Addr().String(), dir: t.TempDir()}
}

func (r *rival) write(name string, content []byte) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	must(r.t, os.WriteFile(path, content, 0o600))
	return path
}

// measure does something with the programmer.
func (r *rival) measure(do func()) spell {
	before, start := r.server.Counts(), time.Now()
	do()
	return spell{time.Since(start), r.server.Counts().Sub(before)}
}

// flashrom runs it; without further arguments it identifies the chip.
func (r *rival) flashrom(args ...string) (s spell) {
	r.t.Helper()
	args = append([]string{"-p", fmt.Sprintf("serprog:ip=%s,spispeed=%d", r.addr, ftdiClock), "-c", "MT25QL256"}, args...)
	for try := 1; ; try++ {
		var out []byte
		var err error
		s = r.measure(func() { out, err = exec.CommandContext(r.t.Context(), flashrom, args...).CombinedOutput() })
		switch {
		case err == nil && (!slices.Contains(args, "-w") || strings.Contains(string(out), "VERIFIED")):
			return s
		case try < 3 && strings.Contains(string(out), "Programmer initialization failed"):
			// A machine with more to do than cores let its opening wait for half a second, which is its limit.
			r.t.Logf("flashrom could not start: %s", out)
		default:
			r.t.Fatalf("flashrom %q: %v\n%s", args, err, out)
		}
	}
}

// setUp makes a station whose slot 1 is the programmer.
func (r *rival) setUp(station string) {
	r.t.Helper()
	r.write("config.yaml", fmt.Appendf(nil, "station: line1\ndata: data\nslots:\n  - {name: \"1\", port: \"tcp:%s\", volts: \"3.3\", clock: 30MHz}\n", r.addr))
	command(r.t, r.dir, station, "init")
}

// starts is what either needs to start and to identify the chip.
func (r *rival) starts(station string) (his, own spell) {
	r.t.Helper()
	r.setUp(station)
	his, own = r.flashrom(), r.measure(func() { command(r.t, r.dir, station, "chip", "info", "--slot", "1") })
	r.t.Logf("to start: flashrom %v, station %v", his, own)
	return his, own
}

// station provisions the board with a recipe that writes content: a sample of what is there, a plan, the plan, all of it read back.
func (r *rival) station(station string, content []byte) spell {
	r.t.Helper()
	r.setUp(station)
	file := recipeFile(r.t, content)
	return r.measure(func() { command(r.t, r.dir, station, "run", file, "--slot", "1=P-1") })
}

// command runs a program in a directory, and wants it to succeed.
func command(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
