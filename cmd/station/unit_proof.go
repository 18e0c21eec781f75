package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"station/kiosk"
	"station/ledger"
	"station/store"
)

// proven is nil where the ledger proves a unit, and else says why not: proveUnit, as an error.
func proven(db *store.DB, serial string) error {
	p, err := proveUnit(db, serial)
	if err == nil && p.Problem != "" {
		err = unproven(serial, p.Problem)
	}
	return err
}

// proveUnit holds every entry that the ledger's indexes have of a unit against the newest checkpoint, and these indexes against the entries. It takes no hash and no signature on trust: the leaves are
// hashed anew, and each is followed up to the root that the checkpoint signs. Entries behind the checkpoint are not proven, and no problem: they are signed within a moment, or when the ledger is opened.
// Whether the ledger has more of the unit than its indexes say, only verifyLedger tells.
func proveUnit(db *store.DB, serial string) (p kiosk.Proof, err error) {
	found, wrong := db.CheckUnit(serial)
	if wrong == nil && len(found) == 0 {
		return p, exit(exitNo, noUnit(serial))
	}
	if wrong != nil && !errors.Is(wrong, store.ErrDamaged) {
		return p, exit(exitError, wrong)
	}
	p.Entries = len(found)
	size, err := db.Signed()
	if err != nil {
		return p, exit(exitError, err)
	}
	if size > 0 {
		head, signer, err := checkpointOver(db, size)
		if err == nil {
			p.Size, p.Root, p.Signer = head.Size, head.Root.String(), signer
			p.Proven, err = inTree(db, head, found)
		}
		if err != nil { // an entry that was altered tells more than the rows that do not fit it any more
			wrong = err
		}
	}
	if wrong != nil {
		p.Problem = wrong.Error()
	}
	return p, nil
}

// checkpointOver is the first checkpoint that covers so many entries, and the verifier key that it was held against: the newest that the ledger has among these entries.
func checkpointOver(db *store.DB, size int64) (head ledger.Checkpoint, signer string, err error) {
	kept, text, err := db.Checkpoint(size)
	if err != nil {
		return head, "", err
	}
	chain, err := db.Keys()
	if err != nil {
		return head, "", err
	}
	for _, signer = range chain.Signers(kept, kept) {
	}
	verifier, err := note.NewVerifier(signer)
	if err != nil {
		return head, "", fmt.Errorf("the key of the checkpoints: %w", err)
	}
	head, err = ledger.OpenCheckpoint(text, verifier)
	return head, signer, err
}

// inTree counts the entries that are in the tree of a checkpoint. The error names the first that should be, and is not.
func inTree(db *store.DB, head ledger.Checkpoint, records []ledger.Record) (in int, err error) {
	for _, rec := range records {
		if rec.Index >= head.Size {
			continue
		}
		path, wrong := tlog.ProveRecord(head.Size, rec.Index, db)
		if wrong == nil {
			wrong = tlog.CheckRecord(path, head.Size, head.Root, rec.Index, tlog.RecordHash(rec.Bytes))
		}
		if wrong == nil {
			in++
		} else if err == nil {
			err = fmt.Errorf("entry %d: %w", rec.Index, wrong)
		}
	}
	return in, err
}

// unproven refuses what would be said of a unit on the word of a ledger that does not prove it.
func unproven(serial, why string) error {
	return exit(exitNo, &kiosk.Refusal{Status: http.StatusConflict, Said: kiosk.Said{Word: kiosk.WordUnitUnproven,
		Text: fmt.Sprintf("the ledger does not prove unit %s: %s; `station audit verify` recomputes the whole of it", serial, why), Next: "Stop the line, and call the person who looks after the station.",
		Facts: map[string]string{"serial": serial, "why": why}}})
}

func isUnproven(err error) bool {
	var refusal *kiosk.Refusal
	return errors.As(err, &refusal) && refusal.Word == kiosk.WordUnitUnproven
}

// writtenAgain says how a report can be had that could not be written for this error.
func writtenAgain(serial string, err error) string {
	if isUnproven(err) {
		return ""
	}
	return fmt.Sprintf(" The ledger has the run; `station unit report %s` writes it again.", serial)
}

// provenOr says of a unit that the ledger cannot show, for this error, that it does not prove it, where that is so.
func provenOr(db *store.DB, serial string, err error) error {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, ledger.ErrMissing) {
		return cmp.Or(proven(db, serial), err)
	}
	return err
}
