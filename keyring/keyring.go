// Package keyring keeps the station's own keys, and makes, seals and recognises the secrets of chips: passwords and root
// keys. Keys are in a Provider, which uses them and gives none away; others get a signer. A secret is lent to one callback and wiped when that
// returns; what is left of it is ciphertext for its owners (Seal) and a tag that only this station can make (Tag).
//
// What a ledger is, where ciphertext and tags are kept, and what a chip does with a secret, do not belong here.
//
// # Keys, version 1
//
//	checkpoint      Ed25519: signs checkpoints, under the name station/<id>. What it is rotated to is checkpoint.2, checkpoint.3 and so on
//	verifier        32 random bytes: makes tags
//	master-<name>   32 random bytes: root keys are derived from it. A name is parts divided by /, each a letter or digit and then
//	                letters, digits, _, . and -
//
// A provider that keeps the keys of several stations has checkpoint-<id>, checkpoint-<id>.2 and verifier-<id> for each, and the masters for all.
//
// # Files, version 1
//
// File is a directory, mode 0700, of files of mode 0600:
//
//	checkpoint.key   one line: the signer key in the encoding of golang.org/x/mod/sumdb/note ("PRIVATE+KEY+<name>+..."). Under which name it signs is
//	                 the keyring's business; this one is station/<id> or, of a later version, station/<name of the key>
//	verifier.key     32 bytes
//	master-<name>    32 bytes. The name is escaped as a segment of a URL's path (RFC 3986): line/root-2026 is master-line%2Froot-2026
//	unlock.key       one line: an age identity (AGE-SECRET-KEY-1...) that an earlier version made; where it is, it is the station's
//
// With a passphrase, keyring.age is an age file for scrypt (C2SP age) of one line, an X25519 identity. Every other file is then an age file for that
// identity, of what is said above, and its name ends in .age. A directory with files of both kinds is one whose encryption (Encrypt) died: each file without .age still
// counts, and nothing but Encrypt goes on with it.
//
// # Tags, derived keys and fingerprints of masters, version 1
//
// A list of fields is written as each field's length in bytes, two bytes big-endian, and the field. Text is UTF-8; counter
// is the counter index as four bytes, big-endian. Then
//
//	tag = HMAC-SHA-256(verifier key, fields("station/tag/v1", UID, escrow id, secret))
//	key = HKDF-Expand-SHA-256(master key, fields("station/root-key/v1", part, UID, recipe id, counter), 32 bytes)
//	fingerprint = HKDF-Expand-SHA-256(master key, fields("station/master/v1"), 8 bytes)
//	tag key = HMAC-SHA-256(verifier key, fields("station/tag-key/v1", UID, escrow id))
//	identity = HMAC-SHA-256(verifier key, fields("station/unlock-identity/v1", station id))
//
// with UID as the ledger has it (hex) and HKDF-Expand of RFC 5869, 2.3, whose first 32 bytes are HMAC-SHA-256(key, info and a byte 01): so a provider
// need not know more than HMAC. The master key is uniformly random, so the extract
// step has nothing to do. The fingerprint, 16 hex digits in the ledger, tells two masters of one name apart and nothing of either: its label is that of no key.
// A tag key is lent to a station whose verifier key is elsewhere: its tag is HMAC-SHA-256(tag key, secret), so that the secret stays where it is.
// The identity is the scalar of the station's own age identity, which opens no escrow, only what an auditor re-sealed to this station for one run.
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
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

const (
	checkpointName = "checkpoint"
	verifierName   = "verifier"
	originPrefix   = "station/" // a checkpoint's key signs under the origin line of its checkpoints
	keySize        = 32         // bytes of the verifier key and of a master key
)

// Errors that callers branch on. None of them, nor any error around them, quotes a key, an identity or a secret.
var (
	ErrMissing   = errors.New("key is missing")                     // none of that name
	ErrExists    = errors.New("key exists already")                 // nothing here overwrites a key
	ErrMode      = errors.New("key files are open to other people") // modes wider than 0700 and 0600
	ErrKey       = errors.New("not a key of this keyring")          // what is there is not what was made
	ErrPlain     = errors.New("it is not encrypted, and a passphrase was given for it")
	ErrName      = errors.New("not a name for a master key")
	ErrRecipient = errors.New("not a list of age recipients")
	ErrSealed    = errors.New("not a sealed secret")                // or one that was altered
	ErrIdentity  = errors.New("identity does not open this escrow") // or the file holds none
)

// Keyring is the keys of one station. Safe for concurrent use. Printing it in any way shows no key.
type Keyring struct {
	p       Provider
	station string
	suffix  string // of the names of the station's own keys: "", or "-" and its id
	signer  *signer
}

// Create makes the checkpoint key and the verifier key of a station, and opens its keyring. An existing checkpoint key is never overwritten: ErrExists. A verifier
// key without one is what a Create leaves that died in between; it is kept. When Create returns, the keys are durable.
func Create(p Provider, station string) (*Keyring, error) { return create(p, station, "") }

// Open opens the keyring of a station whose ledger is signed with the key of this verifier key, or, where vkey is "", with the newest that there is. It uses both keys
// once, so that it tells too whether they can be. Errors wrap ErrMissing, and those of the provider.
func Open(p Provider, station, vkey string) (*Keyring, error) { return open(p, station, "", vkey) }

// CreateFor is Create in a provider that keeps the keys of several stations.
func CreateFor(p Provider, station string) (*Keyring, error) { return create(p, station, "-"+station) }

// OpenFor is Open in a provider that keeps the keys of several stations.
func OpenFor(p Provider, station, vkey string) (*Keyring, error) {
	return open(p, station, "-"+station, vkey)
}

// Complete makes whichever of the two keys of a station is missing, and opens its keyring with the newest checkpoint key. newVerifier tells, with an error too, that the
// verifier key was made: nobody knows the tags of the old one again, and the station's recipient is another. It is for keys that are lost for good.
func Complete(p Provider, station string) (k *Keyring, newVerifier bool, err error) {
	k = &Keyring{p: p, station: station}
	there, err := k.checkpoints()
	if err != nil {
		return nil, false, err
	}
	if newVerifier, err = k.create(len(there) == 0); err != nil {
		return nil, newVerifier, err
	}
	k, err = Open(p, station, "")
	return k, newVerifier, err
}

func create(p Provider, station, suffix string) (*Keyring, error) {
	// A dot would make the name of one station's key that of another's next one.
	if station == "" || !utf8.ValidString(station) || strings.ContainsRune(station, '+') || strings.ContainsFunc(station, unicode.IsSpace) || suffix != "" && strings.ContainsAny(station, "./") {
		return nil, fmt.Errorf("station id %q: a key's name may have no spaces and no plus sign", station)
	}
	k := &Keyring{p: p, station: station, suffix: suffix}
	there, err := k.checkpoints()
	if err != nil {
		return nil, err
	}
	if len(there) > 0 {
		return nil, fmt.Errorf("%s: the %s %w and is never overwritten", p, there[0], ErrExists)
	}
	if _, err := k.create(true); err != nil {
		return nil, err
	}
	return open(p, station, suffix, "")
}

// create makes the verifier key where there is none, and a checkpoint key. That comes last: it is what says that a keyring is there.
func (k *Keyring) create(checkpoint bool) (newVerifier bool, err error) {
	err = k.p.CreateMAC(k.verifier(), nil)
	if err != nil && !errors.Is(err, ErrExists) {
		return false, err
	}
	newVerifier = err == nil
	if _, err := k.mac(k.verifier(), nil); err != nil {
		return newVerifier, err
	}
	if checkpoint {
		return newVerifier, k.p.CreateSigning(k.checkpoint(1))
	}
	return newVerifier, nil
}

func open(p Provider, station, suffix, vkey string) (*Keyring, error) {
	k := &Keyring{p: p, station: station, suffix: suffix}
	names, err := k.checkpoints()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{k.checkpoint(1)} // whose error says what is missing where
	}
	const otherKey = "because entries signed by another key would look forged"
	for _, name := range slices.Backward(names) {
		s, err := newSigner(p, originPrefix+station, name)
		if err != nil {
			return nil, lost(err, otherKey)
		}
		if vkey == "" || s.vkey == vkey {
			k.signer = s
			break
		}
	}
	if k.signer == nil {
		return nil, lost(fmt.Errorf("%s: none of its keys is %s, which the ledger is signed with: %w", p, vkey, ErrMissing), otherKey)
	}
	if _, err := k.mac(k.verifier(), nil); err != nil {
		return nil, err
	}
	return k, nil
}

// lost adds to a missing key that no other one is made.
func lost(err error, whyNotAnew string) error {
	if !errors.Is(err, ErrMissing) {
		return err
	}
	return fmt.Errorf("%w. Restore it from the backup: it is never made anew beside an existing ledger, %s", err, whyNotAnew)
}

func (k *Keyring) verifier() string { return verifierName + k.suffix }

// checkpoint is the name of the nth checkpoint key.
func (k *Keyring) checkpoint(n int) string {
	if n == 1 {
		return checkpointName + k.suffix
	}
	return fmt.Sprintf("%s%s.%d", checkpointName, k.suffix, n)
}

// number is which checkpoint key a name is of, 0 for none.
func (k *Keyring) number(name string) int {
	if name == k.checkpoint(1) {
		return 1
	}
	rest, ok := strings.CutPrefix(name, k.checkpoint(1)+".")
	n, err := strconv.Atoi(rest)
	if !ok || err != nil || n < 2 || name != k.checkpoint(n) {
		return 0
	}
	return n
}

// checkpoints are the names of the checkpoint keys, the oldest first.
func (k *Keyring) checkpoints() ([]string, error) {
	all, err := k.p.Names()
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(name string) bool { return k.number(name) == 0 })
	slices.SortFunc(names, func(a, b string) int { return k.number(a) - k.number(b) })
	return names, nil
}

// mac is HMAC-SHA-256 with a key of the station's own.
func (k *Keyring) mac(name string, message []byte) ([]byte, error) {
	sum, err := k.p.MAC(name, message)
	if err != nil {
		return nil, lost(err, "because secrets tagged with another key would look foreign")
	}
	return sum, nil
}

// Signer signs checkpoints. Its name is "station/<id>".
func (k *Keyring) Signer() note.Signer { return k.signer }

// VerifierKey is the public key as note.NewVerifier reads it: "station/<id>+<key hash>+<key>".
func (k *Keyring) VerifierKey() string { return k.signer.vkey }

// SignerOf is the signer of an earlier checkpoint key that was not destroyed yet, by its verifier key.
func (k *Keyring) SignerOf(vkey string) (note.Signer, error) {
	names, err := k.checkpoints()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if s, err := newSigner(k.p, originPrefix+k.station, name); err != nil || s.vkey == vkey {
			return s, err
		}
	}
	return nil, fmt.Errorf("%s: none of its keys is %s: %w", k.p, vkey, ErrMissing)
}

// NextCheckpoint is the key to rotate to, and its verifier key. It is made where none is newer than the one that is open, so whoever died in between gets it again.
func (k *Keyring) NextCheckpoint() (note.Signer, string, error) {
	names, err := k.checkpoints()
	if err != nil {
		return nil, "", err
	}
	now := k.number(k.signer.key)
	next := now + 1
	if last := k.number(names[len(names)-1]); last > now {
		next = last
	} else if err := k.p.CreateSigning(k.checkpoint(next)); err != nil {
		return nil, "", err
	}
	s, err := newSigner(k.p, originPrefix+k.station, k.checkpoint(next))
	if err != nil {
		return nil, "", err
	}
	return s, s.vkey, nil
}

// DestroyOld destroys every checkpoint key but the one that is open: old checkpoints are verified without them.
func (k *Keyring) DestroyOld() error {
	names, err := k.checkpoints()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == k.signer.key {
			continue
		}
		if err := k.p.Destroy(name); err != nil && !errors.Is(err, ErrMissing) {
			return err
		}
	}
	return nil
}

// Close closes the provider.
func (k *Keyring) Close() error { return k.p.Close() }

// String says where the keys are.
func (k *Keyring) String() string { return k.p.String() }

// signer is a note.Signer whose key is in a provider.
type signer struct {
	p    Provider
	key  string // name of the key
	name string
	hash uint32
	vkey string
}

func newSigner(p Provider, name, key string) (*signer, error) {
	public, err := p.Public(key)
	if err != nil {
		return nil, err
	}
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", p, key, ErrKey)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", p, key, ErrKey)
	}
	return &signer{p, key, name, v.KeyHash(), vkey}, nil
}

func (s *signer) Name() string                    { return s.name }
func (s *signer) KeyHash() uint32                 { return s.hash }
func (s *signer) Sign(msg []byte) ([]byte, error) { return s.p.Sign(s.key, msg) }
