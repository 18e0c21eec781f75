package campaign

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

var seedsFlag = flag.Int("seeds", 1000, "how many")
var seedFlag = flag.Uint64("seed", 0, "repeat this seed, and tell its story")

// outcome is what became of a seed.
type outcome struct {
	digest string
	faults map[string]int
	bad    []string
	story  string
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

func play(t *testing.T, seed uint64) (o outcome) {
	dir := memory(t)
	theBench(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, seed)
		w.live()
		o = outcome{digest: w.digest(), faults: w.faults, bad: w.bad}
		if len(w.bad) > 0 || *seedFlag != 0 {
			o.story = w.story(200)
		}
	})
	return o
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

func TestOne(t *testing.T) {
	o := play(t, max(*seedFlag, 1))
	for _, b := range o.bad {
		t.Error(b)
	}
	t.Log(o.digest, o.faults)
	if o.story != "" {
		t.Log("\n" + o.story)
	}
}

// TestCampaign plays seeds, as many at a time as there are processors.
func TestCampaign(t *testing.T) {
	theBench(t)
	next, faults, mu := uint64(0), map[string]int{}, sync.Mutex{}
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				mu.Lock()
				next++
				seed := next
				mu.Unlock()
				if seed > uint64(*seedsFlag) {
					return
				}
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					o := play(t, seed)
					for _, b := range o.bad {
						t.Error(b)
					}
					mu.Lock()
					defer mu.Unlock()
					for name, n := range o.faults {
						faults[name] += n
					}
				})
			}
		})
	}
	all.Wait()
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Logf("%6d %s", faults[name], name)
	}
}

func TestSameStory(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		if a, b := play(t, seed), play(t, seed); a.digest != b.digest {
			t.Errorf("seed %d: not the same", seed)
		}
	}
}
