package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	tagLabel      = "station/tag/v1"
	tagKeyLabel   = "station/tag-key/v1"
	rootKeyLabel  = "station/root-key/v1"
	masterLabel   = "station/master/v1"
	identityLabel = "station/unlock-identity/v1"
	masterSize    = 8 // bytes of a master key's fingerprint
	masterPrefix  = "master-"
	maxMaster     = 64  // bytes of a master key's name; escaped they fit into a file name
	maxSecret     = 256 // bytes; a root key has 32, a password 8
	maxField      = 1<<16 - 1
)

// KeyOf says which root key is derived: that of one counter of one chip, for one recipe.
type KeyOf struct {
	Part   string // name of the part profile
	UID    string // of the chip, hex as in the ledger
	Recipe string // id
	Index  int    // of the counter, from 0
}

// masterForm is a name of a master key, in parts: line/root-2026. Recipes allow the same.
var masterForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)

// RandomSecret lends n random bytes (1 to 256) of this machine to use and wipes them. The error is that of use.
func RandomSecret(n int, use func(secret []byte) error) error {
	return randomSecret(n, func([]byte) error { return nil }, use)
}

// RandomSecret lends n random bytes (1 to 256), which neither this machine nor the provider chose alone, and wipes them. The error is that of use, or the provider's.
func (k *Keyring) RandomSecret(n int, use func(secret []byte) error) error {
	return randomSecret(n, k.p.Random, use)
}

func randomSecret(n int, provider func(b []byte) error, use func(secret []byte) error) error {
	if n < 1 || n > maxSecret {
		return fmt.Errorf("a secret of %d bytes; 1 to %d are possible", n, maxSecret)
	}
	secret, own := make([]byte, n), make([]byte, n)
	defer clear(secret)
	defer clear(own)
	if err := provider(secret); err != nil {
		return err
	}
	rand.Read(own)
	subtle.XORBytes(secret, secret, own)
	return use(secret)
}

// DerivedKey lends the 32-byte root key that a master key gives one counter of one chip, and wipes it. The error is that of
// use, or wraps ErrMissing, ErrName, ErrMode, ErrKey or ErrProvider.
func (k *Keyring) DerivedKey(master string, of KeyOf, use func(key []byte) error) error {
	if of.Index < 0 || int64(of.Index) > 1<<32-1 {
		return fmt.Errorf("counter index %d is out of range", of.Index)
	}
	for _, field := range []string{of.Part, of.UID, of.Recipe} {
		if field == "" || len(field) > maxField {
			return fmt.Errorf("a root key of part %q, chip %q, recipe %q: each of them must be named", of.Part, of.UID, of.Recipe)
		}
	}
	key, err := k.expand(master, fields([]byte(rootKeyLabel), []byte(of.Part), []byte(of.UID), []byte(of.Recipe), binary.BigEndian.AppendUint32(nil, uint32(of.Index))))
	if err != nil {
		return err
	}
	defer clear(key)
	return use(key)
}

// expand is HKDF-Expand-SHA-256 with a master key, to 32 bytes.
func (k *Keyring) expand(master string, info []byte) ([]byte, error) {
	if err := checkMaster(master); err != nil {
		return nil, err
	}
	key, err := k.p.MAC(masterPrefix+master, append(info, 1))
	if err != nil {
		return nil, lost(err, "because nobody could derive the root keys of earlier chips from another one")
	}
	return key, nil
}

// MasterFingerprint is by what a master key is recognised, 16 hex digits; whoever reads it learns nothing of the key. It uses the key as DerivedKey does, so it
// tells too whether that could. Errors wrap ErrMissing, ErrName, ErrMode, ErrKey or ErrProvider.
func (k *Keyring) MasterFingerprint(name string) (string, error) {
	sum, err := k.expand(name, fields([]byte(masterLabel)))
	if err != nil {
		return "", err
	}
	defer clear(sum)
	return hex.EncodeToString(sum[:masterSize]), nil
}

// FingerprintOf is the fingerprint of a master key of this value.
func FingerprintOf(value []byte) string {
	h := hmac.New(sha256.New, value)
	h.Write(append(fields([]byte(masterLabel)), 1)) // HKDF-Expand, as in expand
	return hex.EncodeToString(h.Sum(nil)[:masterSize])
}

// CreateMaster makes a master key, durable when it returns: a random one, or one of this value, 32 bytes. Errors wrap ErrName, or ErrExists: it overwrites nothing.
func (k *Keyring) CreateMaster(name string, value []byte) error {
	if err := checkMaster(name); err != nil {
		return err
	}
	if strings.HasSuffix(name, lockSuffix) {
		return fmt.Errorf("%q: %w: it may not end in %s, as the file of an encrypted key does", name, ErrName, lockSuffix)
	}
	return k.p.CreateMAC(masterPrefix+name, value)
}

// Masters are the names of the master keys, sorted.
func (k *Keyring) Masters() ([]string, error) {
	all, err := k.p.Names()
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, key := range all {
		if name, ok := strings.CutPrefix(key, masterPrefix); ok && checkMaster(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func checkMaster(name string) error {
	if len(name) > maxMaster || !masterForm.MatchString(name) || leftover.MatchString(name) {
		return fmt.Errorf("%.*q: %w: letters, digits, _, . and -, in parts divided by /, at most %d, and no .new- and digits at the end", maxMaster, name, ErrName, maxMaster)
	}
	return nil
}

// Tag is by what this station recognises a secret of a chip again without keeping it: 32 bytes, which tell nothing of the
// secret to whoever does not have the verifier key. Compare tags with hmac.Equal.
func (k *Keyring) Tag(uid, escrowID string, secret []byte) ([]byte, error) {
	text := fields([]byte(tagLabel), []byte(uid), []byte(escrowID), secret)
	defer clear(text)
	return k.mac(k.verifier(), text)
}

// TagKey is the key of one escrow's tag, 32 bytes, for a station that has the secret and not the verifier key.
func (k *Keyring) TagKey(uid, escrowID string) ([]byte, error) {
	if len(uid) > maxField || len(escrowID) > maxField {
		return nil, errors.New("a chip and an escrow have shorter names")
	}
	return k.mac(k.verifier(), fields([]byte(tagKeyLabel), []byte(uid), []byte(escrowID)))
}

// fields writes each field after its length, two bytes big-endian, so that no list of fields reads as another one. Fields
// are shorter than 64 KiB.
func fields(list ...[]byte) []byte {
	size := 0
	for _, f := range list {
		size += 2 + len(f)
	}
	out := make([]byte, 0, size+1) // must not grow: a buffer left behind would hold the secret; one more is for expand
	for _, f := range list {
		out = binary.BigEndian.AppendUint16(out, uint16(len(f)))
		out = append(out, f...)
	}
	return out
}
