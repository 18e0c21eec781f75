// Package provision is the engine: it carries out one recipe on one unit in one slot, writes down what it does before
// and after, and tells whoever watches. It decides which board is begun where (line.go) and who may be provisioned (interlock.go), walks the
// recipe's steps, each in its own file with four moves (observe, decide, act, confirm), and turns every failure into
// an outcome that says whose fault it was (outcome.go).
//
// It does no I/O of its own: slots come from a Bench, the account goes to a Journal. YAML, USB, bbolt, terminals and PDFs do
// not belong here.
package provision

import (
	"context"
	"time"

	"station/ledger"
	"station/recipes"
	"station/spi"
)

// Bench leases the slots of the station.
type Bench interface {
	// Lease gives an exclusive hold on the chip-select line of a slot until release is called. An error that has a method Misconfigured which returns
	// true says that the slot was not opened, and what of its configuration is to be corrected.
	Lease(ctx context.Context, slot string) (conn spi.Conn, release func() error, err error)
	// Describe names what the slot is wired to, for the account. It does no I/O.
	Describe(slot string) string
	// Volts is what the slot supplies, 0 where that is not known. It does no I/O.
	Volts(slot string) float64
}

// Journal is the ledger as the engine sees it.
type Journal interface {
	// Commit makes a change durable, all of it or nothing. first is the index of its first entry. An error that wraps ledger.ErrMirror
	// says that the second copy is missing, and comes with first > 0 where the change is in the ledger all the same.
	Commit(ctx context.Context, c ledger.Change) (first int64, err error)
	// Escrow and Note read back what was committed.
	Escrow(id string) ([]byte, error)
	Note(run, name string) ([]byte, error)
	// Room says why there is no room for the account of one more run, nil where there is.
	Room() error
	// Runs returns every run of this serial or of the chip with this UID, oldest first. "" matches nothing.
	Runs(serial, uid string) ([]ledger.Run, error)
	// Master tells of the newest root_key.intent that names this master key whether there is one, and the master's fingerprint, "" where that is not known; and whether
	// the master was retired (ledger.MasterRetired).
	Master(name string) (fingerprint string, used, retired bool, err error)
	// Permissions returns every rework.permit and rework.withdrawn of this serial, oldest first.
	Permissions(serial string) ([]ledger.Record, error)
}

// Stopped is the cause (context.WithCancelCause) of the end of a run's context where a person had it stopped.
type Stopped struct {
	By            string // pseudonymous id
	Authenticated bool   // somebody checked that it was that person
}

func (s *Stopped) Error() string { return "stopped by " + s.By }

func (s *Stopped) Unwrap() error { return context.Canceled }

// Order says what is to be done, to whom, where, and by whom.
type Order struct {
	Recipe        *recipes.Recipe
	Serial        string            // of the unit, as scanned
	Values        map[string]string // what the unit brings besides its serial, by name
	Slot          string
	Operator      string // pseudonymous id
	Authenticated bool   // it was checked who that is, by badge or PIN
	Trial         bool   // stop before the first permanent step
	Unlock        []byte // sealed: the password of a chip that is reworked, for this run; nil where nobody gave one
}

// Result is how an order ended.
type Result struct {
	Run      string // id of the run in the ledger; of the earlier run when Already
	Serial   string
	Slot     string
	UID      string // of the chip, "" when none was identified
	Outcome  ledger.Outcome
	Already  bool   // the unit had passed before with the same chip and digest; nothing was done now
	Index    int64  // of the run.end entry, -1 when none could be written
	Cause    string // stable word, "" for PASS
	Message  string // the sentence for the person
	Next     string // what the person should do
	Started  time.Time
	Duration time.Duration
	Err      error // the whole chain, for the log, a *PanicError in it where the program failed; nil for PASS
}

// Options of an Engine.
type Options struct {
	Software string // name and version of the program, for the account
	Secrets  Secrets
	AllowRaw bool // recipes with raw commands may run
	// Signer is the key server; nil where there is none. Recipes with signed commands are refused then.
	Signer Signer
	// KeyServer names it, or whoever else has the station's keys, for the ledger (ledger.RunStart).
	KeyServer string
	// Simulated says that the chips are: only then are commands sent that no real part has.
	Simulated bool
	// Watch is told what happens, from the goroutine of the run it happens to. It must not block.
	Watch func(Event)
	// Lost is the index of the station.epoch before which entries may be missing; 0 where there is none.
	Lost int64
	// Mirror says where a second copy of the ledger is, for the account; nil where there is none.
	Mirror func() string
	// Reseater names who takes a board out and puts it back when asked, for the account; "a person" when "".
	Reseater string
	// ReseatLimit is how long a person may take to reseat a board; 5 minutes when 0.
	ReseatLimit time.Duration
}

// Event is something that happened in a slot, for whoever watches.
type Event struct {
	Kind      EventKind
	Slot      string
	Serial    string
	Time      time.Time
	Step, Of  int    // 1 is the first step; 0 outside steps
	StepKind  string // of the step, as its recipe names it (recipes.Step); "" outside steps
	Title     string // of the step, or the sentence of the event
	Permanent bool   // the step cannot be undone on this chip
	// Done and Total measure the present move of a step, in bytes. Verifying starts from 0 again.
	Done, Total int64
	Move        string  // "reading", "writing", "verifying"; "" where a step has no measure
	Result      *Result // with Ended only
}

// EventKind says what an Event is about.
type EventKind string

const (
	Identified EventKind = "identified" // the chip answered and is of the right kind
	Started    EventKind = "started"    // the run is in the ledger
	Resumed    EventKind = "resumed"    // an open run goes on
	Undone     EventKind = "undone"     // Title says what of an earlier run a rework took back before its first step
	StepBegan  EventKind = "step-began"
	Planned    EventKind = "planned" // Title says what is about to be erased and programmed
	Progress   EventKind = "progress"
	StepEnded  EventKind = "step-ended"
	Reseat     EventKind = "reseat"  // a person must take the board out and put the same board back
	Warned     EventKind = "warning" // the slot was not given back as it should; Title says what may be left on. The outcome stays
	Ended      EventKind = "ended"
)
