package ledger

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// Entries about the life of keys.

const (
	KindStationKey    = "station.key"
	KindMasterRetired = "master.retired"
)

// StationKey says that the key of the checkpoints changes. The first checkpoint that covers it is signed with both keys, and with the new one alone
// where the old one is lost; later ones with the new one.
type StationKey struct {
	From   string `json:"from"` // verifier key of the checkpoints until now, as sumdb/note prints it
	To     string `json:"to"`   // and from now on
	Lost   bool   `json:"lost"` // the old key signs nothing any more
	Reason string `json:"reason"`
	By     string `json:"by"` // pseudonymous id
}

// MasterRetired says that no root key is derived from a master key any more, but for the units that have theirs from it.
type MasterRetired struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // 16 hex digits, "" where neither the key is there nor an entry tells it
	Reason      string `json:"reason"`
	By          string `json:"by"` // pseudonymous id
}

func (StationKey) Kind() string    { return KindStationKey }
func (MasterRetired) Kind() string { return KindMasterRetired }

// Check says whether the entry may stand where this master key was, or was not, retired before. Errors wrap ErrGrammar.
func (b MasterRetired) Check(retired bool) error {
	var err error
	switch {
	case b.Name == "":
		err = errors.New("no name")
	case b.Fingerprint != "" && !lowerHex(b.Fingerprint, 16):
		err = fmt.Errorf("fingerprint %q", b.Fingerprint)
	case b.Reason == "" || b.By == "":
		err = errors.New("no reason, or nobody's")
	case retired:
		err = fmt.Errorf("the master %s is retired already", b.Name)
	default:
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrGrammar, KindMasterRetired, err)
}

// RootKeyFrom tells whether the run's chip has, or may have, the root key of this counter from a master key: it was intended, and not void.
func (r *Run) RootKeyFrom(master string, index int) (has bool) {
	for _, rec := range r.Records {
		switch b := rec.Entry.Body.(type) {
		case RootKeyIntent:
			if b.Index == index {
				has = b.MasterKey() == master
			}
		case RootKeyVoid:
			if b.Index == index {
				has = false
			}
		}
	}
	return has
}

// Link is one key of the checkpoints, and since when.
type Link struct {
	Index int64  `json:"index"` // of the entry that names it: station.init, or a station.key
	Key   string `json:"key"`   // verifier key
	Lost  bool   `json:"lost"`  // the key before it was lost
}

// Chain are the keys of the checkpoints of one ledger, oldest first. It is never changed in place.
type Chain []Link

// After returns the chain after entry i, which is the chain itself but after a station.init or station.key. Errors wrap ErrGrammar.
func (c Chain) After(i int64, station string, b Body) (Chain, error) {
	var next Link
	var err error
	switch b := b.(type) {
	case StationInit:
		next = Link{i, b.CheckpointKey, false}
		if len(c) != 0 {
			err = errors.New("there is a key already")
		}
	case StationKey:
		next = Link{i, b.To, b.Lost}
		switch {
		case len(c) == 0:
			err = errors.New("no entry before it names a key")
		case b.From != c.Present():
			err = fmt.Errorf("it replaces the checkpoint key %s, and the present one is %s", b.From, c.Present())
		case b.Reason == "" || b.By == "":
			err = errors.New("no reason, or nobody's")
		}
	default:
		return c, nil
	}
	if err == nil {
		err = c.accepts(next.Key, station)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrGrammar, b.Kind(), err)
	}
	return append(slices.Clip(c), next), nil
}

// accepts says whether a key may come next: one that can be read, is the station's, and never was in use. Notes tell keys of one name apart by their hashes.
func (c Chain) accepts(key, station string) error {
	v, err := note.NewVerifier(key)
	if err != nil {
		return errors.New("its checkpoint key cannot be read")
	}
	if v.Name() != Origin(station) {
		return fmt.Errorf("its checkpoint key is named %q, not %q", v.Name(), Origin(station))
	}
	for _, l := range c {
		if was, err := note.NewVerifier(l.Key); err != nil || was.KeyHash() == v.KeyHash() {
			return fmt.Errorf("its checkpoint key, or another of the same hash, was in use since entry %d", l.Index)
		}
	}
	return nil
}

// Present is the verifier key of now, "" where the chain is empty.
func (c Chain) Present() string {
	if len(c) == 0 {
		return ""
	}
	return c[len(c)-1].Key
}

// Has tells whether a verifier key is one of them.
func (c Chain) Has(key string) bool {
	return slices.ContainsFunc(c, func(l Link) bool { return l.Key == key })
}

// SameStart tells whether two ledgers were begun with the same key.
func (c Chain) SameStart(other Chain) bool {
	return len(c) > 0 && len(other) > 0 && c[0] == other[0]
}

// Signers are the verifier keys that have to have signed the next checkpoint after the one of size signed, when it is of this size: the key of then,
// and those that came in between, but for all that came before a loss. Oldest first.
func (c Chain) Signers(signed, size int64) (keys []string) {
	for k, l := range c {
		switch {
		case k > 0 && l.Index >= size:
			return keys
		case k > 0 && l.Index < signed, l.Lost:
			keys = keys[:0]
		}
		keys = append(keys, l.Key)
	}
	return keys
}
