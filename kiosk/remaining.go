package kiosk

import (
	"time"

	"station/provision"
)

// Running is how far a run has come.
type Running struct {
	Phase     string    `json:"phase"` // an EventKind, or a move: "identified", "reading", "writing", "verifying", "reseat"; "" before anything was told
	Step      int       `json:"step"`  // 1 is the first; 0 before it
	Of        int       `json:"of"`
	StepKind  string    `json:"step_kind"` // of the step, as its recipe names it: "write"
	Title     string    `json:"title"`     // of the step
	Permanent bool      `json:"permanent"` // the present step cannot be undone
	Percent   int       `json:"percent"`   // of the present move of the step, -1 where it has no measure
	Overall   int       `json:"overall"`   // of the run, by the time that its steps take; never less than before, and 100 never before its end
	Started   time.Time `json:"started"`
	Elapsed   int64     `json:"elapsed_ms"`
	Remaining int64     `json:"remaining_ms"` // of the steps whose time is known; -1 where that of the present one is not
}

// running is a run under way, and what its measures come from.
type running struct {
	Running
	stepAt, moveAt    time.Time // when the present step and its move began
	first, done, size int64     // of the move, in bytes: when it was told first, and now, of how many
	ended             bool      // the step did
	took              []time.Duration
	again             bool // it goes on with what an earlier one began, and takes less
}

func newRunning(now time.Time) *running {
	return &running{Running: Running{Started: now, Percent: -1}, stepAt: now}
}

// event takes what the engine tells of the run.
func (r *running) event(ev provision.Event, now time.Time) {
	if ev.Kind != provision.Warned && ev.Kind != provision.Progress {
		r.Phase = string(ev.Kind)
	}
	switch ev.Kind {
	case provision.Resumed, provision.Undone:
		r.again = true
	case provision.StepBegan:
		r.Step, r.Of, r.StepKind, r.Title, r.Permanent, r.Percent = ev.Step, ev.Of, ev.StepKind, ev.Title, ev.Permanent, -1
		r.stepAt, r.ended, r.size = now, false, 0
	case provision.StepEnded:
		r.ended = true
		r.took = append(r.took, now.Sub(r.stepAt))
	case provision.Reseat:
		r.Percent, r.size = -1, 0
	case provision.Progress:
		if r.Step == 0 && ev.Step > 0 { // whoever began to listen late
			r.Step, r.Of, r.StepKind, r.Title = ev.Step, ev.Of, ev.StepKind, ev.Title
		}
		r.progress(ev, now)
	}
}

func (r *running) progress(ev provision.Event, now time.Time) {
	total := max(ev.Total, 0)
	done := min(max(ev.Done, 0), total)
	if total != r.size || done < r.done { // another move: each begins at 0
		r.moveAt, r.first = now, done
	}
	r.Phase, r.done, r.size = ev.Move, done, total
	r.Percent = -1
	if total > 0 {
		r.Percent = int(float64(done) * 100 / float64(total))
	}
}

// at measures the run at a time. times are how long its steps take, 0 where nobody knows: such a step counts as much of the run as the others do in the mean.
func (r *running) at(now time.Time, times []time.Duration) Running {
	out := r.Running
	out.Elapsed = max(now.Sub(r.Started).Milliseconds(), 0)
	out.Remaining = -1
	var overall float64
	if r.Of > 0 {
		overall = float64(r.Step-1) / float64(r.Of)
		if r.ended {
			overall = float64(r.Step) / float64(r.Of)
		}
	}
	if n, mean := known(times); n > 0 && (r.Of == 0 || r.Of == len(times)) && r.Step <= len(times) {
		var before, present, after, left, rest time.Duration // of the run's steps; left of the present one, rest of those after it, where that is known
		for i, t := range times {
			weighs := t
			if t == 0 {
				weighs = mean
			}
			switch {
			case i+1 < r.Step:
				before += weighs
			case i+1 == r.Step:
				present, left = weighs, r.left(now, t)
			default:
				after, rest = after+weighs, rest+t
			}
		}
		here := r.Step == 0 || r.ended || times[r.Step-1] > 0
		if here {
			out.Remaining = (left + rest).Milliseconds()
		}
		part := 0.0
		if in := max(now.Sub(r.stepAt), 0); r.ended {
			part = 1
		} else if here && in+left > 0 {
			part = float64(in) / float64(in+left)
		}
		overall = (float64(before) + part*float64(present)) / float64(before+present+after)
	}
	r.Overall = max(r.Overall, min(int(overall*100), 99))
	out.Overall = r.Overall
	return out
}

// known is how many of these times are, and their mean.
func known(times []time.Duration) (n int, mean time.Duration) {
	for _, t := range times {
		if t > 0 {
			n++
			mean += t
		}
	}
	return n, mean / time.Duration(max(n, 1))
}

// left is what remains of the present step, which takes t in all: at least what its move still needs at the speed that it has.
func (r *running) left(now time.Time, t time.Duration) time.Duration {
	if r.ended {
		return 0
	}
	left := max(t-max(now.Sub(r.stepAt), 0), 0)
	if r.size > 0 && r.done > r.first {
		move := time.Duration(float64(now.Sub(r.moveAt)) * float64(r.size-r.done) / float64(r.done-r.first))
		left = max(left, move)
	}
	return left
}
