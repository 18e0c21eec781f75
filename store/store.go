// Package store keeps the ledger on disk, in one bbolt file: entries, tree hashes, checkpoints, and the indexes that
// answer who, what and when. What an entry means and how a ledger is verified belongs to package ledger.
package store

import (
	"context"
	"errors"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
)

// Errors that callers branch on. A missing file is fs.ErrNotExist, an existing one at Create fs.ErrExist.
var (
	ErrInUse    = errors.New("another station process has the ledger open")
	ErrMismatch = errors.New("the ledger belongs to another station or key")
	ErrDamaged  = errors.New("the ledger is damaged")
	ErrReadOnly = errors.New("the ledger is open for reading only")
)

// Options of a ledger that is written to.
type Options struct {
	Station     string // station id
	Simulated   bool
	Software    string      // name and version of the program, for station.init
	Signer      note.Signer // signs checkpoints; its name is ledger.Origin(Station)
	VerifierKey string      // Signer's public half, as note.NewVerifier reads it

	Now     func() time.Time     // wall time; nil means time.Now
	Boot    func() time.Duration // time since the PC booted; nil means what Linux tells
	Timeout time.Duration        // how long to wait for the file's lock; 0 means one second
}

// DB is an open ledger. Safe for concurrent use.
type DB struct{}

// Create makes a new ledger whose first entry is station.init, and opens it. It never touches an existing file.
func Create(path string, o Options) (*DB, error) { return nil, errors.ErrUnsupported }

// Open opens an existing ledger and signs its tail when that is unsigned.
func Open(path string, o Options) (*DB, error) { return nil, errors.ErrUnsupported }

// OpenReadOnly opens an existing ledger for reading and auditing. Several readers may have it open at once, but no
// writer.
func OpenReadOnly(path string) (*DB, error) { return nil, errors.ErrUnsupported }

// Close signs what is unsigned, waits for the signer, and closes the file. Idempotent.
func (d *DB) Close() error { return errors.ErrUnsupported }

// Append writes bodies as consecutive entries, all or none, and returns the index of the first. They are durable
// when it returns.
func (d *DB) Append(ctx context.Context, bodies ...ledger.Body) (first int64, err error) {
	return 0, errors.ErrUnsupported
}

// Sign makes sure that a checkpoint covers every entry that is there now.
func (d *DB) Sign(ctx context.Context) error { return errors.ErrUnsupported }

// CheckpointFor returns the first checkpoint (signed note) that covers entry index, waiting for it.
func (d *DB) CheckpointFor(ctx context.Context, index int64) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Size is the number of entries.
func (d *DB) Size() (int64, error) { return 0, errors.ErrUnsupported }

// Leaf returns the canonical bytes of entry i.
func (d *DB) Leaf(i int64) ([]byte, error) { return nil, errors.ErrUnsupported }

// ReadHashes returns stored tree hashes (tlog.HashReader).
func (d *DB) ReadHashes(indexes []int64) ([]tlog.Hash, error) { return nil, errors.ErrUnsupported }

// Checkpoint returns the first stored checkpoint of at least size entries.
func (d *DB) Checkpoint(size int64) (kept int64, text []byte, err error) {
	return 0, nil, errors.ErrUnsupported
}

// Entry returns entry i.
func (d *DB) Entry(i int64) (ledger.Record, error) { return ledger.Record{}, errors.ErrUnsupported }

// Records returns the entries from index from up to, not including, to.
func (d *DB) Records(from, to int64) ([]ledger.Record, error) { return nil, errors.ErrUnsupported }

// Run returns one run by its id.
func (d *DB) Run(id string) (ledger.Run, error) { return ledger.Run{}, errors.ErrUnsupported }

// Runs returns every run of that serial or on the chip with that UID, oldest first. An empty string matches nothing.
func (d *DB) Runs(serial, uid string) ([]ledger.Run, error) { return nil, errors.ErrUnsupported }

// OpenRuns returns the runs that were begun and never settled, oldest first.
func (d *DB) OpenRuns() ([]ledger.Run, error) { return nil, errors.ErrUnsupported }

// Unit is the newest state of one serial.
type Unit struct {
	Serial   string         `json:"serial"`
	Run      string         `json:"run"`
	Outcome  ledger.Outcome `json:"outcome"` // INTERRUPTED while the run is open
	Cause    string         `json:"cause"`
	Recipe   ledger.Recipe  `json:"recipe"`
	UID      string         `json:"uid"` // of the chip, "" when none was identified
	Slot     string         `json:"slot"`
	Operator string         `json:"operator"`
	Time     time.Time      `json:"time"`  // of the entry at Index
	Index    int64          `json:"index"` // of the run's start or end, whichever is newer
}

// UnitQuery selects units by their newest state. Zero values select everything.
type UnitQuery struct {
	Digest string    // recipe digest
	Since  time.Time // Time at or after
	Until  time.Time // Time before
	Limit  int       // most units to return; 0 means 100
	Cursor string    // what the previous page returned, "" for the first
}

// Units returns units, newest first, and the cursor of the next page, "" when there is none.
func (d *DB) Units(q UnitQuery) (units []Unit, next string, err error) {
	return nil, "", errors.ErrUnsupported
}

// Check looks for damage in the file and for indexes that disagree with the entries.
func (d *DB) Check(ctx context.Context) error { return errors.ErrUnsupported }
