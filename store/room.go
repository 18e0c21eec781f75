package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// ErrFull says that the disk is nearly full.
var ErrFull = errors.New("the disk is nearly full")

// leastRoom is what has to be free before another run is begun, in bytes. bbolt lets a file grow by 16 MiB at a time, and the runs that are open by
// then, their escrows and reports have to fit as well.
const leastRoom = 128 << 20

// Room wraps ErrFull where the file system of the ledger has no room for one more run.
func (d *DB) Room() error {
	dir := filepath.Dir(d.path)
	free, _, err := d.free(dir)
	switch {
	case err != nil:
		return fmt.Errorf("how much is free in %s: %w", dir, err)
	case free < leastRoom:
		return fmt.Errorf("%w: %d MiB are free in %s, and %d are needed before another run is begun. What is under way goes on", ErrFull, free>>20, dir, leastRoom>>20)
	}
	return nil
}

// Free is what this user may still write to the file system of dir: bytes, and files, 0 where it does not count them.
func Free(dir string) (bytes, files uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Ffree, nil
}
