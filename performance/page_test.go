package performance

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"station/kiosk"
	"station/kiosk/kiosktest"
	"station/ledger"
	"station/provision"
)

const (
	shiftSlots = 4
	dayUnits   = 24 * 60 * shiftSlots // a unit a minute in each slot, for 24 hours
	dailyUnits = 60
	heapGrowth = 1 << 20 // bytes that the scripts of a page may have in use besides, after all of it
	leastTold  = 8       // messages of the stream that a unit in every slot is at least
	firstUnits = 20      // after which nothing is new any more
	steps      = 4       // of a unit
)

// TestPageDoesNotGrow leaves the wall open in a browser for as many units as four slots make in 24 hours (in the ordinary run for a quarter of an hour of them), one after the other without
// their waiting: what the scripts of the page have in use afterwards, and the elements of its document, are what they were after the first few.
func TestPageDoesNotGrow(t *testing.T) {
	unraced(t)
	units := size(dayUnits, dailyUnits)
	var slots []provision.SlotStatus
	var names []string
	for i := range shiftSlots {
		names = append(names, fmt.Sprint(i+1))
		slots = append(slots, provision.SlotStatus{Slot: names[i], State: provision.Free})
	}
	w := kiosk.NewWall(kiosk.WallOptions{Station: "bench", Simulated: true, Started: time.Now(), Rows: [][]string{names}})
	defer w.Close()
	w.Slots(slots)
	people, err := kiosk.OpenPeople(filepath.Join(t.TempDir(), "people.json"), nil)
	must(t, err)
	s := kiosk.New(kiosk.Options{Wall: w, People: people, Open: true, Language: "en", Log: slog.New(slog.DiscardHandler)})
	server := s.HTTP(s.Handler())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go server.Serve(listener)
	defer server.Close()

	page := kiosktest.Start(t).Open(t, "http://"+listener.Addr().String()+"/", 1280, 800)
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	kiosktest.Value[bool](page, `window.told = 0, document.getElementById("line").addEventListener("htmx:sse:after:message", () => window.told++), true`)
	var heap float64
	var nodes int
	begun := 0
	serial := func(i int) string { return fmt.Sprintf("GW-%06d", begun+i) }
	set := func(state provision.SlotState, there bool) {
		for i := range slots {
			slots[i].State, slots[i].Serial, slots[i].There = state, serial(i), there
		}
		w.Slots(slots)
	}
	shown := func(state provision.SlotState) {
		page.Wait(fmt.Sprintf(`document.querySelectorAll('[data-slot][data-state=%q]').length === %d`, state, shiftSlots))
	}
	tell := func(ev provision.Event) {
		for i := range slots {
			ev.Slot, ev.Serial, ev.Time = slots[i].Slot, serial(i), time.Now()
			if ev.Result != nil {
				ev.Result = &provision.Result{Run: fmt.Sprintf("%016x", begun+i), Serial: ev.Serial, Slot: ev.Slot, Outcome: ledger.Pass}
			}
			w.Event(ev)
		}
	}
	for ; begun < units; begun += shiftSlots {
		if begun == firstUnits {
			heap, nodes = page.Heap()
		}
		set(provision.Armed, false)
		shown(provision.Armed)
		set(provision.Running, true)
		tell(provision.Event{Kind: provision.Started, Of: steps})
		shown(provision.Running)
		for step := range steps {
			title := fmt.Sprintf("step %d after unit %d", step+1, begun)
			tell(provision.Event{Kind: provision.StepBegan, Step: step + 1, Of: steps, Title: title})
			page.Wait(fmt.Sprintf(`Array.from(document.querySelectorAll("[data-slot]")).every(tile => tile.innerText.includes(%q))`, title))
		}
		tell(provision.Event{Kind: provision.Ended, Result: &provision.Result{}})
		set(provision.Occupied, true)
		shown(provision.Occupied)
		set(provision.Free, false)
		shown(provision.Free)
	}
	after, now := page.Heap()
	told := kiosktest.Value[int](page, `window.told`)
	if told < units/shiftSlots*leastTold {
		t.Errorf("%d messages for %d units: too few to tell", told, units)
	}
	hold(t, after <= heap+heapGrowth && now == nodes, row{n: 63, what: fmt.Sprintf("the operator's page in a browser, left open for %d units in four slots (5760 are 24 hours): what its scripts have in use", units), limit: "-", reach: "at most 1 MiB more, no element more",
		measured: fmt.Sprintf("%.0f KiB after the first %d, %.0f KiB in the end, in %d messages; %d elements, %d", heap/1024, firstUnits, after/1024, told, nodes, now)})
}
