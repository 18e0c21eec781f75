package ledger

import (
	"errors"
	"fmt"
	"slices"
)

// ErrGrammar means that an entry may not stand at its place: a step of a run that was never started, a second
// end, and so on.
var ErrGrammar = errors.New("entry is out of order")

// Progress is how far one run has come. The zero value is a run of which there is no entry yet.
type Progress struct {
	Started bool   `json:"started,omitempty"`
	Ended   bool   `json:"ended,omitempty"`
	Serial  string `json:"serial,omitempty"`
	UID     string `json:"uid,omitempty"` // of the chip in RunStart
	Of      int    `json:"of,omitempty"`  // number of steps, 0 before the first
}

// Open says that the run was begun and never settled.
func (p Progress) Open() bool { return p.Started && !p.Ended }

// After returns the progress after one more entry of the run. The order of a run's entries is
//
//	run.start ( run.step | run.resume )* run.end
//
// or a lone run.end with touched false and an outcome other than PASS. Serial and number of steps stay the same
// throughout, and a run is resumed on the chip that it was started on. Errors wrap ErrGrammar.
func (p Progress) After(b Body) (Progress, error) {
	run, serial, _ := runOf(b)
	fail := func(format string, args ...any) (Progress, error) {
		return p, fmt.Errorf("%w: run %s: %s", ErrGrammar, run, fmt.Sprintf(format, args...))
	}
	switch {
	case !validRun(run):
		return p, fmt.Errorf("%w: run id %q is not 16 lower-case hex digits", ErrGrammar, run)
	case p.Ended:
		return fail("%s after the run has ended", b.Kind())
	case p.Started && serial != p.Serial:
		return fail("serial changes from %q to %q", p.Serial, serial)
	}
	switch b := b.(type) {
	case RunStart:
		if p.Started {
			return fail("started a second time")
		}
		return Progress{Started: true, Serial: serial, UID: b.Chip.UID}, nil
	case RunResume:
		if !p.Started {
			return fail("resumed but never started")
		}
		if b.Chip.UID != p.UID {
			return fail("started on chip %s, resumed on chip %s", p.UID, b.Chip.UID)
		}
	case RunStep:
		switch {
		case !p.Started:
			return fail("step %d of a run that was never started", b.N)
		case b.N < 1 || b.N > b.Of:
			return fail("step %d of %d", b.N, b.Of)
		case p.Of != 0 && p.Of != b.Of:
			return fail("number of steps changes from %d to %d", p.Of, b.Of)
		case !slices.Contains(results, b.Result):
			return fail("step %d has the unknown result %q", b.N, b.Result)
		}
		p.Of = b.Of
	case RunEnd:
		switch {
		case !slices.Contains(outcomes, b.Outcome):
			return fail("unknown outcome %q", b.Outcome)
		case !p.Started && b.Touched:
			return fail("touched the chip but was never started")
		case !p.Started && b.Outcome == Pass:
			return fail("%s of a run that was never started", Pass)
		}
		p.Ended, p.Serial = true, serial
	}
	return p, nil
}

var (
	results  = []Result{Done, Already, Confirmed, Failed}
	outcomes = []Outcome{Pass, Fail, Error, Refused, Aborted, Interrupted, Trial}
)

func validRun(id string) bool {
	if len(id) != 16 {
		return false
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
