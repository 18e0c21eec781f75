package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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

// newFile has a file appear at path whole and durable or not at all, after check, where there is one, has seen it under another name: one that nobody can know, so that
// no link is followed and nobody else's file is written to, with mode 0600. It removes first what such calls left that died.
func newFile(path string, write func(io.Writer) error, check func(path string) error) error {
	removeStale(path)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+freshSuffix)
	if err != nil {
		return err
	}
	fresh := f.Name()
	defer os.Remove(fresh)
	if err = flock(f); err == nil {
		err = write(f)
	}
	if err == nil {
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

// freshSuffix follows the name of a file that is being made, and digits it.
const freshSuffix = ".new-"

// removeStale removes the regular files that were being made for path when their process died: nobody has them locked.
func removeStale(path string) {
	all, _ := os.ReadDir(filepath.Dir(path)) // what cannot be read has none that could be removed
	for _, e := range all {
		digits, is := strings.CutPrefix(e.Name(), filepath.Base(path)+freshSuffix)
		if !is || digits == "" || strings.Trim(digits, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		stale := filepath.Join(filepath.Dir(path), e.Name())
		if f, err := os.OpenFile(stale, os.O_RDWR|syscall.O_NOFOLLOW, 0); err == nil {
			if flock(f) == nil {
				os.Remove(stale)
			}
			f.Close()
		}
	}
}

// flock locks an open file against everybody else's (flock(2)), at once or not at all.
func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
