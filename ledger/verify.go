package ledger

import (
	"context"
	"errors"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrMissing is wrapped by a Source, and by a store, when it has no entry or hash of that number.
var ErrMissing = errors.New("not in the ledger")

// Source is a stored ledger as Verify reads it. Entries may be appended meanwhile.
type Source interface {
	// Size is the number of entries.
	Size() (int64, error)
	// Leaf returns the stored bytes of entry i. The error wraps ErrMissing where there is none.
	Leaf(i int64) ([]byte, error)
	// ReadHashes returns the stored tree hashes at tlog storage indexes, ErrMissing likewise.
	tlog.HashReader
	// Checkpoint returns the first stored checkpoint of at least size entries, and the size under which it is kept.
	// The error wraps ErrMissing where there is none.
	Checkpoint(size int64) (kept int64, text []byte, err error)
}

// Finding is something wrong in a ledger.
type Finding struct {
	// From and To give the entries concerned: From is the first and To is behind the last. When To is From+1
	// the bad entry is From. A wider range lies between two checkpoints, or under one tree hash: one or more
	// of these entries are not the ones that were signed.
	From, To int64
	What     string // a sentence
}

// Report is what Verify found.
type Report struct {
	Station     string // from the verifier's name
	Simulated   bool
	Entries     int64     // entries checked, up to where the account breaks off when it does
	Checkpoints int64     // checkpoints checked
	Signed      int64     // size of the last good checkpoint; the entries after it are an unsigned tail, no failure
	Root        tlog.Hash // tree hash over the entries checked
	Findings    []Finding // by From; empty when all is well
}

// Unsigned is how many entries no checkpoint covers yet.
func (r *Report) Unsigned() int64 { return max(0, r.Entries-r.Signed) }

// Verify recomputes everything. It is not built yet.
func Verify(ctx context.Context, src Source, v note.Verifier) (Report, error) {
	return Report{}, errors.ErrUnsupported
}
