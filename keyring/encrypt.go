package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ageHeader begins an age file, and no key.
const ageHeader = "age-encryption.org/v1\n"

// Encrypt turns the plain key files in dir into ones that the passphrase opens, and says how many it removed. None is removed before every one of them has its encrypted one,
// durable and read back; whoever dies in between gives the same passphrase again. Nobody else may use the keys meanwhile. Errors are those of OpenFile, and ErrKey where an
// encrypted file is there that holds something else, and ErrName, with nothing changed, where two keys would have files of one name.
func Encrypt(dir string, passphrase []byte) (removed int, err error) {
	if err := checkDir(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s: %w", dir, ErrMissing)
	} else if err != nil {
		return 0, err
	}
	sweep(dir)
	plain := &File{dir: dir}
	names, err := plain.plainNames()
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if endsAsEncrypted(name) && slices.Contains(names, strings.TrimSuffix(name, lockSuffix)) {
			return 0, fmt.Errorf("%s: %w: the encrypted file of %s has this name too. Nothing was changed; move one of the two away", plain.path(name), ErrName, strings.TrimSuffix(name, lockSuffix))
		}
	}
	path := filepath.Join(dir, lockFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && len(names) > 0 {
		if err := createLock(dir, passphrase); err != nil {
			return 0, err
		}
	}
	lock, err := openLock(path, passphrase)
	if err != nil {
		return 0, err
	}
	encrypted := &File{dir: dir, lock: lock}
	for _, name := range names {
		if err := encryptOne(plain, encrypted, name); err != nil {
			return 0, err
		}
	}
	for _, name := range names {
		point()
		if err := plain.Destroy(name); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// HalfEncrypted tells whether dir has keyring.age and no fewer plain keys than encrypted ones: an Encrypt died there before it removed any. No key is lost with the encrypted ones.
func HalfEncrypted(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, lockFile)); err != nil {
		return false
	}
	plain, err := (&File{dir: dir}).plainNames()
	if err != nil || len(plain) == 0 || slices.ContainsFunc(plain, endsAsEncrypted) {
		return false
	}
	encrypted := &File{dir: dir, lock: &lock{}}
	names, err := encrypted.Names()
	return err == nil && !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(plain, name) })
}

// endsAsEncrypted tells of a key whose plain file has the name of another one's encrypted file.
func endsAsEncrypted(name string) bool {
	return strings.HasPrefix(name, masterPrefix) && strings.HasSuffix(name, lockSuffix)
}

// encryptOne makes the encrypted file of a key, or finds it, and wants it to hold the same.
func encryptOne(plain, encrypted *File, name string) error {
	text, err := plain.read(name)
	if err != nil {
		return err
	}
	defer clear(text)
	if err := encrypted.create(name, text); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	back, err := encrypted.read(name)
	if err != nil {
		return err
	}
	defer clear(back)
	if !bytes.Equal(back, text) {
		return fmt.Errorf("%s: %w: %s is there too, and is another key. Find out which of the two counts, and move the other one away", encrypted.path(name), ErrKey, plain.path(name))
	}
	return nil
}

// plainNames are the keys in files that are not encrypted, the identity of an earlier version among them.
func (f *File) plainNames() ([]string, error) {
	all, err := f.Names()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range append(all, unlockName) {
		text, err := f.read(name)
		if name == unlockName && errors.Is(err, ErrMissing) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(text, []byte(ageHeader)) { // the encrypted master-a looks like a plain one of the name a.age
			names = append(names, name)
		}
		clear(text)
	}
	return names, nil
}
