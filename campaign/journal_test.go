package campaign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"station/ledger"
)

// intent is a durable one, as long as something may be sent under it. What a programmer still holds of a transfer that a death cut off reaches the chip when the
// next life opens it, before that takes the run up.
type intent struct {
	kind, uid, what, escrow string
	index                   int
	spent                   bool
}

// intentOf is what an entry intends, nil where it intends nothing.
func intentOf(b ledger.Body) *intent {
	switch b := b.(type) {
	case ledger.PasswordIntent:
		return &intent{kind: b.Kind(), uid: b.UID, escrow: b.Escrow.ID}
	case ledger.RootKeyIntent:
		return &intent{kind: b.Kind(), uid: b.UID, escrow: b.Escrow.ID, index: b.Index}
	case ledger.ModeIntent:
		return &intent{kind: b.Kind(), uid: b.UID}
	case ledger.PermanentIntent:
		return &intent{kind: b.Kind(), uid: b.UID, what: b.What}
	}
	return nil
}

// spend takes the intent under which a command is sent.
func (w *world) spend(b *board, command string, fits func(*intent) bool) *intent {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.intents {
		if i.uid == b.uid && !i.spent && fits(i) {
			i.spent = true
			// What is escrowed is sent a second time only where the ledger says that the chip never learned it the first time.
			place := fmt.Sprint(i.kind, i.index)
			if before := b.sent[place]; i.escrow != "" && before != "" && !w.void[before] {
				w.violateLocked("%s reached chip %d again, and the first one is not void", command, b.n)
			}
			b.sent[place] = i.escrow
			return i
		}
	}
	w.violateLocked("%s reached chip %d without a durable intent of its own", command, b.n)
	return nil
}

// mustOpen: the escrow of an intent opens to the secret that is sent under it.
func (w *world) mustOpen(b *board, command string, i *intent, secret []byte) {
	text, err := w.db.Escrow(i.escrow)
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.escrow[i.escrow]; err != nil || e == nil || !bytes.Equal(e.text, text) || !bytes.Equal(e.secret, secret) {
		w.violateLocked("%s reached chip %d, and its escrow does not open to what it carries (%v)", command, b.n, err)
	}
}

// Commit is a change on its way to the disk.
func (w *world) Commit(ctx context.Context, c ledger.Change) (int64, error) {
	_, serial, _ := ledger.RunOf(c.Bodies[0])
	s := w.slotOf(serial)
	for _, b := range c.Bodies {
		s.note("commit %s", title(b))
		if w.heardCommit != nil {
			w.heardCommit(b.Kind())
		}
	}
	v := s.ask(commits)
	if v.err != nil {
		return 0, v.err
	}
	if v.fault != nil {
		if v.fault.kind.disk == dieBefore {
			w.kill()
			return 0, errDead
		}
		w.disk = v.fault.kind.disk
	}
	for _, b := range c.Bodies {
		if end, ok := b.(ledger.RunEnd); ok && end.Outcome == ledger.Pass {
			w.checkPass(end)
		}
	}
	w.file(c)
	w.checkTelling(c)
	first, err := w.db.Commit(ctx, c)
	if err != nil {
		return first, err
	}
	w.acknowledge(first, c.Bodies)
	for _, b := range c.Bodies {
		if intentOf(b) != nil {
			s.intent, s.intended = b.Kind(), s.moments
		}
	}
	if v := s.ask(committed); v.err != nil || v.fault != nil {
		w.kill()
		return 0, errDead
	}
	return first, nil
}

func title(b ledger.Body) string {
	switch b := b.(type) {
	case ledger.RunStep:
		return b.Kind() + " " + b.Step + " " + string(b.Result)
	case ledger.RunEnd:
		return b.Kind() + " " + string(b.Outcome) + " " + b.Cause
	case ledger.RunStuck:
		return b.Kind() + " " + b.Cause
	case ledger.PermanentIntent:
		return b.Kind() + " " + b.What
	}
	return b.Kind()
}

// acknowledge notes what the station was told to be durable.
func (w *world) acknowledge(first int64, bodies []ledger.Body) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, b := range bodies {
		run, _, _ := ledger.RunOf(b)
		w.acked[first+int64(n)] = b.Kind() + " " + run
		switch b := b.(type) {
		case ledger.RunStart:
			w.boardOf(b.Serial).begun = true
			w.forget(b.Chip.UID)
		case ledger.RunResume:
			w.forget(b.Chip.UID)
		case ledger.PasswordVoid:
			w.forgetEscrow(b.Escrow)
		case ledger.RootKeyVoid:
			w.forgetEscrow(b.Escrow)
		}
		w.intents = append(w.intents, blocksOf(b)...)
		if w.away && ledger.Permanent(b) {
			w.violateLocked("%s was committed, and the mirror is gone", b.Kind())
		}
		if i := intentOf(b); i != nil {
			w.intents = append(w.intents, i)
			if i.escrow != "" {
				w.escrow[i.escrow].durable = true
			}
		}
	}
}

// forget takes the intents away under which nothing may be sent any more: those of a chip of which another run begins.
func (w *world) forget(uid string) {
	w.intents = slices.DeleteFunc(w.intents, func(i *intent) bool { return i.uid == uid })
}

func (w *world) forgetEscrow(id string) {
	w.void[id] = true
	w.intents = slices.DeleteFunc(w.intents, func(i *intent) bool { return i.escrow == id })
}

func (w *world) Escrow(id string) ([]byte, error) { return w.db.Escrow(id) }

func (w *world) Note(run, name string) ([]byte, error) { return w.db.Note(run, name) }

func (w *world) Master(name string) (fingerprint string, used, retired bool, err error) {
	if w.dead.Load() {
		return "", false, false, errDead
	}
	return w.db.Master(name)
}

func (w *world) Permissions(serial string) ([]ledger.Record, error) {
	if w.dead.Load() {
		return nil, errDead
	}
	return w.db.Permissions(serial)
}

func (w *world) Room() error { return w.db.Room() }

func (w *world) Runs(serial, uid string) ([]ledger.Run, error) {
	if w.dead.Load() {
		return nil, errDead
	}
	return w.db.Runs(serial, uid)
}

// onDisk is store.Options.Disk.
func (w *world) onDisk(written bool) error {
	if w.dead.Load() {
		return errDead
	}
	switch w.disk {
	case full:
		w.disk = 0
		return syscall.ENOSPC
	case lost:
		if !written {
			w.before, _ = os.ReadFile(w.path)
			return nil
		}
		w.disk = 0
		return errors.Join(errors.New("fsync"), syscall.EIO)
	case unsynced:
		if written {
			w.disk = 0
			return errors.Join(errors.New("fsync"), syscall.EIO)
		}
	case mirrorless:
		if written {
			w.disk = 0
			w.pull(true)
		}
	case dieUnsigned:
		if written {
			w.disk = 0
			w.kill()
			return errDead
		}
	}
	return nil
}
