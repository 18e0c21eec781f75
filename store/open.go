package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
)

const (
	lockTimeout = time.Second
	// A writer that must grow the memory map waits for every reader; a map larger than the file never grows.
	// It is address space, not memory and not disk.
	mapReserve = 1 << 30
)

// Create makes a new ledger whose first entry is station.init, and opens it. An existing file is never touched:
// fs.ErrExist. The file appears whole, with its first entry, or not at all.
func Create(path string, o Options) (*DB, error) {
	if _, err := o.check(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if _, err := os.Lstat(filepath.Join(o.Mirror, MirrorFile)); o.Mirror != "" && err == nil {
		return nil, fmt.Errorf("%s: %w: it is the mirror of an earlier ledger, which `station restore` brings back; or name another directory",
			filepath.Join(o.Mirror, MirrorFile), fs.ErrExist)
	}
	removeStale(path)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+freshSuffix) // mode 0600
	if err != nil {
		return nil, err
	}
	fresh := f.Name()
	defer os.Remove(fresh)
	if err := f.Close(); err != nil {
		return nil, err
	}
	d, err := open(fresh, o)
	if err != nil {
		return nil, err
	}
	err = d.bolt.Update(func(tx *bolt.Tx) error {
		if err := upgrade(tx); err != nil {
			return err
		}
		_, err := put(tx, d.entry(), ledger.StationInit{Software: o.Software, CheckpointKey: o.VerifierKey})
		return err
	})
	if err == nil {
		err = os.Link(fresh, path) // unlike a rename it replaces nothing
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("creating %s: %w", path, err), d.shut())
	}
	d.path = path
	return d.start()
}

// Open opens an existing ledger and signs its tail when that is unsigned. Errors wrap ErrInUse, ErrMismatch when it is
// the ledger of another station, of the other of real and simulated, or of another key, and ErrDamaged.
func Open(path string, o Options) (*DB, error) {
	if _, err := o.check(); err != nil {
		return nil, err
	}
	if err := inspect(path, o, o.present); errors.Is(err, errOtherKey) {
		return nil, fmt.Errorf("%w. Restore that key from the backup; if it is lost for good: `station key rotate checkpoint --lost`", err)
	} else if err != nil {
		return nil, err
	}
	d, err := openUpgraded(path, o)
	if err != nil {
		return nil, err
	}
	return d.start()
}

// openUpgraded opens a ledger that was inspected.
func openUpgraded(path string, o Options) (*DB, error) {
	d, err := open(path, o)
	if err != nil {
		return nil, err
	}
	if err := d.upgraded(); err != nil {
		return nil, errors.Join(err, d.shut())
	}
	return d, nil
}

// upgraded makes the present version of the file where it is not.
func (d *DB) upgraded() error {
	var old bool
	err := d.view(func(tx *bolt.Tx) error {
		old = version(tx) != fileVersion
		return nil
	})
	if err == nil && old {
		err = d.guard(func() error { return d.bolt.Update(upgrade) })
	}
	if err != nil {
		return fmt.Errorf("%s: making it file version %s: %w", d.path, fileVersion, err)
	}
	return nil
}

func version(tx *bolt.Tx) string { return string(tx.Bucket(bucketStore).Get([]byte("version"))) }

// upgrade makes the present version of an empty file, or of one of an earlier version.
func upgrade(tx *bolt.Tx) error {
	fresh := tx.Bucket(bucketKeys) == nil
	for _, name := range slices.Concat(buckets, kept, ofKeys, ofFloor) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	if fresh {
		if err := indexKeys(bucketRows{tx}, tx); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketStore).Put([]byte("version"), []byte(fileVersion))
}

// inspect looks at a ledger before it is opened for writing. bbolt's way of opening it reads every page in a goroutine
// of its own, where nothing catches the panic of a damaged one; so every page is read here first. known says whether its checkpoint keys are those of this station.
func inspect(path string, o Options, known func(ledger.Chain) bool) error {
	d, err := openReadOnly(path, o.Timeout)
	if err != nil {
		return err
	}
	err = d.view(func(tx *bolt.Tx) error {
		for _, name := range bucketsOf(tx) {
			if err := tx.Bucket(name).ForEach(func(_, _ []byte) error { return nil }); err != nil {
				return err
			}
		}
		if err := checkOwner(tx, o); err != nil {
			return err
		}
		chain, err := chainIn(tx)
		if err != nil {
			return err
		}
		if !known(chain) {
			return fmt.Errorf("%w: %w %s, and the keyring holds %s", ErrMismatch, errOtherKey, chain.Present(), o.VerifierKey)
		}
		return checkHead(tx, chain)
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return errors.Join(err, d.Close())
}

// OpenReadOnly opens an existing ledger for reading and auditing, however damaged its entries may be. Several readers may
// have it open at once, but not beside a writer: ErrInUse.
func OpenReadOnly(path string) (*DB, error) { return openReadOnly(path, 0) }

func openReadOnly(path string, timeout time.Duration) (*DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err // bbolt would make the file
	}
	d := newDB(path, Options{})
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s: %w: the file is empty", path, ErrDamaged)
	}
	if err := d.openFile(timeout, &bolt.Options{ReadOnly: true}); err != nil {
		return nil, err
	}
	err = d.view(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: %d of %d bytes are there", ErrDamaged, info.Size(), tx.Size())
		}
		return checkBuckets(tx)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.bolt.Close())
	}
	return d, nil
}

func newDB(path string, o Options) *DB {
	d := &DB{path: path, o: o, write: make(chan struct{}, 1), free: Free}
	d.close = d.closeOnce()
	return d
}

// open opens a ledger for writing, and keeps every other writer from its directory.
func open(path string, o Options) (*DB, error) {
	lock, err := lockDir(filepath.Dir(path), o.Timeout)
	if err != nil {
		return nil, err
	}
	d, err := openWriting(path, o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d.lock = lock
	return d, nil
}

func openWriting(path string, o Options) (*DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	d := newDB(path, o)
	err = d.openFile(o.Timeout, &bolt.Options{
		InitialMmapSize: int(info.Size()) + mapReserve,
		FreelistType:    bolt.FreelistMapType,
		NoFreelistSync:  true, // a stored freelist grows under a long reader, and with it the file
		NoSync:          o.Disk != nil,
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (d *DB) openFile(timeout time.Duration, o *bolt.Options) error {
	if o.Timeout = timeout; timeout <= 0 {
		o.Timeout = lockTimeout // bbolt's zero waits for ever
	}
	o.OpenFile = d.openKnown
	return d.guard(func() (err error) {
		d.bolt, err = bolt.Open(d.path, 0o600, o)
		var system syscall.Errno
		switch {
		case err == nil || errors.As(err, &system):
			return err
		case errors.Is(err, bolterrors.ErrTimeout):
			return fmt.Errorf("%s: %w: another station process has it open. Stop that one, or ask it instead", d.path, ErrInUse)
		}
		return fmt.Errorf("%s: %w: %v", d.path, ErrDamaged, err)
	})
}

// start opens the mirror, starts the signer, appends what is to come first, and has the tail signed.
func (d *DB) start(first ...ledger.Body) (*DB, error) {
	if err := d.mirrored(); err != nil {
		return nil, errors.Join(err, d.shut())
	}
	d.signer = newSigner(d)
	if len(first) > 0 {
		if _, err := d.Append(context.Background(), first...); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	if err := d.Sign(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("signing the tail of %s: %w", d.path, err), d.Close())
	}
	return d, nil
}

// guard turns the panics of bbolt on a damaged file, and faults in the part of the map that a truncated file no longer
// fills, into ErrDamaged.
func (d *DB) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", d.path, ErrDamaged, p)
		}
	}()
	err = do()
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// view is a short read transaction; do copies out what it needs. A station does not answer from a file that is gone: what passed there is known to no start.
func (d *DB) view(do func(*bolt.Tx) error) error {
	if d.lock != nil {
		if err := d.stands(); err != nil {
			return fmt.Errorf("%w (%w)", ErrMoved, err)
		}
	}
	return d.guard(func() error { return d.bolt.View(do) })
}

func checkBuckets(tx *bolt.Tx) error {
	b := tx.Bucket(bucketStore)
	if b == nil {
		return fmt.Errorf("%w: it is not a ledger of this program", ErrDamaged)
	}
	if v, known := version(tx), []string{fileVersion1, fileVersion2, fileVersion3, fileVersion}; !slices.Contains(known, v) {
		return fmt.Errorf("the ledger's file version is %q, and this program knows %q", v, known)
	}
	for _, name := range bucketsOf(tx) {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: bucket %s is missing", ErrDamaged, name)
		}
	}
	return nil
}

// bucketsOf are the buckets that a file of its version has.
func bucketsOf(tx *bolt.Tx) [][]byte {
	switch version(tx) {
	case fileVersion1:
		return buckets
	case fileVersion2:
		return slices.Concat(buckets, kept)
	case fileVersion3:
		return slices.Concat(buckets, kept, ofKeys)
	}
	return slices.Concat(buckets, kept, ofKeys, ofFloor)
}

// indexesOf are those of them that follow from the entries.
func indexesOf(tx *bolt.Tx) [][]byte {
	switch version(tx) {
	case fileVersion1, fileVersion2:
		return indexes
	case fileVersion3:
		return slices.Concat(indexes, ofKeys)
	}
	return slices.Concat(indexes, ofKeys, ofFloor)
}

// errOtherKey means that the file's checkpoints have another key. Where it is the station's ledger, the key is what is wrong.
var errOtherKey = errors.New("its checkpoint key is")

// present says whether the newest of these keys is the one that the options have.
func (o *Options) present(c ledger.Chain) bool { return c.Present() == o.VerifierKey }

func checkOwner(tx *bolt.Tx, o Options) error {
	e, err := ledger.Decode(tx.Bucket(bucketEntries).Get(number(0)))
	if err != nil {
		return fmt.Errorf("%w: entry 0: %v", ErrDamaged, err)
	}
	switch _, ok := e.Body.(ledger.StationInit); {
	case !ok:
		return fmt.Errorf("%w: entry 0 is %s, not %s", ErrDamaged, e.Body.Kind(), ledger.KindStationInit)
	case e.Station != o.Station:
		return fmt.Errorf("%w: it is the ledger of station %q, and this is station %q", ErrMismatch, e.Station, o.Station)
	case e.Simulated && !o.Simulated:
		return fmt.Errorf("%w: it is the ledger of a simulated station, and this is a real one", ErrMismatch)
	case !e.Simulated && o.Simulated:
		return fmt.Errorf("%w: it is the ledger of a real station, and this is a simulated one", ErrMismatch)
	}
	return nil
}

// checkHead compares the newest checkpoint with the tree, so that nothing is appended to a ledger that was cut off.
func checkHead(tx *bolt.Tx, chain ledger.Chain) error {
	size := last(tx.Bucket(bucketEntries)) + 1
	if hashes := last(tx.Bucket(bucketHashes)) + 1; hashes != tlog.StoredHashCount(size) {
		return fmt.Errorf("%w: %d entries with %d tree hashes", ErrDamaged, size, hashes)
	}
	cursor := tx.Bucket(bucketCheckpoints).Cursor()
	k, text := cursor.Last()
	if k == nil {
		return nil
	}
	signed, before := last(tx.Bucket(bucketCheckpoints)), int64(0)
	if k, _ := cursor.Prev(); len(k) == 8 {
		before = int64(binary.BigEndian.Uint64(k))
	}
	vs, err := verifiers(chain.Signers(before, signed))
	if err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	c, err := ledger.OpenCheckpoint(text, vs...)
	if err != nil {
		return fmt.Errorf("%w: newest checkpoint: %v", ErrDamaged, err)
	}
	if c.Size > size {
		return fmt.Errorf("%w: a checkpoint of size %d was signed, and there are %d entries", ErrDamaged, c.Size, size)
	}
	if root, err := tlog.TreeHash(c.Size, hashes{tx}); err != nil || root != c.Root {
		return fmt.Errorf("%w: the checkpoint of size %d was signed over another tree", ErrDamaged, c.Size)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
