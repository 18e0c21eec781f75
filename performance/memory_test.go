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
	"station/sim/nor"
)

const memorySlots = 32

// child tells the other process what it is.
const child = "STATION_PERFORMANCE_CHILD"

// TestMemory is the most memory that a station of 32 slots has resident while all of them are given one image of 32 MiB: VmHWM of a process of its own. The
// chips are files; what else of the simulator is in memory (USB buffers, the engines of the programmers) is counted.
//
// In full size each slot goes to its PASS. Every day two things are cut short when all slots are in the midst of them, and all buffers are there: programming such an
// image, and verifying one of which all but the beginning is blank.
func TestMemory(t *testing.T) {
	if os.Getenv(child) != "" {
		useMemory(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v", "-test.timeout=20m", fmt.Sprintf("-full=%v", full()))
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
	if full() {
		occupy(t, image(1, whole), "", 0)
	} else {
		occupy(t, image(1, whole), "writing", 256<<10)
		mostlyBlank := bytes.Repeat([]byte{0xFF}, whole)
		copy(mostlyBlank, image(1, 256<<10))
		occupy(t, mostlyBlank, "verifying", mebibyte)
	}
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); fields[0] == "VmHWM:" {
			fmt.Printf("resident %s KiB\n", fields[1])
		}
	}
}

// occupy gives an image to 32 slots, until each has done so many bytes of a move; "" is to the end. In a bubble no transfer is late because the computer is busy.
func occupy(t *testing.T, content []byte, move string, enough int64) {
	r := recipe(t, content)
	content = nil
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "performance-*"); err == nil { // a GiB of boards, which no disk has to hold
		defer os.RemoveAll(shm)
		dir = shm
	}
	debug.FreeOSMemory() // what making the image took
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
		l.engine = provision.New(l.bench, l.db, provision.Options{Software: "bench", Watch: func(ev provision.Event) {
			if move == "" || ev.Move != move || ev.Done < enough {
				return
			}
			mu.Lock()
			if there[ev.Slot] = true; len(there) == memorySlots {
				cancel()
			}
			mu.Unlock()
			<-ctx.Done() // for the others
		}})
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
