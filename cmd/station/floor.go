package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

const (
	askLimit    = 10 * time.Second // of what somebody wants of the line; the first look at all slots may come before it
	busyLimit   = 2 * time.Second  // of waiting for a job or a shift that begins or ends, or for runs without a job that begin
	appendLimit = 5 * time.Second  // of an entry about people
)

// floor is the line as pages have it: one job at a time, and what goes on in the slots, on the wall. It is a kiosk.Station.
type floor struct {
	app      *app
	bench    *bench
	wall     *kiosk.Wall
	recipes  string // folder
	told     bool   // a simulated station's hands are told by scans
	ctx      context.Context
	terminal *terminal // which has all that is said too
	ended    sync.WaitGroup
	changed  chan struct{} // asks for another look at the ledger

	broke   sync.Once     // the ledger
	again   cardAgain     // of who has deeds
	deeds   chan struct{} // holds who begins or ends a job or a shift, or begins runs without a job: one at a time
	unready unready       // of who has deeds

	mu      sync.Mutex
	job     *floorJob // nil for none
	shift   *kiosk.Shift
	slots   []provision.SlotStatus
	blind   map[string]string    // why slots cannot be looked at
	runs    []ledger.Run         // open ones
	settled int                  // counts the runs that ended, so that what was read of the ledger before is not taken for now
	open    []kiosk.Open         // as the wall has them
	aborted bool                 // a run was
	directs map[string]directRun // runs without a job, by slot, until they end; no job and no shift begins or ends meanwhile
}

// newFloor returns the floor of a station, with the job and the shift that its ledger has open. recipes is the folder of those that a job may have; told says that scans
// tell simulated hands what to do, as with run --sim-hands. When ctx ends, so do all runs, ABORTED.
func (a *app) newFloor(ctx context.Context, b *bench, wall *kiosk.Wall, recipes string, told bool) (*floor, error) {
	f := &floor{app: a, bench: b, wall: wall, recipes: recipes, told: told, ctx: ctx, terminal: &terminal{app: a}, changed: make(chan struct{}, 1), deeds: make(chan struct{}, 1), blind: map[string]string{}, directs: map[string]directRun{}}
	if err := f.restore(); err != nil {
		return nil, exit(exitError, err)
	}
	if err := f.look(); err != nil {
		return nil, exit(exitError, err)
	}
	f.ended.Go(f.mind)
	return f, nil
}

// wait waits, after the context of newFloor has ended, for the end of all runs. aborted tells whether one was ABORTED by that.
func (f *floor) wait() (aborted bool) {
	<-f.ctx.Done()
	f.deeds <- struct{}{} // who holds it now is the last who began anything
	f.pass()
	f.ended.Wait()
	return f.aborted
}

// turn is hold while nothing runs without a job.
func (f *floor) turn(ctx context.Context) error {
	if err := f.hold(ctx); err != nil {
		return err
	}
	if f.directing("") {
		f.pass()
		return conflict(busyNow())
	}
	return nil
}

// hold waits until nobody else has the deeds, for busyLimit at most, and looks once more at who asked. It is over with pass.
func (f *floor) hold(ctx context.Context) error {
	if err := ctx.Err(); err != nil { // or the select below tosses a coin
		return err
	}
	busy := time.NewTimer(busyLimit)
	defer busy.Stop()
	select {
	case f.deeds <- struct{}{}:
	case <-busy.C:
		return conflict(busyNow())
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := kiosk.Still(ctx); err != nil {
		f.pass()
		return err
	}
	return nil
}

func (f *floor) pass() { <-f.deeds }

func busyNow() *kiosk.Said {
	return said(kiosk.WordBusy, "the station is busy with a job, a shift or other runs without a job", "Try again later.")
}

// mind keeps on the wall what the ledger and its mirror say.
func (f *floor) mind() {
	defer crashed(f.app.stderr)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var size int64
	mirror := ""
	for {
		f.unwritable()
		if m := f.bench.db.Mirror(); m != mirror {
			mirror = m
			f.wall.Mirror(m)
		}
		if n, err := f.bench.db.Size(); err == nil && n != size { // a person's decision about a unit, too
			if err := f.look(); err != nil {
				f.warn("the open runs cannot be read: " + err.Error())
			}
			size = n
		}
		select {
		case <-f.ctx.Done():
			return
		case <-f.changed:
			size = 0
		case <-tick.C:
		}
	}
}

// look reads the open runs.
func (f *floor) look() error {
	f.mu.Lock()
	settled := f.settled
	f.mu.Unlock()
	runs, err := f.bench.db.OpenRuns()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled == settled { // otherwise it is looked at once more
		f.runs = runs
		f.showOpen()
	}
	return nil
}

// showOpen puts the open runs that are not under way on the wall. f.mu is held.
func (f *floor) showOpen() {
	var open []kiosk.Open
	for _, r := range f.runs {
		o := kiosk.Open{Serial: r.Serial, Run: r.ID, Slot: r.Slot, Recipe: r.Start.Recipe.ID, Digest: r.Start.Recipe.Digest, Since: r.Records[len(r.Records)-1].Entry.Time}
		under := false
		for _, s := range f.slots {
			under = under || s.State == provision.Running && s.Serial == r.Serial
			if s.There && s.State != provision.Running && s.UID == r.Start.Chip.UID {
				o.Here = s.Slot
			}
		}
		if r.Stuck != nil {
			o.Person = said(provision.WordOpenPerson, r.Stuck.Message, r.Stuck.Next, "slot", r.Slot, "serial", r.Serial, "why", r.Stuck.Message, "do", r.Stuck.Next)
		}
		if !under {
			open = append(open, o)
		}
	}
	if !reflect.DeepEqual(open, f.open) {
		f.open = open
		f.wall.Open(open)
	}
}

// settle has a run that ended be what the ledger says of it.
func (f *floor) settle(o outcome) {
	f.mu.Lock()
	f.settled++
	f.aborted = f.aborted || o.Outcome == ledger.Aborted && f.ctx.Err() != nil
	f.runs = slices.DeleteFunc(slices.Clone(f.runs), func(r ledger.Run) bool { return r.Serial == o.Serial })
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// append writes an entry about people down.
func (f *floor) append(body ledger.Body) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), appendLimit)
	defer cancel()
	_, err := f.bench.db.Append(ctx, body)
	return err
}

// Health says what keeps the station from working, nil for nothing.
func (f *floor) Health() error {
	if f.ctx.Err() != nil {
		return errors.New("the station is about to end")
	}
	if err := f.bench.db.Writable(); err != nil {
		return err
	}
	return f.bench.db.Room()
}

// unwritable says that the ledger takes nothing any more, nil while it does. From the first time on it stays on the wall.
func (f *floor) unwritable() *kiosk.Said {
	err := f.bench.db.Writable()
	if err == nil {
		return nil
	}
	s := ledgerBroken(err)
	f.broke.Do(func() {
		f.terminal.warn(s.Text)
		f.wall.Said("", s)
	})
	return s
}

func ledgerBroken(err error) *kiosk.Said {
	return said(kiosk.WordLedgerBroken, "the ledger takes nothing any more: "+err.Error(), "Call the person who looks after the station: it has to be started again.", "why", err.Error())
}

// warn tells of trouble that is no unit's.
func (f *floor) warn(text string) {
	f.terminal.warn(text)
	f.wall.Said("", said(kiosk.WordTrouble, text, "", "why", text))
}

// watch tells the wall what runs do, and the terminal.
func (f *floor) watch(ev provision.Event) {
	f.wall.Event(ev)
	writeLine(f.app.stderr, ev)
}

// said is a sentence. facts are names and values in turn.
func said(word, text, next string, facts ...string) *kiosk.Said {
	s := &kiosk.Said{Word: word, Text: text, Next: next, Facts: map[string]string{}}
	for i := 0; i < len(facts); i += 2 {
		s.Facts[facts[i]] = facts[i+1]
	}
	return s
}

// saidOf is what a decision says.
func saidOf(d provision.Decision) *kiosk.Said {
	s := said(d.Word, d.Message, d.Next)
	maps.Copy(s.Facts, d.Facts)
	if d.Serial != "" {
		s.Facts["serial"] = d.Serial
	}
	if d.Slot == "" {
		return s
	}
	s.Facts["slot"] = d.Slot
	s.Text = "slot " + d.Slot + ": " + d.Message
	if d.Do == provision.Ask {
		s.Text = fmt.Sprintf("slot %s is free: scan the %s", d.Slot, d.Message)
	}
	return s
}

// conflict is a refusal of what does not fit how things stand.
func conflict(s *kiosk.Said) *kiosk.Refusal {
	return &kiosk.Refusal{Status: http.StatusConflict, Said: *s}
}

// invalid is a refusal of what can never be done.
func invalid(s *kiosk.Said) *kiosk.Refusal {
	return &kiosk.Refusal{Status: http.StatusUnprocessableEntity, Said: *s}
}

// serialsOf are the serials of runs, each once.
func serialsOf(runs []ledger.Run) []string {
	all := []string{}
	for _, r := range runs {
		if !slices.Contains(all, r.Serial) {
			all = append(all, r.Serial)
		}
	}
	return all
}
