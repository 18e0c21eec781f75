package provision

import (
	"context"
	"errors"
	"fmt"

	"station/flash"
	"station/ledger"
)

// verdict is a failure that knows its outcome and what the person should do.
type verdict struct {
	outcome       ledger.Outcome
	cause         string
	message, next string
}

func (v *verdict) Error() string { return v.message }

func refuse(cause, message, next string) error {
	return &verdict{ledger.Refused, cause, message, next}
}

// stationError is a failure of something that is not the unit.
type stationError struct {
	cause string // "fixture", "ledger"
	err   error
}

func (e *stationError) Error() string { return e.cause + ": " + e.err.Error() }
func (e *stationError) Unwrap() error { return e.err }

// judge says whose fault err was. Before it condemns a unit it tests the contact again: a bad contact makes anything
// look like a bad chip.
func (r *run) judge(ctx context.Context, err error) verdict {
	v := verdictOf(err, r.o.Slot)
	if v.outcome != ledger.Fail || r.chip == nil {
		return v
	}
	if contact := r.chip.Contact(context.WithoutCancel(ctx)); contact != nil {
		c := verdictOf(contact, r.o.Slot)
		c.message += fmt.Sprintf(" (seen after: %s)", v.message)
		return c
	}
	return v
}

func verdictOf(err error, slot string) verdict {
	var (
		known    *verdict
		station  *stationError
		unstable *flash.UnstableError
		other    *flash.OtherChipError
		part     *flash.WrongPartError
		sfdp     *flash.WrongSFDPError
		mismatch *flash.MismatchError
		busy     *flash.BusyError
		locked   *flash.ProtectedError
		open     *flash.UnprotectedError
		op       *flash.OperationError
	)
	reseat := fmt.Sprintf("Reseat the board; if it happens again, clean slot %s.", slot)
	disposition := "Put the board into the reject bin; it needs disposition."
	switch {
	case err == nil:
		return verdict{outcome: ledger.Pass, message: "Every step was confirmed on the chip."}
	case errors.As(err, &known):
		return *known
	case errors.Is(err, context.Canceled):
		return verdict{ledger.Aborted, "aborted", "Someone stopped the run.", "Scan the unit again to finish it."}
	case errors.As(err, &station) && station.cause == "ledger":
		return verdict{ledger.Error, "ledger", "The ledger could not be written or read: " + station.err.Error(), "Stop the line and call the person who looks after the station."}
	case errors.As(err, &station) && station.cause == "fixture":
		return verdict{ledger.Error, "fixture", station.err.Error(), "Check the programmer and its cable, then scan the unit again."}
	case errors.As(err, &station) && station.cause == "disk-full":
		return verdict{ledger.Error, "disk-full", station.err.Error(), "Make room on that disk; then scan the unit again."}
	case errors.As(err, &station) && station.cause == "key-server":
		return verdict{ledger.Error, "key-server", "The key server failed: " + station.err.Error(), "Call the person who looks after the key server; then scan the unit again."}
	case errors.As(err, &station):
		return verdict{ledger.Error, station.cause, station.err.Error(), "Call the person who looks after the station; then scan the unit again."}
	case errors.Is(err, flash.ErrAbsent):
		return verdict{ledger.Error, "contact-absent", "No chip answers in slot " + slot + ".", "Put the board in, or reseat it; if it happens again, clean slot " + slot + "."}
	case errors.As(err, &unstable):
		return verdict{ledger.Error, "contact-unstable", "The contact is unstable: the chip answers differently each time.", reseat}
	case errors.As(err, &other):
		return verdict{ledger.Error, "chip-swapped", "Another chip is in slot " + slot + " than the one that the run began with.", "Put the first board back and scan it again."}
	case errors.As(err, &part):
		return verdict{ledger.Refused, "wrong-part", part.Error(), "This board does not belong to this recipe: check the order and the board."}
	case errors.As(err, &sfdp):
		return verdict{ledger.Refused, "wrong-sfdp", sfdp.Error(), "The part is not what its ID says: put the board aside for incoming inspection."}
	case errors.Is(err, flash.ErrSFDP):
		return verdict{ledger.Refused, "wrong-sfdp", err.Error(), "The part is not what its ID says: put the board aside for incoming inspection."}
	case errors.Is(err, flash.ErrFrozen):
		return verdict{ledger.Error, "frozen", "The chip is frozen, so its lock bits cannot be changed.", "Take the board out so that it loses its power, put it back and scan it again."}
	case errors.Is(err, flash.ErrCells), errors.Is(err, flash.ErrStacked):
		return verdict{ledger.Error, "profile", "The part profile does not describe this chip: " + err.Error(), "Stop the line and call the person who looks after the recipes."}
	case errors.As(err, &mismatch):
		return verdict{ledger.Fail, "verify-mismatch", fmt.Sprintf("Verify failed at 0x%06X: wanted %02X, the chip holds %02X.", mismatch.Addr, mismatch.Want, mismatch.Got), disposition}
	case errors.As(err, &busy) && !busy.StuckBusy:
		return verdict{ledger.Error, "contact-lost", "The chip stopped answering.", reseat}
	case errors.As(err, &busy) && busy.Addr < 0:
		return verdict{ledger.Fail, "stuck-busy", fmt.Sprintf("The chip stayed busy for %s, longer than it may (%s).", busy.Limit, busy.Op), disposition}
	case errors.As(err, &busy):
		return verdict{ledger.Fail, "stuck-busy", fmt.Sprintf("The chip stayed busy for %s, longer than it may (%s at 0x%06X).", busy.Limit, busy.Op, busy.Addr), disposition}
	case errors.As(err, &locked) && locked.Addr < 0:
		return verdict{ledger.Fail, "protected", "The chip refused " + locked.Op + ": it is protected.", disposition}
	case errors.As(err, &locked):
		return verdict{ledger.Fail, "protected", fmt.Sprintf("The chip refused to change 0x%06X: it is locked.", locked.Addr), disposition}
	case errors.As(err, &open):
		return verdict{ledger.Fail, "lock-not-effective", fmt.Sprintf("The chip reports 0x%06X as locked, yet accepts writes there.", open.Addr), disposition}
	case errors.As(err, &op):
		return verdict{ledger.Fail, "operation-failed", "The chip reports a failure: " + op.Error() + ".", disposition}
	case errors.Is(err, flash.ErrReply):
		return verdict{ledger.Fail, "reply-not-authentic", "The chip's signed reply does not fit its key.", disposition}
	case errors.Is(err, flash.ErrNotExecuted):
		return verdict{ledger.Fail, "no-effect", "The chip did not do what it was told: " + err.Error(), disposition}
	}
	return verdict{ledger.Error, "fixture", "The programmer or its link failed: " + err.Error(), "Check the programmer and its cable, then scan the unit again."}
}
