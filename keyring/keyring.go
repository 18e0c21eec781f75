// Package keyring keeps the station's own keys, and makes, seals and recognises the secrets of chips: passwords and root
// keys. A signing key never leaves this room; others get a signer. A secret is lent to one callback and wiped when that
// returns; what is left of it is ciphertext for its owners (Seal) and a tag that only this station can make (Tag).
//
// What a ledger is, where ciphertext and tags are kept, and what a chip does with a secret, do not belong here.
//
// # Format, version 1
//
// A keyring is a directory, mode 0700, of files of mode 0600:
//
//	checkpoint.key   one line: the signer key in the encoding of golang.org/x/mod/sumdb/note
//	                 ("PRIVATE+KEY+station/<id>+..."). The verifier key of the checkpoints follows from it
//	verifier.key     32 random bytes: the key of tags
//	master-<name>    32 random bytes: a master key that root keys are derived from. The name is escaped as a
//	                 segment of a URL's path (RFC 3986): line/root-2026 is master-line%2Froot-2026. Names are parts divided by /,
//	                 each a letter or digit and then letters, digits, _, . and -
//	unlock.key       one line: the station's own age identity (AGE-SECRET-KEY-1...). It opens no escrow, only what an auditor
//	                 re-sealed to this station for one run; it is made when first needed
//
// # Tags, derived keys and fingerprints of masters, version 1
//
// A list of fields is written as each field's length in bytes, two bytes big-endian, and the field. Text is UTF-8; counter
// is the counter index as four bytes, big-endian. Then
//
//	tag = HMAC-SHA-256(verifier key, fields("station/tag/v1", UID, escrow id, secret))
//	key = HKDF-Expand-SHA-256(master key, fields("station/root-key/v1", part, UID, recipe id, counter), 32 bytes)
//	fingerprint = HKDF-Expand-SHA-256(master key, fields("station/master/v1"), 8 bytes)
//
// with UID as the ledger has it (hex) and HKDF-Expand of RFC 5869, 2.3. The master key is uniformly random, so the extract
// step has nothing to do. The fingerprint, 16 hex digits in the ledger, tells two masters of one name apart and nothing of either: its label is that of no key.
// testdata/v1 holds test vectors, and vectors.py beside them, which made them from HMAC alone.
//
// # Escrow
//
// A sealed secret is an armored age file (C2SP age, age-encryption.org/v1) for X25519 recipients, whose content is the
// bytes of the secret as the chip gets them.
//
// A password that an auditor re-sealed to a station for one run is such a file too, for the station's recipient alone. Its content is
//
//	fields("station/unlock/v1", serial, UID, escrow id, permit, password)
//
// with permit as eight bytes, big-endian: the index of the rework.permit that the run uses. So it opens for that run and no other.
package keyring

import (
	"errors"
	"fmt"
	"hash"

	"golang.org/x/mod/sumdb/note"
)

// Errors that callers branch on. None of them, nor any error around them, quotes a key, an identity or a secret.
var (
	ErrMissing   = errors.New("key is missing")                     // no key file in the directory
	ErrExists    = errors.New("key exists already")                 // nothing here overwrites a key
	ErrMode      = errors.New("key files are open to other people") // modes wider than 0700 and 0600
	ErrKey       = errors.New("not a key of this keyring")          // the file's content is not what was written
	ErrName      = errors.New("not a name for a master key")
	ErrRecipient = errors.New("not a list of age recipients")
	ErrSealed    = errors.New("not a sealed secret")                // or one that was altered
	ErrIdentity  = errors.New("identity does not open this escrow") // or the file holds none
)

// Keyring is an opened keyring. Safe for concurrent use. Printing it in any way shows no key.
type Keyring struct {
	dir    string
	signer note.Signer
	vkey   string
	tags   func() hash.Hash // HMAC with the verifier key: in a closure, because no verb of fmt shows what is in one
}

// Signer signs checkpoints. Its name is "station/<id>".
func (k *Keyring) Signer() note.Signer { return k.signer }

// VerifierKey is the public key as note.NewVerifier reads it: "station/<id>+<key hash>+<key>".
func (k *Keyring) VerifierKey() string { return k.vkey }

// String names the keyring and no key.
func (k *Keyring) String() string { return fmt.Sprintf("keyring of %s in %s", k.signer.Name(), k.dir) }
