package provision

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"station/ledger"
	"station/recipes"
	"station/sim/nor"
	"station/spi"
)

// permit lets a unit be run once more, as a supervisor does, and returns the index of the permission.
func (l *line) permit(serial, chip string) int64 {
	l.t.Helper()
	runs, _ := l.books.Runs(serial, "")
	uid := ""
	for _, r := range runs {
		if r.Start != nil {
			uid = r.Start.Chip.UID
		}
	}
	first, err := l.books.Commit(l.t.Context(), ledger.Change{Bodies: []ledger.Body{ledger.ReworkPermit{Serial: serial, Reason: "test", By: "p", Chip: chip, UID: uid}}})
	if err != nil {
		l.t.Fatal(err)
	}
	return first
}

func (l *line) lastPermit() (index int64) {
	for _, rec := range l.books.records {
		if _, is := rec.Entry.Body.(ledger.ReworkPermit); is {
			index = rec.Index
		}
	}
	return index
}

// reseal is the auditor who seals the password of a unit to the station, for one run.
func (l *line) reseal(v *vault, serial string, permit int64) []byte {
	l.t.Helper()
	of := UnlockOf{Serial: serial, Permit: permit}
	runs, _ := l.books.Runs(serial, "")
	for _, r := range runs {
		for _, rec := range r.Records {
			if b, is := rec.Entry.Body.(ledger.PasswordIntent); is {
				of.UID, of.Escrow = b.UID, b.Escrow.ID
			}
		}
	}
	return sealedFor(of, v.opened[string(l.books.escrow[of.Escrow])])
}

func sealedFor(of UnlockOf, password []byte) []byte {
	return fmt.Appendf(nil, "unlock %s %s %s %d %x", of.Serial, of.UID, of.Escrow, of.Permit, password)
}

func (l *line) unlocked(r *recipes.Recipe, slot, serial string, unlock []byte) Result {
	return l.engine.Run(l.t.Context(), Order{Recipe: r, Serial: serial, Slot: slot, Operator: "op-1", Unlock: unlock})
}

// failed is a unit that FAILed, since its chip was protected as soon as the run had begun.
func failed(t *testing.T, l *line, r *recipes.Recipe, chip *nor.Chip, serial string) {
	t.Helper()
	l.socket.put("1", chip)
	l.books.after = func(c ledger.Change) error {
		if _, is := c.Bodies[0].(ledger.RunStart); is {
			frames(chip, []byte{0x06}, []byte{0x01, 0x7C})
		}
		return nil
	}
	l.want(l.run(r, "1", serial), ledger.Fail, "protected")
	l.books.after = nil
}

// lastRun is the last one that touched a chip.
func (l *line) lastRun() ledger.Run {
	runs := slices.DeleteFunc(l.books.all(), func(r ledger.Run) bool { return r.Start == nil })
	return runs[len(runs)-1]
}

// A unit that failed passes on its own chip by a permission, which lifts what it finds locked, and is good for one run.
func TestReworkOnTheSameChip(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	r, next := recipe(t, 1, full), recipe(t, 2, full)
	failed(t, l, r, chip, "S1")
	l.want(l.run(r, "1", "S1"), ledger.Refused, "failed-before")
	permit := l.permit("S1", ledger.SameChip)
	// What is refused before the start does not use it.
	l.socket.put("1", fresh(t, 2, nor.Options{}))
	l.want(l.run(r, "1", "S1"), ledger.Refused, "serial-known")
	l.socket.put("1", chip)
	l.want(l.engine.Run(t.Context(), Order{Recipe: r, Serial: "S1", Slot: "1", Trial: true}), ledger.Refused, "rework-no-trial")
	l.want(l.unlocked(r, "1", "S1", []byte("x")), ledger.Refused, "unlock-not-needed")
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	run := l.lastRun()
	var erased ledger.LocksErased
	for _, rec := range run.Records {
		if b, is := rec.Entry.Body.(ledger.LocksErased); is {
			erased = b
		}
	}
	if run.Start.Permit != permit || run.Start.Retires != "" || len(erased.Nonvolatile) != 0 || len(erased.BlockProtect) != 1 {
		t.Errorf("start %+v, erased %+v", run.Start, erased)
	}
	// It passed, and is done again for another recipe only by another permission.
	if res := l.want(l.run(r, "1", "S1"), ledger.Pass, ""); !res.Already {
		t.Error("a unit that passed was run again")
	}
	l.want(l.run(next, "1", "S1"), ledger.Refused, "passed-with-other-recipe")
	l.permit("S1", ledger.SameChip)
	l.want(l.run(next, "1", "S1"), ledger.Refused, "frozen-before") // it has not lost its power since
	chip.Power(false)
	chip.Power(true)
	l.want(l.run(next, "1", "S1"), ledger.Pass, "")
	if run := l.lastRun(); count[ledger.LocksErased](run) != 1 || len(run.Start.Before.Nonvolatile) == 0 || chip.Counters()[nor.CountUnlockAll] != 1 {
		t.Errorf("locks erased %d times, on the chip %d times", count[ledger.LocksErased](run), chip.Counters()[nor.CountUnlockAll])
	}
}

// A unit whose run a person closed gets another chip; the one it had is retired for every serial, from the start of that run on.
func TestReworkOnANewChip(t *testing.T) {
	l := newLine(t, Options{})
	old, fresh1, fresh2 := fresh(t, 1, nor.Options{}), fresh(t, 2, nor.Options{}), fresh(t, 3, nor.Options{})
	r := recipe(t, 1, full)
	l.socket.put("1", old)
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	l.socket.put("1", fresh2)
	l.want(l.run(r, "1", "S2"), ledger.Pass, "")
	permit := l.permit("S1", ledger.NewChip)
	l.socket.put("1", old)
	l.want(l.run(r, "1", "S1"), ledger.Refused, "old-chip")
	l.socket.put("1", fresh2)
	l.want(l.run(r, "1", "S1"), ledger.Refused, "chip-known")
	used := fresh(t, 4, nor.Options{})
	frames(used, []byte{0x06}, []byte{0xE3, 0, 1, 0, 0}) // a new chip is to be as fresh as any first one
	l.socket.put("1", used)
	l.want(l.run(r, "1", "S1"), ledger.Refused, "locked-before")
	l.socket.put("1", fresh1)
	l.want(l.unlocked(r, "1", "S1", []byte("x")), ledger.Refused, "unlock-not-needed")
	// It breaks off: the run stays open, on the new chip.
	l.books.before = func(c ledger.Change) error {
		if _, is := c.Bodies[0].(ledger.RunStep); is {
			return errDead
		}
		return nil
	}
	l.want(l.run(r, "1", "S1"), ledger.Error, "ledger")
	l.books.before = nil
	for _, serial := range []string{"S1", "S3"} {
		l.socket.put("1", old)
		l.want(l.run(r, "1", serial), ledger.Refused, "chip-retired")
	}
	l.socket.put("1", fresh1)
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	runs, _ := l.books.Runs("S1", "")
	last := runs[slices.IndexFunc(runs, func(r ledger.Run) bool { return r.Start != nil && r.Start.Permit == permit })]
	if last.Start.Retires == "" || last.Start.Retires == last.Start.Chip.UID || last.Outcome() != ledger.Pass || count[ledger.RunResume](last) != 1 {
		t.Errorf("%+v", last.Start)
	}
}

// What breaks off in a rework stays open and goes on under the same permission.
func TestReworkStaysOpen(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	r := recipe(t, 1, full)
	failed(t, l, r, chip, "S1")
	l.permit("S1", ledger.SameChip)
	l.socket.before = func(_ string, f spi.Frame) error {
		if f.Out[0] == 0xE3 {
			return errUnplugged
		}
		return nil
	}
	l.want(l.run(r, "1", "S1"), ledger.Error, "fixture")
	l.socket.before = nil
	if run := l.lastRun(); !run.Open() {
		t.Error("the run was settled, and with it the permission was gone")
	}
	l.want(l.run(recipe(t, 2, full), "1", "S1"), ledger.Refused, "open-run")
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if run := l.lastRun(); count[ledger.RunResume](run) != 1 || count[ledger.LocksErased](run) != 1 {
		t.Errorf("resumed %d times, locks erased %d times", count[ledger.RunResume](run), count[ledger.LocksErased](run))
	}
}

// After a restoration a permission that was given before is in doubt, and one that is given then is not; an open run goes on under its own.
func TestPermissionBeforeAnEpoch(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	r := recipe(t, 1, full)
	failed(t, l, r, chip, "S1")
	permit := l.permit("S1", ledger.SameChip)
	l.engine.o.Lost = permit + 1
	l.want(l.run(r, "1", "S1"), ledger.Refused, "permission-in-doubt")
	if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{ledger.ReworkWithdrawn{Serial: "S1", Permit: permit, Reason: "r", By: "p"}}}); err != nil {
		t.Fatal(err)
	}
	l.want(l.run(r, "1", "S1"), ledger.Refused, "failed-before")
	permit = l.permit("S1", ledger.SameChip)
	l.socket.before = func(_ string, f spi.Frame) error {
		if f.Out[0] == 0xE3 {
			return errUnplugged
		}
		return nil
	}
	l.want(l.run(r, "1", "S1"), ledger.Error, "fixture")
	l.revive()
	l.engine.o.Lost = permit + 1
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
}

// What is there for ever and is what the recipe wants is left as it is, and nothing is undone where nothing is locked.
func TestReworkFindsItDone(t *testing.T) {
	const write = "  - write: {region: boot, image: boot}\n"
	for name, c := range map[string]struct {
		steps  string
		erased int
		result ledger.Result // of the last step
	}{
		"nothing for ever":  {write, 0, ledger.Already},
		"persistent mode":   {write + "  - lock: {regions: [boot], bits: nonvolatile}\n  - persistent_protection\npermanent: [persistent_protection]\n", 1, ledger.Already},
		"otp":               {otpSteps, 0, ledger.Already},
		"root key, counter": {write + "  - root_key: {index: 0, key: {derive: line/root}, escrow: [audit]}\n  - counter: {index: 0, to: 2}\npermanent: [root_key, counter]\n", 0, ledger.Already},
		"random root key":   {write + "  - root_key: {index: 0, key: {random: per-unit}, escrow: [audit]}\npermanent: [root_key]\n", 0, ledger.Already},
	} {
		bubble(t, name, func(t *testing.T) {
			l := newSecretLine(t, newVault())
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			r := secretRecipe(t, c.steps)
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			before := permanentOf(chip)
			l.permit("S1", ledger.SameChip)
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			run := l.lastRun()
			if run.Start.Permit == 0 || count[ledger.LocksErased](run) != c.erased || run.Steps[len(run.Steps)-1].Result != c.result {
				t.Errorf("locks erased %d times, last step %+v", count[ledger.LocksErased](run), run.Steps[len(run.Steps)-1])
			}
			for _, s := range run.Steps {
				want := "nonce signed by the chip"
				if strings.Contains(c.steps, "random:") {
					want += ", in an earlier run"
				}
				// A derived key is asked anew, for the counter as it is now.
				if s.Step == "root_key" && (s.Proof != want || !strings.Contains(c.steps, "random:") && s.Facts[1].Value != "0, value 2") {
					t.Errorf("%+v", s)
				}
			}
			if after := permanentOf(chip); !maps.Equal(before, after) || len(l.books.escrow) > 1 {
				t.Errorf("%v, before %v; %d escrows", after, before, len(l.books.escrow))
			}
		})
	}
}

// What shows only once the run has begun stops it before anything of the recipe is done: a password that is not the chip's, and a counter that is beyond.
func TestReworkStopsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault()
		l := newSecretLine(t, v)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := secretRecipe(t, secretSteps)
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		permit := l.permit("S1", ledger.SameChip)
		var of UnlockOf
		unlock := l.reseal(v, "S1", permit)
		if err := v.OpenUnlock(unlock, func(got UnlockOf, _ []byte) error { of = got; return nil }); err != nil {
			t.Fatal(err)
		}
		for _, password := range [][]byte{[]byte("\x01\x02\x03\x04\x05\x06\x07\x08"), []byte("short")} {
			l.want(l.unlocked(r, "1", "S1", sealedFor(of, password)), ledger.Interrupted, "password-refused")
		}
		before := chip.Counters()
		if before[nor.CountUnlockAll] != 0 || count[ledger.PasswordOpened](l.lastRun()) != 0 {
			t.Errorf("%v", before)
		}
		// Another look with the right one goes on.
		l.want(l.unlocked(r, "1", "S1", unlock), ledger.Pass, "")

		l.permit("S1", ledger.SameChip)
		lower := secretRecipe(t, strings.Replace(secretSteps, "to: 2", "to: 1", 1))
		l.want(l.unlocked(lower, "1", "S1", l.reseal(v, "S1", l.lastPermit())), ledger.Interrupted, "counter-beyond")
		if n := len(l.lastRun().Steps); n != 0 {
			t.Errorf("%d steps", n)
		}
	})
}

// A permission that came while a run was open is for the run after it.
func TestPermissionBesideAnOpenRun(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	r := recipe(t, 1, "  - write: {region: boot, image: boot}\n")
	dead := false
	l.books.before = func(c ledger.Change) error {
		_, is := c.Bodies[0].(ledger.RunStep)
		if dead = dead || is; dead {
			return errDead
		}
		return nil
	}
	l.want(l.run(r, "1", "S1"), ledger.Error, "ledger")
	l.revive()
	permit := l.permit("S1", ledger.SameChip)
	for _, want := range []int64{0, permit} {
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		if run := l.lastRun(); run.Start.Permit != want {
			t.Errorf("permission %d, want %d", run.Start.Permit, want)
		}
	}
	if n := len(slices.DeleteFunc(l.books.all(), func(r ledger.Run) bool { return r.Start == nil })); n != 2 {
		t.Errorf("%d runs", n)
	}
}

// permanentOf are the one-way effects on a chip.
func permanentOf(chip *nor.Chip) map[string]uint64 {
	out := map[string]uint64{}
	for _, what := range []string{nor.CountPassword, nor.CountSectorProtection, nor.CountRootKey, nor.CountIncrement, nor.CountOTP} {
		out[what] = chip.Counters()[what]
	}
	return out
}

// A unit behind its password is opened with what the auditor sealed for this run, and gets another image, its locks and its freeze again; nothing that is for ever
// is sent once more. The station dies at every point of that.
func TestReworkBehindAPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretRecipe(t, secretSteps)
		for at := 0; ; at++ {
			for _, repower := range []bool{false, true} {
				v := newVault()
				l := newSecretLine(t, v)
				chip := authenta(t, 1)
				l.socket.put("1", chip)
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				before, locked := permanentOf(chip), chip.Counters()[nor.CountLock]
				permit := l.permit("S1", ledger.SameChip)
				l.want(l.run(r, "1", "S1"), ledger.Refused, "password-needed")
				unlock := l.reseal(v, "S1", permit)
				death := &reaper{at: at, label: "no death"}
				if at > 0 {
					death.watch(l)
					l.unlocked(r, "1", "S1", unlock)
					l.revive()
				}
				label := death.label
				if at > 0 && !death.dead {
					if at < 20 {
						t.Fatalf("only %d points", at)
					}
					return
				}
				if repower {
					chip.Power(false)
					chip.Power(true)
				}
				if res := l.unlocked(r, "1", "S1", unlock); res.Outcome != ledger.Pass {
					t.Fatalf("point %d, %s, power lost %t: %s %s: %s (%v)", at, label, repower, res.Outcome, res.Cause, res.Message, res.Err)
				}
				if after := permanentOf(chip); !maps.Equal(before, after) {
					t.Fatalf("point %d, %s: one-way effects %v, before the rework %v", at, label, after, before)
				}
				run := l.lastRun()
				if got := chip.Counters(); got[nor.CountUnlockAll] < 1 || got[nor.CountLock] < locked+2 || !chip.Frozen() || run.Start.Permit != permit || count[ledger.PasswordOpened](run) < 1 || count[ledger.LocksErased](run) != 1 {
					t.Fatalf("point %d, %s: %v, frozen %t, opened %d times, erased %d times", at, label, got, chip.Frozen(), count[ledger.PasswordOpened](run), count[ledger.LocksErased](run))
				}
				if run.Steps[len(run.Steps)-2].Proof != gradeExercised || run.Steps[len(run.Steps)-2].Result != ledger.Already {
					t.Fatalf("point %d: the password step: %+v", at, run.Steps[len(run.Steps)-2])
				}
				// The file is for that run only.
				l.permit("S1", ledger.SameChip)
				l.want(l.unlocked(r, "1", "S1", unlock), ledger.Refused, "unlock-file")
			}
		}
	})
}
