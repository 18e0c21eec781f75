package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// checkPermission refuses a permission that was given before entries of the ledger may have been lost: the run that used it may be among them.
func (r *run) checkPermission(a admission) error {
	if a.open != nil || a.permit.Index >= r.e.o.Lost {
		return nil
	}
	return refuse("permission-in-doubt", fmt.Sprintf("The permission of entry %d may have been used: entries before entry %d may be missing.", a.permit.Index, r.e.o.Lost),
		fmt.Sprintf("Find out whether %s was reworked since the backup. If it was not: `station unit rework %s --withdraw`, and give another permission.", r.o.Serial, r.o.Serial))
}

// checkRework refuses, before anything is touched, what this run could not carry out on a chip as it is. open is the open run that
// is taken up, nil for a new one.
func (r *run) checkRework(ctx context.Context, open *ledger.Run) error {
	if err := r.checkPassword(open); err != nil || open != nil {
		return err
	}
	if err := r.checkRelayed(); err != nil {
		return err
	}
	switch {
	case r.before.SPR == flash.PasswordMode:
	case r.before.Frozen:
		return refuse("frozen-before", "The chip is frozen, so its locks cannot be taken away.", "Take the board out so that it loses its power, put it back and scan it again.")
	case len(r.before.VolatileRanges()) > 0:
		return refuse("locked-before", "The chip has volatile locks, which hold until it loses its power.", "Take the board out so that it loses its power, put it back and scan it again.")
	}
	if err := r.checkMode(ctx); err != nil {
		return err
	}
	for _, s := range r.o.Recipe.Steps() {
		if k, is := s.(recipes.RootKey); is {
			if err := r.checkRootKey(k); err != nil {
				return err
			}
		}
	}
	return r.checkOTP(ctx)
}

const newChip = "If its chip is replaced, `station unit rework --new-chip` lets the unit be run once more."

// checkRelayed refuses a chip on which a signed one-way command of an earlier run took effect, where the recipe is another one and would know nothing of it; and in any case one on which
// nobody knows whether it did. What the command counter alone tells is known once the key server agreed: when the step was done, has a proof though what was read behind it was wrong, or went on to the next such command.
func (r *run) checkRelayed() error {
	success := "" // any, where the table is not known
	if table, err := r.chip.ACRTM(); err == nil {
		success = hexByte(table.OK)
	}
	for i := range r.rework.past {
		run := &r.rework.past[i]
		took, unknown := "", map[int]string{} // by step
		var intent ledger.RelayIntent
		for _, rec := range run.Records {
			switch b := rec.Entry.Body.(type) {
			case ledger.RelayIntent:
				if intent = b; !b.OneWay() {
					continue
				}
				if unknown[b.N] != "" {
					took = unknown[b.N]
				}
				unknown[b.N] = b.Blocks[0].Command
			case ledger.RelayAnswer:
				if len(b.Blocks) > 0 || !intent.OneWay() {
					continue
				}
				switch {
				case len(b.Answers) == 0, b.Answers[0].Counter == ledger.NotExecuted:
					delete(unknown, b.N)
				case b.Answers[0].Status != "":
					if success == "" || b.Answers[0].Status == success {
						took = unknown[b.N]
					}
					delete(unknown, b.N)
				}
			case ledger.RunStep:
				if unknown[b.N] != "" && (b.Result != ledger.Failed || b.Proof != "") {
					took = unknown[b.N]
					delete(unknown, b.N)
				}
			}
		}
		for _, command := range unknown {
			return refuse("relay-before", fmt.Sprintf("An earlier run sent this chip the one-way command %s, and nobody knows whether it took effect.", command), "It is never sent again: the board is scrap. "+newChip)
		}
		if past := run.Recipe(); took != "" && past.Digest != r.o.Recipe.Digest() {
			return refuse("relay-before", fmt.Sprintf("This chip has done %s for ever, in a run of recipe %s version %d, and this is another one.", took, past.ID, past.Version),
				"Run it with the recipe that it was run with before. "+newChip)
		}
	}
	return nil
}

// checkMode wants the chip's protection mode to be one that the recipe's steps can end well with.
func (r *run) checkMode(ctx context.Context) error {
	wants := func(kind string) bool {
		return slices.ContainsFunc(r.o.Recipe.Steps(), func(s recipes.Step) bool { return s.Kind() == kind })
	}
	chosen, proven := "", false // the mode that an earlier run switched on, or was about to
	r.rework.each(func(_ *ledger.Run, b ledger.Body) {
		switch b := b.(type) {
		case ledger.ModeIntent:
			chosen = b.Mode
		case ledger.ModeProven:
			proven = true
		}
	})
	password, persistent := wants("password"), wants("persistent_protection")
	switch mode := r.before.SPR; {
	case mode == flash.PasswordMode && !password:
		return refuse("mode-not-in-recipe", "This chip is in password mode for ever, and the recipe has no password step.", "Run it with a recipe that has one. "+newChip)
	case mode == flash.PasswordMode:
		return nil // checkPassword has looked
	case mode == flash.PersistentMode && password:
		return refuse("persistent-mode", "Password mode can never be switched on in this chip: the other mode was chosen.", "Run it with a recipe without password. "+newChip)
	case mode == flash.PersistentMode && persistent && chosen != ledger.PersistentMode:
		return refuse("persistent-mode-foreign", "Persistent protection is on, and no run of this station switched it on.", "Find out where the board was before. "+newChip)
	case mode == flash.PersistentMode:
		return nil
	case mode != flash.FactoryMode:
		return refuse("protection-register", fmt.Sprintf("The sector protection register holds %04X, which no recipe leaves.", mode), newChip)
	case proven:
		return &verdict{ledger.Fail, "mode-lost", "A protection mode was on for ever and is off again: the chip is not what it seems.", "Put the board into the reject bin; it needs disposition."}
	case !password:
		return nil
	}
	var told flash.Password
	defer told.Wipe()
	if err := r.chip.ReadPassword(ctx, &told); err != nil {
		return err
	}
	if !r.chip.Part().Blank(&told) {
		return refuse("password-before", "The chip holds a password already, and its mode is not on: the recipe cannot give it another one.", "Run it with a recipe without password. "+newChip)
	}
	return nil
}

// checkPassword finds out whether the chip's password is to be given, and wants it to be there, for this very run.
func (r *run) checkPassword(open *ledger.Run) error {
	if r.before.SPR != flash.PasswordMode {
		return r.checkUnlock("")
	}
	var escrow *ledger.Sealed
	proven := false
	r.rework.each(func(_ *ledger.Run, b ledger.Body) {
		switch b := b.(type) {
		case ledger.PasswordIntent:
			escrow, proven = &b.Escrow, false
		case ledger.PasswordProven:
			proven = true
		}
	})
	steps := r.o.Recipe.Steps()
	i := slices.IndexFunc(steps, func(s recipes.Step) bool { _, is := s.(recipes.Password); return is })
	if i < 0 {
		return nil // checkMode says so
	}
	if escrow == nil || !proven {
		return refuse("password-unknown", "Password mode is on, and no escrow of this station is known to have the password.", newChip)
	}
	if err := sealedTo(*escrow, steps[i].(recipes.Password).Escrow); err != nil {
		return err
	}
	last := 0 // lock of nonvolatile bits
	for i, s := range steps {
		if l, is := s.(recipes.Lock); is && l.Bits == recipes.Nonvolatile {
			last = i
		}
	}
	for _, s := range steps[:last] {
		switch s.(type) {
		case recipes.Reset, recipes.PowerCycle:
			return refuse("restart-before-lock", "The recipe resets the chip before a lock, and this chip is frozen by its password after that: "+s.Title(), "Run it with a recipe that sets its locks first. "+newChip)
		}
	}
	if open != nil && r.stillOpen(open) {
		return nil
	}
	r.rework.escrow = escrow.ID
	return r.checkUnlock(escrow.ID)
}

// stillOpen tells whether the password was given before a run broke off, and what needs it was done or still can be.
func (r *run) stillOpen(open *ledger.Run) bool {
	opened, erased := false, len(open.Start.Before.Nonvolatile) == 0
	for _, rec := range open.Records {
		switch rec.Entry.Body.(type) {
		case ledger.PasswordOpened:
			opened = true
		case ledger.LocksErased:
			erased = true
		}
	}
	return opened && (!r.before.Frozen || erased && r.allLocked())
}

// allLocked tells whether all nonvolatile locks of the recipe are set.
func (r *run) allLocked() bool {
	for _, s := range r.o.Recipe.Steps() {
		l, is := s.(recipes.Lock)
		if is && l.Bits == recipes.Nonvolatile && len((&lock{r: r, s: l}).open(r.before)) > 0 {
			return false
		}
	}
	return true
}

// sealedTo wants an escrow that is there already to be for the people for whom the recipe wants it.
func sealedTo(s ledger.Sealed, groups []string) error {
	for _, g := range groups {
		if !slices.ContainsFunc(s.Recipients, func(to ledger.Recipient) bool { return to.Group == g }) {
			return refuse("escrow-before", fmt.Sprintf("The chip keeps the secret of escrow %s for ever, and that is not sealed to %s, as the recipe wants it.", s.ID, g),
				"Run it with the recipe that it was run with before. "+newChip)
		}
	}
	return nil
}

// checkUnlock wants a re-sealed password to be there where escrow is not "", and one that is there to be for this run.
func (r *run) checkUnlock(escrow string) error {
	const again = "Ask the auditor for a new one: `station escrow reseal`."
	if r.o.Unlock == nil && escrow != "" {
		return refuse("password-needed", "The chip's locks are behind its password, and nobody gave it.",
			fmt.Sprintf("Ask the auditor for `station escrow reseal %s`, and run it with --unlock %s=FILE.", r.o.Serial, r.o.Slot))
	}
	if r.o.Unlock == nil {
		return nil
	}
	if escrow == "" {
		return refuse("unlock-not-needed", "The chip is not in password mode, so no password opens it.", "Run it without --unlock.")
	}
	var of UnlockOf
	err := r.e.o.Secrets.OpenUnlock(r.o.Unlock, func(got UnlockOf, _ []byte) error { of = got; return nil })
	want := UnlockOf{Serial: r.o.Serial, UID: r.chip.UID(), Escrow: escrow, Permit: r.rework.permit.Index}
	var keeper interface{ KeyServer() bool }
	switch {
	case errors.As(err, &keeper): // it does not answer, and the file may be as good as ever
		return keyFailure(err)
	case err != nil:
		return refuse("unlock-file", "The file of --unlock does not open here: "+err.Error()+".", again)
	case of != want:
		return refuse("unlock-file", fmt.Sprintf("The file of --unlock is for unit %s, chip %s, escrow %s, permission %d; this is unit %s, chip %s, escrow %s, permission %d.",
			of.Serial, of.UID, of.Escrow, of.Permit, want.Serial, want.UID, want.Escrow, want.Permit), again)
	}
	return nil
}

// checkRootKey wants a key that an earlier run gave to the chip to be the one that the recipe wants.
func (r *run) checkRootKey(s recipes.RootKey) error {
	intent, proven, by := r.rework.rootKey(s.Index)
	want := (&rootKey{s: s}).keyName()
	switch {
	case intent == nil:
		return nil
	case proven == nil:
		return refuse("root-key-unknown", fmt.Sprintf("An earlier run may have given counter %d of this chip a root key, and what would prove it was deleted with that run.", s.Index), newChip)
	case intent.Key != want, s.Derive != "" && by.Start.Recipe.ID != r.o.Recipe.ID():
		return refuse("root-key-before", fmt.Sprintf("Counter %d of this chip has a root key for ever (%s, recipe %s), and the recipe wants another one (%s).", s.Index, intent.Key, by.Start.Recipe.ID, want),
			"Run it with the recipe that it was run with before. "+newChip)
	}
	return sealedTo(intent.Escrow, s.Escrow)
}
