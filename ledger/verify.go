package ledger

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrMissing is wrapped by a Source when it has no entry, hash or checkpoint of that number.
var ErrMissing = errors.New("not in the ledger")

// Source is a stored ledger as Verify reads it. Entries and checkpoints may be added meanwhile.
type Source interface {
	// Size is the number of entries.
	Size() (int64, error)
	// Leaf returns the stored bytes of entry i. The error wraps ErrMissing where there is none.
	Leaf(i int64) ([]byte, error)
	// ReadHashes returns the stored tree hashes at tlog storage indexes, with ErrMissing likewise.
	tlog.HashReader
	// Checkpoint returns the first stored checkpoint that is kept under size or more, and what it is
	// kept under. The error wraps ErrMissing where there is none.
	Checkpoint(size int64) (kept int64, text []byte, err error)
}

// Finding is something wrong in a ledger.
type Finding struct {
	// From is the first entry concerned and To is behind the last. When To is From+1 the bad entry is From. A
	// wider range lies between two checkpoints or under one tree hash: its entries, taken together, are
	// not what was signed or stored. When To is From, a checkpoint is bad and no entry is accused.
	From, To int64
	What     string // a sentence
}

// Report is what Verify found. Findings holds the first of each sort only: what follows a first bad entry
// is bad because of it.
type Report struct {
	Station     string
	Simulated   bool
	Entries     int64     // entries checked; less than there are when the account breaks off
	Checkpoints int64     // checkpoints checked
	Signed      int64     // size of the last good checkpoint; entries after it are an unsigned tail, which is no failure
	Root        tlog.Hash // tree hash over the entries checked
	Keys        []Key     // of the checkpoints, oldest first
	Findings    []Finding // by From; empty when all is well
}

// Key is one key of the checkpoints as Verify found it.
type Key struct {
	Link
	Pinned bool
	Signed int64 // size of the last good checkpoint that it signed, 0 for none
	// Alone is, where the key before it was lost, the first entry that no key before it signed.
	Alone int64
}

// Unsigned is how many of the checked entries no good checkpoint covers.
func (r *Report) Unsigned() int64 { return max(0, r.Entries-r.Signed) }

// Verify recomputes everything: each entry is canonical and stands where it may stand, each stored tree hash is that
// of its entries, and each stored checkpoint carries the signatures that it has to have (Chain.Signers) over the tree as it was at its size.
//
// The keys are those that the ledger names, and have to be vouched for by the pinned ones: a key that signed vouches for all entries before, and for the key after it,
// which signed the same checkpoint. Where a key was lost the chain is broken, and one on either side has to be pinned. Without any pinned key the ledger's own
// word is taken, which proves nothing against somebody who rewrote it whole.
//
// What is wrong in the ledger is a Finding. An error means that the source could not be read, or that
// ctx ended; then the report is not complete.
//
// Not found, because nothing inside a ledger can tell: an unsigned tail that was rewritten together with its hashes, and
// a rollback to an earlier checkpoint with all later ones removed. For these compare the size and root of
// an earlier report.
func Verify(ctx context.Context, src Source, pinned ...note.Verifier) (Report, error) {
	w := walk{src: src, pinned: pinned, runs: map[string]Progress{}, seen: map[string]bool{}, retired: map[string]bool{}}
	size, err := src.Size()
	if err != nil {
		return w.Report, fmt.Errorf("ledger size: %w", err)
	}
	if err := w.nextCheckpoint(0); err != nil {
		return w.Report, err
	}
	if w.kept == 0 {
		if err := w.checkpoint(); err != nil {
			return w.Report, err
		}
	}
	for w.Entries < size && !w.broken {
		if err := ctx.Err(); err != nil {
			return w.Report, err
		}
		if err := w.entry(w.Entries); err != nil {
			return w.Report, err
		}
	}
	if !w.broken {
		if err := w.beyond(size); err != nil {
			return w.Report, err
		}
	}
	w.Root = w.root()
	w.vouch()
	slices.SortStableFunc(w.Findings, func(a, b Finding) int { return cmp.Compare(a.From, b.From) })
	return w.Report, nil
}

// walk is Verify on its way from the first entry to the last.
type walk struct {
	Report
	src     Source
	pinned  []note.Verifier
	chain   Chain
	edge    []tlog.Hash // of the complete subtrees that make up the entries so far, the largest first
	broken  bool        // content is not what was stored or signed; hashes say nothing from here on
	runs    map[string]Progress
	reworks Reworks
	retired map[string]bool // masters
	floor   Floor
	seen    map[string]bool // sorts of findings that there are already

	kept int64  // the next checkpoint is kept under this size, -1 when there is none
	text []byte // of the next checkpoint
}

// The sorts of findings.
const (
	badContent    = "content"
	badForm       = "form"
	badPlace      = "place"
	badCheckpoint = "checkpoint"
	notNamed      = "not named"
	notPinned     = "not pinned"
)

func (w *walk) find(sort string, from, to int64, format string, args ...any) {
	w.broken = w.broken || sort == badContent
	if !w.seen[sort] {
		w.seen[sort] = true
		w.Findings = append(w.Findings, Finding{from, to, fmt.Sprintf(format, args...)})
	}
}

func (w *walk) entry(i int64) error {
	leaf, err := w.src.Leaf(i)
	if errors.Is(err, ErrMissing) {
		w.find(badContent, i, i+1, "entry %d is missing", i)
		return nil
	} else if err != nil {
		return fmt.Errorf("entry %d: %w", i, err)
	}
	if err := w.hashes(i, tlog.RecordHash(leaf)); err != nil {
		return err
	}
	if w.broken {
		return nil
	}
	w.Entries = i + 1
	if e, err := Decode(leaf); err != nil {
		w.find(badForm, i, i+1, "entry %d: %v", i, err)
	} else if err := w.place(i, e); err != nil {
		w.find(badPlace, i, i+1, "entry %d: %v", i, err)
	}
	if w.kept == w.Entries {
		return w.checkpoint()
	}
	return nil
}

// hashes compares the stored hashes that came with entry i, and takes its leaf hash into the edge.
func (w *walk) hashes(i int64, h tlog.Hash) error {
	start := tlog.StoredHashIndex(0, i)
	n := tlog.StoredHashIndex(0, i+1) - start
	indexes := make([]int64, n)
	for k := range indexes {
		indexes[k] = start + int64(k)
	}
	stored, err := w.src.ReadHashes(indexes)
	if errors.Is(err, ErrMissing) {
		w.find(badContent, i, i+1, "entry %d: a tree hash that was stored with it is missing", i)
		return nil
	} else if err != nil {
		return fmt.Errorf("tree hashes of entry %d: %w", i, err)
	}
	edge := w.edge
	for level := range stored {
		if level > 0 { // the entry completes a subtree of 2^level entries
			last := len(edge) - 1
			h = tlog.NodeHash(edge[last], h)
			edge = edge[:last]
		}
		switch {
		case stored[level] == h:
		case level == 0:
			w.find(badContent, i, i+1, "entry %d does not have the hash that was stored with it: one of the two was altered", i)
			return nil
		default:
			from := i + 1 - 1<<level
			w.find(badContent, from, i+1, "the stored tree hash over entries %d to %d is not that of these entries", from, i)
			return nil
		}
	}
	w.edge = append(edge, h)
	return nil
}

// root is the tree hash over the entries so far: RFC 6962, 2.1.
func (w *walk) root() tlog.Hash {
	if len(w.edge) == 0 {
		root, _ := tlog.TreeHash(0, nil) // no hash is read for an empty tree, so nothing can fail
		return root
	}
	root := w.edge[len(w.edge)-1]
	for _, left := range slices.Backward(w.edge[:len(w.edge)-1]) {
		root = tlog.NodeHash(left, root)
	}
	return root
}

// place checks that the entry may stand at index i.
func (w *walk) place(i int64, e Entry) error {
	if i == 0 {
		w.Simulated = e.Simulated
		w.Station = e.Station
	}
	_, isInit := e.Body.(StationInit)
	switch {
	case len(w.pinned) > 0 && Origin(e.Station) != w.pinned[0].Name():
		return fmt.Errorf("%w: it is of station %q, but the key is %q", ErrGrammar, e.Station, w.pinned[0].Name())
	case w.Station != "" && e.Station != w.Station: // "" where entry 0 cannot be read
		return fmt.Errorf("%w: it is of station %q, and entry 0 of %q", ErrGrammar, e.Station, w.Station)
	case e.Simulated != w.Simulated:
		return fmt.Errorf("%w: simulated changes from %t to %t", ErrGrammar, w.Simulated, e.Simulated)
	case isInit != (i == 0):
		return fmt.Errorf("%w: %s stands at 0 and nowhere else, this is %s", ErrGrammar, KindStationInit, e.Body.Kind())
	}
	switch b := e.Body.(type) {
	case Other:
		return nil
	case StationInit, StationKey:
		return w.key(i, e)
	case StationEpoch:
		return w.epoch(i, b)
	case KeyServerEntry:
		return b.Check()
	case FloorEntry:
		next, err := w.floor.After(i, b)
		w.floor = next
		return err
	case MasterRetired:
		err := b.Check(w.retired[b.Name])
		w.retired[b.Name] = true
		return err
	}
	run, _, _ := RunOf(e.Body)
	if err := w.reworks.After(Record{Index: i, Entry: e}); err != nil {
		return err
	}
	switch e.Body.(type) {
	case ReworkPermit, ReworkWithdrawn: // of no run
		return nil
	}
	p, err := w.runs[run].After(e.Body)
	if err != nil {
		return err
	}
	if p.Ended {
		p = Progress{Ended: true} // an end is all that later entries ask about; keep it small
	}
	w.runs[run] = p
	return nil
}

// epoch checks that the entry at index i knows the entries before it, whose hashes are checked by now.
func (w *walk) epoch(i int64, e StationEpoch) error {
	if err := e.Check(i); err != nil {
		return err
	}
	root, err := tlog.TreeHash(i, w.src)
	if err != nil {
		return fmt.Errorf("tree hash before it: %w", err)
	}
	if got := hex.EncodeToString(root[:]); got != e.Root {
		return fmt.Errorf("%w: it was restored from a ledger with the tree hash %s, and the entries before it have %s", ErrGrammar, e.Root, got)
	}
	return nil
}

// checkpoint checks the stored checkpoint whose size the walk has reached.
func (w *walk) checkpoint() error {
	c, ok := w.open()
	if ok && c.Root != w.root() {
		w.find(badContent, w.Signed, c.Size,
			"the checkpoint of size %d was signed over other entries: one or more of entries %d to %d were altered, and their hashes with them",
			c.Size, w.Signed, c.Size-1)
		return nil
	}
	if ok {
		w.sign(c.Size)
	}
	return w.nextCheckpoint(w.kept + 1)
}

// open checks the next checkpoint by itself.
func (w *walk) open() (Checkpoint, bool) {
	w.Checkpoints++
	verifiers, err := w.signers()
	var c Checkpoint
	if err == nil {
		c, err = OpenCheckpoint(w.text, verifiers...)
	}
	if err == nil && c.Size != w.kept {
		err = fmt.Errorf("%w: its size is %d", ErrCheckpoint, c.Size)
	}
	if err != nil {
		w.find(badCheckpoint, w.kept, w.kept, "the checkpoint kept for size %d: %v", w.kept, err)
	}
	return c, err == nil
}

func (w *walk) nextCheckpoint(size int64) (err error) {
	w.kept, w.text, err = w.src.Checkpoint(size)
	if errors.Is(err, ErrMissing) {
		w.kept, w.text, err = -1, nil, nil
	}
	if err != nil {
		return fmt.Errorf("checkpoint of size %d or more: %w", size, err)
	}
	return nil
}

// beyond looks for what outlived entries that were cut off at the end.
func (w *walk) beyond(size int64) error {
	if w.kept < 0 { // one may have been signed since, or the ledger may have ended a moment ago
		if err := w.nextCheckpoint(size + 1); err != nil {
			return err
		}
	}
	_, err := w.src.ReadHashes([]int64{tlog.StoredHashIndex(0, size)})
	more := err == nil
	if err != nil && !errors.Is(err, ErrMissing) {
		return fmt.Errorf("tree hash behind the last entry: %w", err)
	}
	if w.kept < 0 && !more {
		return nil
	}
	// Whoever appends writes entry and hashes before the checkpoint, so a ledger that merely grew is longer by now.
	now, err := w.src.Size()
	switch {
	case err != nil:
		return fmt.Errorf("ledger size: %w", err)
	case now > size && now >= w.kept:
		return nil
	case w.kept < 0:
		w.find(badContent, size, size+1, "entry %d is missing: a tree hash is stored for it", size)
		return nil
	}
	c, ok := w.open()
	if !ok {
		return nil
	}
	// The hashes that are left may still prove that the entries up to the cut are the ones that were signed.
	from := w.Signed
	if p, err := tlog.ProveTree(c.Size, size, w.src); err == nil && tlog.CheckTree(p, c.Size, c.Root, size, w.root()) == nil {
		from = size
	}
	what := "a checkpoint of size %d was signed, but the ledger ends at %d: of entries %d to %d one or more are missing"
	w.find(badContent, from, c.Size, what, c.Size, size, from, c.Size-1)
	return nil
}
