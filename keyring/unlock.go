package keyring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

const (
	unlockFile  = "unlock.key"
	unlockLabel = "station/unlock/v1"
	maxUnlock   = 4096 // bytes of what is sealed in one
)

// Unlock says for which run a password was re-sealed to this station: that of one unit and chip under one permission.
type Unlock struct {
	Serial string
	UID    string // of the chip, hex as in the ledger
	Escrow string // id of the escrow that it comes from
	Permit int64  // index of the rework.permit
}

// CreateRecipient returns the recipient (age1...) to which an auditor re-seals a password for this station, and makes its identity where there is
// none yet. A lost one is no loss but of files that were sealed to it.
func (k *Keyring) CreateRecipient() (string, error) {
	id, err := k.identity()
	if !errors.Is(err, ErrMissing) {
		return recipientOf(id, err)
	}
	fresh, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("making the unlock key: %w", err)
	}
	text := []byte(fresh.String() + "\n")
	defer clear(text)
	// Where another process made one meanwhile, that one counts.
	if err := writeNew(filepath.Join(k.dir, unlockFile), text); err != nil && !errors.Is(err, ErrExists) {
		return "", err
	}
	return k.Recipient()
}

// Recipient is CreateRecipient for a keyring that has an identity: ErrMissing where it has none.
func (k *Keyring) Recipient() (string, error) { return recipientOf(k.identity()) }

func recipientOf(id *age.X25519Identity, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return id.Recipient().String(), nil
}

// identity passes on no error of age: they quote what they cannot read.
func (k *Keyring) identity() (*age.X25519Identity, error) {
	path := filepath.Join(k.dir, unlockFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: the next permission for rework makes it", path, ErrMissing)
	}
	text, err := readKey(path, "")
	if err != nil {
		return nil, err
	}
	defer clear(text)
	line, whole := strings.CutSuffix(string(text), "\n")
	id, err := age.ParseX25519Identity(line)
	if !whole || err != nil {
		return nil, fmt.Errorf("%s: %w: it must be one line, an age identity (AGE-SECRET-KEY-1) and no more", path, ErrKey)
	}
	return id, nil
}

// SealUnlock seals a password to a station's recipient, for one run and no other. Errors wrap ErrRecipient.
func SealUnlock(recipient string, of Unlock, password []byte) ([]byte, error) {
	for _, f := range []string{of.Serial, of.UID, of.Escrow} {
		if f == "" || len(f) > maxSecret*4 {
			return nil, fmt.Errorf("an unlock of unit %q, chip %q, escrow %q: each of them must be named", of.Serial, of.UID, of.Escrow)
		}
	}
	if len(password) < 1 || len(password) > maxSecret {
		return nil, fmt.Errorf("a password of %d bytes; 1 to %d are possible", len(password), maxSecret)
	}
	text := fields([]byte(unlockLabel), []byte(of.Serial), []byte(of.UID), []byte(of.Escrow), binary.BigEndian.AppendUint64(nil, uint64(of.Permit)), password)
	defer clear(text)
	return seal([]string{recipient}, text)
}

// OpenUnlock opens what SealUnlock sealed to this station, and lends the password to use. Errors are those of use, or wrap ErrSealed, ErrIdentity, or
// those of the key file.
func (k *Keyring) OpenUnlock(sealed []byte, use func(of Unlock, password []byte) error) error {
	id, err := k.identity()
	if err != nil {
		return err
	}
	return openWith(sealed, []age.Identity{id}, "this station", maxUnlock, func(text []byte) error {
		f, ok := cut(text, 6)
		if !ok || string(f[0]) != unlockLabel || len(f[4]) != 8 {
			return fmt.Errorf("%w: it holds something else than a password for one run", ErrSealed)
		}
		return use(Unlock{Serial: string(f[1]), UID: string(f[2]), Escrow: string(f[3]), Permit: int64(binary.BigEndian.Uint64(f[4]))}, f[5])
	})
}

// cut undoes fields, for a list of exactly n.
func cut(text []byte, n int) (list [][]byte, ok bool) {
	for range n {
		if len(text) < 2 {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(text))
		if len(text) < 2+size {
			return nil, false
		}
		list, text = append(list, text[2:2+size]), text[2+size:]
	}
	return list, len(text) == 0
}
