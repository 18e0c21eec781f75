// Package store keeps the ledger on disk, in one bbolt file: entries, tree hashes, checkpoints, and the indexes that
// answer who, what and when. One process at a time writes; every append is durable when it returns.
//
// What an entry means, in which order entries may stand, and how a ledger is verified, belong to package ledger; keys
// belong to keyring.
//
// # File, version 4
//
// Numbers in keys are eight bytes, big-endian; (s) is two bytes of length and the string. Buckets:
//
//	store            "version" -> "4"
//	entries          index -> canonical bytes
//	hashes           tlog storage index -> 32 bytes
//	checkpoints      size -> signed note
//	escrow           escrow id -> ciphertext whose SHA-256 an intent names
//	notes            run id, name -> what an open run needs to be finished; deleted with the entry that settles the run
//
// and the indexes, which follow from the entries and hold nothing else:
//
//	runs             run id -> how far the run has come (JSON)
//	run_entries      run id, index -> nothing
//	open_runs        index of run.start -> run id
//	serials, uids    (serial or UID), index of the run's first entry -> run id; in serials also the index of a
//	                 rework.permit or rework.withdrawn -> nothing, in uids also 2^63-1 -> the run that retired the chip, in serials also
//	                 (""), index of a station.epoch -> nothing
//	units            serial -> newest state (JSON)
//	units_by_time    time, index -> serial; time is microseconds since 1970 with the sign bit flipped
//	units_by_digest  (recipe digest), time, index -> serial
//	keys             "checkpoint" -> the keys of the checkpoints (JSON, ledger.Chain)
//	masters          name of a master key -> what the newest entries tell of it (JSON)
//	floor            "open" -> the open job and shift (JSON, ledger.Floor)
//
// Version 3 has no bucket floor, and no entries that would need it. Version 2 has no buckets keys and masters either, and no entries that would change the first key. Version 1
// has no buckets escrow and notes either, and no entries that would need them. Open makes version 4 of all; reading leaves them.
//
// Deleted bytes stay in the file until bbolt uses their page again. No secret is ever in it: escrow is ciphertext, and notes
// are tags and packets that do not tell the key they were made with.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

// Errors that callers branch on. A file that does not exist is fs.ErrNotExist, one that does at Create fs.ErrExist, an
// entry that does not exist ledger.ErrMissing, a body that may not be appended ledger.ErrGrammar or ledger.ErrEncoding.
var (
	ErrInUse    = errors.New("the ledger is in use")
	ErrMismatch = errors.New("the ledger does not belong to this station")
	ErrDamaged  = errors.New("the ledger is damaged (keep this file for the auditor, and restore ledger.db from the backup)")
	ErrReadOnly = errors.New("the ledger is open for reading only")
	ErrClosed   = errors.New("the ledger is closed")
	ErrBroken   = errors.New("a write to the ledger failed; restart the station before anything else is written")
)

// Options of a ledger that is written to.
type Options struct {
	Station     string // station id
	Simulated   bool
	Software    string      // name and version of the program, for station.init
	Signer      note.Signer // signs checkpoints; its name is ledger.Origin(Station)
	VerifierKey string      // Signer's public half, as note.NewVerifier reads it
	// Earlier finds the signer of an earlier verifier key. It is asked while the checkpoint that both have to sign is not there yet; nil where there is none.
	Earlier func(verifierKey string) (note.Signer, error)
	Mirror  string // directory of the mirror, on another disk; "" for none

	Now     func() time.Time     // wall time; nil means time.Now
	Boot    func() time.Duration // time since the PC booted; nil means what Linux tells
	Timeout time.Duration        // how long to wait for the file's lock; 0 means one second
	Tell    func(string)         // told when the mirror is lost, comes back, or does not help; nil for nobody. It must not call the DB

	// Disk, for tests, stands for the disk under a ledger that is open for writing, of which nothing is synced then. It is called in each commit before
	// anything is written, and when all is, for the disk to have it; its error is that of the commit.
	Disk func(written bool) error
}

// DB is an open ledger. Safe for concurrent use. It is a ledger.Source.
type DB struct {
	path  string
	file  os.FileInfo // of the open file
	lock  *os.File    // the locked directory of a ledger that is open for writing; nil for a mirror
	bolt  *bolt.DB
	o     Options
	write chan struct{} // holds a token while someone writes
	// broken is the failed commit after which nobody can tell what the file holds until it is opened
	// again, or ErrMoved. It is used by whoever holds write.
	broken error
	mirror *mirror // nil where there is none
	signer *signer // nil when the ledger is open for reading only
	close  func() error
	free   func(dir string) (bytes, files uint64, err error) // Free, or a test's
}

var _ ledger.Source = (*DB)(nil)

var (
	bucketStore       = []byte("store")
	bucketEntries     = []byte("entries")
	bucketHashes      = []byte("hashes")
	bucketCheckpoints = []byte("checkpoints")

	buckets = append([][]byte{bucketStore, bucketEntries, bucketHashes, bucketCheckpoints}, indexes...)
)

const (
	fileVersion  = "4"
	fileVersion3 = "3" // has no rows of the floor
	fileVersion2 = "2" // nor of keys
	fileVersion1 = "1" // nor kept buckets
)

// check makes the options complete.
func (o *Options) check() (note.Verifier, error) {
	if o.Station == "" || o.Signer == nil {
		return nil, errors.New("a ledger needs a station id and a checkpoint key")
	}
	v, err := note.NewVerifier(o.VerifierKey)
	if err != nil {
		return nil, fmt.Errorf("checkpoint verifier key: %w", err)
	}
	if want := ledger.Origin(o.Station); o.Signer.Name() != want || v.Name() != want || v.KeyHash() != o.Signer.KeyHash() {
		return nil, fmt.Errorf("%w: its checkpoint key must be named %q, and the keys are %q (%08x) and %q (%08x)",
			ErrMismatch, want, o.Signer.Name(), o.Signer.KeyHash(), v.Name(), v.KeyHash())
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if o.Boot == nil {
		if o.Boot, err = bootClock(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// bootClock reads the uptime once (proc(5), hundredths of a second) and counts on from there.
func bootClock() (func() time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return nil, fmt.Errorf("time since boot: %w", err)
	}
	word, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, fmt.Errorf("time since boot: %w", err)
	}
	uptime, start := time.Duration(seconds*float64(time.Second)), time.Now()
	return func() time.Duration { return uptime + time.Since(start) }, nil
}

// Close signs what is unsigned, waits for the signer, and closes the file. Idempotent.
func (d *DB) Close() error { return d.close() }

func (d *DB) closeOnce() func() error {
	return sync.OnceValue(func() error {
		var err error
		if d.signer != nil {
			err = d.signer.stop()
		}
		return errors.Join(err, d.closeMirror(), d.shut())
	})
}

// number is the key of an index, a size or a storage index.
func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// last returns the largest number that is a key of b, -1 when there is none.
func last(b *bolt.Bucket) int64 {
	k, _ := b.Cursor().Last()
	if len(k) != 8 {
		return -1
	}
	return int64(binary.BigEndian.Uint64(k))
}
