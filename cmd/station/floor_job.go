package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
	"station/recipes"
)

// planClock is the SPI clock that the times of a recipe's steps are worked out for.
const planClock = 15_000_000 // Hz

// floorJob is the job that is open.
type floorJob struct {
	ledger.JobBegin
	begun  time.Time
	recipe *recipes.Recipe // nil where it cannot be carried out as it was begun
	steps  []kiosk.JobStep
	seen   map[string]bool // slots that its line looked at, on the goroutine of the line

	asks  chan ask
	line  *scanning       // nil while nothing can be scanned
	lines chan string     // closed when nothing is scanned any more
	over  chan struct{}   // closed when the line is
	away  *provision.Line // without slots: takes what is said of FAILs while line is nil; f.deeds is held. nil before the first

	mu    sync.Mutex
	units map[string]ledger.Outcome // by serial: PASS, FAIL or TRIAL, whichever was last, and anything else where there is none of them
	held  []provision.Held          // FAILs that nobody acknowledged
}

func newFloorJob(begin ledger.JobBegin, begun time.Time) *floorJob {
	return &floorJob{JobBegin: begin, begun: begun, seen: map[string]bool{}, units: map[string]ledger.Outcome{}}
}

// ended counts a unit.
func (j *floorJob) ended(serial string, o ledger.Outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if counts(o) || !counts(j.units[serial]) {
		j.units[serial] = o
	}
}

// hold keeps a FAIL until it is acknowledged.
func (j *floorJob) hold(h provision.Held) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = append(j.held, h)
}

func (j *floorJob) acknowledge(run string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = slices.DeleteFunc(j.held, func(h provision.Held) bool { return h.Run == run })
}

// heldSerials are those of the FAILs that nobody acknowledged.
func (j *floorJob) heldSerials() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := []string{}
	for _, h := range j.held {
		all = append(all, h.Serial)
	}
	return all
}

// heldIn is the run of the FAIL that waits in a slot, "" for none.
func (j *floorJob) heldIn(slot string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range j.held {
		if h.Slot == slot {
			return h.Run
		}
	}
	return ""
}

// counts tells whether an outcome says more of a unit than that it was not done.
func counts(o ledger.Outcome) bool {
	return o == ledger.Pass || o == ledger.Fail || o == ledger.Trial
}

// done tells whether an outcome is what the job wants.
func (j *floorJob) done(o ledger.Outcome) bool {
	return o == ledger.Pass || j.Trial && o == ledger.Trial
}

// succeeded tells whether a unit is counted already.
func (j *floorJob) succeeded(serial string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done(j.units[serial])
}

func (j *floorJob) count() (passed, failed, other int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range j.units {
		switch {
		case j.done(o):
			passed++
		case o == ledger.Fail:
			failed++
		default:
			other++
		}
	}
	return passed, failed, other
}

// shown is the job as the wall has it.
func (j *floorJob) shown() *kiosk.Job {
	passed, failed, other := j.count()
	return &kiosk.Job{Recipe: j.Recipe, File: j.File, Quantity: j.Quantity, Trial: j.Trial, By: j.By, Begun: j.begun, Passed: passed, Failed: failed, Other: other, Waits: j.line == nil, Steps: j.steps}
}

// serialIn is the serial of the unit in a slot, on the goroutine of the line.
func (j *floorJob) serialIn(slot string) string {
	for _, s := range j.line.line.Slots() {
		if s.Slot == slot {
			return s.Serial
		}
	}
	return ""
}

// recipeAt reads a recipe of the folder. why is what is wrong with it.
func (f *floor) recipeAt(file string) (r *recipes.Recipe, why *kiosk.Said) {
	path := filepath.Join(f.recipes, file)
	known := file == filepath.Base(file) && isRecipe(file)
	if known {
		_, err := os.Stat(path)
		known = !errors.Is(err, fs.ErrNotExist)
	}
	if !known {
		return nil, said(kiosk.WordNoRecipe, fmt.Sprintf("there is no recipe %q in the folder of recipes", file), "", "file", file)
	}
	r, err := recipes.Load(path)
	if err != nil {
		return nil, said(kiosk.WordBadRecipe, fmt.Sprintf("recipe %s cannot be carried out: %v", file, err), "Call the person who looks after the recipes.", "file", file, "why", err.Error())
	}
	return r, nil
}

func isRecipe(file string) bool {
	return slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(file))
}

// ready is why the station cannot carry a recipe out, nil where it can. f.deeds is held, or nobody else has the floor yet.
func (f *floor) ready(ctx context.Context, r *recipes.Recipe, trial bool) error {
	if err := f.bench.secrets.ready(r, f.bench.db, nil); err != nil {
		return err
	}
	if signed, _ := f.bench.secrets.lent(r); signed && f.bench.server == nil {
		return errors.New("the recipe has signed commands, and this station has no key server that makes them")
	}
	if trial {
		return nil
	}
	return f.askServer(ctx, r)
}

// unready is why the key server has a recipe not carried out, as it said or did not say a moment ago.
type unready struct {
	digest string
	err    error
	until  time.Time
}

// askServer asks the key server about a recipe, one that took its time to refuse or to say nothing once for all who want to know in twice that time.
func (f *floor) askServer(ctx context.Context, r *recipes.Recipe) error {
	began := time.Now()
	if u := f.unready; u.digest == r.Digest() && began.Before(u.until) {
		return u.err
	}
	err := f.app.askServer(ctx, f.bench, r, nil)
	if now := time.Now(); err != nil && ctx.Err() == nil {
		f.unready = unready{r.Digest(), err, now.Add(2 * now.Sub(began))}
	}
	return err
}

func (f *floor) beginJob(ctx context.Context, who kiosk.Who, d kiosk.Deed) (kiosk.Answer, error) {
	if err := f.turn(ctx); err != nil {
		return kiosk.Answer{}, err
	}
	defer f.pass()
	if f.ctx.Err() != nil {
		return kiosk.Answer{}, f.over()
	}
	if j := f.present(); j != nil {
		return kiosk.Answer{}, conflict(said(kiosk.WordJobOpen, "a job is open: "+j.Recipe.Title, "Close it first.", "recipe", j.Recipe.Title))
	}
	if d.Quantity < 0 {
		return kiosk.Answer{}, invalid(said(kiosk.WordBadQuantity, fmt.Sprintf("a job cannot be for %d units", d.Quantity), "", "quantity", fmt.Sprint(d.Quantity)))
	}
	r, why := f.recipeAt(d.Recipe)
	if why != nil {
		f.terminal.warn(why.Text)
		return kiosk.Answer{}, invalid(why)
	}
	if err := f.ready(ctx, r, d.Trial); err != nil {
		why := said(kiosk.WordJobNotReady, fmt.Sprintf("the job of %s cannot begin: %v", d.Recipe, err), "Call the person who looks after the station.", "file", d.Recipe, "why", err.Error())
		f.terminal.warn(why.Text)
		return kiosk.Answer{}, conflict(why)
	}
	if err := kiosk.Still(ctx); err != nil { // the key server took its time
		return kiosk.Answer{}, err
	}
	begin := ledger.JobBegin{Job: newJobID(), By: who.ID, Authenticated: who.Authenticated, File: d.Recipe, Recipe: factsOf(r), Quantity: d.Quantity, Trial: d.Trial}
	if err := f.append(begin); err != nil {
		return kiosk.Answer{}, err
	}
	j := newFloorJob(begin, time.Now())
	f.mu.Lock()
	f.job = j
	f.mu.Unlock()
	if err := f.start(j, r); err != nil {
		f.wall.Job(j.shown())
		return kiosk.Answer{}, err
	}
	return kiosk.Answer{Tone: kiosk.Accept, Said: *said(kiosk.WordJobBegun, "the job is open: "+r.Title(), "", "recipe", r.Title())}, nil
}

// start opens the line of a job. f.deeds is held, or nobody else has the floor yet.
func (f *floor) start(j *floorJob, r *recipes.Recipe) error {
	open, err := f.bench.db.OpenRuns()
	if err != nil {
		return err
	}
	v := &floorVoice{floor: f, job: j}
	s := f.app.newScanning(f.ctx, f.bench, v, job{recipe: r, operator: j.By, authenticated: j.Authenticated, trial: j.Trial}, f.watch, open)
	s.line.HoldFails(j.held...)
	s.scanner, s.asks, s.room = true, make(chan ask), j.room
	if f.bench.simulated {
		s.hands, s.pause = &hands{told: f.told}, 0
	}
	w := &wedge{lines: make(chan string)}
	f.mu.Lock()
	j.recipe, j.steps, j.asks, j.line, j.lines, j.over, j.away = r, stepsOf(r), s.asks, s, w.lines, make(chan struct{}), nil
	f.mu.Unlock()
	f.wall.Slots(s.line.Slots())
	f.wall.Job(nil) // one that could not go on had no steps
	f.wall.Job(j.shown())
	f.wall.Said("", nil)
	f.ended.Go(func() {
		defer crashed(f.app.stderr)
		defer close(j.over)
		s.work(f.ctx, w, false)
	})
	return nil
}

// present is the job that is open, nil for none.
func (f *floor) present() *floorJob {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.job
}

// making is the job whose line takes what is scanned. why says that there is none. One that could not go on, because its recipe or the key server was away, is tried again.
func (f *floor) making(ctx context.Context) (j *floorJob, why *kiosk.Said, err error) {
	if j = f.present(); j == nil {
		return nil, noJob(), nil
	}
	if f.lineOf(j) != nil {
		return j, nil, nil
	}
	if err := f.turn(ctx); err != nil {
		return nil, nil, err
	}
	defer f.pass()
	switch {
	case f.ctx.Err() != nil:
		return nil, ends(), nil
	case f.present() != j:
		return nil, noJob(), nil
	case f.lineOf(j) != nil:
		return j, nil, nil
	}
	return j, f.goOn(ctx, j), nil
}

func (f *floor) lineOf(j *floorJob) *scanning {
	f.mu.Lock()
	defer f.mu.Unlock()
	return j.line
}

// Recipes are those of the folder. One that the station could not begin has that as its problem; what only a key server can tell is asked where a job begins.
func (f *floor) Recipes() []kiosk.RecipeFile {
	files, _ := filepath.Glob(filepath.Join(f.recipes, "*"))
	all := []kiosk.RecipeFile{}
	for _, path := range files {
		file := filepath.Base(path)
		if !isRecipe(file) || strings.HasPrefix(file, ".") {
			continue
		}
		row := kiosk.RecipeFile{File: file, Parts: []string{}, Oneway: []string{}}
		if r, why := f.recipeAt(file); why != nil {
			row.Problem = cmp.Or(why.Facts["why"], why.Text)
		} else {
			row.Recipe, row.Steps = factsOf(r), len(r.Steps())
			row.Oneway = append(row.Oneway, r.Permanent()...)
			for _, p := range r.Parts() {
				row.Parts = append(row.Parts, p.Name)
			}
			if f.bench.server == nil {
				if err := f.ready(f.ctx, r, true); err != nil { // as of a trial, which asks nobody and leaves the floor as it is
					row.Problem = err.Error()
				}
			}
		}
		all = append(all, row)
	}
	return all
}

// factsOf is a recipe as entries name it.
func factsOf(r *recipes.Recipe) ledger.Recipe {
	return ledger.Recipe{ID: r.ID(), Version: r.Version(), Title: r.Title(), Digest: r.Digest()}
}

// stepsOf are the steps of a recipe, and how long they should take on its first part.
func stepsOf(r *recipes.Recipe) (steps []kiosk.JobStep) {
	plan, err := r.Plan(r.Parts()[0], 8*time.Second/planClock)
	if err != nil {
		return nil // the steps tell themselves as they come
	}
	for _, s := range plan.Steps {
		steps = append(steps, kiosk.JobStep{Title: s.Title, Permanent: s.Permanent, Expect: s.Work.Typical})
	}
	return steps
}

func newJobID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
