package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"station/keyserver"
	"station/ledger"
	"station/recipes"
	"station/store"
)

// fewChips is how many that are left are told of, so that there is time to do something about it.
const fewChips = 20

// unknownHere is said where too little is left: a ledger that was restored may lack chips that the key server counted.
const unknownHere = "A chip that the key server counted and this station's ledger does not know (`station restore`) wants one left too, and does not use it up"

// askServer asks the key server once, before any slot is opened, whether what the recipe needs of it is allowed, and says what is about to end. Units whose chip
// was counted there for this recipe go on whatever is left; where nobody has scanned yet, an open run is such a unit.
func (a *app) askServer(ctx context.Context, b *bench, r *recipes.Recipe, units []pair) error {
	if b.server == nil {
		return nil
	}
	if days := daysTo(b.server.NotAfter(), time.Now()); days < endsSoon {
		printf(a.stderr, "the certificate of station %s ends in %s: have it enrolled again (`station keyserver enrol`)\n", b.config.Station, counted(days, "day"))
	}
	signed, derived := b.secrets.lent(r)
	left, chips, err := unitsLeft(b.db, r.Digest(), units)
	if err != nil {
		return exit(exitError, err)
	}
	if left == 0 || !signed && len(derived) == 0 {
		return nil
	}
	refused := func(format string, args ...any) error {
		return exit(exitError, fmt.Errorf("the key server does not let this station carry the recipe out; no slot was opened\n"+format, args...))
	}
	is, err := b.server.Ready(ctx, r.Digest(), chips)
	if told := new(keyserver.Error); errors.As(err, &told) && told.Cause == "" {
		return exit(exitError, fmt.Errorf("the key server could not be asked whether this station may carry the recipe out; no slot was opened\n%w", err))
	} else if err != nil {
		return refused("%w", err)
	}
	fresh := left - len(is.Counted)
	if fresh <= 0 {
		return nil
	}
	adds := fmt.Sprintf("of station %s for %s version %d: `station keyserver allow` on the key server adds to it", b.config.Station, r.ID(), r.Version())
	switch {
	case is.Left == 0:
		return refused("nothing is left of the allowance %s. %s", adds, unknownHere)
	case is.Left < fresh:
		return refused("%s left of the allowance, and %d are to be done, %s. %s", counted(is.Left, "chip"), fresh, adds, unknownHere)
	case is.Left <= fewChips:
		printf(a.stderr, "%s left of the allowance %s\n", counted(is.Left, "chip"), adds)
	}
	for _, name := range slices.Concat(is.Missing, is.Retired) {
		key, isKey := derived[name]
		if !isKey && !signed {
			continue // another recipe's
		}
		if slices.Contains(is.Missing, name) {
			return refused("it does not have the master key %s any more: restore it there", name)
		}
		// Units that have their key from a retired master get the same one again.
		if has, err := haveKeysFrom(b.db, key, units); err != nil {
			return exit(exitError, err)
		} else if !isKey || !has {
			return refused("the master key %s is retired: nothing is made with it for another chip. A recipe with a master of another name goes on", name)
		}
		printf(a.stderr, "the master key %s is retired at the key server: only chips that have their root key from it go on\n", name)
	}
	return nil
}

// lent is what a recipe needs of the key server by an allowance: signed commands, and root keys by the names of their masters.
func (s secrets) lent(r *recipes.Recipe) (signed bool, derived map[string]recipes.RootKey) {
	derived = map[string]recipes.RootKey{}
	_, remote := s.keys.(remoteKeys)
	for _, step := range r.Steps() {
		switch step := step.(type) {
		case recipes.Measure, recipes.Relay:
			signed = true
		case recipes.RootKey:
			if remote && step.Derive != "" {
				derived[step.Derive] = step
			}
		}
	}
	return signed, derived
}

// unitsLeft is how many of these units have not passed with this digest, and the UIDs of those of their chips that the ledger knows. Where nobody has said yet which units come it is
// one, and the chips are those of open runs.
func unitsLeft(db *store.DB, digest string, units []pair) (n int, chips []string, err error) {
	if len(units) == 0 {
		open, err := db.OpenRuns()
		for _, r := range open {
			if r.Recipe().Digest == digest {
				chips = append(chips, r.Chip().UID)
			}
		}
		return 1, chips, err
	}
	for _, u := range units {
		runs, err := db.Runs(u.value, "")
		if err != nil {
			return 0, nil, err
		}
		records, err := db.Permissions(u.value)
		if err != nil {
			return 0, nil, err
		}
		var replaced int64 // index of the entry behind which the unit has the chip of now
		for _, p := range ledger.Permissions(records) {
			if p.Chip == ledger.NewChip && p.Withdrawn == nil {
				replaced = p.Index
			}
		}
		runs = slices.DeleteFunc(runs, func(r ledger.Run) bool { return r.Start == nil || r.Records[0].Index <= replaced })
		if slices.ContainsFunc(runs, func(r ledger.Run) bool { return r.Recipe().Digest == digest && r.Outcome() == ledger.Pass }) {
			continue
		}
		n++
		if len(runs) > 0 {
			chips = append(chips, runs[len(runs)-1].Chip().UID)
		}
	}
	return n, chips, nil
}
