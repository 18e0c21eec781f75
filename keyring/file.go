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
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

const (
	checkpointFile = "checkpoint.key"
	verifierFile   = "verifier.key"
	keyPrefix      = "station/" // the key's name is the origin line of the checkpoints
	maxKeyFile     = 4096       // bytes; a key line has about 120
	keySize        = 32         // bytes of the verifier key and of a master key
)

// Create makes the checkpoint key and the verifier key of station stationID in dir, which is made too when it does not
// exist, and opens the keyring. An existing checkpoint key is never overwritten: ErrExists. A verifier key without one is
// what a Create leaves that died in between; it is kept. When Create returns, the keys are durable.
func Create(dir, stationID string) (*Keyring, error) {
	if stationID == "" || !utf8.ValidString(stationID) || strings.ContainsRune(stationID, '+') || strings.ContainsFunc(stationID, unicode.IsSpace) {
		return nil, fmt.Errorf("station id %q: a key's name may have no spaces and no plus sign", stationID)
	}
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
	path := filepath.Join(dir, checkpointFile)
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w and is never overwritten", path, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The checkpoint key comes last: it is what says that a keyring is there.
	if err := CreateVerifier(dir); err != nil && !errors.Is(err, ErrExists) {
		return nil, err
	}
	if _, err := readVerifier(dir); err != nil {
		return nil, err
	}
	skey, _, err := note.GenerateKey(rand.Reader, keyPrefix+stationID)
	if err != nil {
		return nil, fmt.Errorf("making the checkpoint key: %w", err)
	}
	if err := writeNew(path, []byte(skey+"\n")); err != nil {
		return nil, err
	}
	return Open(dir)
}

// CreateVerifier gives a verifier key to a keyring that was made before there was one. It makes no key beside an existing
// one: ErrExists. Beside a ledger with open runs a new verifier key is wrong: their tags were made with the old one.
func CreateVerifier(dir string) error { return createRandom(filepath.Join(dir, verifierFile)) }

// createRandom makes a file of keySize random bytes.
func createRandom(path string) error {
	key := make([]byte, keySize)
	defer clear(key)
	rand.Read(key)
	return writeNew(path, key)
}

// Open reads the keyring in dir. Errors wrap ErrMissing, ErrMode or ErrKey.
func Open(dir string) (*Keyring, error) {
	path := filepath.Join(dir, checkpointFile)
	text, err := readKey(path, "because entries signed by another key would look forged")
	if err != nil {
		return nil, err
	}
	defer clear(text)
	k, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k.dir = dir
	if k.tags, err = readVerifier(dir); err != nil {
		return nil, err
	}
	return k, nil
}

// readVerifier returns HMAC-SHA-256 with the verifier key.
func readVerifier(dir string) (func() hash.Hash, error) {
	path := filepath.Join(dir, verifierFile)
	raw, err := readKey(path, "because secrets tagged with another key would look foreign")
	if err != nil {
		return nil, err
	}
	if len(raw) != keySize {
		clear(raw)
		return nil, fmt.Errorf("%s: %w: it must have %d bytes", path, ErrKey, keySize)
	}
	return func() hash.Hash { return hmac.New(sha256.New, raw) }, nil
}

// readKey reads a key file, and its directory's and its own mode. Its caller wipes it.
func readKey(path, whyNotAnew string) ([]byte, error) {
	missing := fmt.Errorf("%s: %w. Restore it from the backup: it is never made anew beside an existing ledger, %s", path, ErrMissing, whyNotAnew)
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

// parse reads the one line of a key file. No error of note is passed on: some quote their input.
func parse(text []byte) (*Keyring, error) {
	line, ok := bytes.CutSuffix(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("%w: the line is not complete", ErrKey)
	}
	signer, err := note.NewSigner(string(line))
	if err != nil || !strings.HasPrefix(signer.Name(), keyPrefix) || signer.Name() == keyPrefix {
		return nil, ErrKey
	}
	// PRIVATE+KEY+<name>+<hash>+<key>: base64 of the algorithm byte and the 32-byte seed. The key may hold "+".
	parts := strings.SplitN(string(line), "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, ErrKey
	}
	defer clear(seed)
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, ErrKey
	}
	v, err := note.NewVerifier(vkey)
	if err != nil || v.KeyHash() != signer.KeyHash() {
		return nil, fmt.Errorf("%w: its hash does not fit it", ErrKey)
	}
	return &Keyring{signer: signer, vkey: vkey}, nil
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
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A rename would replace a key that another process made meanwhile; a link fails instead.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w and is never overwritten", path, ErrExists)
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
