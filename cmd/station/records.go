package main

import (
	"context"
	"errors"
	"net/http"

	"station/kiosk"
	"station/ledger"
	"station/store"
)

// records is the ledger of a station at work, as its pages have it: a kiosk.Records.
type records struct {
	db    *store.DB
	keys  keyholder
	data  string
	alone aloneFunc
}

// aloneFunc has do done while nothing of a unit is under way, and nothing of it can begin; running tells that something is, and that do was not done.
type aloneFunc func(ctx context.Context, who kiosk.Who, serial string, do func() error) (running bool, err error)

func (b *bench) records(alone aloneFunc) *records {
	return &records{b.db, b.secrets.keys, b.data, alone}
}

func (r *records) Find(text, cursor string, limit int) ([]kiosk.UnitRow, string, error) {
	units, next, err := r.db.Find(text, cursor, limit)
	if errors.Is(err, store.ErrCursor) {
		return nil, "", &kiosk.Refusal{Status: http.StatusUnprocessableEntity, Said: kiosk.Said{Word: kiosk.WordCursor, Text: err.Error(), Next: "Begin the search anew."}}
	}
	rows := []kiosk.UnitRow{}
	for _, u := range units {
		rows = append(rows, kiosk.UnitRow{Serial: u.Serial, Outcome: u.Outcome, Cause: u.Cause, Closed: u.Closed, Rework: u.Rework != nil, Recipe: u.Recipe, UID: u.UID, Slot: u.Slot,
			Operator: u.Operator, Run: u.Run, Code: kiosk.CodeOf(u.Run), Time: u.Time})
	}
	return rows, next, err
}

func (r *records) Unit(serial string) (runs []ledger.Run, permits []ledger.Record, err error) {
	if runs, err = runsOf(r.db, serial); err == nil {
		permits, err = r.db.Permissions(serial)
	}
	return runs, permits, provenOr(r.db, serial, err)
}

// Prove has what is not signed yet signed before it proves the unit.
func (r *records) Prove(ctx context.Context, serial string) (kiosk.Proof, error) {
	signing := r.db.Sign(ctx)
	p, err := proveUnit(r.db, serial)
	if signing != nil && p.Problem == "" && p.Proven < p.Entries {
		p.Problem = signing.Error()
	}
	return p, err
}

func (r *records) Report(ctx context.Context, serial, run string) ([]byte, error) {
	about, err := reportedRun(r.db, serial, run)
	if err != nil {
		return nil, err
	}
	return renderReport(ctx, r.db, about.ID)
}

func (r *records) Verify(ctx context.Context) (document any, ok bool, err error) {
	j, err := verifyLedger(ctx, r.db)
	return j, j.OK, err
}

func (r *records) CloseUnit(ctx context.Context, who kiosk.Who, serial, as, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	var run ledger.Run
	running, err := r.alone(ctx, who, serial, func() (err error) {
		run, err = settleUnit(ctx, r.db, ledger.UnitClose{Serial: serial, As: as, Reason: reason, By: who.ID, Authenticated: who.Authenticated})
		return err
	})
	if running {
		return undecided(kiosk.WordUnitRunning, "is being worked on right now", serial)
	}
	if err == nil {
		_, err = reportClosed(ctx, r.db, r.data, run)
	}
	return err
}

func (r *records) Permit(ctx context.Context, who kiosk.Who, serial, chip, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	_, err := permit(ctx, r.db, r.data, r.keys, &ledger.ReworkPermit{Serial: serial, Chip: chip, Reason: reason, By: who.ID, Authenticated: who.Authenticated})
	return err
}

func (r *records) Append(ctx context.Context, body ledger.Body) error {
	_, err := r.db.Append(ctx, body)
	return err
}

func checkReason(reason string) error {
	var e *exitErr
	if err := readable("a reason", reason, longestReason); errors.As(err, &e) {
		return &kiosk.Refusal{Status: http.StatusUnprocessableEntity, Said: kiosk.Said{Word: kiosk.WordReason, Text: e.Error()}}
	}
	return nil
}
