package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	keySuffix  = ".key"
	maxKeyFile = 4096 // bytes; a key line has about 120, and an age file around it 220 more
)

// What writeNew leaves of a key when it is killed ends in made: 130 random bits, as rand.Text writes them. No name ends like a leftover, of which earlier versions wrote decimal ones;
// those may be a person's copy with a date, and are not swept.
var (
	leftover = regexp.MustCompile(`\.new-([0-9]*|[A-Z2-7]{26})$`)
	made     = regexp.MustCompile(`\.new-[A-Z2-7]{26}$`)
)

// point is passed behind each durable thing that making a key does. Tests die there.
var point = func() {}

// File is a Provider in a directory: files of mode 0600, encrypted where it was made with a passphrase. Printing it in any way shows no key.
type File struct {
	dir  string
	lock *lock // nil where files are not encrypted
}

// CreateFile makes dir, which may be there already, and opens it.
func CreateFile(dir string, passphrase []byte) (*File, error) {
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	if passphrase != nil {
		if err := createLock(dir, passphrase); err != nil && !errors.Is(err, ErrExists) {
			return nil, err
		}
	}
	return OpenFile(dir, passphrase)
}

// OpenFile opens the keys in dir; passphrase is nil where they are not encrypted. Keys that are encrypted and keys that are not are never in one directory. Errors wrap
// ErrMissing, ErrMode, ErrKey or, where the passphrase is not theirs, ErrProvider.
func OpenFile(dir string, passphrase []byte) (*File, error) {
	f := &File{dir: dir}
	if err := checkDir(dir); errors.Is(err, fs.ErrNotExist) && passphrase == nil {
		return f, nil // every key says that it is missing
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sweep(dir) // what cannot be swept does not keep anybody from reading a copy on a medium that cannot be written to
	path := filepath.Join(dir, lockFile)
	_, err := os.Lstat(path)
	if passphrase == nil {
		if err == nil {
			return nil, fmt.Errorf("%s: the keys beside it are encrypted, and no passphrase was given: name its source, `keys: {provider: file, passphrase: ...}`, or bring the plain files back from their copy: %w", path, ErrProvider)
		}
		return f, nil
	}
	plain, err := f.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range plain {
		if !strings.HasSuffix(f.path(name), lockSuffix) {
			return nil, fmt.Errorf("%s: %w: %w. `station key encrypt` encrypts all of them", f.path(name), ErrKey, ErrPlain)
		}
	}
	if f.lock, err = openLock(path, passphrase); err != nil {
		return nil, err
	}
	return f, nil
}

// path is where a key is.
func (f *File) path(name string) string {
	file := url.PathEscape(name)
	if !strings.HasPrefix(name, masterPrefix) {
		file += keySuffix
	}
	if f.lock != nil {
		file += lockSuffix
	}
	return filepath.Join(f.dir, file)
}

func (f *File) MAC(name string, message []byte) ([]byte, error) {
	raw, err := f.read(name)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	if len(raw) != keySize {
		return nil, fmt.Errorf("%s: %w: it must have %d bytes", f.path(name), ErrKey, keySize)
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write(message)
	return mac.Sum(nil), nil
}

func (f *File) Sign(name string, message []byte) ([]byte, error) {
	private, err := f.signing(name)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	return ed25519.Sign(private, message), nil
}

func (f *File) Public(name string) (ed25519.PublicKey, error) {
	private, err := f.signing(name)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	return slices.Clone(private.Public().(ed25519.PublicKey)), nil
}

// Random leaves b as it is: this machine's random bytes are added to it as to every provider's.
func (f *File) Random(b []byte) error { return nil }

func (f *File) CreateMAC(name string, value []byte) error {
	key := make([]byte, keySize)
	defer clear(key)
	switch {
	case value == nil:
		rand.Read(key)
	case len(value) != keySize:
		return fmt.Errorf("%w: a key has %d bytes, not %d", ErrKey, keySize, len(value))
	default:
		copy(key, value)
	}
	return f.create(name, key)
}

func (f *File) CreateSigning(name string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key %s: %w", name, err)
	}
	defer clear(private)
	line, err := signerKey(originPrefix+name, private)
	if err != nil {
		return fmt.Errorf("making the key %s: %w", name, err)
	}
	defer clear(line)
	return f.create(name, line)
}

// What note's encoding of a signer key has around name, hash and key.
const (
	signerPrefix = "PRIVATE+KEY+"
	algEd25519   = 1
)

// signerKey is the line of a key file. note would make it a string, which nobody can wipe. Its caller wipes it.
func signerKey(name string, private ed25519.PrivateKey) ([]byte, error) {
	hash, err := keyHash(name, private)
	if err != nil {
		return nil, err
	}
	seed := append([]byte{algEd25519}, private.Seed()...)
	defer clear(seed)
	line := make([]byte, 0, len(signerPrefix)+len(name)+base64.StdEncoding.EncodedLen(len(seed))+16) // must not grow
	line = fmt.Appendf(line, "%s%s+%08x+", signerPrefix, name, hash)
	return append(base64.StdEncoding.AppendEncode(line, seed), '\n'), nil
}

// keyHash is what note calls the hash of a key and its name.
func keyHash(name string, private ed25519.PrivateKey) (uint32, error) {
	vkey, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return 0, ErrKey
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return 0, ErrKey
	}
	return v.KeyHash(), nil
}

func (f *File) create(name string, content []byte) error {
	if f.lock != nil {
		var err error
		if content, err = f.lock.seal(content); err != nil {
			return err
		}
	}
	return writeNew(f.path(name), content)
}

// Destroy takes every link of the file, the key's own name last: whoever dies in between destroys it again.
func (f *File) Destroy(name string) error {
	path := f.path(name)
	key, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, ErrMissing)
	} else if err != nil {
		return err
	}
	all, err := leftovers(f.dir, leftover)
	if err != nil {
		return err
	}
	for _, file := range append(all, path) {
		if link, err := os.Lstat(file); err != nil || !os.SameFile(link, key) {
			continue // of another key, or swept meanwhile
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(f.dir)
}

// Names leaves out what a creation left that was killed, and what somebody else put there.
func (f *File) Names() ([]string, error) {
	files, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	names := []string{}
	for _, file := range files {
		if name, ok := f.nameOf(file.Name()); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// nameOf undoes path.
func (f *File) nameOf(file string) (name string, ok bool) {
	text, ok := file, true
	if f.lock != nil {
		text, ok = strings.CutSuffix(text, lockSuffix)
	}
	if ok && !strings.HasPrefix(text, masterPrefix) {
		text, ok = strings.CutSuffix(text, keySuffix)
	}
	name, err := url.PathUnescape(text)
	return name, ok && err == nil && name != "" && !leftover.MatchString(name) && filepath.Base(f.path(name)) == file && name != unlockName
}

// String says where the files are.
func (f *File) String() string {
	if f.lock != nil {
		return f.dir + ", encrypted"
	}
	return f.dir
}

func (f *File) Close() error { return nil }

// read returns what a key file holds. Its caller wipes it.
func (f *File) read(name string) ([]byte, error) {
	text, err := readKey(f.path(name))
	if err != nil || f.lock == nil {
		return text, err
	}
	plain, err := f.lock.open(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it is no age file for the identity in %s", f.path(name), ErrKey, lockFile)
	}
	return plain, nil
}

// readKey reads a file of keys, and its directory's and its own mode. Its caller wipes it.
func readKey(path string) ([]byte, error) {
	missing := fmt.Errorf("%s: %w", path, ErrMissing)
	if err := checkDir(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	} else if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: it is not a regular file", path, ErrKey)
	}
	if err := checkMode(path, info, 0o600); err != nil {
		return nil, err
	}
	// A buffer that grows would leave pieces of the key behind.
	text := make([]byte, maxKeyFile)
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(text)
		return nil, err
	}
	return text[:n], nil
}

// signing returns a signing key. Its caller wipes it.
func (f *File) signing(name string) (ed25519.PrivateKey, error) {
	text, err := f.read(name)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	private, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(name), err)
	}
	return private, nil
}

// parse reads the one line of a key file, PRIVATE+KEY+<name>+<hash>+<key>: base64 of the algorithm byte and the 32-byte seed. It makes no string of it, which nobody could wipe.
func parse(text []byte) (ed25519.PrivateKey, error) {
	line, ok := bytes.CutSuffix(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("%w: the line is not complete", ErrKey)
	}
	rest, ok := bytes.CutPrefix(line, []byte(signerPrefix))
	parts := bytes.SplitN(rest, []byte("+"), 3) // the key may hold "+"
	if !ok || len(parts) != 3 || !bytes.HasPrefix(parts[0], []byte(originPrefix)) || len(parts[0]) == len(originPrefix) || base64.StdEncoding.DecodedLen(len(parts[2])) > 64 {
		return nil, ErrKey
	}
	seed := make([]byte, 64)
	defer clear(seed)
	n, err := base64.StdEncoding.Decode(seed, parts[2])
	if err != nil || n != 1+ed25519.SeedSize || seed[0] != algEd25519 {
		return nil, ErrKey
	}
	private := ed25519.NewKeyFromSeed(seed[1:n])
	hash, err := keyHash(string(parts[0]), private)
	if err == nil && fmt.Sprintf("%08x", hash) != string(parts[1]) {
		err = fmt.Errorf("%w: its hash does not fit it", ErrKey)
	}
	if err != nil {
		clear(private)
		return nil, err
	}
	return private, nil
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return checkMode(dir, info, 0o700)
}

func checkMode(path string, info fs.FileInfo, allowed fs.FileMode) error {
	if perm := info.Mode().Perm(); perm&^allowed != 0 {
		return fmt.Errorf("%s: %w: mode is %#o; run chmod %#o on it, and think about who may have read it",
			path, ErrMode, perm, allowed)
	}
	return nil
}

// writeNew makes path appear with its whole content or not at all, and never replaces another file.
func writeNew(path string, content []byte) (err error) {
	held, err := hold(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer held.Close()
	f, err := os.OpenFile(path+".new-"+rand.Text(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	point()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	point()
	// A rename would replace a key that another process made meanwhile; a link fails instead.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w and is never overwritten", path, ErrExists)
	} else if err != nil {
		return err
	}
	point()
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
