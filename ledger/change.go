package ledger

import "errors"

// ErrMirror means that a change which has to be on a second disk before it counts is not there.
var ErrMirror = errors.New("the mirror does not have it")

// Where a second copy of the ledger was when a run began or went on.
const (
	MirrorNone       = "none"        // the station keeps none
	MirrorSecondDisk = "second disk" // on another file system
	MirrorSameDisk   = "same disk"   // on the ledger's own file system
	MirrorAway       = "away"        // it could not be reached; what is permanent waits until it can
)

// Change is what is made durable in one piece: entries, and what belongs to them and is no entry.
type Change struct {
	Bodies []Body
	// Escrow holds the ciphertext of every Sealed among Bodies, by its id, and nothing else. It is kept for ever.
	Escrow map[string][]byte
	// Notes are kept, by name, with the run of Bodies until it is settled, whatever settles it, and replace those of the same
	// name. They never enter the ledger. Deleting one need not wipe it from the disk, so a note must never hold a
	// secret or tell one: a keyed tag and signed packets do not.
	Notes map[string][]byte
	// Forget names earlier notes of the run to delete. One that is not there is no error.
	Forget []string
}
