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
	"station/recipes"
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
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(f.ctx, stop)()
	scans := pairsOf(order.Slots)
	r, runs, err := f.beginDirect(ctx, order, scans, tell)
	if err != nil {
		return err
	}
	defer f.ended.Done()
	var mu sync.Mutex
	engine := f.bench.engine(ctx, func(ev provision.Event) {
		f.watch(ev)
		mu.Lock()
		defer mu.Unlock()
		tell(directLine{Event: directEventOf(ev)})
	})
	j := job{recipe: r, operator: who.ID, authenticated: who.Authenticated, trial: order.Trial, unlocks: order.Unlock}
	rows := []runJSON{}
	for _, o := range f.app.atOnce(scans, func(p pair) outcome {
		o := f.bench.provisionOne(runs[p.slot], engine, j.order(p, order.Values[p.slot]))
		f.endDirect(p.slot, o)
		return o
	}) {
		rows = append(rows, resultJSON(o))
	}
	mu.Lock()
	defer mu.Unlock()
	tell(directLine{Results: rows})
	return nil
}

// beginDirect looks whether the runs may begin, and has them under way, each with a context of its own, by slot: endDirect ends each, and f.ended counts one more until all have.
func (f *floor) beginDirect(ctx context.Context, order kiosk.DirectOrder, scans []pair, tell func(any)) (*recipes.Recipe, map[string]context.Context, error) {
	select {
	case f.deeds <- struct{}{}:
	default:
		return nil, nil, conflict(busyNow())
	}
	defer f.pass()
	r, err := f.readyDirect(ctx, order, scans, tell)
	if err != nil {
		return nil, nil, err
	}
	f.ended.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	runs := map[string]context.Context{}
	for _, p := range scans {
		ctx, stop := context.WithCancelCause(ctx)
		runs[p.slot], f.directs[p.slot] = ctx, directRun{p.value, stop}
	}
	f.stand()
	return r, runs, nil
}

// readyDirect refuses what cannot begin now, and puts the boards of a simulated station in. f.deeds is held.
func (f *floor) readyDirect(ctx context.Context, order kiosk.DirectOrder, scans []pair, tell func(any)) (*recipes.Recipe, error) {
	if f.ctx.Err() != nil {
		return nil, f.over()
	}
	if why := f.unwritable(); why != nil {
		return nil, conflict(why)
	}
	if j := f.present(); j != nil {
		return nil, conflict(said(kiosk.WordJobOpen, "a job is open: "+j.Recipe.Title, "Scan the unit at the page, or close the job first.", "recipe", j.Recipe.Title))
	}
	if f.directing("") {
		return nil, conflict(busyNow())
	}
	files := pairsOf(order.Boards)
	if err := f.directable(order, scans, files); err != nil {
		return nil, refusalOf(err)
	}
	r, err := loadRecipe(order.Recipe)
	if err != nil {
		return nil, refusalOf(err)
	}
	if err := f.bench.secrets.ready(r, f.bench.db, scans); err != nil {
		return nil, refusalOf(err)
	}
	warned := &app{stderr: io.MultiWriter(f.app.stderr, warnings(tell))}
	if !order.Trial {
		if err := warned.askServer(ctx, f.bench, r, scans); err != nil {
			return nil, refusalOf(err)
		}
	}
	if err := warned.tellOpenRuns(f.bench, scans); err != nil {
		return nil, err
	}
	if err := f.bench.insert(r, scans, files); err != nil {
		return nil, refusalOf(err)
	}
	return r, nil
}

// directRun is one that is under way without a job.
type directRun struct {
	serial string
	stop   context.CancelCauseFunc
}

// directing tells whether a unit is under way without a job, or any for "".
func (f *floor) directing(serial string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, run := range f.directs {
		if serial == "" || run.serial == serial {
			return true
		}
	}
	return false
}

// stopDirect has the run without a job in a slot stopped, and returns its serial, "" where there is none.
func (f *floor) stopDirect(slot string, by *provision.Stopped) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	run, is := f.directs[slot]
	if is {
		run.stop(by)
	}
	return run.serial
}

// endDirect says that the run without a job in a slot has ended.
func (f *floor) endDirect(slot string, o outcome) {
	f.settle(o)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directs[slot].stop(nil)
	delete(f.directs, slot)
	f.stand()
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

// stand shows which slots run without a job. Nobody looks at the others, nor at those when their runs have ended. f.mu is held.
func (f *floor) stand() {
	f.slots = nil
	for _, name := range f.bench.config.usable() {
		s := provision.SlotStatus{Slot: name, State: kiosk.Unwatched}
		if run, is := f.directs[name]; is {
			s.State, s.Serial, s.There = provision.Running, run.serial, true
		}
		f.slots = append(f.slots, s)
	}
	f.showOpen()
	f.wall.Slots(f.slots)
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
