package provision

import (
	"context"
	"fmt"
	"slices"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// admission is how a unit may go on.
type admission struct {
	done  *ledger.Run // it passed before with this chip and digest: nothing is to be done
	open  *ledger.Run // an open run of it, to be finished
	last  *ledger.Run // the last run that touched it, where it was of this digest and no permission takes it further
	known bool        // an earlier run of this serial, chip and digest touched the chip: its locks may be ours

	permit  *ledger.Permission // for rework: which the run uses, or the open one used
	past    []ledger.Run       // of this serial, which touched this chip, but for the open one
	retires string             // UID of the chip that this one takes the place of
}

// admit decides from all runs of the serial or of the chip, and from the serial's permissions, whether the order may touch the chip (promise 5: one serial, one
// chip). A refusal is a *verdict with outcome REFUSED. It does no I/O.
func admit(o Order, uid string, runs []ledger.Run, permits []ledger.Permission) (admission, error) {
	a, last, err := meet(o, uid, runs)
	if err != nil {
		return a, err
	}
	unused := ledger.Unused(runs, permits)
	if last != nil {
		if err := a.place(o, uid, last, unused); err != nil {
			return a, err
		}
	}
	switch {
	case a.permit != nil && o.Trial:
		err = refuse("rework-no-trial", "A permission for rework is for one whole run, and --trial is none.", "Run it without --trial.")
	case o.Unlock != nil && a.done == nil && (a.permit == nil || a.retires != ""):
		err = refuse("unlock-not-needed", "A password is given for this unit, and it is not reworked on a chip that has one.", "Run it without --unlock.")
	}
	return a, err
}

// meet holds serial and chip against each other, and finds the last touching run of the serial; nil where there is none.
func meet(o Order, uid string, runs []ledger.Run) (a admission, last *ledger.Run, err error) {
	for _, r := range runs {
		if r.Start != nil && r.Start.Retires == uid {
			return a, nil, refuse("chip-retired", fmt.Sprintf("this chip was retired when serial %s got another one", r.Serial), "It is never to be used again: put it into the reject bin.")
		}
	}
	digest := o.Recipe.Digest()
	for i := range runs {
		r := &runs[i]
		if r.Start == nil {
			continue // nothing was touched, so nothing is known from it
		}
		chip := r.Start.Chip.UID
		switch {
		case r.Serial != o.Serial && chip == uid:
			return a, nil, refuse("chip-known", fmt.Sprintf("this chip belongs to serial %s (%s), not to %s", r.Serial, r.Outcome(), o.Serial),
				"The board scanned is not the board in the slot: check both labels. A board with a new label is run under its old serial.")
		case r.Serial == o.Serial:
			last = r
			a.known = a.known || chip == uid && r.Start.Recipe.Digest == digest
			if chip == uid {
				a.past = append(a.past, *r)
			}
		}
	}
	return a, last, nil
}

// place says how a unit goes on that was touched before, last by the run last.
func (a *admission) place(o Order, uid string, last *ledger.Run, unused *ledger.Permission) error {
	had := last.Start.Chip.UID
	if last.Open() {
		unused = nil // it is for the run after this one
	}
	switch {
	case had != uid && (unused == nil || unused.Chip != ledger.NewChip):
		return refuse("serial-known", fmt.Sprintf("serial %s belongs to another chip (%s, %s)", o.Serial, had, last.Outcome()),
			"Put the board with that label into the slot. If its chip was replaced, ask for rework.")
	case had != uid:
		a.permit, a.retires, a.past = unused, had, nil
		return nil
	case unused != nil && unused.Chip == ledger.NewChip:
		return refuse("old-chip", fmt.Sprintf("serial %s may be run once more with a new chip, and this is the old one", o.Serial),
			"Put the board in with its new chip. The old one is retired as soon as that run begins.")
	case unused != nil:
		a.permit = unused
		return nil
	}
	ran := last.Start.Recipe
	same := ran.Digest == o.Recipe.Digest()
	if same {
		a.last = last
	}
	switch out := last.Outcome(); {
	case out == ledger.Fail:
		return refuse("failed-before", fmt.Sprintf("serial %s failed before: %s", o.Serial, last.End.Message), "This unit needs rework: give it to the supervisor.")
	case last.Close != nil:
		return refuse("closed", fmt.Sprintf("serial %s was closed as %s: %s", o.Serial, last.Close.As, last.Close.Reason), "This unit is done with. If it is to be provisioned after all, ask for rework.")
	case last.Open() && same:
		a.open = last
		a.past = a.past[:len(a.past)-1]
		if last.Start.Permit != 0 {
			a.permit, a.retires = &ledger.Permission{Index: last.Start.Permit}, last.Start.Retires
		}
	case last.Open():
		return refuse("open-run", fmt.Sprintf("serial %s has an open run of recipe %s version %d", o.Serial, ran.ID, ran.Version),
			"Run it with that recipe first, so that the open run is settled.")
	case out == ledger.Pass && same:
		a.done = last
	case out == ledger.Pass:
		return refuse("passed-with-other-recipe", fmt.Sprintf("serial %s already passed with recipe %s version %d (%s)", o.Serial, ran.ID, ran.Version, short(ran.Digest)),
			"This unit is done. If it must be provisioned again, ask for rework.")
	}
	return nil
}

// rework is what the run knows of the chip that it is to rework; nil where it reworks none.
func (a *admission) rework() *rework {
	if a.permit == nil || a.retires != "" {
		return nil
	}
	return &rework{permit: *a.permit, past: a.past}
}

// checkValues refuses values that differ from those that the unit was begun with, where these are settled: by a run that is open, one that passed,
// or one that has locked them in.
func (r *run) checkValues(a admission) error {
	const next = "Give the same values as before: `station unit show` tells them."
	switch {
	case a.last == nil || slices.Equal(a.last.Start.Values, r.values()):
		return nil
	case a.open != nil:
		return refuse("values-differ", "the open run of this unit was begun with other values", next)
	case a.done != nil:
		return refuse("values-differ", "this unit passed with other values", next)
	case r.checkUnlocked() != nil:
		return refuse("values-differ", "the last run of this unit has locked other values into its chip", next)
	}
	return nil
}

// checkRaw refuses raw commands where the station does not allow them.
func (r *run) checkRaw() error {
	if r.e.o.AllowRaw {
		return nil
	}
	for _, s := range r.o.Recipe.Steps() {
		if _, is := s.(recipes.Raw); is {
			return refuse("raw-not-allowed", "The recipe has raw commands, and this station does not allow them.",
				"Use a recipe without raw steps, or ask the person who looks after the station about allow_raw in config.yaml.")
		}
	}
	return nil
}

// signs tells whether a recipe has commands that somebody else signs.
func signs(recipe *recipes.Recipe) bool {
	return slices.ContainsFunc(recipe.Steps(), func(s recipes.Step) bool {
		switch s.(type) {
		case recipes.Measure, recipes.Relay:
			return true
		}
		return false
	})
}

// checkSigner refuses a recipe with signed commands where nobody signs, and where each of the parts has a table of commands that no real part has. A part that is
// not there yet may still be another one.
func (r *run) checkSigner(parts ...*flash.Part) error {
	invented := func(p *flash.Part) bool { return p.ACRTM != nil && p.ACRTM.Map == flash.Invented }
	switch {
	case !signs(r.o.Recipe):
	case r.e.o.Signer == nil:
		return refuse("no-key-server", "The recipe has signed commands, and this station has no key server that makes them.",
			"Use a recipe without measure and relay steps, or ask the person who looks after the station about key_server in config.yaml.")
	case !r.e.o.Simulated && !slices.ContainsFunc(parts, func(p *flash.Part) bool { return !invented(p) }):
		return refuse("invented-map", fmt.Sprintf("The signed commands of %s are invented: no real part has them, and only a simulated station sends them.", parts[0].Name),
			"Use a recipe without measure and relay steps, or a part profile with the commands of the real part.")
	}
	return nil
}

// checkSigned refuses a chip without signed commands for a recipe that has some, and one whose commands are invented on a station that is not simulated.
func (r *run) checkSigned() error {
	if !signs(r.o.Recipe) {
		return nil
	}
	if _, err := r.chip.ACRTM(); err != nil {
		return refuse("no-signed-commands", "This chip has no signed commands: "+err.Error(), "The part is not what the recipe is for: put the board aside for incoming inspection.")
	}
	return r.checkSigner(r.chip.Part())
}

// checkCounters refuses a chip without monotonic counters for a recipe that needs them.
func (r *run) checkCounters() error {
	for _, s := range r.o.Recipe.Steps() {
		switch s.(type) {
		case recipes.RootKey, recipes.Counter:
			if _, err := r.chip.RPMC(); err != nil {
				return refuse("no-counters", "This chip has no monotonic counters: "+err.Error(), "The part is not what the recipe is for: put the board aside for incoming inspection.")
			}
			return nil
		}
	}
	return nil
}

// checkUnlocked refuses a chip that carries locks which this station did not set, where the recipe wants to write.
func (r *run) checkUnlocked() error {
	const next = "It is not a fresh board. Put it aside, or ask for rework."
	for _, s := range r.o.Recipe.Steps() {
		if l, is := s.(recipes.Lock); is && l.Bits == recipes.Block && r.before.BlockRange().Size > 0 {
			return refuse("locked-before", fmt.Sprintf("this chip already has block protection over %s, which the recipe would lift", r.before.BlockRange()), next)
		}
		for _, x := range r.wanted(s) {
			if r.before.Touched(x.Addr, x.Size) {
				return refuse("locked-before", fmt.Sprintf("this chip already has locked sectors between 0x%06X and 0x%06X", x.Addr, x.Addr+x.Size-1), next)
			}
		}
	}
	return nil
}

// checkOTP refuses a chip whose OTP area can never hold what the recipe wants.
func (r *run) checkOTP(ctx context.Context) error {
	if r.unit.OTP() == nil {
		return nil
	}
	now, err := r.chip.OTP(ctx)
	if err != nil {
		return err
	}
	if why := foreignOTP(now, r.unit.OTP()); why != "" {
		return refuse("otp-foreign", why, "It is not a fresh board. Put it aside.")
	}
	return nil
}

func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19]
	}
	return digest
}
