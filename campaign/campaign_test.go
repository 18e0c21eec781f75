package campaign

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	firstFlag    = flag.Uint64("first", 1, "the first seed")
	seedsFlag    = flag.Uint64("seeds", 1000, "how many seeds")
	durationFlag = flag.Duration("duration", 0, "how long to play seeds, however many that is")
	stopFlag     = flag.Bool("stop", false, "end with the first violation")
	signedFlag   = flag.Bool("signed", false, "the stories of units that a key server signs for")
	seedFlag     = flag.Uint64("seed", 0, "play this seed alone, and tell its story")
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// outcome is what became of a seed.
type outcome struct {
	digest       string
	faults, ends map[string]int
	bad          []string
	story        string
}

// memory is a folder in memory, where there is one.
func memory(t testing.TB) string {
	for _, dir := range []string{"/dev/shm", ""} {
		if made, err := os.MkdirTemp(dir, "campaign-"); err == nil {
			t.Cleanup(func() { os.RemoveAll(made) })
			return made
		}
	}
	t.Fatal("no room for a ledger")
	return ""
}

// play plays a seed with a recipe. Goroutines that it leaves behind fail the test.
func play(t *testing.T, seed uint64, of *work) (o outcome) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, seed, of)
		w.live()
		o = outcome{digest: w.digest(), faults: w.faults, ends: w.ends, bad: w.bad}
		if len(w.bad) > 0 || *seedFlag != 0 {
			o.story = w.story(200)
		}
	})
	return o
}

// tell fails the test where the seed was not as promised.
func (o outcome) tell(t *testing.T, seed uint64) {
	t.Helper()
	if len(o.bad) > 0 {
		t.Errorf("%s\nTo repeat it: go test ./campaign -v -run 'TestCampaign$' -seed %d\n%s", strings.Join(o.bad, "\n"), seed, o.story)
	}
}

// TestCampaign plays seeds, as many at a time as there are processors, and insists that every kind of fault happened where there are a thousand.
func TestCampaign(t *testing.T) {
	small := smallWork(t)
	if *signedFlag {
		small = signedWork(t)
	}
	if *seedFlag != 0 {
		o := play(t, *seedFlag, small)
		o.tell(t, *seedFlag)
		t.Logf("%s %v %v\n%s", o.digest, o.faults, o.ends, o.story)
		return
	}
	seeds := *seedsFlag
	if testing.Short() || raced {
		seeds = min(seeds, 50)
	}
	began, next, played := time.Now(), *firstFlag, 0
	more := func() bool {
		if *durationFlag > 0 {
			return time.Since(began) < *durationFlag
		}
		return next < *firstFlag+seeds
	}
	faults, ends, bad := map[string]int{}, map[string]int{}, 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				mu.Lock()
				seed, on := next, more() && !(*stopFlag && bad > 0)
				next++
				mu.Unlock()
				if !on {
					return
				}
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					o := play(t, seed, small)
					o.tell(t, seed)
					mu.Lock()
					defer mu.Unlock()
					played++
					if t.Failed() {
						bad++
					}
					add(faults, o.faults)
					add(ends, o.ends)
				})
			}
		})
	}
	all.Wait()
	t.Logf("%d seeds from %d on, %d with violations, in %v\nfaults:\n%sresults:\n%s", played, *firstFlag, bad, time.Since(began).Round(time.Second), table(faults), table(ends))
	if played >= 1000 && !*signedFlag {
		for _, name := range names() {
			if faults[name] == 0 {
				t.Errorf("%s never happened", name)
			}
		}
	}
}

func add(to, from map[string]int) {
	for name, n := range from {
		to[name] += n
	}
}

func table(counts map[string]int) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&text, "%8d  %s\n", counts[name], name)
	}
	return text.String()
}

// names are those of everything that can happen in a story.
func names() (all []string) {
	for _, k := range kinds {
		if k.breaks == nil {
			all = append(all, k.name)
			continue
		}
		for _, part := range []float64{0, 0.5, 1} {
			all = append(all, (&fault{kind: k, part: part}).name())
		}
	}
	for _, lie := range slices.Sorted(maps.Keys(lies)) {
		all = append(all, bornWith(lie))
	}
	return append(all, mixedUp)
}

// The same seed is the same story.
func TestSameStory(t *testing.T) {
	small := smallWork(t)
	for seed := uint64(1); seed <= 10; seed++ {
		if a, b := play(t, seed, small), play(t, seed, small); a.digest != b.digest {
			t.Errorf("seed %d: two stories", seed)
		}
	}
}

// A story leaves no file open.
func TestNothingStaysOpen(t *testing.T) {
	small := smallWork(t)
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	play(t, 1, small)
	before := count()
	for seed := uint64(1); seed <= 10; seed++ {
		play(t, seed, small)
	}
	if after := count(); after > before {
		t.Errorf("%d files are open, and %d were before", after, before)
	}
}

// The recipes that are shipped, on the parts that they are for.
func TestShippedRecipes(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() || raced {
		seeds = 1
	}
	for name, of := range shipped(t) {
		for seed := uint64(1); seed <= seeds; seed++ {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				o := play(t, seed, of)
				if len(o.bad) > 0 {
					t.Errorf("%s\n%s", strings.Join(o.bad, "\n"), o.story)
				}
				t.Logf("\n%s%s", table(o.faults), table(o.ends))
			})
		}
	}
}
