package ledger

import (
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrCheckpoint means that a text is not a checkpoint, or not one that the given key signed.
var ErrCheckpoint = errors.New("not a valid checkpoint")

const originPrefix = "station/"

// Origin is the first line of every checkpoint of a station, and the name of the key that signs them.
func Origin(station string) string { return originPrefix + station }

// Checkpoint is the head of a ledger: how many entries it has, and the Merkle tree hash over them (RFC 6962, 2.1).
type Checkpoint struct {
	Station string
	Size    int64
	Root    tlog.Hash
}

// Sign returns the checkpoint as a signed note (C2SP tlog-checkpoint). The signer's name must be the
// station's Origin.
func (c Checkpoint) Sign(s note.Signer) ([]byte, error) {
	if c.Size < 0 {
		return nil, fmt.Errorf("%w: size %d", ErrCheckpoint, c.Size)
	}
	if s.Name() != Origin(c.Station) {
		return nil, fmt.Errorf("%w: key %q cannot sign for %q", ErrCheckpoint, s.Name(), Origin(c.Station))
	}
	return note.Sign(&note.Note{Text: c.text()}, s)
}

// OpenCheckpoint checks the signature that v's key made and reads the checkpoint. The origin must be v's name. Errors
// wrap ErrCheckpoint.
func OpenCheckpoint(text []byte, v note.Verifier) (Checkpoint, error) {
	station, ok := strings.CutPrefix(v.Name(), originPrefix)
	if !ok || station == "" {
		return Checkpoint{}, fmt.Errorf("%w: key name %q does not begin with %q", ErrCheckpoint, v.Name(), originPrefix)
	}
	head, _, n, err := log.ParseCheckpoint(text, v.Name(), v)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	c := Checkpoint{Station: station, Size: int64(head.Size)}
	if c.Size < 0 || len(head.Hash) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("%w: size or root out of range", ErrCheckpoint)
	}
	copy(c.Root[:], head.Hash)
	// One head has one text: no extension lines, no other spelling of a number.
	if n.Text != c.text() {
		return Checkpoint{}, fmt.Errorf("%w: text is not in the form that a station writes", ErrCheckpoint)
	}
	return c, nil
}

func (c Checkpoint) text() string {
	return string(log.Checkpoint{Origin: Origin(c.Station), Size: uint64(c.Size), Hash: c.Root[:]}.Marshal())
}
