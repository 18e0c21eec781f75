package provision

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"station/ledger"
	"station/sim/nor"
)

// permanentCounters are those of the simulated chip whose effect nobody can undo.
var permanentCounters = []string{nor.CountPassword, nor.CountSectorProtection, nor.CountRootKey, nor.CountIncrement}

// The mirror is lost at every permanent change of a run, before the ledger has the change and after: the chip is sent nothing permanent from then
// on, the unit waits, and with the mirror back the same order ends in PASS with everything done once.
func TestMirrorLost(t *testing.T) {
	r := secretRecipe(t, secretSteps)
	for _, kept := range []bool{false, true} {
		bubble(t, fmt.Sprintf("in the ledger all the same=%t", kept), func(t *testing.T) {
			at := 1
			for ; ; at++ {
				v := newVault()
				l := newSecretLine(t, v)
				chip := authenta(t, 1)
				l.socket.put("1", chip)
				n := 0
				var before map[string]uint64
				lose := func(c ledger.Change) error {
					if !slices.ContainsFunc(c.Bodies, ledger.Permanent) {
						return nil
					}
					if n++; n < at {
						return nil
					}
					if before == nil {
						before = chip.Counters()
					}
					return fmt.Errorf("%w: /mnt: no such device", ledger.ErrMirror)
				}
				if kept {
					l.books.after = lose
				} else {
					l.books.before = lose
				}
				first := l.run(r, "1", "S1")
				if n < at {
					l.want(first, ledger.Pass, "")
					break
				}
				l.want(first, ledger.Error, "mirror")
				if n != at {
					t.Errorf("loss %d: %d permanent changes were tried", at, n)
				}
				for _, what := range permanentCounters {
					if before[what] != chip.Counters()[what] {
						t.Errorf("loss %d: %s took effect without the mirror", at, what)
					}
				}
				// What was intended keeps the run open, with all that is needed to go on.
				if run := l.books.all()[0]; run.Open() != (kept || at > 1) {
					t.Errorf("loss %d: the run is open=%t, %s", at, run.Open(), run.Outcome())
				}
				l.revive()
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				reconcile(t, l, v, chip)
				if t.Failed() {
					t.Fatalf("at loss %d", at)
				}
			}
			if at != 7 {
				t.Errorf("%d permanent changes, want 6: two root keys, two increments, a password and its mode", at-1)
			}
		})
	}
}

// Entries that nothing permanent hangs on do not ask for the mirror, and tell where it was.
func TestMirrorIsRecorded(t *testing.T) {
	for word, o := range map[string]Options{
		ledger.MirrorNone: {},
		ledger.MirrorAway: {Mirror: func() string { return ledger.MirrorAway }},
	} {
		l := newLine(t, o)
		l.socket.put("1", fresh(t, 1, nor.Options{}))
		l.books.before = func(c ledger.Change) error {
			if slices.ContainsFunc(c.Bodies, ledger.Permanent) {
				return ledger.ErrMirror
			}
			return nil
		}
		l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Pass, "")
		if got := l.books.all()[0].Start.Mirror; got != word {
			t.Errorf("run.start says %q, want %q", got, word)
		}
	}
	bubble(t, "a resumed run", func(t *testing.T) {
		l, _ := die(t, secretRecipe(t, secretSteps), "before the commit of mode.intent")
		l.engine.o.Mirror = func() string { return ledger.MirrorSecondDisk }
		l.run(secretRecipe(t, secretSteps), "1", "S1")
		seen := map[string]string{}
		for _, rec := range l.books.records {
			switch b := rec.Entry.Body.(type) {
			case ledger.RunStart:
				seen["start"] = b.Mirror
			case ledger.RunResume:
				seen["resume"] = b.Mirror
			}
		}
		if want := map[string]string{"start": ledger.MirrorNone, "resume": ledger.MirrorSecondDisk}; !maps.Equal(seen, want) {
			t.Errorf("%v, want %v", seen, want)
		}
	})
}
