package kiosk

import (
	"slices"
	"time"

	"station/ledger"
	"station/provision"
)

// Job is what is being made.
type Job struct {
	Recipe   ledger.Recipe `json:"recipe"`
	File     string        `json:"file"`
	Quantity int           `json:"quantity"` // 0 for as many as come
	Trial    bool          `json:"trial"`
	By       string        `json:"by"`
	Begun    time.Time     `json:"begun"`
	Passed   int           `json:"passed"`          // units, each once
	Failed   int           `json:"failed"`          // likewise, and not passed since
	Other    int           `json:"other"`           // units that ended otherwise, and neither passed nor failed
	Waits    bool          `json:"waits,omitempty"` // it cannot go on as it was begun: its recipe is away or another, or the key server is
	Steps    []JobStep     `json:"-"`
}

// JobStep is a step of the job's recipe and how long it should take, 0 where nobody knows.
type JobStep struct {
	Title     string
	Permanent bool
	Expect    time.Duration
}

// Yield is passed among those that passed or failed, in percent; -1 where there are none.
func (j *Job) Yield() int {
	if j.Passed+j.Failed == 0 {
		return -1
	}
	return j.Passed * 100 / (j.Passed + j.Failed)
}

// Shift is who works, since when, and what was found at its start.
type Shift struct {
	By     string         `json:"by"`
	Begun  time.Time      `json:"begun"`
	Checks []ledger.Check `json:"checks"`
}

// Open is a unit whose run broke off, or waits for a person.
type Open struct {
	Serial string    `json:"serial"`
	Run    string    `json:"run"`
	Slot   string    `json:"slot"` // where it was last
	Here   string    `json:"here"` // the slot that its chip is in now, "" for none
	Recipe string    `json:"recipe"`
	Digest string    `json:"digest"` // of that recipe
	Since  time.Time `json:"since"`
	Person *Said     `json:"person,omitempty"` // what a person has to decide
}

// Held is a FAIL that nobody acknowledged.
type Held struct {
	Slot   string `json:"slot"`
	Serial string `json:"serial"`
}

// stepTimes are how long the steps of a job take: what its recipe lets expect, corrected by what units of it took.
type stepTimes struct {
	expect, took []time.Duration
}

// weight is how much of what a step took counts of the last unit: 1/weight.
const weight = 4

// job begins anew where the job is another.
func (s *stepTimes) job(was, is *Job) {
	if was != nil && is != nil && was.Recipe.Digest == is.Recipe.Digest && was.Begun.Equal(is.Begun) {
		return
	}
	*s = stepTimes{}
	if is != nil {
		for _, step := range is.Steps {
			s.expect = append(s.expect, step.Expect)
		}
	}
}

// learn takes what the steps of a run took that did all of them and passed.
func (s *stepTimes) learn(r *running, end *provision.Result) {
	if end == nil || end.Outcome != ledger.Pass || end.Already || r.again || len(r.took) == 0 || len(r.took) != r.Of {
		return
	}
	if len(s.took) != r.Of {
		s.took = make([]time.Duration, r.Of)
	}
	for i, t := range r.took {
		t = max(t, 1)
		if s.took[i] > 0 {
			t = s.took[i] + (t-s.took[i])/weight
		}
		s.took[i] = max(t, 1)
	}
}

// all is how long each step takes, 0 where nobody knows.
func (s *stepTimes) all() []time.Duration {
	if len(s.took) > 0 {
		return slices.Clone(s.took)
	}
	return s.expect
}
