package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrMoved means that the path of a ledger no longer names the file that is open: no start would find what is written there. Nothing is written any more.
var ErrMoved = errors.New("the ledger's file was moved away or replaced while the station works: stop the station, and put that very file back, or restore it, before it is started again")

const lockPoll = 20 * time.Millisecond

// lockDir keeps other writers from the directory of a ledger, whatever becomes of the ledger's file: a flock(2) of the directory itself, which ends with the process.
// It waits for timeout, 0 meaning lockTimeout, and then is ErrInUse.
func lockDir(dir string, timeout time.Duration) (*os.File, error) {
	if timeout <= 0 {
		timeout = lockTimeout
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(timeout); ; time.Sleep(lockPoll) {
		err := flock(f)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), f.Close())
		case time.Now().After(end):
			return nil, errors.Join(fmt.Errorf("%s: %w: another station process works in that directory. Stop that one, or ask it instead", dir, ErrInUse), f.Close())
		}
	}
}

// openKnown opens the ledger's file for bbolt, and keeps which file it is.
func (d *DB) openKnown(path string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if d.file, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// stands says whether the open file still is the one that the next start would find.
func (d *DB) stands() error {
	now, err := os.Stat(d.path)
	if err == nil && !os.SameFile(now, d.file) {
		err = fmt.Errorf("%s is another file now", d.path)
	}
	return err
}

// writable says why nothing can be written any more. It is for whoever holds write.
func (d *DB) writable() error {
	if d.broken == nil {
		if err := d.stands(); err != nil {
			d.broken = fmt.Errorf("%w (%w)", ErrMoved, err)
		}
	}
	if d.broken == nil || errors.Is(d.broken, ErrMoved) {
		return d.broken
	}
	return fmt.Errorf("%w (%v)", ErrBroken, d.broken)
}

// Writable says why nothing can be written until the file is opened again: ErrBroken or ErrMoved. It waits for nobody: while somebody writes it says nothing.
func (d *DB) Writable() error {
	select {
	case d.write <- struct{}{}:
		defer func() { <-d.write }()
		return d.writable()
	default:
		return nil
	}
}

// shut closes the file, and lets other writers into its directory.
func (d *DB) shut() error {
	err := d.bolt.Close()
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}
