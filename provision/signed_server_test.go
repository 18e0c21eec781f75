package provision

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"station/ledger"
	"station/sim/nor"
)

// A step with a one-way command is done when one of them took effect, whatever else was done and whatever the key server says.
func TestOneWayCommandNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOracle()
		all := o.steps[4]
		o.steps[4] = []signedOp{{name: "erase", at: 0x90000}}
		l := newSignedLine(t, o)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := signedRecipe(t, strings.Replace(signedRecipeSteps, "[protect]", "[erase, protect]", 1))
		if res := l.want(l.run(r, "1", "S1"), ledger.Error, "key-server"); !strings.Contains(res.Message, "nothing that is never undone took effect") {
			t.Error(res.Message)
		}
		if n := chip.Counters(); n[nor.CountSignedErase] != 2 || n[nor.CountProtect] != 0 {
			t.Errorf("it did %v", n)
		}
		o.steps[4] = all
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
	})
}

// An account that calls such a step done, and has no one-way command that took effect, is not believed.
func TestDoneWithoutItsOneWayCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, chip := dieSigned(t, "before 9B F2 00 protect")
		run := l.lastRun()
		if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{
			ledger.RelayAnswer{Run: run.ID, Serial: "S1", UID: chipUID, N: 4, Turn: 1, Answers: []ledger.RelayResult{}},
			ledger.RunStep{Run: run.ID, Serial: "S1", N: 4, Of: 4, Step: "relay", Permanent: true, Result: ledger.Done, Facts: []ledger.Fact{}},
		}}); err != nil {
			t.Fatal(err)
		}
		l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
	})
}

// A key server that destroys, in its own step, what was proven before it: it is read again behind the last signed command, and the wrong byte is named. What is right is told.
func TestKeyServerDestroysWhatWasProven(t *testing.T) {
	for _, c := range []struct {
		name, verify string
		step         int
		at           uint32
		wrong        string // "" where nothing is
	}{
		{"nothing", "", 3, 0x90000, ""},
		{"a region that was read back", "", 3, 0x10000, "0x010000"},
		{"a region that was measured", ", verify: measurement", 3, 0x11000, "0x011000"},
		{"a region that an earlier relay filled", "", 4, settingsAt, "0x040000"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := newOracle()
			o.steps[c.step] = append(o.steps[c.step], signedOp{name: "erase", at: c.at})
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			steps := strings.NewReplacer(", verify: measurement", c.verify, "[protect]", "[erase, protect]").Replace(signedRecipeSteps)
			res := l.run(signedRecipe(t, steps), "1", "S1")
			if c.wrong != "" {
				if l.want(res, ledger.Fail, "verify-mismatch"); !strings.Contains(res.Message, c.wrong+":") {
					t.Error(res.Message)
				}
				return
			}
			l.want(res, ledger.Pass, "")
			reconcileSigned(t, l, chip)
			for _, s := range l.lastRun().Steps {
				told := slices.ContainsFunc(s.Facts, func(f ledger.Fact) bool {
					return strings.HasPrefix(f.Name, "what earlier steps left") && f.Value == "132 KiB, as it was"
				})
				if told != (s.N == 4) {
					t.Errorf("step %d says that all was read again: %t", s.N, told)
				}
			}
		})
	}
}
