package kiosk

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"station/ledger"
	"station/provision"
)

// unit drives one run of a slot through a wall.
type unit struct {
	t      *testing.T
	w      *Wall
	serial string
	of     int
}

func (u *unit) event(kind provision.EventKind, step int, ev provision.Event) {
	ev.Kind, ev.Slot, ev.Serial, ev.Step, ev.Of = kind, "1", u.serial, step, u.of
	u.w.Event(ev)
}

func (u *unit) move(move string, step int, done, total int64) {
	u.event(provision.Progress, step, provision.Event{Move: move, Done: done, Total: total})
}

func (u *unit) end(outcome ledger.Outcome) {
	u.event(provision.Ended, 0, provision.Event{Result: &provision.Result{Run: u.serial, Outcome: outcome}})
	u.w.Result("1", "", nil, false)
}

// want holds what the wall shows of the run: seconds that remain (-1 for unknown), percent of the run, percent of the move.
func (u *unit) want(what string, remaining, overall, percent int) {
	u.t.Helper()
	r := u.w.mustTile("1").Run
	left := int(r.Remaining)
	if left >= 0 {
		left = int((r.Remaining + 500) / 1000)
	}
	if left != remaining || r.Overall != overall || r.Percent != percent {
		u.t.Errorf("%s: %d s remain, %d %% of the run, %d %% of the move; want %d, %d, %d", what, left, r.Overall, r.Percent, remaining, overall, percent)
	}
}

// TestRemaining is a job of two steps, of 60 s and 20 s by its recipe, that take 120 s and 20 s.
func TestRemaining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, _ := slotsOf(1)
		w := NewWall(WallOptions{Rows: rows})
		job := Job{Begun: time.Now(), Steps: []JobStep{{"write", false, time.Minute}, {"lock", false, 20 * time.Second}}}
		w.Job(&job)
		u := &unit{t, w, "S-1", 2}
		u.event(provision.Identified, 0, provision.Event{})
		u.want("before the first step", 80, 0, -1)
		u.event(provision.StepBegan, 1, provision.Event{})
		time.Sleep(30 * time.Second)
		u.want("no measure, half of the time that it should take", 50, 37, -1)
		u.move("writing", 1, 0, 1000)
		time.Sleep(10 * time.Second)
		u.move("writing", 1, 200, 1000)
		u.want("10 s for a fifth: 40 s are left, more than the 20 that were expected", 60, 37, 20)
		time.Sleep(40 * time.Second)
		u.move("writing", 1, 1000, 1000)
		u.want("longer than expected, and the move is done", 20, 75, 100)
		u.move("verifying", 1, 0, 1000)
		u.want("the next move begins", 20, 75, 0)
		time.Sleep(20 * time.Second)
		u.move("verifying", 1, 500, 1000)
		u.want("half of it", 40, 75, 50)
		time.Sleep(20 * time.Second)
		u.event(provision.StepEnded, 1, provision.Event{})
		u.want("the step is done", 20, 75, 50)
		u.event(provision.StepBegan, 2, provision.Event{})
		time.Sleep(10 * time.Second)
		u.want("half of the second", 10, 87, -1)
		time.Sleep(10 * time.Second)
		u.want("all of its time", 0, 99, -1)
		time.Sleep(time.Minute)
		u.want("much more", 0, 99, -1)
		if r := w.mustTile("1").Run; r.Elapsed != 200_000 {
			t.Errorf("%d ms passed", r.Elapsed)
		}
		u.event(provision.StepEnded, 2, provision.Event{})
		u.end(ledger.Pass)

		job.Passed++ // the job is the same, so what it taught stays
		w.Job(&job)
		u.serial = "S-2"
		u.event(provision.StepBegan, 1, provision.Event{})
		u.want("as the first one took", 120+80, 0, -1)
		time.Sleep(60 * time.Second)
		u.event(provision.StepEnded, 1, provision.Event{})
		u.want("and it was faster", 80, 60, -1)
		u.event(provision.StepBegan, 2, provision.Event{})
		time.Sleep(20 * time.Second)
		u.event(provision.StepEnded, 2, provision.Event{})
		u.end(ledger.Pass)

		for _, kind := range []provision.EventKind{provision.Started, provision.Resumed, provision.Undone} { // nothing is learned from what is no whole run, nor from a FAIL
			u.serial = "S-" + string(kind)
			u.event(kind, 0, provision.Event{})
			u.want("a quarter of the difference, and again after "+string(kind), 105+65, 0, -1)
			for step := 1; step <= 2; step++ {
				u.event(provision.StepBegan, step, provision.Event{})
				time.Sleep(time.Second)
				u.event(provision.StepEnded, step, provision.Event{})
			}
			u.want("all is done", 0, 99, -1)
			outcome := ledger.Pass
			if kind == provision.Started {
				outcome = ledger.Fail
			}
			u.end(outcome)
		}

		job = Job{Begun: time.Now(), Steps: []JobStep{{"write", false, time.Minute}, {"measure", false, 0}}}
		w.Job(&job)
		u.serial = "S-3"
		u.event(provision.StepBegan, 1, provision.Event{})
		u.want("another job, and nobody knows how long its second step takes", 60, 0, -1)
		u.event(provision.StepEnded, 1, provision.Event{})
		u.want("one of two", 0, 50, -1)
		u.event(provision.StepBegan, 2, provision.Event{})
		time.Sleep(time.Minute)
		u.want("in the step that nobody knows", -1, 50, -1)
		u.event(provision.StepEnded, 2, provision.Event{})
		u.want("two of two", 0, 99, -1)
		u.end(ledger.Pass)
		w.Job(nil)
		u.serial = "S-4"
		u.event(provision.StepBegan, 1, provision.Event{})
		u.want("no job", -1, 0, -1)
	})
}

// TestMeasures: whatever the engine tells, percentages are percentages, that of the run never falls, and it is 100 at no time.
func TestMeasures(t *testing.T) {
	kinds := []provision.EventKind{provision.Identified, provision.Started, provision.Resumed, provision.Undone, provision.StepBegan, provision.Planned, provision.Progress, provision.Progress, provision.Progress, provision.StepEnded, provision.Reseat, provision.Warned}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		var times []time.Duration
		for range rapid.IntRange(0, 3).Draw(t, "steps") {
			times = append(times, time.Duration(rapid.Int64Range(0, 100).Draw(t, "expected"))*time.Second)
		}
		r, overall := newRunning(now), 0
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(-10, 1000).Draw(t, "ms")) * time.Millisecond) // clocks are set
			r.event(provision.Event{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Step: rapid.IntRange(0, 4).Draw(t, "step"), Of: rapid.IntRange(0, 4).Draw(t, "of"),
				Move: rapid.SampledFrom([]string{"", "reading", "writing"}).Draw(t, "move"), Done: rapid.Int64Range(-5, 1<<40).Draw(t, "done"), Total: rapid.Int64Range(-5, 1<<40).Draw(t, "total")}, now)
			got := r.at(now, times)
			if got.Percent < -1 || got.Percent > 100 || got.Overall < overall || got.Overall > 99 || got.Remaining < -1 || got.Elapsed < 0 {
				t.Fatalf("%+v after %d %%", got, overall)
			}
			overall = got.Overall
		}
	})
}

// TestYield is passed among those that passed or failed.
func TestYield(t *testing.T) {
	for _, c := range []struct {
		job  Job
		want int
	}{{Job{}, -1}, {Job{Other: 3}, -1}, {Job{Passed: 3}, 100}, {Job{Failed: 3}, 0}, {Job{Passed: 199, Failed: 1, Other: 5}, 99}} {
		if got := c.job.Yield(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.job, got, c.want)
		}
	}
}
