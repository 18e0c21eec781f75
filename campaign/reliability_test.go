package campaign

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/provision"
)

var updateFlag = flag.Bool("update", false, "write the table of docs/reliability.md")

const page = "../docs/reliability.md"

// reading is what became of one unit in a slot to which one fault happened while it got its password.
type reading struct {
	fault  string
	first  provision.Result
	dead   bool
	open   bool // the next start names the unit as open
	scans  int  // more, until it was settled
	last   provision.Result
	gone   bool // the programmer
	broken bool // the station had to be started again
}

// scan is one order for the only board, whose slot is healed and seated anew before, but for the first.
func (w *world) scan(plan ...*fault) provision.Result {
	s, b := w.slots[0], w.boards[0]
	w.upset, s.hit, s.plan, s.serial = false, false, plan, b.serial
	w.plug()
	if s.board == nil || len(plan) == 0 {
		b.heal()
		time.Sleep(time.Second) // hands
		w.takeOut(s)
		w.putIn(s, b)
		time.Sleep(time.Millisecond) // the chip comes up
	}
	o := provision.Order{Recipe: w.recipe, Serial: b.serial, Values: w.scanned(b), Slot: s.name, Operator: "op-1"}
	res := w.run(map[*slot]provision.Order{s: o})[s]
	w.swaps = nil
	w.pull(false)
	return res
}

// suffer carries out an order to whose slot one fault happens, and then does what it takes to settle the unit.
func suffer(t *testing.T, of *work, seed uint64, f *fault, born string, scenes *scenes) (r reading) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		w := newPacedWorld(t, dir, seed, of)
		w.heard28 = func() { scenes.password = w.slots[0].moments }
		w.heardCommit = func(kind string) {
			if kind == ledger.KindPasswordIntent {
				scenes.intent = w.slots[0].moments + 1
			}
		}
		w.start()
		defer func() {
			w.stop()
			w.sim.Close()
			if len(w.bad) > 0 {
				t.Errorf("%s: %s", f.name(), strings.Join(w.bad, "; "))
			}
		}()
		if born != "" {
			w.boards[0].born = born
		}
		if f == nil {
			r.first = w.scan()
			return
		}
		f.board = w.boards[1]
		r.fault = f.name()
		w.putIn(w.slots[0], w.boards[0])
		r.first = w.scan(f)
		r.first.Message = strings.ReplaceAll(r.first.Message, dir, "DIR")
		r.dead, r.last = w.dead.Load(), r.first
		for r.last.Outcome != ledger.Pass && r.last.Outcome != ledger.Fail && r.last.Outcome != ledger.Interrupted && r.scans < 5 {
			if w.upset {
				r.broken = true
				w.stop()
				w.start()
				open, err := w.db.OpenRuns()
				if err != nil {
					t.Fatal(err)
				}
				r.open = slices.ContainsFunc(open, func(run ledger.Run) bool { return run.Serial == w.boards[0].serial })
			}
			there, _ := w.sim.List(ctx)
			r.gone = r.gone || len(there) < 3
			r.last = w.scan()
			r.scans++
		}
	})
	return r
}

// scenes are the moments of a run without a fault at which the faults of the table happen.
type scenes struct{ intent, password int }

// row is a line of the table.
func (r reading) row() string {
	cell := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", "/"), "\n", " ") }
	reads, outcome := r.first.Message+" "+r.first.Next, strings.TrimSpace(string(r.first.Outcome)+" "+r.first.Cause)
	if r.dead {
		reads, outcome = "nothing: the station is gone. Its next start names the unit as open", "INTERRUPTED"
	}
	var steps []string
	switch {
	case r.dead:
		steps = append(steps, "start the station")
	case r.broken:
		steps = append(steps, "start the station again")
	}
	if r.gone {
		steps = append(steps, "plug the programmer in")
	}
	if r.scans > 0 {
		steps = append(steps, "put the board back, scan it again")
	}
	if r.scans > 1 {
		steps = append(steps, fmt.Sprintf("%d times in all", r.scans))
	}
	end := strings.TrimSpace(string(r.last.Outcome) + " " + r.last.Cause)
	switch r.last.Outcome {
	case ledger.Interrupted:
		steps = append(steps, "then a person decides: `unit close`")
	case ledger.Fail:
		steps = append(steps, "then disposition")
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %.1f s |\n", r.fault, cell(reads), outcome, cell(strings.Join(steps, ", ")), end, r.last.Duration.Seconds())
}

// TestReliabilityTable makes the table of docs/reliability.md: one unit, one fault while it gets its password, and what the engine says of it.
func TestReliabilityTable(t *testing.T) {
	of := smallWork(t)
	var at scenes
	if r := suffer(t, of, 1, nil, "", &at); r.first.Outcome != ledger.Pass || at.intent == 0 || at.password == 0 {
		t.Fatalf("without a fault: %+v at %+v", r.first, at)
	}
	var text strings.Builder
	text.WriteString("| fault | the operator reads | outcome | what settles the unit | it ends as | the last scan takes |\n|---|---|---|---|---|---|\n")
	seen := map[string]bool{}
	for _, k := range kinds {
		parts := []float64{0}
		if k.breaks != nil {
			parts = []float64{0, 0.5, 1}
		}
		for _, part := range parts {
			// What is torn is drawn: of some seeds each reading has its line.
			for seed := range uint64(6) {
				f := &fault{kind: k, after: at.password, part: part, odds: 50}
				if !k.fits(transfers) {
					f.after = at.intent
				}
				var drop scenes
				r := suffer(t, of, 4+4*seed, f, "", &drop)
				key := fmt.Sprint(r.fault, r.first.Outcome, r.first.Cause, r.last.Outcome, r.last.Cause)
				if (r.first.Outcome != ledger.Pass || k.harmless()) && !seen[key] {
					seen[key] = true
					text.WriteString(r.row())
				}
				if k.chip == nil {
					break
				}
			}
		}
	}
	for _, k := range kinds {
		if !strings.Contains(text.String(), "| "+k.name) {
			t.Errorf("the table has no line of %q", k.name)
		}
	}
	section(t, "faults", text.String())
}

// section holds a part of the page, between its marks, against what it should be.
func section(t *testing.T, name, text string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	now, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(now), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no part between %q and %q", page, begin, end)
	}
	want := head + begin + text + end + tail
	switch {
	case want == string(now):
	case *updateFlag:
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s, %s: not what the tests say. go test ./campaign -run %s -update, and look at the difference", page, name, t.Name())
	}
}
