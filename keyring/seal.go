package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const maxIdentityFile = 64 << 10 // bytes

// Seal encrypts a secret (1 to 256 bytes) to every one of the recipients, each of which can open it alone, as an armored age
// file. Recipients are X25519 ones ("age1..."), at least one, none twice; errors wrap ErrRecipient.
func Seal(recipients []string, secret []byte) ([]byte, error) {
	if len(secret) < 1 || len(secret) > maxSecret {
		return nil, fmt.Errorf("a secret of %d bytes; 1 to %d are possible", len(secret), maxSecret)
	}
	return seal(recipients, secret)
}

func seal(recipients []string, content []byte) ([]byte, error) {
	parsed, err := parseRecipients(recipients)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, parsed...)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close(), a.Close()); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return out.Bytes(), nil
}

// CheckRecipients says whether Seal would take these recipients. Errors wrap ErrRecipient.
func CheckRecipients(recipients []string) error {
	_, err := parseRecipients(recipients)
	return err
}

// parseRecipients never quotes one: what was pasted there by mistake may be an identity, which is a secret.
func parseRecipients(recipients []string) ([]age.Recipient, error) {
	if len(recipients) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrRecipient)
	}
	seen := map[string]bool{}
	var out []age.Recipient
	for i, text := range recipients {
		r, err := age.ParseX25519Recipient(text)
		switch {
		case strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-"):
			return nil, fmt.Errorf("%w: number %d is an identity, which is secret: whoever could read it here can open what was sealed to it. "+
				"Make a new one, and name its recipient here, which begins with age1", ErrRecipient, i+1)
		case err != nil:
			return nil, fmt.Errorf("%w: number %d is none: an X25519 recipient is age1 and 58 letters and digits more", ErrRecipient, i+1)
		case seen[r.String()]:
			return nil, fmt.Errorf("%w: number %d is there twice", ErrRecipient, i+1)
		}
		seen[r.String()] = true
		out = append(out, r)
	}
	return out, nil
}

// Fingerprint names a recipient in the ledger: "sha256:" and the hex SHA-256 of its text.
func Fingerprint(recipient string) string {
	sum := sha256.Sum256([]byte(recipient))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Recipients returns the type of each recipient that a sealed secret was made for, "X25519" from Seal. For whom they are age
// does not tell, and without an identity nobody can check the content. Errors wrap ErrSealed.
func Recipients(sealed []byte) ([]string, error) {
	var seen stanzas
	_, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), &seen)
	var none *age.NoIdentityMatchError
	if !errors.As(err, &none) || len(seen) == 0 {
		return nil, fmt.Errorf("%w: %v", ErrSealed, err)
	}
	// The header says nothing of what comes after it: the armor must be whole, to its last line.
	if _, err := io.Copy(io.Discard, armor.NewReader(bytes.NewReader(sealed))); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSealed, err)
	}
	return seen, nil
}

// stanzas is an age.Identity that opens nothing and notes what it was asked to open.
type stanzas []string

func (s *stanzas) Unwrap(list []*age.Stanza) ([]byte, error) {
	for _, stanza := range list {
		*s = append(*s, stanza.Type)
	}
	return nil, age.ErrIncorrectIdentity
}

// Unseal opens a sealed secret with an age identity file and lends it to use. It is for the owners of an escrow; a station
// has no identity that opens one. Errors are those of use, or wrap ErrIdentity or ErrSealed.
func Unseal(sealed []byte, identityFile string, use func(secret []byte) error) error {
	identities, err := readIdentities(identityFile)
	if err != nil {
		return err
	}
	return openWith(sealed, identities, identityFile, maxSecret, use)
}

// openWith lends what was sealed, at most longest bytes, to use. whose names the identities. No error of age is passed on: they quote what they cannot read, and
// what was given in place of a sealed file by mistake may be an identity.
func openWith(sealed []byte, identities []age.Identity, whose string, longest int, use func(content []byte) error) error {
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return fmt.Errorf("%s: %w", whose, ErrIdentity)
	} else if err != nil {
		return fmt.Errorf("%w: it is no age file, or one that was altered", ErrSealed)
	}
	secret := make([]byte, longest+1)
	defer clear(secret)
	n := 0
	// Not io.ReadFull: its error for a short content is the one that age has for content that was cut off.
	for err == nil && n < len(secret) {
		var more int
		more, err = r.Read(secret[n:])
		n += more
	}
	switch {
	case err == nil:
		return fmt.Errorf("%w: it has more than %d bytes", ErrSealed, longest)
	case err != io.EOF:
		return fmt.Errorf("%w: it was altered or cut off", ErrSealed)
	case n == 0:
		return fmt.Errorf("%w: it is empty", ErrSealed)
	}
	return use(secret[:n])
}

// readIdentities passes on no error of age: they quote what they cannot read.
func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	identities, err := age.ParseIdentities(io.LimitReader(f, maxIdentityFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it is not a file of lines AGE-SECRET-KEY-1...; one with a passphrase is opened with the age program", path, ErrIdentity)
	}
	return identities, nil
}
