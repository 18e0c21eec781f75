package ledger

import (
	"errors"
	"fmt"
	"slices"
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

// Sign returns the checkpoint as a note (C2SP tlog-checkpoint) that all of these sign. Their names must be the
// station's Origin.
func (c Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	if c.Size < 0 {
		return nil, fmt.Errorf("%w: size %d", ErrCheckpoint, c.Size)
	}
	for _, s := range signers {
		if s.Name() != Origin(c.Station) {
			return nil, fmt.Errorf("%w: key %q cannot sign for %q", ErrCheckpoint, s.Name(), Origin(c.Station))
		}
	}
	return note.Sign(&note.Note{Text: c.text()}, signers...)
}

// OpenCheckpoint checks the signatures that all of these keys made, and reads the checkpoint. The origin must be the keys' name. Errors
// wrap ErrCheckpoint.
func OpenCheckpoint(text []byte, keys ...note.Verifier) (Checkpoint, error) {
	if len(keys) == 0 {
		return Checkpoint{}, fmt.Errorf("%w: there is no key to hold it against", ErrCheckpoint)
	}
	name := keys[0].Name()
	station, ok := strings.CutPrefix(name, originPrefix)
	if !ok || station == "" {
		return Checkpoint{}, fmt.Errorf("%w: key name %q does not begin with %q", ErrCheckpoint, name, originPrefix)
	}
	head, _, n, err := log.ParseCheckpoint(text, name, keys[0], keys[1:]...)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	for _, v := range keys {
		if !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() }) {
			return Checkpoint{}, fmt.Errorf("%w: it has no signature by the key %s+%08x", ErrCheckpoint, v.Name(), v.KeyHash())
		}
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
