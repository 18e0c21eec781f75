package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"station/kiosk"
	"station/provision"
)

// directLine is one line of what Direct tells: an event, a warning before the first, or at last the results.
type directLine struct {
	Event   *directEvent `json:"event,omitempty"`
	Warning string       `json:"warning,omitempty"`
	Results []runJSON    `json:"results,omitempty"`
}

// Passing is the slot whose progress it is (kiosk.Passing), "" where it is none.
func (d directLine) Passing() string {
	if d.Event == nil || d.Event.Kind != provision.Progress {
		return ""
	}
	return d.Event.Slot
}

// directEvent is an event of the engine; Outcome is that of the result.
type directEvent struct {
	Kind      provision.EventKind `json:"kind"`
	Slot      string              `json:"slot"`
	Serial    string              `json:"serial"`
	Time      time.Time           `json:"time"`
	Step      int                 `json:"step"`
	Of        int                 `json:"of"`
	Title     string              `json:"title"`
	Permanent bool                `json:"permanent"`
	Done      int64               `json:"done"`
	Total     int64               `json:"total"`
	Move      string              `json:"move"`
	Outcome   string              `json:"outcome"`
}

func directEventOf(ev provision.Event) *directEvent {
	d := &directEvent{Kind: ev.Kind, Slot: ev.Slot, Serial: ev.Serial, Time: ev.Time, Step: ev.Step, Of: ev.Of, Title: ev.Title, Permanent: ev.Permanent, Done: ev.Done, Total: ev.Total, Move: ev.Move}
	if ev.Result != nil {
		d.Outcome = string(ev.Result.Outcome)
	}
	return d
}

// direct carries out units without a job, all at once: what run --slot does. tell is called from one goroutine at a time, and must not wait.
func (f *floor) direct(ctx context.Context, who kiosk.Who, order kiosk.DirectOrder, tell func(any)) error {
	select {
	case f.deeds <- struct{}{}:
	default:
		return conflict(busyNow())
	}
	defer f.pass()
	if f.ctx.Err() != nil {
		return f.over()
	}
	if why := f.unwritable(); why != nil {
		return conflict(why)
	}
	if j := f.present(); j != nil {
		return conflict(said(kiosk.WordJobOpen, "a job is open: "+j.Recipe.Title, "Scan the unit at the page, or close the job first.", "recipe", j.Recipe.Title))
	}
	scans, files := pairsOf(order.Slots), pairsOf(order.Boards)
	if err := f.directable(order, scans, files); err != nil {
		return refusalOf(err)
	}
	r, err := loadRecipe(order.Recipe)
	if err != nil {
		return refusalOf(err)
	}
	if err := f.bench.secrets.ready(r, f.bench.db, scans); err != nil {
		return refusalOf(err)
	}
	warned := &app{stderr: io.MultiWriter(f.app.stderr, warnings(tell))}
	if !order.Trial {
		if err := warned.askServer(ctx, f.bench, r, scans); err != nil {
			return refusalOf(err)
		}
	}
	if err := warned.tellOpenRuns(f.bench, scans); err != nil {
		return err
	}
	if err := f.bench.insert(r, scans, files); err != nil {
		return refusalOf(err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(f.ctx, stop)()
	var mu sync.Mutex
	watch := func(ev provision.Event) {
		f.watch(ev)
		mu.Lock()
		defer mu.Unlock()
		tell(directLine{Event: directEventOf(ev)})
	}
	f.stand(scans)
	results := f.provisionDirect(ctx, job{recipe: r, operator: who.ID, authenticated: who.Authenticated, trial: order.Trial, unlocks: order.Unlock}, scans, order.Values, watch)
	rows := []runJSON{}
	for _, o := range results {
		rows = append(rows, resultJSON(o))
		f.settle(o)
	}
	f.stand(nil)
	mu.Lock()
	defer mu.Unlock()
	tell(directLine{Results: rows})
	return nil
}

// directRun is one that is under way without a job.
type directRun struct {
	serial string
	stop   context.CancelFunc
}

// provisionDirect is app.provision with runs that can be stopped each.
func (f *floor) provisionDirect(ctx context.Context, j job, scans []pair, values map[string]map[string]string, watch func(provision.Event)) []outcome {
	engine := f.bench.engine(ctx, watch)
	runs := map[string]context.Context{}
	f.mu.Lock()
	for _, p := range scans {
		ctx, stop := context.WithCancel(ctx)
		runs[p.slot], f.directs[p.slot] = ctx, directRun{p.value, stop}
	}
	f.mu.Unlock()
	return f.app.atOnce(scans, func(p pair) outcome {
		defer f.stopDirect(p.slot, p.value) // it has ended
		return f.bench.provisionOne(runs[p.slot], engine, j.order(p, values[p.slot]))
	})
}

// directIn is the serial of the run without a job in a slot, "" where there is none.
func (f *floor) directIn(slot string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.directs[slot].serial
}

// stopDirect stops the run without a job of a serial, where it is in that slot still.
func (f *floor) stopDirect(slot, serial string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if run := f.directs[slot]; run.serial == serial && run.stop != nil {
		run.stop()
		delete(f.directs, slot)
	}
}

// warnings tells what is printed, a line at a time.
type warnings func(any)

func (w warnings) Write(p []byte) (int, error) {
	w(directLine{Warning: strings.TrimSpace(string(p))})
	return len(p), nil
}

// directable refuses what the command line refuses.
func (f *floor) directable(order kiosk.DirectOrder, scans, files []pair) error {
	if len(scans) == 0 {
		return exit(exitRefused, errors.New("nothing to do: name a slot and its serial"))
	}
	for i, p := range scans {
		if err := readable("serial", p.value, longestName); err != nil {
			return err
		}
		if slices.ContainsFunc(scans[:i], func(o pair) bool { return o.slot == p.slot || o.value == p.value }) {
			return exit(exitRefused, fmt.Errorf("slot %s or serial %s is named twice", p.slot, p.value))
		}
	}
	for _, p := range files {
		if !slices.ContainsFunc(scans, func(s pair) bool { return s.slot == p.slot }) {
			return exit(exitRefused, fmt.Errorf("a board is for slot %s, and no serial", p.slot))
		}
	}
	for slot := range order.Values {
		if !slices.ContainsFunc(scans, func(s pair) bool { return s.slot == slot }) {
			return exit(exitRefused, fmt.Errorf("values are for slot %s, and no serial", slot))
		}
	}
	return nil
}

// stand shows which slots run without a job. Nobody looks at the others, nor at those when their runs have ended.
func (f *floor) stand(scans []pair) {
	var all []provision.SlotStatus
	for _, name := range f.bench.config.usable() {
		s := provision.SlotStatus{Slot: name, State: kiosk.Unwatched}
		if i := slices.IndexFunc(scans, func(p pair) bool { return p.slot == name }); i >= 0 {
			s.State, s.Serial, s.There = provision.Running, scans[i].value, true
		}
		all = append(all, s)
	}
	f.mu.Lock()
	f.slots = all
	f.showOpen()
	f.mu.Unlock()
	f.wall.Slots(all)
}

// refusalOf is an error of the command line as whoever asks elsewhere is told it.
func refusalOf(err error) error {
	if e := new(exitErr); errors.As(err, &e) && e.code == exitRefused {
		return invalid(said(kiosk.WordTrouble, err.Error(), "", "why", err.Error()))
	}
	return err
}

func pairsOf(slots []kiosk.DirectSlot) (all []pair) {
	for _, s := range slots {
		all = append(all, pair{s.Slot, s.Serial})
	}
	return all
}
