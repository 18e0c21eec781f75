package store

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
)

// Append writes bodies as consecutive entries, all or none, and returns the index of the first. It stamps station, time
// and time since boot. When it returns, they are durable; their checkpoint follows by itself.
//
// A body that may not stand there is refused with ledger.ErrGrammar and changes nothing. After a write that failed,
// every further one is refused with ErrBroken: what the disk holds shows only when the file is opened again. Where the file is not at its path
// any more, before the write or after it, every one is refused with ErrMoved.
// ctx limits the waiting for other writers, not the write.
func (d *DB) Append(ctx context.Context, bodies ...ledger.Body) (first int64, err error) {
	return d.Commit(ctx, ledger.Change{Bodies: bodies})
}

// change is what a transaction does, on the ledger's file and then on the mirror's: the same on both. It returns the index of the first entry.
// at is an entry without its body.
type change func(tx *bolt.Tx, at ledger.Entry) (first int64, err error)

// update is the only way to write: one at a time, and never again after a commit failed. An error that wraps ErrMirror comes with the
// index of the first entry where the ledger has the change and the mirror does not, and with 0 where neither has.
func (d *DB) update(ctx context.Context, permanent bool, do change) (first int64, err error) {
	if d.signer == nil {
		return 0, ErrReadOnly
	}
	release, err := d.hold(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	if err := d.writable(); err != nil {
		return 0, err
	}
	if permanent && d.mirror != nil {
		if err := d.mirror.ready(d); err != nil {
			return 0, err
		}
	}
	at := d.entry()
	committing := false
	err = d.guard(func() error {
		err := d.bolt.Update(func(tx *bolt.Tx) (err error) {
			if first, err = do(tx, at); err != nil {
				return err
			}
			committing = true
			return d.disk(false)
		})
		if err == nil {
			err = d.disk(true)
		}
		return err
	})
	if err != nil && committing && !errors.Is(err, ErrClosed) {
		d.broken = err
		return 0, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err != nil {
		return 0, err
	}
	if err := d.writable(); err != nil { // it went away meanwhile, with the change
		return 0, err
	}
	if d.mirror != nil {
		if err := d.mirror.apply(d, do, at, first); err != nil && permanent {
			return first, err
		}
	}
	return first, nil
}

// entry is an entry of now, without a body.
func (d *DB) entry() ledger.Entry {
	return ledger.Entry{Station: d.o.Station, Simulated: d.o.Simulated, Time: d.o.Now(), Boot: d.o.Boot()}
}

func (d *DB) disk(written bool) error {
	if d.o.Disk == nil {
		return nil
	}
	return d.o.Disk(written)
}

// hold waits until nobody else writes.
func (d *DB) hold(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case d.write <- struct{}{}:
		return func() { <-d.write }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// put adds entries with their hashes and index rows, and forgets the notes of the runs that they settle.
func put(tx *bolt.Tx, entry ledger.Entry, bodies ...ledger.Body) (records []ledger.Record, err error) {
	entries, tree := tx.Bucket(bucketEntries), tx.Bucket(bucketHashes)
	first := last(entries) + 1
	for k, body := range bodies {
		i := first + int64(k)
		entry.Body = body
		leaf, err := entry.Encode()
		if err != nil {
			return nil, err
		}
		// What cannot be read back must not get in.
		read, err := ledger.Decode(leaf)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", body.Kind(), err)
		}
		records = append(records, ledger.Record{Index: i, Entry: read, Bytes: leaf})
		settled, err := index(bucketRows{tx}, records[k])
		if err != nil {
			return nil, err
		}
		if settled != "" {
			if err := forgetNotes(tx, settled); err != nil {
				return nil, err
			}
		}
		if err := entries.Put(number(i), leaf); err != nil {
			return nil, err
		}
		stored, err := tlog.StoredHashes(i, leaf, hashes{tx})
		if err != nil {
			return nil, fmt.Errorf("%w: tree hashes before entry %d: %w", ErrDamaged, i, err)
		}
		for n, h := range stored {
			if err := tree.Put(number(tlog.StoredHashIndex(0, i)+int64(n)), h[:]); err != nil {
				return nil, err
			}
		}
	}
	return records, nil
}

// hashes reads tree hashes within a transaction.
type hashes struct{ tx *bolt.Tx }

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	b := h.tx.Bucket(bucketHashes)
	out := make([]tlog.Hash, len(indexes))
	for k, i := range indexes {
		v := b.Get(number(i))
		if len(v) != tlog.HashSize {
			return nil, fmt.Errorf("tree hash %d: %w", i, ledger.ErrMissing)
		}
		copy(out[k][:], v)
	}
	return out, nil
}
