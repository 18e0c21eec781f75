package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// Check looks for damage in the file's structure, for indexes that disagree with the entries (it makes the indexes anew in
// memory and compares), for escrows that are missing, altered or of no entry, and for notes of runs that are not open. It
// does not judge the entries themselves, which ledger.Verify does.
// Nothing is written meanwhile: Append waits. Errors wrap ErrDamaged, or are those of ctx.
func (d *DB) Check(ctx context.Context) error {
	release, err := d.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	return d.guard(func() error {
		// bbolt checks safely beside no writer, or in the writer's own transaction.
		tx, err := d.bolt.Begin(!d.bolt.IsReadOnly())
		if err != nil {
			return err
		}
		defer tx.Rollback() // nothing was written; its error says no more than that
		if err := checkIndexes(ctx, tx); err != nil {
			return err
		}
		if err := checkKept(ctx, tx); err != nil {
			return err
		}
		var first error
		for err := range tx.Check() { // to the end, or its goroutine would wait for ever
			if first == nil {
				first = fmt.Errorf("%w: %v", ErrDamaged, err)
			}
		}
		return first
	})
}

func checkIndexes(ctx context.Context, tx *bolt.Tx) error {
	fresh := memoryRows{}
	next := int64(0)
	c := tx.Bucket(bucketEntries).Cursor()
	for k, leaf := c.First(); k != nil; k, leaf = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !bytes.Equal(k, number(next)) {
			return fmt.Errorf("%w: entry %d is missing", ErrDamaged, next)
		}
		r, err := record(next, leaf)
		if err != nil {
			return err
		}
		if _, err := index(fresh, r); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrDamaged, next, err)
		}
		next++
	}
	if n := last(tx.Bucket(bucketHashes)) + 1; n != tlog.StoredHashCount(next) {
		return fmt.Errorf("%w: %d entries with %d tree hashes", ErrDamaged, next, n)
	}
	if size := last(tx.Bucket(bucketCheckpoints)); size > next {
		return fmt.Errorf("%w: a checkpoint of size %d, but %d entries", ErrDamaged, size, next)
	}
	for _, name := range indexesOf(tx) {
		want := fresh[string(name)]
		found := 0
		err := tx.Bucket(name).ForEach(func(k, v []byte) error {
			if w, ok := want[string(k)]; !ok || w != string(v) {
				return fmt.Errorf("%w: index %s: row %x does not follow from the entries", ErrDamaged, name, k)
			}
			found++
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		if found != len(want) {
			return fmt.Errorf("%w: index %s has %d rows, and %d follow from the entries", ErrDamaged, name, found, len(want))
		}
	}
	return nil
}

// checkKept compares escrows and notes with the entries, which checkIndexes has read already.
func checkKept(ctx context.Context, tx *bolt.Tx) error {
	if version(tx) == fileVersion1 {
		return nil
	}
	escrow := tx.Bucket(bucketEscrow)
	named := map[string]bool{}
	c := tx.Bucket(bucketEntries).Cursor()
	for k, leaf := c.First(); k != nil; k, leaf = c.Next() {
		i := int64(binary.BigEndian.Uint64(k))
		r, err := record(i, leaf)
		if err != nil {
			return err
		}
		s, ok := sealed(r.Entry.Body)
		switch ciphertext := escrow.Get([]byte(s.ID)); {
		case !ok:
		case named[s.ID]:
			return fmt.Errorf("%w: entry %d names escrow %s, and so does one before it", ErrDamaged, i, s.ID)
		case ciphertext == nil:
			return fmt.Errorf("%w: escrow %s of entry %d is missing", ErrDamaged, s.ID, i)
		case !fits(s, ciphertext):
			return fmt.Errorf("%w: escrow %s is not the ciphertext that entry %d names", ErrDamaged, s.ID, i)
		default:
			named[s.ID] = true
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	err := escrow.ForEach(func(k, _ []byte) error {
		if !named[string(k)] {
			return fmt.Errorf("%w: no entry names escrow %s", ErrDamaged, k)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketNotes).ForEach(func(k, _ []byte) error {
		if len(k) <= runIDSize {
			return fmt.Errorf("%w: note %x is of no run", ErrDamaged, k)
		}
		run := string(k[:runIDSize])
		if row, _, err := readRun(bucketRows{tx}, run); err != nil {
			return err
		} else if !row.Open() {
			return fmt.Errorf("%w: note %q of run %s, which is not open", ErrDamaged, k[runIDSize:], run)
		}
		return ctx.Err()
	})
}

// memoryRows holds index rows by bucket and key.
type memoryRows map[string]map[string]string

func (m memoryRows) get(bucket, key []byte) []byte {
	if v, ok := m[string(bucket)][string(key)]; ok {
		return []byte(v)
	}
	return nil
}

func (m memoryRows) put(bucket, key, value []byte) error {
	if m[string(bucket)] == nil {
		m[string(bucket)] = map[string]string{}
	}
	m[string(bucket)][string(key)] = string(value)
	return nil
}

func (m memoryRows) remove(bucket, key []byte) error {
	delete(m[string(bucket)], string(key))
	return nil
}

func (m memoryRows) each(bucket []byte, do func(key []byte) error) error {
	for key := range m[string(bucket)] {
		if err := do([]byte(key)); err != nil {
			return err
		}
	}
	return nil
}

var _ rows = memoryRows{}
var _ rows = bucketRows{}
