package kiosk

import (
	"time"

	"station/ledger"
	"station/provision"
)

// State is what the wall shows, as it stands: also the document of GET /api/v1/state and of `station status`.
type State struct {
	Station   string    `json:"station"`
	Simulated bool      `json:"simulated"`
	Started   time.Time `json:"started"` // of the program: another one is another start
	Version   uint64    `json:"version"` // counts the changes since then
	Rows      [][]Tile  `json:"rows"`    // as the slots stand
	Shift     *Shift    `json:"shift"`   // null where none was begun
	Job       *Job      `json:"job"`     // null where there is none
	Open      []Open    `json:"open"`    // INTERRUPTED, oldest first
	Next      Said      `json:"next"`    // what to do now
	Mirror    string    `json:"mirror"`  // one of the Mirror constants of package ledger
}

// Tile is one place of the wall.
type Tile struct {
	Slot     string              `json:"slot"`              // "" for a place without one
	Excluded bool                `json:"excluded"`          // the configuration says that it is not used
	Problem  *Said               `json:"problem,omitempty"` // why it cannot be looked at: no programmer, wrong voltage
	State    provision.SlotState `json:"state"`
	Stopped  bool                `json:"stopped"` // three in a row
	Held     bool                `json:"held"`    // its FAIL waits to be acknowledged
	There    bool                `json:"there"`   // a board is in it
	Serial   string              `json:"serial"`
	UID      string              `json:"uid"`
	Said     *Said               `json:"said,omitempty"` // what was said of it last, until something else happens there
	Run      *Running            `json:"run,omitempty"`
	Result   *Result             `json:"result,omitempty"` // stays until the board is out, or the next one is scanned for it
}

// Running is how far a run has come.
type Running struct {
	Phase     string    `json:"phase"` // an EventKind, or a move: "identified", "reading", "writing", "verifying", "reseat"
	Step      int       `json:"step"`  // 1 is the first; 0 before it
	Of        int       `json:"of"`
	Title     string    `json:"title"`
	Permanent bool      `json:"permanent"` // the present step cannot be undone
	Percent   int       `json:"percent"`   // of the present step, -1 where it has no measure
	Overall   int       `json:"overall"`   // of the run, by the time that its steps take
	Started   time.Time `json:"started"`
	Elapsed   int64     `json:"elapsed_ms"`
	Remaining int64     `json:"remaining_ms"` // -1 where nobody knows
}

// Result is how a run ended.
type Result struct {
	Outcome  ledger.Outcome `json:"outcome"`
	Already  bool           `json:"already"` // it had passed before
	Cause    string         `json:"cause"`
	Message  string         `json:"message"` // the engine's sentences, in English
	Next     string         `json:"next"`
	Run      string         `json:"run"`
	Code     string         `json:"code"` // CodeOf run, "" where there is none
	Duration int64          `json:"ms"`
	Report   bool           `json:"report"` // there is a PDF
}

// Job is what is being made.
type Job struct {
	Recipe   ledger.Recipe `json:"recipe"`
	File     string        `json:"file"`
	Quantity int           `json:"quantity"` // 0 for as many as come
	Trial    bool          `json:"trial"`
	By       string        `json:"by"`
	Begun    time.Time     `json:"begun"`
	Passed   int           `json:"passed"` // units, each once
	Failed   int           `json:"failed"` // likewise, and not passed since
	Other    int           `json:"other"`  // units that ended otherwise, and neither passed nor failed
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
	Since  time.Time `json:"since"`
	Person *Said     `json:"person,omitempty"` // what a person has to decide
}

// Wall keeps the State. Whoever runs the line tells it what happens; pages and API read it and wait for its changes. Safe for concurrent use.
type Wall struct{}
