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

// indexPermit takes in a permission. It refuses one of a unit that is not known, or that has one already.
func indexPermit(r rows, rec ledger.Record, p ledger.ReworkPermit) error {
	for _, name := range []string{p.Serial, p.UID} {
		if len(name) > maxName {
			return fmt.Errorf("%w: a permission with a name of %d bytes, %d are allowed", ledger.ErrGrammar, len(name), maxName)
		}
	}
	old, known, err := readUnit(r, p.Serial)
	if err != nil {
		return err
	}
	if err := p.Check(old.unused()); err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("%w: %s of %q, which was never run", ledger.ErrGrammar, ledger.KindReworkPermit, p.Serial)
	}
	next := old
	next.Time, next.Index, next.Rework = rec.Entry.Time, rec.Index, &Permission{rec.Index, p.Chip, p.UID}
	if err := putUnit(r, p.Serial, old, known, next); err != nil {
		return err
	}
	return r.put(bucketSerials, append(named(p.Serial), number(rec.Index)...), []byte{})
}

// checkRework holds a start against the unit's permission and the retired chips.
func checkRework(r rows, s ledger.RunStart) error {
	unit, _, err := readUnit(r, s.Serial)
	if err != nil {
		return err
	}
	return s.CheckRework(unit.unused(), r.get(bucketUIDs, retiredKey(s.Chip.UID)) != nil)
}

// Permissions returns the entries rework.permit of a serial, oldest first.
func (d *DB) Permissions(serial string) ([]ledger.Record, error) {
	if len(serial) > maxName {
		return nil, nil
	}
	var wanted []int64
	err := d.view(func(tx *bolt.Tx) error {
		prefix := named(serial)
		c := tx.Bucket(bucketSerials).Cursor()
		for k, run := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, run = c.Next() {
			if len(run) == 0 {
				wanted = append(wanted, int64(binary.BigEndian.Uint64(k[len(prefix):])))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.records(wanted)
}
