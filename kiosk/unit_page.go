package kiosk

import (
	"context"
	"errors"
	"net/http"
	"time"

	"station/ledger"
)

// unitView is the page of a unit.
type unitView struct {
	Serial    string
	Outcome   ledger.Outcome
	Result    *Result // how its run ended, or why it needs a person; nil where neither is so
	Closed    string  // what a person closed its run as
	Recipe    ledger.Recipe
	Part      string
	UID       string
	Slot      string
	Operator  string
	Checked   bool   // somebody checked that it was that person
	Run       string // that the report is about
	Code      string
	Steps     int // confirmed of that run
	Of        int
	Begun     time.Time
	Ended     time.Time // zero while it is open
	Permit    *ledger.Permission
	Chapters  []chapter
	Proof     Proof
	CanClose  bool // its open run waits, and whoever looks may decide about it
	CanPermit bool
}

// newUnitView lays out what the ledger has of a serial. may tells what whoever looks may do.
func newUnitView(serial string, runs []ledger.Run, permits []ledger.Record, proof Proof, may func(Action) bool) unitView {
	v := unitView{Serial: serial, Chapters: timeline(runs, permits), Proof: proof}
	r, open := reported(runs)
	if r == nil {
		return v
	}
	v.Outcome, v.Recipe, v.Slot, v.Run, v.Code = r.Outcome(), r.Recipe(), r.Slot, r.ID, CodeOf(r.ID)
	v.Begun = r.Records[0].Entry.Time
	if !r.Open() {
		v.Ended = r.Records[len(r.Records)-1].Entry.Time
	}
	if chip := r.Chip(); chip != nil {
		v.UID = chip.UID
	}
	if r.Start != nil {
		v.Part, v.Operator, v.Checked = r.Start.Part.Name, r.Start.Operator, r.Start.Authenticated
	}
	for _, s := range r.Steps {
		v.Of = s.Of
		if s.Result != ledger.Failed {
			v.Steps = max(v.Steps, s.N)
		}
	}
	switch {
	case r.End != nil:
		v.Result = &Result{Outcome: r.End.Outcome, Cause: r.End.Cause, Message: r.End.Message, Next: r.End.Next}
		v.Operator, v.Checked = r.End.Operator, r.End.Authenticated
	case r.Stuck != nil:
		v.Result = &Result{Outcome: ledger.Interrupted, Cause: r.Stuck.Cause, Message: r.Stuck.Message, Next: r.Stuck.Next}
	}
	if r.Close != nil {
		v.Closed = r.Close.As
	}
	v.Permit = ledger.Unused(runs, ledger.Permissions(permits))
	v.CanClose = open && may(CloseUnit)
	v.CanPermit = !open && r.Start != nil && v.Permit == nil && may(PermitUnit)
	return v
}

// reported is the run that a unit's report is about, the newest that touched it, or else the newest; open says that one of its runs is.
func reported(runs []ledger.Run) (r *ledger.Run, open bool) {
	for i := range runs {
		open = open || runs[i].Open()
		if runs[i].Start != nil || r == nil || r.Start == nil {
			r = &runs[i]
		}
	}
	return r, open
}

// provingTime is how long whoever looks at a unit waits for its proof.
const provingTime = 3 * time.Second

// proofOf is the proof of a unit that is there, and what kept it from being made is its problem.
func proofOf(ctx context.Context, records Records, serial string) Proof {
	ctx, cancel := context.WithTimeout(ctx, provingTime)
	defer cancel()
	proof, err := records.Prove(ctx, serial)
	if err != nil {
		proof.Problem = err.Error()
	}
	return proof
}

// unit answers GET /units/{serial}.
func (p *pages) unit(w http.ResponseWriter, r *http.Request) {
	serial := r.PathValue("serial")
	runs, permits, err := p.o.Records.Unit(serial)
	if errors.Is(err, ledger.ErrMissing) {
		p.show(w, r, http.StatusNotFound, "unit", unitView{Serial: serial})
		return
	}
	if err != nil {
		p.fault(w, r, err)
		return
	}
	proof := proofOf(r.Context(), p.o.Records, serial)
	p.show(w, r, http.StatusOK, "unit", newUnitView(serial, runs, permits, proof, visitorOf(r.Context()).Role.May))
}
