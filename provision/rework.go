package provision

import (
	"context"
	"fmt"
	"slices"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// UnlockOf says for which run a password was re-sealed to this station.
type UnlockOf struct {
	Serial string
	UID    string // of the chip
	Escrow string // id
	Permit int64  // index of the rework.permit
}

// rework is a run by a permission on the chip that the unit has already: what that chip may bring along, and what is to be undone first. The table
// of what chips may show is docs/decisions/0023-what-a-rework-finds.md.
type rework struct {
	permit ledger.Permission
	past   []ledger.Run // which touched this chip before, oldest first
	escrow string       // of the password that is to be given first; "" where none is
}

// each hands over the entries of the chip's earlier runs.
func (w *rework) each(do func(run *ledger.Run, b ledger.Body)) {
	if w == nil {
		return
	}
	for i := range w.past {
		for _, rec := range w.past[i].Records {
			do(&w.past[i], rec.Entry.Body)
		}
	}
}

// rootKey is what the chip's earlier runs tell of the root key of a counter: nothing, one that may be there (proven is nil), or one that is there, and since which run.
func (w *rework) rootKey(index int) (intent *ledger.RootKeyIntent, proven *ledger.RootKeyProven, by *ledger.Run) {
	w.each(func(run *ledger.Run, b ledger.Body) {
		switch b := b.(type) {
		case ledger.RootKeyIntent:
			if b.Index == index {
				intent, proven, by = &b, nil, run
			}
		case ledger.RootKeyVoid:
			if b.Index == index {
				intent, proven, by = nil, nil, nil
			}
		case ledger.RootKeyProven:
			if b.Index == index {
				proven = &b
			}
		}
	})
	return intent, proven, by
}

// undo opens a chip whose locks are behind its password, and takes its locks away, so that the recipe finds it as the factory left it in what is not for ever.
// The run's first entry tells what was locked when it began; once that was undone, it is not undone again.
func (r *run) undo(ctx context.Context) error {
	if r.rework == nil {
		return nil
	}
	if err := r.askRootKeys(ctx); err != nil {
		return err
	}
	if r.rework.escrow != "" {
		if err := r.unlock(ctx); err != nil {
			return err
		}
	}
	was := r.books[0].(ledger.RunStart).Before
	if slices.ContainsFunc(r.books, func(b ledger.Body) bool { _, is := b.(ledger.LocksErased); return is }) || len(was.Nonvolatile)+len(was.BlockProtect) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(r.before.NonvolatileRanges()) > 0 {
		if err := r.chip.EraseNonvolatileLocks(ctx); err != nil {
			return err
		}
	}
	if r.before.BlockRange().Size > 0 {
		if err := r.chip.ProtectBlock(ctx, flash.Range{}); err != nil {
			return err
		}
	}
	now, err := r.chip.Protection(ctx)
	if err != nil {
		return err
	}
	if len(now.NonvolatileRanges()) > 0 || now.BlockRange().Size > 0 {
		return fmt.Errorf("locks read back set after they were erased: %w", flash.ErrNotExecuted)
	}
	r.before = now
	r.emit(Event{Kind: Undone, Title: fmt.Sprintf("the chip's locks are erased (%d KiB)", (sizeOf(was.Nonvolatile)+sizeOf(was.BlockProtect))>>10)})
	return r.record(ctx, ledger.LocksErased{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Nonvolatile: was.Nonvolatile, BlockProtect: was.BlockProtect})
}

// askRootKeys has the chip sign with every derived root key that an earlier run gave it: one that it does not take is found while all is as it was.
func (r *run) askRootKeys(ctx context.Context) error {
	for _, s := range r.o.Recipe.Steps() {
		s, is := s.(recipes.RootKey)
		if _, proven, _ := r.rework.rootKey(s.Index); !is || proven == nil {
			continue
		}
		k := &rootKey{r: r, s: s}
		if err := k.observe(ctx); err != nil {
			return err
		}
		if _, err := k.confirm(ctx); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(ranges []ledger.Range) (n int64) {
	for _, x := range ranges {
		n += x.Size
	}
	return n
}

// unlock gives the password, over a contact that was tested just before, and once more where the chip refuses it: a bad contact garbles it.
// A chip that is not frozen would take any password, so it is frozen first.
func (r *run) unlock(ctx context.Context) error {
	if !r.before.Frozen {
		if err := r.chip.Freeze(ctx); err != nil {
			return err
		}
	}
	opened := false
	for try := 0; try < attempts && !opened; try++ {
		if err := r.chip.Contact(ctx); err != nil {
			return err
		}
		err := lend(func(use func([]byte) error) error {
			return r.e.o.Secrets.OpenUnlock(r.o.Unlock, func(_ UnlockOf, secret []byte) error { return use(secret) })
		}, func(secret []byte) (err error) {
			var pw flash.Password
			if len(secret) != len(pw) {
				return nil // no password of a chip
			}
			pw = flash.Password(secret)
			defer pw.Wipe()
			opened, err = r.chip.UnlockPassword(ctx, &pw)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !opened {
		return stuck("password-refused", fmt.Sprintf("The chip does not open with the password of escrow %s.", r.rework.escrow),
			"Nothing was changed. Ask the auditor whether another escrow of the unit opens it; otherwise close the unit as scrapped.")
	}
	r.emit(Event{Kind: Undone, Title: "the chip is open: it took the password of escrow " + r.rework.escrow})
	return r.record(ctx, ledger.PasswordOpened{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Escrow: r.rework.escrow})
}
