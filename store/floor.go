package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

var (
	bucketFloor = []byte("floor")
	ofFloor     = [][]byte{bucketFloor} // indexes that files of earlier versions do not have

	rowOpen = []byte("open")
)

// OpenJob is the job.begin of the job that is open. ok is false where none is.
func (d *DB) OpenJob() (begin ledger.Record, ok bool, err error) {
	return d.openAt(func(f ledger.Floor) int64 { return f.JobAt })
}

// OpenShift is the shift.begin of the shift that is open. ok is false where none is.
func (d *DB) OpenShift() (begin ledger.Record, ok bool, err error) {
	return d.openAt(func(f ledger.Floor) int64 { return f.ShiftAt })
}

func (d *DB) openAt(at func(ledger.Floor) int64) (begin ledger.Record, ok bool, err error) {
	var f ledger.Floor
	err = d.view(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketFloor) == nil {
			return nil // of an earlier version
		}
		f, err = readFloor(bucketRows{tx})
		return err
	})
	if err != nil || at(f) == 0 {
		return begin, false, err
	}
	all, err := d.records([]int64{at(f)})
	if err != nil {
		return begin, false, err
	}
	return all[0], true, nil
}

// indexFloor brings the open job and shift up to date with one more entry.
func indexFloor(r rows, i int64, b ledger.FloorEntry) error {
	f, err := readFloor(r)
	if err != nil {
		return err
	}
	next, err := f.After(i, b)
	if err != nil || next == f {
		return err
	}
	return putJSON(r, bucketFloor, rowOpen, next)
}

func readFloor(r rows) (f ledger.Floor, err error) {
	if text := r.get(bucketFloor, rowOpen); text != nil {
		if err := json.Unmarshal(text, &f); err != nil {
			return f, fmt.Errorf("%w: row of the open job and shift: %v", ErrDamaged, err)
		}
	}
	return f, nil
}
