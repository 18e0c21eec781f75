package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// headRow is how far a ledger file has come.
type headRow struct {
	size, signed int64
	root         tlog.Hash
}

func (h headRow) String() string {
	return fmt.Sprintf("%d entries (tree hash %x)", h.size, h.root[:])
}

// compare reads the heads of two ledgers, and whether the second is the beginning of the first, or all of it (RFC 6962, 2.1.2, over the
// stored hashes of both).
func compare(d, other *DB) (ours, theirs headRow, prefix bool, err error) {
	if ours, err = d.headRow(); err != nil {
		return ours, theirs, false, err
	}
	if theirs, err = other.headRow(); err != nil || theirs.size > ours.size {
		return ours, theirs, false, err
	}
	err = d.view(func(tx *bolt.Tx) error {
		root, err := tlog.TreeHash(theirs.size, hashes{tx})
		prefix = root == theirs.root
		return err
	})
	return ours, theirs, prefix, err
}

func (d *DB) headRow() (h headRow, err error) {
	err = d.view(func(tx *bolt.Tx) (err error) {
		h.size, h.signed = last(tx.Bucket(bucketEntries))+1, last(tx.Bucket(bucketCheckpoints))
		h.root, err = tlog.TreeHash(h.size, hashes{tx})
		return err
	})
	return h, err
}

// newFile has a file appear at path whole and durable or not at all, after check, where there is one, has seen it under another name.
func newFile(path string, write func(io.Writer) error, check func(path string) error) error {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(fresh)
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if check != nil {
		if err := check(fresh); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
