package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"station/store"
)

// openLedgerToRead opens the ledger for whoever only looks. Where a station is at work on it that is a copy, as the ledger is now: what is read are its bytes, and nothing
// that the station says of them.
func (a *app) openLedgerToRead(ctx context.Context) (*store.DB, string, error) {
	data, err := a.data()
	if err != nil {
		return nil, "", err
	}
	// A socket that answers is a station's at work; to ask it first is not to wait for the lock.
	db, err := a.openCopy(ctx, data)
	switch {
	case errors.Is(err, errNoBackups):
		return a.openLedgerReadOnly()
	case errors.Is(err, store.ErrDamaged):
		// It may have ended meanwhile.
		if db, data, again := a.openLedgerReadOnly(); !errors.Is(again, store.ErrInUse) {
			return db, data, again
		}
	}
	return db, data, ledgerErr(data, err)
}

// openCopy opens a copy that the station at work hands out. The copy has no name any more: it is gone with whoever has it open.
func (a *app) openCopy(ctx context.Context, data string) (*store.DB, error) {
	f, err := os.CreateTemp("", "station-ledger-*.db") // for its owner alone
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	err = copyOfRunning(ctx, data, func(s string) { printf(a.stderr, "%s\n", s) })(f)
	if errors.Is(err, errNoBackups) {
		return nil, errors.Join(err, f.Close())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("no copy of the ledger in use could be made in %s (TMPDIR names another directory): %w", os.TempDir(), err)
	}
	return store.OpenReadOnly(f.Name())
}
