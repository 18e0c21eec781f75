package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"station/ledger"
	"station/recipes"
)

// Secrets makes, seals and tags chip secrets. What it lends is wiped when the callback returns, and never kept. An error of whatever keeps the keys, and does not
// answer, has a method KeyServer() bool: whether that is a key server. The chip learns nothing then, and the run can be done again.
type Secrets interface {
	// Random lends n random bytes.
	Random(n int, use func(secret []byte) error) error
	// Derived lends the 32-byte root key that a master key gives this chip and counter.
	Derived(master string, of KeyOf, use func(key []byte) error) error
	// Master is the fingerprint of a master key, which tells nothing of it.
	Master(name string) (fingerprint string, err error)
	// Seal encrypts a secret to every recipient of the groups.
	Seal(groups []string, secret []byte) (ciphertext []byte, to []ledger.Recipient, err error)
	// CheckSealed says whether a ciphertext is whole and is for exactly this many recipients.
	CheckSealed(ciphertext []byte, recipients int) error
	// OpenUnlock lends a password that somebody who may open its escrow sealed to this station again, and says for which run.
	OpenUnlock(sealed []byte, use func(of UnlockOf, password []byte) error) error
	// Tag is what lets this station, and nobody else, recognise a secret again without keeping it.
	Tag(uid, escrow string, secret []byte) ([]byte, error)
}

// KeyOf is what a derived key belongs to.
type KeyOf struct {
	Part, UID, Recipe string
	Index             int // of the counter
}

// keyFailure blames whoever keeps the keys: the key server, or the station's own keyring.
func keyFailure(err error) error {
	var keeper interface{ KeyServer() bool }
	if errors.As(err, &keeper) && keeper.KeyServer() {
		return &stationError{"key-server", err}
	}
	return &stationError{"keyring", err}
}

// lend gives use what a keyring lends, and blames the keyring where it lends nothing.
func lend(from func(use func([]byte) error) error, use func([]byte) error) error {
	lent := false
	err := from(func(b []byte) error {
		lent = true
		return use(b)
	})
	if err != nil && !lent {
		return keyFailure(err)
	}
	return err
}

// random lends n random bytes.
func (r *run) random(n int, use func([]byte) error) error {
	return lend(func(use func([]byte) error) error { return r.e.o.Secrets.Random(n, use) }, use)
}

// tag is Secrets.Tag.
func (r *run) tag(uid, escrow string, secret []byte) ([]byte, error) {
	tag, err := r.e.o.Secrets.Tag(uid, escrow, secret)
	if err != nil {
		return nil, keyFailure(err)
	}
	return tag, nil
}

// master is the fingerprint of a master key, "" for none, and wants it to be that of the units before: another one would be told apart by nothing on a new chip.
func (r *run) master(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	now, err := r.e.o.Secrets.Master(name)
	if err != nil {
		return "", keyFailure(err)
	}
	was, _, _, err := r.e.journal.Master(name)
	if err != nil {
		return "", &stationError{"ledger", err}
	}
	if was != "" && was != now {
		return "", &stationError{"keyring", fmt.Errorf("the master %q is not the one that earlier units got their keys from (fingerprint %s, and theirs is %s): restore its file from the copy of the keys", name, now, was)}
	}
	return now, nil
}

// retired tells whether a master key was retired; one without a name never is.
func (r *run) retired(name string) (bool, error) {
	if name == "" {
		return false, nil
	}
	_, _, retired, err := r.e.journal.Master(name)
	if err != nil {
		return false, &stationError{"ledger", err}
	}
	return retired, nil
}

// checkMasters looks at every master key of the recipe before anything is touched. runs are all of the unit and its chip: one that has its key from a master that was retired
// since goes on.
func (r *run) checkMasters(runs []ledger.Run) error {
	for _, s := range r.o.Recipe.Steps() {
		if k, is := s.(recipes.RootKey); is {
			has := slices.ContainsFunc(runs, func(run ledger.Run) bool {
				return run.Chip() != nil && run.Chip().UID == r.chip.UID() && run.RootKeyFrom(k.Derive, k.Index)
			})
			if retired, err := r.retired(k.Derive); err != nil {
				return err
			} else if retired && !has {
				return refuse("master-retired", fmt.Sprintf("the master key %s was retired, and no chip gets a key from it any more", k.Derive), "Run the unit with a recipe that names another master.")
			}
			if _, err := r.master(k.Derive); err != nil {
				return err
			}
		}
	}
	return nil
}

// stuck is a state of the chip that only a person can decide about. The run stays open.
func stuck(cause, message, next string) error {
	return &verdict{ledger.Interrupted, cause, message, next}
}

// commit writes entries, and with them what belongs to them outside the ledger. It is durable when it returns, and
// it is not given up for a cancelled run: what is committed here is about to be done, or was done already.
func (r *run) commit(ctx context.Context, c ledger.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalLimit)
	defer cancel()
	first, err := r.e.journal.Commit(ctx, c)
	if errors.Is(err, ledger.ErrMirror) {
		if first > 0 { // it stands in the ledger, and the run stays open for it
			r.books = append(r.books, c.Bodies...)
		}
		return &verdict{ledger.Error, "mirror", "Nothing permanent is done without the mirror: " + err.Error(),
			"Bring the mirror's disk back, or call the person who looks after the station; then scan the unit again."}
	}
	if err != nil {
		return &stationError{"ledger", err}
	}
	r.books = append(r.books, c.Bodies...)
	return nil
}

func (r *run) record(ctx context.Context, bodies ...ledger.Body) error {
	return r.commit(ctx, ledger.Change{Bodies: bodies})
}

// intend makes the durable note that a permanent command without a secret is about to be sent, once.
func (r *run) intend(ctx context.Context, what string) error {
	return r.record(ctx, ledger.PermanentIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), What: what})
}

// seal makes an escrow of a secret: the ciphertext and its name in the ledger.
func (r *run) seal(groups []string, secret []byte) (ledger.Sealed, []byte, error) {
	text, to, err := r.e.o.Secrets.Seal(groups, secret)
	if err != nil {
		return ledger.Sealed{}, nil, &stationError{"escrow", err}
	}
	sum := sha256.Sum256(text)
	return ledger.Sealed{ID: newRunID(), SHA256: hex.EncodeToString(sum[:]), Recipients: to}, text, nil
}

// checkEscrow reads a ciphertext back from where it was made durable, before the chip learns what is in it.
func (r *run) checkEscrow(s ledger.Sealed) error {
	text, err := r.e.journal.Escrow(s.ID)
	if err != nil {
		return &stationError{"escrow", err}
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != s.SHA256 {
		return &stationError{"escrow", fmt.Errorf("escrow %s does not read back as it was written", s.ID)}
	}
	if err := r.e.o.Secrets.CheckSealed(text, len(s.Recipients)); err != nil {
		return &stationError{"escrow", err}
	}
	return nil
}
