package keyring

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

const (
	unlockName  = "unlock"
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

// Recipient is the recipient (age1...) to which an auditor re-seals a password for this station.
func (k *Keyring) Recipient() (string, error) {
	id, err := k.identity()
	if err != nil {
		return "", err
	}
	return id.Recipient().String(), nil
}

// identity is the station's own age identity: derived, or in the file that an earlier version made.
func (k *Keyring) identity() (*age.X25519Identity, error) {
	if f, ok := k.p.(*File); ok && k.suffix == "" {
		if id, err := readIdentity(f); !errors.Is(err, ErrMissing) {
			return id, err
		}
	}
	scalar, err := k.mac(k.verifier(), fields([]byte(identityLabel), []byte(k.station)))
	if err != nil {
		return nil, err
	}
	defer clear(scalar)
	return age.ParseX25519Identity(bech32("AGE-SECRET-KEY-", scalar))
}

// readIdentity passes on no error of age: they quote what they cannot read.
func readIdentity(f *File) (*age.X25519Identity, error) {
	text, err := f.read(unlockName)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	line, whole := strings.CutSuffix(string(text), "\n")
	id, err := age.ParseX25519Identity(line)
	if !whole || err != nil {
		return nil, fmt.Errorf("%s: %w: it must be one line, an age identity (AGE-SECRET-KEY-1) and no more", f.path(unlockName), ErrKey)
	}
	return id, nil
}

// bech32 writes data as age writes an identity (BIP 173), in upper case. age reads one, and makes random ones only.
func bech32(prefix string, data []byte) string {
	const alphabet = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
	sum := uint32(1)
	add := func(v byte) {
		top := sum >> 25
		sum = sum&0x1FFFFFF<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3} {
			sum ^= g * (top >> i & 1)
		}
	}
	low := strings.ToLower(prefix)
	for _, c := range []byte(low) {
		add(c >> 5)
	}
	add(0)
	for _, c := range []byte(low) {
		add(c & 31)
	}
	text := base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).EncodeToString(data) // its digits are those of bech32
	for _, c := range []byte(text) {
		add(byte(strings.IndexByte(alphabet, c)))
	}
	for range 6 {
		add(0)
	}
	for i := range 6 {
		text += string(alphabet[(sum^1)>>(5*(5-i))&31])
	}
	return prefix + "1" + text
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
