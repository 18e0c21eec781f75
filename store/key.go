package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

var (
	bucketKeys    = []byte("keys")
	bucketMasters = []byte("masters")
	ofKeys        = [][]byte{bucketKeys, bucketMasters} // indexes that files of earlier versions do not have

	rowCheckpoint = []byte("checkpoint")
)

// Rotation says who wants another checkpoint key, and why.
type Rotation struct {
	Lost       bool // the present key signs nothing any more
	Reason, By string
}

// Rotate opens a ledger whose checkpoint key becomes that of the options with it: it appends station.key, and has the checkpoint of it signed, by the present key too, which
// Options.Earlier finds, unless that is lost. That all of them sign is seen first. Errors are those of Open.
//
// Whoever dies in between leaves the ledger with the old key, or with the new one; then Open, with the new one and the same Earlier, makes the checkpoint.
func Rotate(path string, o Options, why Rotation) (*DB, error) {
	if _, err := o.check(); err != nil {
		return nil, err
	}
	if err := inspect(path, o, func(c ledger.Chain) bool { return !c.Has(o.VerifierKey) }); err != nil {
		return nil, err
	}
	d, err := openUpgraded(path, o)
	if err != nil {
		return nil, err
	}
	b := ledger.StationKey{To: o.VerifierKey, Lost: why.Lost, Reason: why.Reason, By: why.By}
	if b.From, err = d.rehearse(why.Lost); err != nil {
		return nil, errors.Join(fmt.Errorf("nothing was changed: %w", err), d.shut())
	}
	return d.start(b)
}

// rehearse signs the present head with all keys that the checkpoint of a rotation needs, and names the present key.
func (d *DB) rehearse(lost bool) (present string, err error) {
	chain, err := d.Keys()
	if err != nil {
		return "", err
	}
	c, _, keys, err := d.head()
	if err != nil {
		return "", err
	}
	if keys = append(keys, d.o.VerifierKey); lost {
		keys = []string{d.o.VerifierKey}
	}
	_, err = d.o.sign(c, keys)
	return chain.Present(), err
}

// Keys are the keys of the checkpoints, oldest first.
func (d *DB) Keys() (c ledger.Chain, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		c, err = chainIn(tx)
		return err
	})
	return c, err
}

// KeysOf are those of a ledger file that nobody has open for writing. Errors are those of OpenReadOnly.
func KeysOf(path string) (ledger.Chain, error) {
	d, err := OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	c, err := d.Keys()
	return c, errors.Join(err, d.Close())
}

func chainIn(tx *bolt.Tx) (ledger.Chain, error) {
	r, err := keyRows(tx)
	if err != nil {
		return nil, err
	}
	return readChain(r)
}

func readChain(r rows) (c ledger.Chain, err error) {
	if text := r.get(bucketKeys, rowCheckpoint); text != nil {
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%w: row of the checkpoint keys: %v", ErrDamaged, err)
		}
	}
	return c, nil
}

// indexKey brings the rows of keys up to date with one more entry.
func indexKey(r rows, rec ledger.Record) error {
	switch b := rec.Entry.Body.(type) {
	case ledger.StationInit, ledger.StationKey:
		c, err := readChain(r)
		if err != nil {
			return err
		}
		if c, err = c.After(rec.Index, rec.Entry.Station, b); err != nil {
			return err
		}
		return putJSON(r, bucketKeys, rowCheckpoint, c)
	case ledger.MasterRetired:
		m, err := readMaster(r, b.Name)
		if err != nil {
			return err
		}
		if err := b.Check(m.Retired != 0); err != nil {
			return err
		}
		m.Retired, m.Fingerprint = rec.Index, cmp.Or(m.Fingerprint, b.Fingerprint)
		return putMaster(r, b.Name, m)
	case ledger.RootKeyIntent:
		name := b.MasterKey()
		if name == "" {
			return nil
		}
		m, err := readMaster(r, name)
		if err != nil {
			return err
		}
		m.Used, m.Fingerprint = true, b.Master
		return putMaster(r, name, m)
	}
	return nil
}

// keyRows are the rows of keys, made anew in memory where the file has none.
func keyRows(tx *bolt.Tx) (rows, error) {
	if tx.Bucket(bucketKeys) != nil {
		return bucketRows{tx}, nil
	}
	fresh := memoryRows{}
	return fresh, indexKeys(fresh, tx)
}

// indexKeys makes the rows of keys from all entries. One without these bytes has none, and need not be decoded.
func indexKeys(r rows, tx *bolt.Tx) error {
	c := tx.Bucket(bucketEntries).Cursor()
	for k, leaf := c.First(); k != nil; k, leaf = c.Next() {
		i := int64(binary.BigEndian.Uint64(k))
		if i > 0 && !bytes.Contains(leaf, []byte(`"kind":"`+ledger.KindRootKeyIntent+`"`)) && !bytes.Contains(leaf, []byte(`"kind":"`+ledger.KindStationKey+`"`)) &&
			!bytes.Contains(leaf, []byte(`"kind":"`+ledger.KindMasterRetired+`"`)) {
			continue
		}
		rec, err := record(i, leaf)
		if err != nil {
			return err
		}
		if err := indexKey(r, rec); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrDamaged, i, err)
		}
	}
	return nil
}
