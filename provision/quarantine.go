package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"station/ledger"
	"station/recipes"
)

// After a restoration nobody knows what was done after the last entry of the copy (ledger.StationEpoch). Two things follow. A unit whose run was open in
// the copy is in quarantine until its own chip is in a slot again: what is on the chip decides then, as after any death of the station. And a
// chip that the ledger does not know must be as it left the factory in what the recipe makes permanent, or a run whose record was lost may have done it.

// checkQuarantine refuses what would settle a unit in quarantine by another chip than its own, or without looking at all.
func (r *run) checkQuarantine(uid string, runs []ledger.Run) error {
	lost := r.e.o.Lost
	for _, old := range runs {
		if !old.Quarantined(lost) || old.Serial != r.o.Serial {
			continue
		}
		message := fmt.Sprintf("serial %s was under way on chip %s in the copy that the ledger was restored from, and entries before entry %d of the ledger may be missing", old.Serial, old.Start.Chip.UID, lost)
		switch {
		case old.Start.Chip.UID != uid:
			return refuse("quarantined", message, "Put its own board in: what is on its chip decides. Where that board is gone, `station unit close` settles it.")
		case r.o.Trial:
			return refuse("quarantined", message, "Run it without --trial: what is on its chip decides.")
		}
	}
	return nil
}

// checkFactory refuses a chip that the ledger does not know and that is not as it left the factory, where entries may be missing. Root keys and counters
// do not show before their step; a foreign one is found there.
func (r *run) checkFactory(ctx context.Context, runs []ledger.Run) error {
	if r.e.o.Lost == 0 || slices.ContainsFunc(runs, func(old ledger.Run) bool { return old.Start != nil && old.Start.Chip.UID == r.chip.UID() }) {
		return nil
	}
	refused := func(why string) error {
		return refuse("quarantined", fmt.Sprintf("The ledger does not know this chip, and it is not a fresh one: %s Entries before entry %d may be missing, and with them the run that did this.", why, r.e.o.Lost),
			"Put the board aside for the supervisor. It is not to be provisioned as new.")
	}
	if locked := r.before.NonvolatileRanges(); len(locked) > 0 {
		return refused(fmt.Sprintf("0x%06X is locked.", locked[0].Addr))
	}
	if slices.ContainsFunc(r.o.Recipe.Steps(), func(s recipes.Step) bool { _, is := s.(recipes.OTP); return is }) {
		now, err := r.chip.OTP(ctx)
		if err != nil {
			return err
		}
		if now.Locked() || len(bytes.Trim(now.Data, "\xFF")) > 0 {
			return refused("its OTP area is written.")
		}
	}
	err := r.foresee(ctx, r.o.Recipe.Steps())
	var v *verdict
	if errors.As(err, &v) && v.outcome == ledger.Interrupted {
		return refused(v.message)
	}
	return err
}
