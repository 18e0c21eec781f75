// Package keyring keeps the station's own keys. Today that is one key in one file: the Ed25519 key that signs the
// ledger's checkpoints. A signing key never leaves this room; others get a signer.
//
// What a ledger is, and secrets of chips, do not belong here.
//
// # Format
//
// A keyring is a directory, mode 0700. File checkpoint.key, mode 0600, holds one line: the signer key in the encoding of
// golang.org/x/mod/sumdb/note ("PRIVATE+KEY+station/<id>+..."). The verifier key follows from it.
package keyring

import (
	"errors"

	"golang.org/x/mod/sumdb/note"
)

// Errors that callers branch on.
var (
	ErrMissing = errors.New("key is missing")                     // no key file in the directory
	ErrExists  = errors.New("key exists already")                 // Create never overwrites
	ErrMode    = errors.New("key files are open to other people") // modes wider than 0700 and 0600
	ErrKey     = errors.New("not a checkpoint key")               // the file's content is not what Create writes
)

// Keyring is an opened keyring. Safe for concurrent use.
type Keyring struct {
	signer note.Signer
	vkey   string
}

// Signer signs checkpoints. Its name is "station/<id>".
func (k *Keyring) Signer() note.Signer { return k.signer }

// VerifierKey is the public key as note.NewVerifier reads it: "station/<id>+<key hash>+<key>".
func (k *Keyring) VerifierKey() string { return k.vkey }
