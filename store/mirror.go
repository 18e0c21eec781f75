package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// ErrMirror means that the mirror does not have a change that has to be there before it counts. ErrFork means that the mirror
// has entries that the ledger lacks.
var (
	ErrMirror = ledger.ErrMirror
	ErrFork   = errors.New("the mirror has entries that the ledger lacks")
)

// MirrorFile is the name of the mirror in its directory: a ledger file as any other.
const MirrorFile = "mirror.db"

const (
	mirrorLimit = 10 * time.Second // longest wait for one transaction on the mirror
	reviveLimit = 20 * time.Second // to bring up one that was lost; every writer waits meanwhile
	attachLimit = 10 * time.Minute // to bring it up when the ledger is opened
)

// mirror is a copy of the ledger on a second disk, which takes every transaction of the first. It is used by whoever holds write.
type mirror struct {
	dir   string
	db    *DB           // nil while the mirror is lost
	lost  error         // why it is lost
	where atomic.Value  // string: one of the Mirror constants of package ledger, for whoever asks
	busy  chan struct{} // holds a token until a call into the mirror's disk comes back
}

// Mirror says where a second copy of the ledger is right now: one of the Mirror constants of package ledger. It never waits.
func (d *DB) Mirror() string {
	if d.mirror == nil {
		return ledger.MirrorNone
	}
	return d.mirror.where.Load().(string)
}

// mirrored opens the mirror of a ledger that was opened for writing. One that cannot be reached is lost, which is no error; one that
// is not a mirror of this ledger is.
func (d *DB) mirrored() error {
	if d.o.Mirror == "" {
		return nil
	}
	m := &mirror{dir: d.o.Mirror, busy: make(chan struct{}, 1)}
	m.where.Store(ledger.MirrorAway)
	d.mirror = m
	err := m.attach(d, attachLimit)
	for _, wrong := range []error{ErrFork, ErrMismatch, ErrDamaged} {
		if errors.Is(err, wrong) {
			return notMirror(m.path(), err)
		}
	}
	switch {
	case err != nil:
		m.lose(d, err)
	case d.Mirror() == ledger.MirrorSameDisk:
		d.o.Tell(fmt.Sprintf("the mirror in %s is on the same file system as the ledger: a disk that dies takes both", m.dir))
	}
	return nil
}

// notMirror says what to do about a file that stands in the mirror's place.
func notMirror(path string, err error) error {
	if errors.Is(err, ErrFork) {
		return err
	}
	return fmt.Errorf("%s is not the mirror of this ledger: %w. Move it away, and the mirror is made anew; or name another directory", path, DamagedCopy(err))
}

// DamagedCopy is an error about a copy of the ledger, without the advice that ErrDamaged has for the ledger itself; it no longer wraps that.
func DamagedCopy(err error) error {
	if err == nil || !errors.Is(err, ErrDamaged) {
		return err
	}
	return errors.New(strings.Replace(err.Error(), ErrDamaged.Error(), "it is damaged", 1))
}

// plain is an error of the mirror without what is for the ledger itself.
func (m *mirror) plain(err error) error {
	if errors.Is(err, ErrInUse) {
		return fmt.Errorf("%s is in use: another process has the mirror open", m.path())
	}
	return DamagedCopy(err)
}

func (m *mirror) path() string { return filepath.Join(m.dir, MirrorFile) }

// ready makes sure that the mirror is there and has all that the ledger has. Errors wrap ErrMirror.
func (m *mirror) ready(d *DB) error {
	if m.db != nil {
		if err := m.within(mirrorLimit, m.db.stands, nil); err != nil {
			m.lose(d, err)
		}
	}
	if m.db != nil {
		return nil
	}
	if err := m.attach(d, reviveLimit); err != nil {
		m.lost = err
		return m.err()
	}
	d.o.Tell("the mirror in " + m.dir + " is back, and has all that the ledger has")
	return nil
}

// err is why the mirror is lost.
func (m *mirror) err() error { return fmt.Errorf("%w: %s: %w", ErrMirror, m.dir, m.plain(m.lost)) }

// apply does on the mirror what was done on the ledger, where the first entry was first. Errors wrap ErrMirror.
func (m *mirror) apply(d *DB, do change, at ledger.Entry, first int64) error {
	if m.db == nil {
		return m.err()
	}
	db := m.db
	err := m.within(mirrorLimit, func() error {
		err := db.guard(func() error {
			return db.bolt.Update(func(tx *bolt.Tx) error {
				i, err := do(tx, at)
				if err == nil && i != first {
					err = fmt.Errorf("entry %d would be its entry %d", first, i)
				}
				return err
			})
		})
		return errors.Join(err, db.stands())
	}, func() { db.bolt.Close() })
	if err == nil {
		return nil
	}
	m.lose(d, err)
	return m.err()
}

// lose gives the mirror up until ready finds it again.
func (m *mirror) lose(d *DB, err error) {
	m.lost = err
	m.where.Store(ledger.MirrorAway)
	if db := m.db; db != nil {
		m.db = nil
		m.within(mirrorLimit, func() error { return db.bolt.Close() }, nil) // it is given up already
	}
	d.o.Tell(fmt.Sprintf("the mirror in %s is lost: %v. Nothing permanent is done until it is back; everything else goes on", m.dir, m.plain(err)))
}

// closeMirror closes the mirror's file, once nobody writes.
func (d *DB) closeMirror() error {
	if d.mirror == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	release, err := d.hold(ctx)
	if err != nil {
		return fmt.Errorf("closing the mirror: %w", err)
	}
	defer release()
	if d.mirror.db == nil {
		return nil
	}
	return d.mirror.within(mirrorLimit, d.mirror.db.bolt.Close, nil)
}

// within has a disk do something, and gives up waiting for it after limit; then late is called when it has come back, and nothing
// else is tried before.
func (m *mirror) within(limit time.Duration, do func() error, late func()) error {
	select {
	case m.busy <- struct{}{}:
	default:
		return errors.New("its disk has not answered an earlier call yet")
	}
	done := make(chan error, 1)
	go func() {
		err := do()
		<-m.busy
		done <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		if late != nil {
			go func() {
				<-done
				late()
			}()
		}
		return fmt.Errorf("its disk did not answer within %v", limit)
	}
}

// attach opens the mirror, and makes it a whole copy of the ledger first where it is behind or missing.
func (m *mirror) attach(d *DB, limit time.Duration) error {
	var db *DB
	var sameDev bool
	err := m.within(limit, func() (err error) {
		if db, err = m.bringUp(d); err != nil {
			return err
		}
		if sameDev, err = sameFileSystem(d.path, db.file); err != nil {
			db.bolt.Close()
		}
		return err
	}, func() {
		if db != nil {
			db.bolt.Close()
		}
	})
	if err == nil {
		m.db, m.lost = db, nil
		where := ledger.MirrorSecondDisk
		if sameDev {
			where = ledger.MirrorSameDisk
		}
		m.where.Store(where)
	}
	return err
}

func (m *mirror) bringUp(d *DB) (*DB, error) {
	// The directory is never made: a mount point without its disk would be a place on the first disk.
	if info, err := os.Stat(m.dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", m.dir)
	}
	behind, err := m.behind(d)
	if err == nil && behind {
		err = newFile(m.path(), d.Copy, nil)
	}
	if err != nil {
		return nil, err
	}
	db, err := openWriting(m.path(), d.o)
	if err != nil {
		return nil, err
	}
	if err := db.upgraded(); err != nil {
		return nil, errors.Join(err, db.bolt.Close())
	}
	return db, nil
}

// behind compares the mirror with the ledger. Errors wrap ErrFork, or are those of inspect.
func (m *mirror) behind(d *DB) (bool, error) {
	ours, err := d.Keys()
	if err != nil {
		return false, err
	}
	err = inspect(m.path(), d.o, ours.SameStart)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	r, err := openReadOnly(m.path(), d.o.Timeout)
	if err != nil {
		return false, err
	}
	defer r.Close()
	us, them, prefix, err := compare(d, r)
	if err != nil {
		return false, err
	}
	if !prefix {
		return false, forked(d, r, us, them)
	}
	return us != them, nil
}

// forked names both heads of a ledger and of a mirror that is not its beginning, and what to do.
func forked(d, m *DB, ours, theirs headRow) error {
	_, _, more, err := compare(m, d)
	if err != nil {
		return err
	}
	advice := "The ledger was rolled back. Move it away and have `station restore` make one of it and of the mirror"
	if !more {
		advice = "The ledger was restored without that mirror, and `station restore` cannot make one ledger of both: move the mirror away, and a new one is made. " + keepMirror
	}
	return fmt.Errorf("%w: %s has %s, and %s has %s. %s", ErrFork, m.path, theirs, d.path, ours, advice)
}

// ExamineMirror looks at the mirror in dir of the ledger at path, and changes nothing: whether it is on the same file system, and what would be wrong with it at
// the next start. One that is behind, or not made yet, is not wrong. ErrInUse means that a station is at work with it.
func ExamineMirror(path, dir string) (sameDisk bool, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s is not a directory", dir)
	}
	if sameDisk, err = sameFileSystem(path, info); err != nil {
		return false, err
	}
	m, err := OpenReadOnly(filepath.Join(dir, MirrorFile))
	if errors.Is(err, fs.ErrNotExist) {
		return sameDisk, nil
	} else if err != nil {
		return sameDisk, DamagedCopy(err)
	}
	defer m.Close()
	d, err := OpenReadOnly(path)
	if err != nil {
		return sameDisk, err
	}
	defer d.Close()
	first, err := d.Leaf(0)
	if err != nil {
		return sameDisk, err
	}
	if begin, err := m.Leaf(0); err != nil || !bytes.Equal(begin, first) {
		return sameDisk, fmt.Errorf("%w: %s begins otherwise", ErrMismatch, m.path)
	}
	ours, theirs, prefix, err := compare(d, m)
	if err == nil && !prefix {
		err = forked(d, m, ours, theirs)
	}
	return sameDisk, DamagedCopy(err)
}

// sameFileSystem tells whether a file is on the file system of the file at path (st_dev, stat(2)).
func sameFileSystem(path string, file os.FileInfo) (bool, error) {
	first, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return first.Sys().(*syscall.Stat_t).Dev == file.Sys().(*syscall.Stat_t).Dev, nil
}
