package performance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"station/provision"
	"station/recipes"
	"station/sim/nor"
)

const memorySlots = 32

// child tells the other process what it is, and the size of the parts of the image that differ from blank.
const child = "STATION_PERFORMANCE_CHILD"

// TestMemory is the most memory that a station of 32 slots has resident while all of them are given one image of 32 MiB: VmHWM of a process of its own. The
// chips are files; what else of the simulator is in memory (USB buffers, the engines of the programmers) is counted.
//
// Every day the runs are stopped when each slot has programmed 256 KiB: by then the image, all plans and all buffers are there, but for those of verifying.
func TestMemory(t *testing.T) {
	if os.Getenv(child) != "" {
		useMemory(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v", fmt.Sprintf("-full=%v", full()))
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`resident (\d+) KiB`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no size in\n%s", out)
	}
	kib, err := strconv.Atoi(string(m[1]))
	must(t, err)
	mib := float64(kib) / 1024
	hold(t, mib < 150, row{n: 60, what: "resident memory, 32 slots with one 32 MiB image, simulated chips in files", limit: "-", reach: "under 150 MiB", measured: fmt.Sprintf("%.0f MiB", mib)})
}

// useMemory runs the 32 slots and prints what that took.
func useMemory(t *testing.T) {
	slots := rack(memorySlots)
	l := newLine(t, false, slots...)
	defer l.close()
	var stopped sync.WaitGroup
	for i, p := range slots {
		path := filepath.Join(t.TempDir(), "board.chip")
		chip, err := nor.Create(path, partName, uid(i), nor.Options{})
		must(t, err)
		defer chip.Close()
		l.seat(p.slot, chip)
	}
	r := memoryRecipe(t)
	runtime.GC()

	contexts := map[string]context.Context{}
	cancels := map[string]func(){}
	for _, p := range slots {
		contexts[p.slot], cancels[p.slot] = context.WithCancel(t.Context())
		defer cancels[p.slot]()
	}
	var mu sync.Mutex
	far := 0
	reached := map[string]bool{}
	l.engine = provision.New(l.bench, l.db, provision.Options{Software: "bench", Watch: func(ev provision.Event) {
		if ev.Move != "writing" || ev.Done < 256<<10 || full() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if !reached[ev.Slot] {
			reached[ev.Slot] = true
			far++
		}
		if far == memorySlots { // all are in the midst of it
			for _, cancel := range cancels {
				cancel()
			}
		}
	}})
	for i, p := range slots {
		stopped.Go(func() {
			res := l.engine.Run(contexts[p.slot], provision.Order{Recipe: r, Serial: fmt.Sprintf("P-%d", i), Slot: p.slot, Operator: "op-1"})
			if full() && res.Outcome != "PASS" || !full() && res.Outcome != "ABORTED" {
				t.Errorf("slot %s: %s: %s", p.slot, res.Outcome, res.Message)
			}
		})
	}
	stopped.Wait()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); fields[0] == "VmHWM:" {
			fmt.Printf("resident %s KiB\n", fields[1])
		}
	}
}

// memoryRecipe is made in a function of its own, so that no test holds the image besides the recipe.
func memoryRecipe(t *testing.T) *recipes.Recipe { return recipe(t, image(1, whole)) }
