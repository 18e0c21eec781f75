package performance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"station/ledger"
	"station/provision"
	"station/recipes"
	"station/sim/nor"
)

const memorySlots = 32

// What the other process is told: the recipe, and how far to go.
const (
	childRecipe = "STATION_PERFORMANCE_RECIPE"
	childMove   = "STATION_PERFORMANCE_MOVE" // "" is to the end
)

// childBytes is how much of its move each slot does where it does not go to the end.
const childBytes = mebibyte

// TestMemory is the most memory that a station of 32 slots has resident while it loads a recipe and all of them are given its image of 32 MiB: VmHWM of a process of its
// own. The chips are files; what else of the simulator is in memory (USB buffers, the engines of the programmers) is counted.
//
// In full size each slot goes to its PASS. Every day two things are cut short when all slots are in the midst of them, and all buffers are there: programming such an
// image, and verifying one of which all but the beginning is blank.
func TestMemory(t *testing.T) {
	if path := os.Getenv(childRecipe); path != "" {
		useMemory(t, path, os.Getenv(childMove))
		return
	}
	unraced(t)
	most := 0
	if full() {
		most = peak(t, image(1, whole), "")
	} else {
		mostlyBlank := bytes.Repeat([]byte{0xFF}, whole)
		copy(mostlyBlank, image(1, 4*sector))
		most = max(peak(t, image(1, whole), "writing"), peak(t, mostlyBlank, "verifying"))
	}
	mib := float64(most) / 1024
	hold(t, mib < 150, row{n: 60, what: "resident memory, 32 slots with one 32 MiB image, simulated chips in files", limit: "-", reach: "under 150 MiB", measured: fmt.Sprintf("%.0f MiB", mib)})
}

// peak is the VmHWM, in KiB, of a process that gives this image to 32 slots.
func peak(t *testing.T, content []byte, move string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), childRecipe+"="+recipeFile(t, content), childMove+"="+move)
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
	return kib
}

// useMemory runs the 32 slots and prints what that took.
func useMemory(t *testing.T, path, move string) {
	debug.SetGCPercent(provision.GCPercent) // as the program does
	r, err := recipes.Load(path)
	must(t, err)
	occupy(t, r, move)
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); fields[0] == "VmHWM:" {
			fmt.Printf("resident %s KiB\n", fields[1])
		}
	}
}

// occupy gives a recipe to 32 slots, until all are in the midst of a move. In a bubble no transfer is late because the computer is busy.
func occupy(t *testing.T, r *recipes.Recipe, move string) {
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "performance-*"); err == nil { // a GiB of boards, which no disk has to hold
		defer os.RemoveAll(shm)
		dir = shm
	}
	synctest.Test(t, func(t *testing.T) {
		slots := rack(memorySlots)
		l := newLine(t, false, slots...)
		defer l.close()
		for i, p := range slots {
			chip, err := nor.Create(filepath.Join(dir, p.slot+".chip"), partName, uid(i), nor.Options{})
			must(t, err)
			defer chip.Close()
			l.seat(p.slot, chip)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		there := map[string]bool{}
		l.watch(func(ev provision.Event) {
			if move == "" || ev.Move != move || ev.Done < childBytes {
				return
			}
			mu.Lock()
			if there[ev.Slot] = true; len(there) == memorySlots {
				cancel()
			}
			mu.Unlock()
			<-ctx.Done() // for the others
		})
		var runs sync.WaitGroup
		for i, p := range slots {
			runs.Go(func() {
				res := l.engine.Run(ctx, provision.Order{Recipe: r, Serial: fmt.Sprintf("P-%d", i), Slot: p.slot, Operator: "op-1"})
				if move != "" && res.Outcome != ledger.Aborted || move == "" && res.Outcome != ledger.Pass {
					t.Errorf("slot %s: %s: %s", p.slot, res.Outcome, res.Message)
				}
			})
		}
		runs.Wait()
	})
}
