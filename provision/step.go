package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// step is one line of a recipe at work. Because what is to be done is decided from what the chip shows, a step that is
// carried out again finishes what is missing and does nothing twice.
type step interface {
	// observe reads from the chip what the step is about.
	observe(ctx context.Context) error
	// decide says whether anything is to be done. It reads nothing and changes nothing.
	decide() (bool, error)
	// act does it. When ctx ends it stops where the chip is ready and says so by ctx's error.
	act(ctx context.Context) error
	// confirm reads the effect back from the chip, whether or not act was called.
	confirm(ctx context.Context) (proof, error)
}

// proof is how a step's effect was confirmed.
type proof struct {
	how   string
	facts []ledger.Fact
	// looked is set by a step that only looks, and never changes anything.
	looked bool
	// before is set where what lasts was there before the step, whatever it did.
	before bool
	// stands is set where how is true also when confirm fails, at what it looked at behind that.
	stands bool
}

// walk carries out the recipe's steps in order.
func (r *run) walk(ctx context.Context) error {
	steps := r.o.Recipe.Steps()
	r.of = len(steps)
	if err := r.settleRelay(ctx); err != nil {
		return err
	}
	if err := r.foresee(ctx, steps); err != nil {
		return err
	}
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.o.Trial && s.Permanent() {
			return &verdict{ledger.Trial, "trial", "Everything before the first permanent step was confirmed: " + s.Title() + " was not begun.", "Run it without --trial to provision the unit."}
		}
		r.n, r.kind, r.title = i+1, s.Kind(), s.Title()
		r.emit(Event{Kind: StepBegan, Title: r.title, Permanent: s.Permanent()})
		entry := ledger.RunStep{Run: r.id, Serial: r.o.Serial, N: r.n, Of: r.of, Step: s.Kind(), Title: r.title, Permanent: s.Permanent(),
			Started: time.Now().UTC().Format(ledger.TimeFormat), Facts: []ledger.Fact{}}
		began := time.Now()
		err := r.perform(ctx, s, &entry)
		entry.Duration = time.Since(began).Milliseconds()
		if err != nil {
			entry.Result = ledger.Failed
			entry.Facts = append(entry.Facts, ledger.Fact{Name: "broke off", Value: err.Error()})
			r.failed = &entry
			return err
		}
		if err := r.record(ctx, entry); err != nil {
			return err
		}
		r.emit(Event{Kind: StepEnded, Title: r.title})
	}
	r.n = 0
	return nil
}

// foresee looks, before the first step, at what would stop the run only when much had been done for ever: a password or a
// protection mode that this run did not put there, or a counter that is beyond its value on a chip that is reworked.
func (r *run) foresee(ctx context.Context, steps []recipes.Step) error {
	for _, s := range steps {
		switch s := s.(type) {
		case recipes.Password, recipes.PersistentProtection:
		case recipes.Counter: // whose key is there already
			if _, proven, _ := r.rework.rootKey(s.Index); proven == nil {
				continue
			}
		default:
			continue
		}
		st, err := r.step(s)
		if err != nil {
			return err
		}
		if err := st.observe(ctx); err != nil {
			return err
		}
		if _, err := st.decide(); err != nil {
			return err
		}
	}
	return nil
}

// perform makes the four moves of one step and fills in what its entry says of them.
func (r *run) perform(ctx context.Context, s recipes.Step, entry *ledger.RunStep) error {
	st, err := r.step(s)
	if err != nil {
		return err
	}
	if err := st.observe(ctx); err != nil {
		return err
	}
	todo, err := st.decide()
	if err != nil {
		return err
	}
	if todo {
		if err := st.act(ctx); err != nil {
			return err
		}
	}
	p, err := st.confirm(ctx)
	if err == nil || p.stands {
		entry.Proof, entry.Facts = p.how, append(entry.Facts, p.facts...)
	}
	if err != nil {
		return err
	}
	switch {
	case p.looked:
		entry.Result = ledger.Confirmed
	case todo && !p.before:
		entry.Result = ledger.Done
	default:
		entry.Result = ledger.Already
	}
	return nil
}

func (r *run) step(s recipes.Step) (step, error) {
	switch s := s.(type) {
	case recipes.Write:
		return &write{content: content{r: r, want: r.wanted(s)}, s: s}, nil
	case recipes.Erase:
		return &erase{content: content{r: r, want: r.wanted(s)}, s: s}, nil
	case recipes.Blank:
		return &blank{content: content{r: r, want: r.wanted(s)}}, nil
	case recipes.Lock:
		return &lock{r: r, s: s}, nil
	case recipes.Freeze:
		return &freeze{r: r}, nil
	case recipes.Check:
		return &check{r: r, s: s}, nil
	case recipes.Reset:
		return &reset{r: r}, nil
	case recipes.PowerCycle:
		return &powerCycle{r: r}, nil
	case recipes.Password:
		return &password{r: r, s: s}, nil
	case recipes.RootKey:
		return &rootKey{r: r, s: s}, nil
	case recipes.Counter:
		return &counter{r: r, s: s}, nil
	case recipes.PersistentProtection:
		return &persistent{r: r}, nil
	case recipes.OTP:
		return &otp{r: r, s: s}, nil
	case recipes.Config:
		return &config{r: r, s: s}, nil
	case recipes.Raw:
		return &raw{r: r, s: s}, nil
	case recipes.Measure:
		return &measure{r: r, s: s}, nil
	case recipes.Relay:
		return newRelay(r, s), nil
	}
	return nil, &stationError{"program", fmt.Errorf("no step for %q", s.Kind())}
}

// wanted is what a step wants the array to hold; nil for steps that do not change it.
func (r *run) wanted(s recipes.Step) []flash.Extent { return r.unit.Wanted(r.chip.Part(), s) }

// content is the part that all steps share which want the array to hold something.
type content struct {
	r     *run
	want  []flash.Extent
	known flash.Known
	read  bool // known is of every byte, and not of samples
	plan  *flash.Plan
}

// observe takes a sample of every sector, and reads all of it only where that shows nothing to do.
func (c *content) observe(ctx context.Context) (err error) {
	if c.known, err = c.r.chip.Sample(ctx, c.want); err != nil {
		return err
	}
	if todo, err := c.decide(); err != nil || todo {
		return err
	}
	c.read = true
	c.known, err = c.r.chip.Compare(ctx, c.want, c.r.progress("reading"))
	return err
}

func (c *content) decide() (_ bool, err error) {
	if c.plan, err = flash.NewPlan(c.r.chip.Part(), c.want, c.known.Sector); err != nil {
		return false, &stationError{"program", err}
	}
	return len(c.plan.Ops) > 0, nil
}

func (c *content) act(ctx context.Context) error { return c.apply(ctx, c.plan) }

func (c *content) apply(ctx context.Context, plan *flash.Plan) error {
	c.r.emit(Event{Kind: Planned, Title: planText(plan)})
	return c.r.chip.Apply(ctx, plan, c.r.progress("writing"))
}

// confirm reads back what observe has not read and found right already. What is wrong, since a sample did not show it or the chip did not take it, is erased and done anew once, and read once more.
func (c *content) confirm(ctx context.Context) (proof, error) {
	p := proof{how: "readback", facts: []ledger.Fact{{Name: "done", Value: planText(c.plan)}}}
	left := c.want
	if c.read {
		left = c.plan.Touched(c.want)
	}
	known, err := c.r.chip.Compare(ctx, left, c.r.progress("verifying"))
	if err != nil {
		return proof{}, err
	}
	again, err := flash.NewPlan(c.r.chip.Part(), left, known.Sector)
	if err != nil {
		return proof{}, &stationError{"program", err}
	}
	if len(again.Ops) == 0 {
		return p, nil
	}
	if err := c.apply(ctx, again); err != nil {
		return proof{}, err
	}
	p.facts = append(p.facts, ledger.Fact{Name: "done anew, where it read back otherwise", Value: planText(again)})
	if err := c.r.chip.Verify(ctx, again.Touched(left), c.r.progress("verifying")); err != nil {
		return proof{}, err
	}
	return p, c.verifyRounding(ctx, again)
}

// verifyRounding reads what rounding to erase units adds to what is wanted: it is to be blank.
func (c *content) verifyRounding(ctx context.Context, plan *flash.Plan) error {
	for _, r := range plan.Rounded { // one by one, since two of them may share a unit
		if err := c.r.chip.Verify(ctx, []flash.Extent{{Addr: r.Addr, Size: r.Size}}, nil); err != nil {
			return err
		}
	}
	return nil
}

// planText says in words what a plan is about to do.
func planText(p *flash.Plan) string {
	if len(p.Ops) == 0 {
		return "nothing to erase, nothing to program"
	}
	var parts []string
	for _, size := range slices.Sorted(maps.Keys(p.Erases)) {
		parts = append(parts, fmt.Sprintf("%d x erase %d KiB", p.Erases[size], size>>10))
	}
	if p.Programs > 0 {
		pages := "pages"
		if p.Programs == 1 {
			pages = "page"
		}
		parts = append(parts, fmt.Sprintf("program %d %s (%d KiB)", p.Programs, pages, (p.ProgramBytes+1023)>>10))
	}
	return strings.Join(parts, ", ")
}

func (r *run) progress(move string) func(done, total int64) {
	return func(done, total int64) {
		r.emit(Event{Kind: Progress, Title: r.title, Move: move, Done: done, Total: total})
	}
}

// prove notes how a region's content was proven, in place of what was noted of it before.
func (r *run) prove(p ledger.RegionProof) {
	r.proven = slices.DeleteFunc(r.proven, func(q ledger.RegionProof) bool { return q.Region == p.Region })
	r.proven = append(r.proven, p)
}
