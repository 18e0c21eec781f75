package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// Restoration says what a ledger is made of again, and who wants it.
type Restoration struct {
	Backup     string // file
	Mirror     string // directory of the mirror, "" where it is lost too
	Reason, By string
	// LostKey goes on with another checkpoint key than that of the copy, which is lost (ledger.StationKey).
	LostKey bool
}

// Restore makes a ledger at path of a backup or, where the mirror is there and is the backup with more entries, of the mirror, appends station.epoch, and
// opens it. Both are checked whole first (CheckFile). An existing ledger is never touched: fs.ErrExist. It appears whole or not at all. Errors are those of
// Open and CheckFile.
func Restore(ctx context.Context, path string, o Options, from Restoration) (d *DB, epoch ledger.StationEpoch, err error) {
	if _, err := o.check(); err != nil {
		return nil, epoch, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, epoch, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if _, err := os.Lstat(filepath.Join(o.Mirror, MirrorFile)); err == nil && o.Mirror != "" && !sameDir(o.Mirror, from.Mirror) {
		return nil, epoch, fmt.Errorf("%s: %w, and would not be restored from: name its directory as the mirror to restore from, or move it away", filepath.Join(o.Mirror, MirrorFile), fs.ErrExist)
	}
	known := o.present
	if from.LostKey {
		known = func(c ledger.Chain) bool { return !c.Has(o.VerifierKey) }
	}
	epoch = ledger.StationEpoch{Software: o.Software, From: ledger.FromBackup, Reason: from.Reason, By: from.By}
	source, ofBackup := from.Backup, known
	if from.Mirror != "" {
		source = filepath.Join(from.Mirror, MirrorFile)
		epoch.From = ledger.FromMirror
		if theirs, err := KeysOf(source); err == nil { // the key may have changed since the backup
			ofBackup = theirs.SameStart
		}
	}
	head, err := o.copyOf(ctx, from.Backup, ofBackup)
	if err != nil {
		return nil, epoch, err
	}
	if from.Mirror != "" {
		theirs, err := o.copyOf(ctx, source, known)
		if err == nil {
			err = continues(source, from.Backup)
		}
		if err != nil {
			return nil, epoch, err
		}
		head = theirs
	}
	epoch.Known, epoch.Root = head.Entries, head.Root
	bodies := []ledger.Body{epoch}
	if from.LostKey {
		was, err := KeysOf(source)
		if err != nil {
			return nil, epoch, err
		}
		bodies = append(bodies, ledger.StationKey{From: was.Present(), To: o.VerifierKey, Lost: true, Reason: from.Reason, By: from.By})
	}
	d, err = o.goOn(path, source, bodies)
	return d, epoch, err
}

// sameDir tells whether two paths are of one directory, however they are spelt.
func sameDir(a, b string) bool {
	x, aErr := os.Stat(a)
	y, bErr := os.Stat(b)
	return aErr == nil && bErr == nil && os.SameFile(x, y)
}

// copyOf checks a copy of the ledger of this station.
func (o Options) copyOf(ctx context.Context, path string, known func(ledger.Chain) bool) (h Head, err error) {
	if err := inspect(path, o, known); err != nil {
		return h, DamagedCopy(err)
	}
	h, err = CheckFile(ctx, path)
	return h, DamagedCopy(err)
}

// keepMirror is what to do with a mirror that forks from the ledger.
const keepMirror = "Keep that mirror, it may hold the only escrows of units that it alone has: copied to `ledger.db` in a directory of its own, DIR, it is read by " +
	"`station unit list --data DIR`, and by `unit show`, `escrow open` and `audit verify` with the same --data"

// continues says whether a mirror is a backup with more entries, or the same.
func continues(mirror, backup string) error {
	m, err := OpenReadOnly(mirror)
	if err != nil {
		return err
	}
	defer m.Close()
	b, err := OpenReadOnly(backup)
	if err != nil {
		return err
	}
	defer b.Close()
	theirs, ours, prefix, err := compare(m, b)
	switch {
	case err != nil:
		return err
	case prefix:
		return nil
	case theirs.size < ours.size:
		if _, _, prefix, err = compare(b, m); err != nil {
			return err
		} else if !prefix {
			break
		}
		return fmt.Errorf("the mirror %s ends before the backup: it has %s, and %s has %s. It was lost before the backup was made: restore without it", mirror, theirs, backup, ours)
	}
	return fmt.Errorf("the mirror %s does not go on from the backup: it has %s, and %s has %s. The ledger went on from a copy between the two, and no ledger can be made of both. %s", mirror, theirs, backup, ours, keepMirror)
}

// goOn makes a ledger of a copy, with these entries more.
func (o Options) goOn(path, source string, bodies []ledger.Body) (d *DB, err error) {
	removeStale(path)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+freshSuffix)
	if err != nil {
		return nil, err
	}
	fresh := f.Name()
	defer os.Remove(fresh)
	from, err := OpenReadOnly(source)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := errors.Join(newFile(fresh, from.Copy, nil), from.Close()); err != nil {
		return nil, err
	}
	if d, err = open(fresh, o); err != nil {
		return nil, err
	}
	err = d.guard(func() error {
		return d.bolt.Update(func(tx *bolt.Tx) error {
			if err := upgrade(tx); err != nil {
				return err
			}
			_, err := put(tx, d.entry(), bodies...)
			return err
		})
	})
	if err == nil {
		err = os.Link(fresh, path) // unlike a rename it replaces nothing
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("restoring %s: %w", path, err), d.shut())
	}
	d.path = path
	return d.start()
}

// Epochs returns every station.epoch, oldest first.
func (d *DB) Epochs() ([]ledger.Record, error) {
	var wanted []int64
	err := d.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketSerials).Cursor()
		prefix := named("") // no serial is empty
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			wanted = append(wanted, int64(binary.BigEndian.Uint64(k[len(prefix):])))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.records(wanted)
}

// Quarantine returns the runs that wait to be seen since entries after theirs may be missing (ledger.Run.Quarantined), oldest first, and where
// these may be missing: the index of the newest epoch, 0 for none.
func (d *DB) Quarantine() (runs []ledger.Run, lost int64, err error) {
	epochs, err := d.Epochs()
	if err != nil {
		return nil, 0, err
	}
	lost = ledger.LostAt(epochs)
	open, err := d.OpenRuns()
	for _, r := range open {
		if r.Quarantined(lost) {
			runs = append(runs, r)
		}
	}
	return runs, lost, err
}
