package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
)

// chunk is how many entries one read transaction copies out, so that it stays short.
const chunk = 256

// Size is the number of entries.
func (d *DB) Size() (size int64, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		size = last(tx.Bucket(bucketEntries)) + 1
		return nil
	})
	return size, err
}

// Leaf returns the canonical bytes of entry i. The error wraps ledger.ErrMissing where there is none.
func (d *DB) Leaf(i int64) (leaf []byte, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		leaf = bytes.Clone(tx.Bucket(bucketEntries).Get(number(i)))
		return nil
	})
	if err == nil && leaf == nil {
		err = fmt.Errorf("entry %d: %w", i, ledger.ErrMissing)
	}
	return leaf, err
}

// ReadHashes returns stored tree hashes (tlog.HashReader). The error wraps ledger.ErrMissing where there is none.
func (d *DB) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	err = d.view(func(tx *bolt.Tx) (err error) {
		out, err = hashes{tx}.ReadHashes(indexes)
		return err
	})
	return out, err
}

// Checkpoint returns the first stored checkpoint (signed note) that is kept under size or more. The error wraps
// ledger.ErrMissing where there is none.
func (d *DB) Checkpoint(size int64) (kept int64, text []byte, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		k, v := tx.Bucket(bucketCheckpoints).Cursor().Seek(number(size))
		if len(k) != 8 {
			return fmt.Errorf("checkpoint of size %d: %w", size, ledger.ErrMissing)
		}
		kept, text = int64(binary.BigEndian.Uint64(k)), bytes.Clone(v)
		return nil
	})
	return kept, text, err
}

// Signed is the number of entries that the newest checkpoint covers, 0 where there is none.
func (d *DB) Signed() (size int64, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		size = max(0, last(tx.Bucket(bucketCheckpoints)))
		return nil
	})
	return size, err
}

// Entry returns entry i. The error wraps ledger.ErrMissing where there is none, and ErrDamaged when it cannot be read.
func (d *DB) Entry(i int64) (ledger.Record, error) {
	leaf, err := d.Leaf(i)
	if err != nil {
		return ledger.Record{}, err
	}
	return record(i, leaf)
}

// Records returns the entries from index from up to, not including, to; errors as Entry has them.
func (d *DB) Records(from, to int64) ([]ledger.Record, error) {
	if from < 0 || to < from {
		return nil, fmt.Errorf("entries %d to %d: %w", from, to, ledger.ErrMissing)
	}
	var out []ledger.Record
	for from < to {
		wanted := make([]int64, min(chunk, to-from))
		for k := range wanted {
			wanted[k] = from + int64(k)
		}
		records, err := d.records(wanted)
		if err != nil {
			return nil, err
		}
		out = append(out, records...)
		from += int64(len(wanted))
	}
	return out, nil
}

// records reads the entries with these indexes in transactions of a chunk each.
func (d *DB) records(wanted []int64) ([]ledger.Record, error) {
	var out []ledger.Record
	for part := range slices.Chunk(wanted, chunk) {
		leaves := make([][]byte, len(part))
		err := d.view(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketEntries)
			for k, i := range part {
				if leaves[k] = bytes.Clone(b.Get(number(i))); leaves[k] == nil {
					return fmt.Errorf("entry %d: %w", i, ledger.ErrMissing)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for k, i := range part {
			r, err := record(i, leaves[k])
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func record(i int64, leaf []byte) (ledger.Record, error) {
	e, err := ledger.Decode(leaf)
	if err != nil {
		return ledger.Record{}, fmt.Errorf("%w: entry %d: %w", ErrDamaged, i, err)
	}
	return ledger.Record{Index: i, Entry: e, Bytes: leaf}, nil
}

// Run returns one run by its id. The error wraps ledger.ErrMissing where there is none.
func (d *DB) Run(id string) (ledger.Run, error) {
	runs, err := d.runs(func(tx *bolt.Tx, found map[string]bool) {
		found[id] = true
	})
	if err != nil {
		return ledger.Run{}, err
	}
	if len(runs) == 0 {
		return ledger.Run{}, fmt.Errorf("run %q: %w", id, ledger.ErrMissing)
	}
	return runs[0], nil
}

// Runs returns every run whose serial is serial or that met the chip with that UID, oldest first. An empty string
// matches nothing.
func (d *DB) Runs(serial, uid string) ([]ledger.Run, error) {
	return d.runs(func(tx *bolt.Tx, found map[string]bool) {
		runsOf(tx, bucketSerials, serial, found)
		runsOf(tx, bucketUIDs, uid, found)
	})
}

// runsOf finds the runs that the rows of a name lead to, in the index of serials or of UIDs. "" has none.
func runsOf(tx *bolt.Tx, bucket []byte, name string, found map[string]bool) {
	if name == "" || len(name) > maxName {
		return
	}
	prefix := named(name)
	c := tx.Bucket(bucket).Cursor()
	for k, id := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, id = c.Next() {
		if len(id) == runIDSize {
			found[string(id)] = true
		}
	}
}

// OpenRuns returns the runs that were begun and never settled, oldest first.
func (d *DB) OpenRuns() ([]ledger.Run, error) {
	return d.runs(func(tx *bolt.Tx, found map[string]bool) {
		c := tx.Bucket(bucketOpenRuns).Cursor()
		for k, id := c.First(); k != nil; k, id = c.Next() {
			found[string(id)] = true
		}
	})
}

// runs reads the runs whose ids find finds, as they are at that moment, oldest first.
func (d *DB) runs(find func(tx *bolt.Tx, found map[string]bool)) ([]ledger.Run, error) {
	var wanted []int64
	err := d.view(func(tx *bolt.Tx) error {
		found := map[string]bool{}
		find(tx, found)
		wanted = runEntries(tx, found)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(wanted, cmp.Compare[int64])
	records, err := d.records(wanted)
	if err != nil {
		return nil, err
	}
	return ledger.Runs(records), nil
}

// runEntries are the indexes of the entries of these runs, in no order.
func runEntries(tx *bolt.Tx, runs map[string]bool) (wanted []int64) {
	c := tx.Bucket(bucketRunEntries).Cursor()
	for id := range runs {
		if len(id) != runIDSize {
			continue
		}
		for k, _ := c.Seek([]byte(id)); bytes.HasPrefix(k, []byte(id)); k, _ = c.Next() {
			wanted = append(wanted, int64(binary.BigEndian.Uint64(k[runIDSize:])))
		}
	}
	return wanted
}
