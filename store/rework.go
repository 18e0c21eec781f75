package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// retiredKey is the row of a retired chip, behind those of all runs that met it.
func retiredKey(uid string) []byte { return append(named(uid), number(math.MaxInt64)...) }

// unused is the permission that the unit's next run uses, nil where there is none.
func (u *Unit) unused() *ledger.Permission {
	if u.Rework == nil {
		return nil
	}
	return &ledger.Permission{ReworkPermit: ledger.ReworkPermit{Serial: u.Serial, Chip: u.Rework.Chip, UID: u.Rework.UID}, Index: u.Rework.Index}
}

// indexPermit takes in a permission, or what withdraws one (next is nil). It refuses one of a unit that is not known, and what check refuses.
func indexPermit(r rows, rec ledger.Record, serial string, next *Permission, check func(unused *ledger.Permission) error) error {
	if len(serial) > maxName || next != nil && len(next.UID) > maxName {
		return fmt.Errorf("%w: a permission with a name of more than %d bytes", ledger.ErrGrammar, maxName)
	}
	old, known, err := readUnit(r, serial)
	if err != nil {
		return err
	}
	if err := check(old.unused()); err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("%w: %s of %q, which was never run", ledger.ErrGrammar, rec.Entry.Body.Kind(), serial)
	}
	state := old
	state.Time, state.Index, state.Rework = rec.Entry.Time, rec.Index, next
	if err := putUnit(r, serial, old, known, state); err != nil {
		return err
	}
	return r.put(bucketSerials, append(named(serial), number(rec.Index)...), []byte{})
}

// checkRework holds a start against the unit's permission and the retired chips.
func checkRework(r rows, s ledger.RunStart) error {
	unit, _, err := readUnit(r, s.Serial)
	if err != nil {
		return err
	}
	return s.CheckRework(unit.unused(), r.get(bucketUIDs, retiredKey(s.Chip.UID)) != nil)
}

// Permissions returns the entries rework.permit and rework.withdrawn of a serial, oldest first.
func (d *DB) Permissions(serial string) ([]ledger.Record, error) {
	if len(serial) > maxName {
		return nil, nil
	}
	var wanted []int64
	err := d.view(func(tx *bolt.Tx) error {
		wanted = permitEntries(tx, serial)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.records(wanted)
}

// permitEntries are the indexes of those entries, ascending.
func permitEntries(tx *bolt.Tx, serial string) (wanted []int64) {
	prefix := named(serial)
	c := tx.Bucket(bucketSerials).Cursor()
	for k, run := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, run = c.Next() {
		if len(run) == 0 {
			wanted = append(wanted, int64(binary.BigEndian.Uint64(k[len(prefix):])))
		}
	}
	return wanted
}
