package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	tagLabel     = "station/tag/v1"
	rootKeyLabel = "station/root-key/v1"
	masterLabel  = "station/master/v1"
	masterSize   = 8 // bytes of a master key's fingerprint
	masterPrefix = "master-"
	maxMaster    = 64  // bytes of a master key's name; escaped they fit into a file name
	maxSecret    = 256 // bytes; a root key has 32, a password 8
	maxField     = 1<<16 - 1
)

// KeyOf says which root key is derived: that of one counter of one chip, for one recipe.
type KeyOf struct {
	Part   string // name of the part profile
	UID    string // of the chip, hex as in the ledger
	Recipe string // id
	Index  int    // of the counter, from 0
}

// RandomSecret lends n random bytes (1 to 256) to use and wipes them. The error is that of use.
func RandomSecret(n int, use func(secret []byte) error) error {
	if n < 1 || n > maxSecret {
		return fmt.Errorf("a secret of %d bytes; 1 to %d are possible", n, maxSecret)
	}
	secret := make([]byte, n)
	defer clear(secret)
	rand.Read(secret)
	return use(secret)
}

// masterForm is a name of a master key, in parts: line/root-2026. Recipes allow the same.
var masterForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)

// leftover is what writeNew leaves of a master key when it is killed; no name ends like it.
var leftover = regexp.MustCompile(`\.new-[0-9]*$`)

// DerivedKey lends the 32-byte root key that a master key gives one counter of one chip, and wipes it. The error is that of
// use, or wraps ErrMissing, ErrName, ErrMode or ErrKey.
func (k *Keyring) DerivedKey(master string, of KeyOf, use func(key []byte) error) error {
	if of.Index < 0 || int64(of.Index) > 1<<32-1 {
		return fmt.Errorf("counter index %d is out of range", of.Index)
	}
	for _, field := range []string{of.Part, of.UID, of.Recipe} {
		if field == "" || len(field) > maxField {
			return fmt.Errorf("a root key of part %q, chip %q, recipe %q: each of them must be named", of.Part, of.UID, of.Recipe)
		}
	}
	raw, err := k.master(master)
	if err != nil {
		return err
	}
	defer clear(raw)
	info := fields([]byte(rootKeyLabel), []byte(of.Part), []byte(of.UID), []byte(of.Recipe), binary.BigEndian.AppendUint32(nil, uint32(of.Index)))
	key, err := hkdf.Expand(sha256.New, raw, string(info), keySize)
	if err != nil {
		return fmt.Errorf("deriving a root key from master key %s: %w", master, err)
	}
	defer clear(key)
	return use(key)
}

// master reads a master key. Its caller wipes it.
func (k *Keyring) master(name string) ([]byte, error) {
	path, err := k.masterPath(name)
	if err != nil {
		return nil, err
	}
	raw, err := readKey(path, "because nobody could derive the root keys of earlier chips from another one")
	if err != nil {
		return nil, err
	}
	if len(raw) != keySize {
		clear(raw)
		return nil, fmt.Errorf("%s: %w: it must have %d bytes", path, ErrKey, keySize)
	}
	return raw, nil
}

// MasterFingerprint is by what a master key is recognised, 16 hex digits; whoever reads it learns nothing of the key. It reads the key as DerivedKey does, so it
// tells too whether that could. Errors wrap ErrMissing, ErrName, ErrMode or ErrKey.
func (k *Keyring) MasterFingerprint(name string) (string, error) {
	raw, err := k.master(name)
	if err != nil {
		return "", err
	}
	defer clear(raw)
	sum, err := hkdf.Expand(sha256.New, raw, string(fields([]byte(masterLabel))), masterSize)
	if err != nil {
		return "", fmt.Errorf("the fingerprint of master key %s: %w", name, err)
	}
	return hex.EncodeToString(sum), nil
}

// CreateMaster makes a master key, durable when it returns. Errors wrap ErrName, or ErrExists: it overwrites nothing.
func (k *Keyring) CreateMaster(name string) error {
	path, err := k.masterPath(name)
	if err != nil {
		return err
	}
	return createRandom(path)
}

// Masters are the names of the master keys, sorted. What a killed CreateMaster left is none.
func (k *Keyring) Masters() ([]string, error) {
	files, err := os.ReadDir(k.dir)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	names := []string{}
	for _, f := range files {
		if escaped, ok := strings.CutPrefix(f.Name(), masterPrefix); ok {
			name, err := url.PathUnescape(escaped)
			if _, bad := k.masterPath(name); err == nil && bad == nil && url.PathEscape(name) == escaped {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func (k *Keyring) masterPath(name string) (string, error) {
	if len(name) > maxMaster || !masterForm.MatchString(name) || leftover.MatchString(name) {
		return "", fmt.Errorf("%.*q: %w: letters, digits, _, . and -, in parts divided by /, at most %d, and no .new- and digits at the end", maxMaster, name, ErrName, maxMaster)
	}
	return filepath.Join(k.dir, masterPrefix+url.PathEscape(name)), nil
}

// Tag is by what this station recognises a secret of a chip again without keeping it: 32 bytes, which tell nothing of the
// secret to whoever does not have the verifier key. Compare tags with hmac.Equal.
func (k *Keyring) Tag(uid, escrowID string, secret []byte) ([]byte, error) {
	text := fields([]byte(tagLabel), []byte(uid), []byte(escrowID), secret)
	defer clear(text)
	mac := k.tags()
	mac.Write(text)
	return mac.Sum(nil), nil
}

// fields writes each field after its length, two bytes big-endian, so that no list of fields reads as another one. Fields
// are shorter than 64 KiB.
func fields(list ...[]byte) []byte {
	size := 0
	for _, f := range list {
		size += 2 + len(f)
	}
	out := make([]byte, 0, size) // must not grow: a buffer left behind would hold the secret
	for _, f := range list {
		out = binary.BigEndian.AppendUint16(out, uint16(len(f)))
		out = append(out, f...)
	}
	return out
}
