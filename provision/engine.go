package provision

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"station/flash"
	"station/ledger"
	"station/recipes"
	"station/spi"
)

// journalLimit is how long an account of something that already happened may take, whatever became of the run's context.
const journalLimit = 30 * time.Second

// Engine carries out orders, several at once in different slots.
type Engine struct {
	bench   Bench
	journal Journal
	o       Options

	mu   sync.Mutex
	held map[string]string // serials and UIDs of the runs under way -> slot
}

// New returns an engine over a bench and a journal.
func New(bench Bench, journal Journal, o Options) *Engine {
	if o.Watch == nil {
		o.Watch = func(Event) {}
	}
	if o.Mirror == nil {
		o.Mirror = func() string { return ledger.MirrorNone }
	}
	if o.Reseater == "" {
		o.Reseater = "a person"
	}
	if o.ReseatLimit == 0 {
		o.ReseatLimit = 5 * time.Minute
	}
	return &Engine{bench: bench, journal: journal, o: o, held: map[string]string{}}
}

// Run carries out an order and returns when it is settled in the ledger. Cancelling ctx stops it at the next
// point where the chip is ready and nothing is half done.
func (e *Engine) Run(ctx context.Context, o Order) Result {
	r := &run{e: e, o: o, id: newRunID(), began: time.Now()}
	err := Caught(func() error { return r.carryOut(ctx) })
	if errors.As(err, new(*PanicError)) {
		err = &stationError{"program", err}
	}
	res := r.settle(ctx, err)
	if err := r.release(); err != nil {
		r.emit(Event{Kind: Warned, Title: err.Error()})
	}
	r.emit(Event{Kind: Ended, Title: res.Message, Result: &res})
	return res
}

// Refuse writes down that an order was refused before its slot was looked at, and why.
func (e *Engine) Refuse(ctx context.Context, o Order, cause, message, next string) Result {
	r := &run{e: e, o: o, id: newRunID(), began: time.Now()}
	res := r.settle(ctx, refuse(cause, message, next))
	r.emit(Event{Kind: Ended, Title: res.Message, Result: &res})
	return res
}

// wrongSerial refuses a serial that is none of the recipe.
func wrongSerial(recipe *recipes.Recipe, serial string) *verdict {
	return &verdict{ledger.Refused, "serial-pattern", fmt.Sprintf("%q is not a serial of this recipe (%s)", serial, recipe.SerialPattern()), "Scan the board's own label."}
}

// run is one order on its way.
type run struct {
	e     *Engine
	o     Order
	id    string
	began time.Time

	conn    spi.Conn
	unit    *recipes.Unit
	chip    *flash.Chip
	before  flash.Protection
	books   []ledger.Body // the entries of this run so far, those before a crash included
	already *ledger.Run   // an earlier run that did all of this
	started bool          // run.start or run.resume is durable
	n, of   int
	kind    string // of the present step
	title   string

	held   []func() error  // gives back what the run holds, until it is settled
	failed *ledger.RunStep // the step that broke off, for the account
	proven []ledger.RegionProof

	relayed bool // signed commands that may change the chip were asked for since the program began this run

	permit  int64   // index of the permission that a rework uses, 0 for any other run
	retires string  // UID of the chip that a rework puts another one in the place of
	rework  *rework // of a unit on the chip that it has; nil for any other run
}

func (r *run) carryOut(ctx context.Context) error {
	if !r.o.Recipe.MatchSerial(r.o.Serial) {
		return wrongSerial(r.o.Recipe, r.o.Serial)
	}
	var err error
	if r.unit, err = r.o.Recipe.Bind(r.o.Serial, r.o.Values); err != nil {
		return refuse("values", strings.ReplaceAll(err.Error(), "\n", "; "), "Give every value that the recipe asks for, as it asks for it.")
	}
	if err := r.checkRaw(); err != nil {
		return err
	}
	if err := r.checkSigner(r.o.Recipe.Parts()...); err != nil {
		return err
	}
	if err := r.e.hold("serial "+r.o.Serial, r.o.Slot); err != nil {
		return err
	}
	r.onRelease(func() error { return r.e.letGo("serial " + r.o.Serial) })

	// A slot that fits some of the parts has to be opened, which may give it power, to see which of them is there.
	if err := r.checkVoltage(r.o.Recipe.Parts()...); err != nil {
		return err
	}
	conn, release, err := r.e.bench.Lease(ctx, r.o.Slot)
	if err != nil {
		var slot interface{ Misconfigured() bool }
		if errors.As(err, &slot) && slot.Misconfigured() {
			return refuse("fixture-config", err.Error(), "Correct what it names, or call the person who looks after the station; then scan the unit again.")
		}
		return &stationError{"fixture", err}
	}
	r.onRelease(release)
	r.conn = conn
	if err := r.checkAbility(); err != nil {
		return err
	}

	if r.chip, err = flash.Identify(ctx, conn, r.o.Recipe.Parts()...); err != nil {
		return err
	}
	uid := r.chip.UID()
	if err := r.e.hold("chip "+uid, r.o.Slot); err != nil {
		return err
	}
	r.onRelease(func() error { return r.e.letGo("chip " + uid) })
	title := r.chip.Part().Name + " " + uid
	if words := r.chip.Recovered(); len(words) > 0 {
		title += ", recovered from " + strings.Join(words, ", ")
	}
	r.emit(Event{Kind: Identified, Title: title})
	if err := r.checkVoltage(r.chip.Part()); err != nil {
		return err
	}

	runs, err := r.e.journal.Runs(r.o.Serial, uid)
	if err != nil {
		return &stationError{"ledger", err}
	}
	if err := r.checkQuarantine(uid, runs); err != nil {
		return err
	}
	permits, err := r.e.journal.Permissions(r.o.Serial)
	if err != nil {
		return &stationError{"ledger", err}
	}
	entry, err := admit(r.o, uid, runs, ledger.Permissions(permits))
	if err != nil {
		return err
	}
	if entry.permit != nil {
		if err := r.checkPermission(entry); err != nil {
			return err
		}
		r.permit, r.retires, r.rework = entry.permit.Index, entry.retires, entry.rework()
	}
	if r.before, err = r.chip.Protection(ctx); err != nil {
		return err
	}
	if err := r.checkValues(entry); err != nil {
		return err
	}
	if entry.done != nil {
		r.already = entry.done
		return nil
	}
	if r.o.Trial && entry.open != nil && slices.ContainsFunc(entry.open.Records, func(rec ledger.Record) bool { return ledger.Permanent(rec.Entry.Body) }) {
		return refuse("open-run", "The open run of this unit has begun its permanent steps, so there is nothing left to try.", "Run it without --trial to finish the unit.")
	}
	if err := r.checkCounters(); err != nil {
		return err
	}
	if err := r.checkSigned(); err != nil {
		return err
	}
	if err := r.checkMasters(runs); err != nil {
		return err
	}
	switch {
	case r.rework != nil:
		if err := r.checkRework(ctx, entry.open); err != nil {
			return err
		}
	case !entry.known:
		if err := r.checkFactory(ctx, runs); err != nil {
			return err
		}
		if err := r.checkUnlocked(); err != nil {
			return err
		}
		if err := r.checkOTP(ctx); err != nil {
			return err
		}
	}
	if entry.open == nil { // what is begun is finished
		if err := r.e.journal.Room(); err != nil {
			return &stationError{"disk-full", err}
		}
	}
	if err := r.begin(ctx, entry.open); err != nil {
		return err
	}
	if err := r.undo(ctx); err != nil {
		return err
	}
	return r.walk(ctx)
}

// begin makes the run durable before the first command that changes the chip.
func (r *run) begin(ctx context.Context, open *ledger.Run) error {
	rec, part := r.o.Recipe, r.chip.Part()
	kind := Started
	var body ledger.Body
	if open != nil {
		kind, r.id = Resumed, open.ID
		body = ledger.RunResume{Run: r.id, Serial: r.o.Serial, Slot: r.o.Slot, Operator: r.o.Operator, Authenticated: r.o.Authenticated, Fixture: r.e.bench.Describe(r.o.Slot),
			Software: r.e.o.Software, Chip: *r.chipFacts(), Before: *locksOf(r.before), Mirror: r.e.o.Mirror(), KeyServer: r.e.o.KeyServer}
	} else {
		start := ledger.RunStart{Permit: r.permit, Retires: r.retires, Run: r.id, Serial: r.o.Serial, Slot: r.o.Slot, Operator: r.o.Operator, Authenticated: r.o.Authenticated, Fixture: r.e.bench.Describe(r.o.Slot),
			Software: r.e.o.Software, Recipe: recipeFacts(rec), Chip: *r.chipFacts(), Elsewhere: string(rec.Elsewhere()), Before: *locksOf(r.before), Images: []ledger.Image{}, Regions: []ledger.Region{}, Values: r.values(), Mirror: r.e.o.Mirror(), KeyServer: r.e.o.KeyServer,
			Part: ledger.Part{Name: part.Name, Digest: part.Digest(), Size: part.Size, Sector: part.Sector, User: part.User, Assumed: append([]string{}, part.Assumed...)}}
		if signs(rec) {
			start.Part.Map = part.ACRTM.Map
		}
		images := map[string]string{}
		for _, s := range rec.Steps() {
			switch s := s.(type) {
			case recipes.Write:
				if s.Image != nil {
					images[s.Region.Name] = s.Image.Name
				}
			case recipes.Relay:
				if s.Image != nil {
					images[s.Region.Name] = s.Image.Name
				}
			}
		}
		for _, i := range rec.Images() {
			start.Images = append(start.Images, ledger.Image{Name: i.Name, File: i.File, SHA256: i.SHA256, Size: int64(len(i.Data))})
		}
		for _, g := range rec.Regions() {
			start.Regions = append(start.Regions, ledger.Region{Name: g.Name, At: g.At, Size: g.Size, Image: images[g.Name]})
		}
		body = start
	}
	if open != nil {
		for _, rec := range open.Records {
			r.books = append(r.books, rec.Entry.Body)
		}
	}
	if err := r.record(ctx, body); err != nil {
		return err
	}
	r.started = true
	r.emit(Event{Kind: kind, Title: rec.Title()})
	return nil
}

// settle turns what became of the run into its last entry and the result.
func (r *run) settle(ctx context.Context, err error) Result {
	stopped := new(Stopped)
	byPerson := errors.As(context.Cause(ctx), &stopped)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalLimit)
	defer cancel()
	if r.already != nil && err == nil {
		return Result{Run: r.already.ID, Serial: r.o.Serial, Slot: r.o.Slot, UID: r.chip.UID(), Outcome: ledger.Pass, Already: true,
			Index: r.already.Records[len(r.already.Records)-1].Index, Message: "This unit already passed, with this chip and this recipe.",
			Started: r.began, Duration: time.Since(r.began)}
	}
	v := r.judge(ctx, err)
	if byPerson = byPerson && v.outcome == ledger.Aborted; byPerson {
		v.message = stopped.By + " stopped the run."
	}
	end := ledger.RunEnd{Run: r.id, Serial: r.o.Serial, Slot: r.o.Slot, Operator: r.o.Operator, Authenticated: r.o.Authenticated, Software: r.e.o.Software,
		Recipe: recipeFacts(r.o.Recipe), Chip: r.chipFacts(), Outcome: v.outcome, Cause: v.cause, Message: v.message, Next: v.next,
		Touched: r.started, Proven: []ledger.RegionProof{}, Freeze: "none"}
	if r.chip != nil && !errors.As(err, new(*PanicError)) { // what was left in the midst of anything is asked nothing more
		if after, perr := r.chip.Protection(ctx); perr == nil {
			end.After, end.Freeze = locksOf(after), freezeLasts(after)
		} else if err == nil {
			// The steps are proven, but what the report must show of the chip cannot be read: not a PASS.
			err = perr
			v = r.judge(ctx, err)
			end.Outcome, end.Cause, end.Message, end.Next = v.outcome, v.cause, v.message, v.next
		}
	}
	if end.Outcome == ledger.Pass {
		end.Proven = r.locked(end.After)
	}
	end.Duration = time.Since(r.began).Milliseconds()
	var bodies []ledger.Body
	if r.failed != nil {
		bodies = append(bodies, *r.failed)
	}
	if byPerson && r.started {
		bodies = append(bodies, ledger.RunStop{Run: r.id, Serial: r.o.Serial, By: stopped.By, Authenticated: stopped.Authenticated})
	}
	switch {
	case end.Outcome == ledger.Interrupted:
		bodies = append(bodies, ledger.RunStuck{Run: r.id, Serial: r.o.Serial, Cause: v.cause, Message: v.message, Next: v.next})
	case r.stays(end.Outcome):
	default:
		bodies = append(bodies, end)
	}
	res := Result{Run: r.id, Serial: r.o.Serial, Slot: r.o.Slot, Outcome: end.Outcome, Cause: end.Cause, Message: end.Message, Next: end.Next,
		Started: r.began, Index: -1, Err: err}
	if r.chip != nil {
		res.UID = r.chip.UID()
	}
	if len(bodies) > 0 {
		first, jerr := r.e.journal.Commit(ctx, ledger.Change{Bodies: bodies})
		if jerr != nil {
			// Whatever was reached, without a durable entry it is not known: the run stays open.
			v := r.judge(ctx, &stationError{"ledger", jerr})
			res.Outcome, res.Cause, res.Message, res.Next, res.Err = v.outcome, v.cause, v.message, v.next, jerr
		} else {
			res.Index = first + int64(len(bodies)) - 1
		}
	}
	res.Duration = time.Since(r.began)
	return res
}

// stays tells whether the run stays open after an outcome that is not the unit's fault: once a permanent step has been intended, what
// the station remembers of it is needed until the run passes, fails, or a person closes it. So is what it knows of a turn of signed commands that has no answer. So is a permission for rework, which is for one run.
func (r *run) stays(o ledger.Outcome) bool {
	if o != ledger.Error && o != ledger.Aborted {
		return false
	}
	if r.unanswered() != nil {
		return true
	}
	return r.started && r.permit != 0 || slices.ContainsFunc(r.books, ledger.Permanent)
}

func (r *run) onRelease(f func() error) { r.held = append(r.held, f) }

func (r *run) release() error {
	var errs []error
	for _, f := range slices.Backward(r.held) {
		errs = append(errs, Caught(f))
	}
	return errors.Join(errs...)
}

func (r *run) emit(ev Event) {
	ev.Slot, ev.Serial, ev.Time = r.o.Slot, r.o.Serial, time.Now()
	if ev.Step == 0 {
		ev.Step, ev.Of = r.n, r.of
	}
	if ev.Step > 0 {
		ev.StepKind = r.kind
	}
	r.e.o.Watch(ev)
}

// hold keeps a serial or a chip from being in two slots at once.
func (e *Engine) hold(what, slot string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if other, ok := e.held[what]; ok {
		return refuse("in-two-slots", fmt.Sprintf("%s is being provisioned in slot %s right now", what, other),
			"Scan the label of the board that is in slot "+slot+".")
	}
	e.held[what] = slot
	return nil
}

func (e *Engine) letGo(what string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.held, what)
	return nil
}

func newRunID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
