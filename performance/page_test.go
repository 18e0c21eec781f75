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
	leastTold  = 8       // messages of the stream that a unit is at least
	firstUnits = 20      // after which nothing is new any more
)

// TestPageDoesNotGrow leaves the wall open in a browser for as many units as four slots make in 24 hours (in the ordinary run for a quarter of an hour of them), one after the other without
// their waiting: what the scripts of the page have in use afterwards, and the elements of its document, are what they were after the first few.
func TestPageDoesNotGrow(t *testing.T) {
	unraced(t)
	units := size(dayUnits, dailyUnits)
	var slots []provision.SlotStatus
	var row []string
	for i := range shiftSlots {
		row = append(row, fmt.Sprint(i+1))
		slots = append(slots, provision.SlotStatus{Slot: row[i], State: provision.Free})
	}
	w := kiosk.NewWall(kiosk.WallOptions{Station: "bench", Simulated: true, Started: time.Now(), Rows: [][]string{row}})
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
	for n := range units {
		i := n % shiftSlots
		serial := fmt.Sprintf("GW-%06d", n)
		set := func(state provision.SlotState, there bool) {
			slots[i].State, slots[i].Serial, slots[i].There = state, serial, there
			w.Slots(slots)
		}
		shown := func(state provision.SlotState) {
			page.Wait(fmt.Sprintf(`document.querySelector('[data-slot="%d"]').dataset.state === %q`, i+1, state))
		}
		tell := func(kind provision.EventKind, step int, title string) {
			w.Event(provision.Event{Kind: kind, Slot: slots[i].Slot, Serial: serial, Time: time.Now(), Step: step, Of: 4, Title: title})
		}
		set(provision.Armed, false)
		shown(provision.Armed)
		set(provision.Running, true)
		tell(provision.Started, 0, "")
		shown(provision.Running)
		for step := range 4 {
			title := fmt.Sprintf("step %d of %s", step+1, serial)
			tell(provision.StepBegan, step+1, title)
			page.WaitText(fmt.Sprintf(`[data-slot="%d"]`, i+1), title)
		}
		w.Event(provision.Event{Kind: provision.Ended, Slot: slots[i].Slot, Serial: serial, Time: time.Now(), Result: &provision.Result{Run: fmt.Sprintf("%016x", n), Serial: serial, Slot: slots[i].Slot, Outcome: ledger.Pass}})
		set(provision.Occupied, true)
		shown(provision.Occupied)
		set(provision.Free, false)
		slots[i].Serial = ""
		shown(provision.Free)
		if n+1 == firstUnits {
			heap, nodes = page.Heap()
		}
	}
	after, now := page.Heap()
	told := kiosktest.Value[int](page, `window.told`)
	t.Logf("%d units in %d messages: %.0f KiB in use, %.0f KiB after the first %d; %d elements, %d", units, told, after/1024, heap/1024, firstUnits, now, nodes)
	if told < units*leastTold {
		t.Errorf("%d messages for %d units: too few to tell", told, units)
	}
	if after > heap+heapGrowth || now != nodes {
		t.Errorf("the page grew from %.0f KiB and %d elements to %.0f KiB and %d", heap/1024, nodes, after/1024, now)
	}
}
