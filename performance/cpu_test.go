package performance

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// spent is CPU seconds by whose they are.
type spent struct {
	ours, simulator, runtime, test float64
	by                             map[string]float64 // ours by our innermost function
}

// attribute takes a CPU profile apart. The simulator's is what has a function of sim on its stack; the runtime's, what has none of the
// station's at all: the scheduler and the garbage collector, which works for both.
func attribute(p *profile.Profile) spent {
	s := spent{by: map[string]float64{}}
	for _, sample := range p.Sample {
		seconds := float64(sample.Value[len(sample.Value)-1]) / 1e9
		whose, inner := "", ""
		for _, loc := range sample.Location {
			for _, line := range loc.Line {
				name := line.Function.Name
				switch {
				case strings.HasPrefix(name, "station/sim/"), strings.HasPrefix(name, "station/sim."):
					whose = "sim"
				case strings.HasPrefix(name, "station/performance") && whose == "" && inner == "":
					whose = "test"
				case strings.HasPrefix(name, "station/") && inner == "":
					inner = strings.TrimPrefix(name, "station/")
				}
			}
		}
		switch {
		case whose == "sim":
			s.simulator += seconds
		case whose == "test":
			s.test += seconds
		case inner == "":
			s.runtime += seconds
		default:
			s.ours += seconds
			s.by[inner] += seconds
		}
	}
	return s
}

// TestCPU is what the computer has to do for a GiB that is programmed and verified on an FT232H that takes no time.
func TestCPU(t *testing.T) {
	unraced(t)
	boards, n := size(4, 1), whole
	l := newLine(t, false, fast("1", "1-1"))
	defer l.close()
	r := recipe(t, image(1, n))
	var raw bytes.Buffer
	must(t, pprof.StartCPUProfile(&raw))
	for i := range boards {
		l.seat("1", l.chip(i))
		l.run(r, "1", i)
	}
	pprof.StopCPUProfile()
	p, err := profile.Parse(&raw)
	must(t, err)
	s := attribute(p)
	if len(p.Sample) == 0 || s.ours == 0 || s.simulator == 0 {
		t.Fatalf("the profile tells nothing: %+v", s)
	}
	gib := float64(boards) * float64(n) / (1 << 30)
	names := slices.SortedFunc(maps.Keys(s.by), func(a, b string) int { return cmp.Compare(s.by[b], s.by[a]) })
	var top []string
	for i, name := range names[:min(10, len(names))] {
		text := fmt.Sprintf("%s %.2f", name, s.by[name]/gib)
		t.Logf("%2d  %s", i+1, text)
		if i < 3 {
			top = append(top, "`"+text+"`")
		}
	}
	hold(t, true, row{n: 50, what: "CPU seconds per GiB programmed and verified, simulated FT232H that takes no time", limit: "-", reach: "measured, the top three reduced",
		measured: fmt.Sprintf("ours %.2f; simulator %.2f, Go runtime without either %.2f; ours most: %s", s.ours/gib, s.simulator/gib, s.runtime/gib, strings.Join(top, ", "))})
}

// TestAttribute: whose a sample is, by its stack from the innermost function out.
func TestAttribute(t *testing.T) {
	var p profile.Profile
	for i, stack := range [][]string{
		{"runtime.memmove", "station/flash.(*Chip).send", "station/provision.(*Engine).Run", "station/performance.(*line).run"},
		{"runtime.memmove", "station/sim/nor.(*Chip).Shift", "station/sim/ftdi.(*channel).run"},
		{"station/sim.(*link).Write", "station/fixtures/ftdi.(*Conn).Do", "station/flash.(*Chip).send"},
		{"runtime.gcBgMarkWorker"},
		{"crypto/sha256.block", "station/performance.recipe"},
		{"station/simulator.Nobody"},
	} {
		s := &profile.Sample{Value: []int64{1, int64(1e9) << i}}
		for _, name := range stack {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
		}
		p.Sample = append(p.Sample, s)
	}
	s := attribute(&p)
	if s.ours != 1+32 || s.simulator != 2+4 || s.runtime != 8 || s.test != 16 || s.by["flash.(*Chip).send"] != 1 || s.by["simulator.Nobody"] != 32 {
		t.Errorf("%+v", s)
	}
}
