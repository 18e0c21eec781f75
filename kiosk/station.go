package kiosk

import (
	"context"
	"time"

	"station/ledger"
)

// Who does something.
type Who struct {
	ID            string // pseudonymous
	Authenticated bool   // by badge or PIN; not so of who asks over the socket of this PC, or of a simulated station without users
}

// Station is the line as the pages and the API have it. Its methods are safe for concurrent use and end within a few seconds. What goes wrong there for
// a reason that whoever asked can mend is an *Refusal. Where something had to wait, Still is asked right before it is done.
type Station interface {
	// Scan takes a code as a scanner reads it, but for those that are a Deed or a badge.
	Scan(ctx context.Context, who Who, code string) (Answer, error)
	// Do does what is no scan.
	Do(ctx context.Context, who Who, d Deed) (Answer, error)
	// Recipes are those that a job may have, by file name, and what is wrong with those that it may not.
	Recipes() []RecipeFile
	// Health says what keeps the station from working, nil for nothing.
	Health() error
}

// Deed is something that a person wants done, besides scanning. Which fields count is told by Action.
type Deed struct {
	Action   Action
	Slot     string // Acknowledge, Release, Stop
	Recipe   string // BeginJob: file name in the folder of recipes
	Quantity int    // BeginJob: units that are to pass; 0 for as many as come
	Trial    bool   // BeginJob: stop before the first permanent step
	Card     bool   // CloseJob, EndShift: by a card, which is to be scanned once more where there is something left; whoever presses a button was asked before
}

// Answer is what became of a scan or a deed, to be echoed where it was made.
type Answer struct {
	Tone Tone `json:"tone"`
	Said
}

// Said is a sentence: a stable word, which the catalogues have in every language, and the facts that it names. Text and Next are the same in English, as a terminal says
// it, for whoever has no catalogue.
type Said struct {
	Word  string            `json:"word" doc:"stable; its sentences are said.WORD and do.WORD of the page's catalogues, which name its facts"`
	Facts map[string]string `json:"facts,omitempty"` // slot, serial, code, and others that the word has
	Text  string            `json:"text"`
	Next  string            `json:"next,omitempty"` // what to do
}

// Tone is what is heard.
type Tone string

const (
	Accept    Tone = "accept"
	Reject    Tone = "reject"
	Passed    Tone = "pass"
	FailedOne Tone = "fail"
	Attention Tone = "attention"
	Silent    Tone = ""
)

// toneOfUnit is what is heard of a unit: each outcome has a tone of its own.
var toneOfUnit = map[ledger.Outcome]Tone{ledger.Pass: Passed, ledger.Fail: FailedOne, ledger.Error: "error", ledger.Refused: "refused", ledger.Aborted: "aborted",
	ledger.Interrupted: "interrupted", ledger.Trial: "trial"}

// Refusal is an error that whoever asked is told, with the status of HTTP that fits it.
type Refusal struct {
	Status int // 404, 409, 422
	Said
}

func (r *Refusal) Error() string { return r.Text }

// RecipeFile is a recipe in the folder of the station.
type RecipeFile struct {
	File    string        `json:"file"`
	Recipe  ledger.Recipe `json:"recipe"`
	Parts   []string      `json:"parts"`
	Steps   int           `json:"steps"`
	Oneway  []string      `json:"permanent"` // kinds of its permanent steps
	Problem string        `json:"problem"`   // why it cannot be run, "" for nothing
}

// Records is the ledger as the pages and the API have it. Errors that wrap ledger.ErrMissing say that there is no such unit.
type Records interface {
	// Find returns units, newest first, whose serial begins with text, or a run's id, a fail card's code or a chip's UID does; all of them for "". cursor is what the page before
	// returned, and next is "" behind the last one.
	Find(text, cursor string, limit int) (units []UnitRow, next string, err error)
	// Unit is all that the ledger has of a serial, oldest first.
	Unit(serial string) (runs []ledger.Run, permits []ledger.Record, err error)
	// Prove holds the entries that the ledger's indexes have of a unit against the newest checkpoint, and these indexes against the entries.
	Prove(ctx context.Context, serial string) (Proof, error)
	// Report is the PDF of a run of a unit, of the one that a report is about where run is "". Of a unit that the ledger does not prove there is none: a Refusal with WordUnitUnproven.
	Report(ctx context.Context, serial, run string) ([]byte, error)
	// Verify recomputes the whole ledger. The document is that of `station audit verify --json`.
	Verify(ctx context.Context) (document any, ok bool, err error)
	// CloseUnit and Permit write down a person's decision about a unit: what `unit close` and `unit rework` do.
	CloseUnit(ctx context.Context, who Who, serial, as, reason string) error
	Permit(ctx context.Context, who Who, serial, chip, reason string) error
	// Append writes an entry of this room's own down: of people, of shifts.
	Append(ctx context.Context, body ledger.Body) error
}

// UnitRow is the newest state of a unit.
type UnitRow struct {
	Serial   string         `json:"serial"`
	Outcome  ledger.Outcome `json:"outcome"`
	Cause    string         `json:"cause"`
	Closed   string         `json:"closed,omitempty"` // what a person closed its run as
	Rework   bool           `json:"rework,omitempty"` // it may be run once more
	Recipe   ledger.Recipe  `json:"recipe"`
	UID      string         `json:"uid"`
	Slot     string         `json:"slot"`
	Operator string         `json:"operator"`
	Run      string         `json:"run"`
	Code     string         `json:"code"` // of its fail card: CodeOf its run
	Time     time.Time      `json:"time"`
}

// Proof says which entries of a unit are in the tree that a checkpoint signs. Whether the ledger has more of the unit than was found, it does not say: Verify does.
type Proof struct {
	Entries int    `json:"entries"` // that were found of the unit
	Proven  int    `json:"proven"`  // in the tree of the checkpoint
	Size    int64  `json:"size"`    // of that tree
	Root    string `json:"root"`    // its hash, base64
	Signer  string `json:"signer"`  // verifier key of the checkpoint
	Problem string `json:"problem"` // what does not hold, "" for nothing
}

// CodeOf is what a fail card shows of a run, and a search finds: the first eight digits of its id.
func CodeOf(run string) string {
	const digits = 8
	return run[:min(digits, len(run))]
}
