package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

const (
	lockFile   = "keyring.age"
	lockSuffix = ".age"
	maxWork    = 20 // log2 of scrypt's N that a file may ask for; 2^18 is age's own, a quarter of a GiB and about a second
)

// workFactor is log2 of scrypt's N in a new keyring.age. Tests need not be slow.
var workFactor = 18

// lock encrypts and decrypts key files. The identity is in closures, because no verb of fmt shows what is in one.
type lock struct {
	seal, open func([]byte) ([]byte, error)
}

// createLock makes keyring.age.
func createLock(dir string, passphrase []byte) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making the identity of the keys: %w", err)
	}
	r, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return errors.New("a passphrase may not be empty")
	}
	r.SetWorkFactor(workFactor)
	line := []byte(id.String() + "\n")
	defer clear(line)
	text, err := encrypt(r, line)
	if err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, lockFile), text)
}

// openLock opens keyring.age.
func openLock(path string, passphrase []byte) (*lock, error) {
	id, err := openIdentity(path, passphrase)
	if err != nil {
		return nil, err
	}
	return &lock{
		seal: func(plain []byte) ([]byte, error) { return encrypt(id.Recipient(), plain) },
		open: func(text []byte) ([]byte, error) { return decrypt(id, text) },
	}, nil
}

// openIdentity passes on no error of age: they quote what they cannot read.
func openIdentity(path string, passphrase []byte) (*age.X25519Identity, error) {
	text, err := readKey(path)
	if err != nil {
		return nil, err
	}
	scrypt, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, errors.New("a passphrase may not be empty")
	}
	scrypt.SetMaxWorkFactor(maxWork)
	line, err := decrypt(scrypt, text)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("%s: the passphrase is not the one that it was made with: %w", path, ErrProvider)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w: it is no age file with a passphrase, or was altered", path, ErrKey)
	}
	defer clear(line)
	one, whole := strings.CutSuffix(string(line), "\n")
	id, err := age.ParseX25519Identity(one)
	if !whole || err != nil {
		return nil, fmt.Errorf("%s: %w: it must hold one line, an age identity, and no more", path, ErrKey)
	}
	return id, nil
}

func encrypt(to age.Recipient, plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err == nil {
		_, err = w.Write(plain)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("encrypting a key: %w", err)
	}
	return out.Bytes(), nil
}

func decrypt(with age.Identity, text []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(text), with)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, maxKeyFile) // must not grow
	n := 0
	// Not io.ReadFull: its error for a short content is the one that age has for content that was cut off.
	for err == nil && n < len(plain) {
		var more int
		more, err = r.Read(plain[n:])
		n += more
	}
	if err != io.EOF {
		clear(plain)
		return nil, errors.New("the content was altered or is too long")
	}
	return plain[:n], nil
}
