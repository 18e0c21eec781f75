package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrGrammar means that an entry may not stand at its place: a step of a run that was never started, a second
// end, and so on.
var ErrGrammar = errors.New("entry is out of order")

// Progress is how far one run has come. The zero value is a run of which there is no entry yet.
type Progress struct {
	Started bool   `json:"started,omitempty"`
	Ended   bool   `json:"ended,omitempty"` // settled, by its end or by a person
	Serial  string `json:"serial,omitempty"`
	UID     string `json:"uid,omitempty"` // of the chip in RunStart
	Of      int    `json:"of,omitempty"`  // number of steps, 0 before the first

	Rework   bool              `json:"rework,omitempty"` // it uses a permission
	Stuck    bool              `json:"stuck,omitempty"`  // a person must decide
	Password Installed         `json:"password,omitzero"`
	Mode     Installed         `json:"mode,omitzero"`       // ID is the mode
	RootKeys map[int]Installed `json:"root_keys,omitempty"` // by counter index
	Relay    Relayed           `json:"relay,omitzero"`
}

// Installed is how far one thing has come that a chip takes once: not at all, intended, or proven.
type Installed struct {
	ID     string `json:"id,omitempty"` // of the escrow; "" before the first intent and after a void
	Proven bool   `json:"proven,omitempty"`
}

// Open says that the run was begun and never settled.
func (p Progress) Open() bool { return p.Started && !p.Ended }

// Unsettled names what the chip may have learned and has not shown yet, "" when there is nothing of that sort: a root key
// between its intent and its proof or void, likewise a password, which counts until its mode is proven, and authenticated commands between their intent and their answer.
func (p Progress) Unsettled() string {
	switch {
	case p.Password.ID != "" && !p.Password.Proven:
		return "a password"
	case p.Mode.ID != "" && !p.Mode.Proven:
		return "a mode"
	case p.Password.Proven && !p.Mode.Proven:
		return "the password mode"
	case p.Relay.Open > 0:
		return "a relayed command"
	}
	for _, i := range slices.Sorted(maps.Keys(p.RootKeys)) {
		if k := p.RootKeys[i]; k.ID != "" && !k.Proven {
			return fmt.Sprintf("root key %d", i)
		}
	}
	return ""
}

// oneWay tells whether the chip was given, or may have been given, a secret or a mode.
func (p Progress) oneWay() bool {
	is := func(i Installed) bool { return i.ID != "" }
	return is(p.Password) || is(p.Mode) || p.Relay.OneWay || slices.ContainsFunc(slices.Collect(maps.Values(p.RootKeys)), is)
}

// After returns the progress after one more entry of the run. The order of a run's entries is
//
//	run.start ( run.step | run.resume | run.stop | run.stuck | secret )* ( run.end | unit.close )
//
// or a lone run.end with touched false and an outcome other than PASS. Serial and number of steps stay the same
// throughout, and a run is resumed, and its secrets are intended and proven, on the chip that it was started on.
//
// The secrets, where x is the id of an escrow that the run has not just now in use:
//
//	password.intent x ( password.void x | password.proven x ), again after a void, never after a proof
//	root_key.intent x ( root_key.void x | root_key.proven x ), likewise, for each counter index
//	mode.intent+ mode.proven, of one mode; mode password only after password.proven
//	( relay.intent relay.answer | relay.answer )*, of one step after the other, their turns ascending; the answer to an intent is of its turn, one without an
//	is of read-only commands alone; a step ends between them, or failed
//	permanent.intent at any place
//	password.opened and locks.erased at any place of a run that uses a permission
//
// What holds across runs of one serial or chip is written at RunStart.CheckRework and ReworkPermit.Check.
//
// A run with an intent of these that was not void does not end in TRIAL. While anything is Unsettled, run.end has the outcome FAIL or does not stand there: an end forgets the notes by which the
// chip's answer is known. After run.stuck only run.resume, unit.close or another run.stuck may follow.
// Errors wrap ErrGrammar.
func (p Progress) After(b Body) (Progress, error) {
	run, serial, _ := RunOf(b)
	_, isEnd := b.(RunEnd)
	_, isStart := b.(RunStart)
	var err error
	next := p
	switch {
	case !validRun(run):
		return p, fmt.Errorf("%w: run id %q is not 16 lower-case hex digits", ErrGrammar, run)
	case p.Ended:
		err = fmt.Errorf("%s after the run has ended", b.Kind())
	case p.Started && serial != p.Serial:
		err = fmt.Errorf("serial changes from %q to %q", p.Serial, serial)
	case !p.Started && !isEnd && !isStart:
		err = fmt.Errorf("%s of a run that was never started", b.Kind())
	case p.Stuck && !mayFollowStuck(b):
		err = fmt.Errorf("%s of a run that waits for a person", b.Kind())
	default:
		next, err = p.after(b)
	}
	if err != nil {
		return p, fmt.Errorf("%w: run %s: %w", ErrGrammar, run, err)
	}
	return next, nil
}

func mayFollowStuck(b Body) bool {
	switch b.(type) {
	case RunResume, RunStuck, UnitClose:
		return true
	}
	return false
}

// after judges the entries of the run itself.
func (p Progress) after(b Body) (Progress, error) {
	switch b := b.(type) {
	case RunStart:
		if p.Started {
			return p, errors.New("started a second time")
		}
		return Progress{Started: true, Serial: b.Serial, UID: b.Chip.UID, Rework: b.Permit != 0}, nil
	case RunResume:
		p.Stuck = false
		return p, p.sameChip(b.Chip.UID)
	case RunStep:
		switch {
		case b.N < 1 || b.N > b.Of:
			return p, fmt.Errorf("step %d of %d", b.N, b.Of)
		case p.Of != 0 && p.Of != b.Of:
			return p, fmt.Errorf("number of steps changes from %d to %d", p.Of, b.Of)
		case !slices.Contains(results, b.Result):
			return p, fmt.Errorf("step %d has the unknown result %q", b.N, b.Result)
		case p.Relay.Open > 0 && b.Result != Failed:
			return p, fmt.Errorf("step %d is %s, and %s is not answered", b.N, b.Result, KindRelayIntent)
		}
		p.Of = b.Of
	case RunStop:
		if b.By == "" {
			return p, errors.New("stopped by nobody")
		}
	case RunStuck:
		p.Stuck = true
	case RunEnd:
		switch {
		case !slices.Contains(outcomes, b.Outcome):
			return p, fmt.Errorf("unknown outcome %q", b.Outcome)
		case !p.Started && b.Touched:
			return p, errors.New("touched the chip but was never started")
		case !p.Started && b.Outcome == Pass:
			return p, fmt.Errorf("%s of a run that was never started", Pass)
		case b.Outcome == Trial && p.oneWay():
			return p, fmt.Errorf("%s of a run that took a one-way step", Trial)
		case b.Outcome != Fail && p.Unsettled() != "":
			return p, fmt.Errorf("%s, and %s is not settled", b.Outcome, p.Unsettled())
		}
		p.Ended, p.Serial = true, b.Serial
	case UnitClose:
		if b.As != Scrapped && b.As != Lost || b.Reason == "" {
			return p, fmt.Errorf("closed as %q for the reason %q", b.As, b.Reason)
		}
		p.Ended = true
	default:
		return p.afterSecret(b)
	}
	return p, nil
}

func (p Progress) sameChip(uid string) error {
	if uid != p.UID {
		return fmt.Errorf("started on chip %s, goes on with chip %s", p.UID, uid)
	}
	return nil
}

var (
	results  = []Result{Done, Already, Confirmed, Failed}
	outcomes = []Outcome{Pass, Fail, Error, Refused, Aborted, Interrupted, Trial}
)

func validRun(id string) bool { return lowerHex(id, 16) }

func lowerHex(id string, digits int) bool {
	if len(id) != digits {
		return false
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
