package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"station/keyring"
	"station/ledger"
	"station/store"
)

// keyholder is whoever keeps the station's keys and uses them for it: its own keyring, or a key server.
type keyholder interface {
	Signer() note.Signer
	VerifierKey() string
	SignerOf(vkey string) (note.Signer, error) // of an earlier checkpoint key, while there is one
	NextCheckpoint() (note.Signer, string, error)
	DestroyOld() error
	Tag(uid, escrow string, secret []byte) ([]byte, error)
	DerivedKey(master string, of keyring.KeyOf, use func(key []byte) error) error
	MasterFingerprint(name string) (string, error)
	Masters() ([]string, error)
	Recipient() (string, error)
	OpenUnlock(sealed []byte, use func(of keyring.Unlock, password []byte) error) error
	Close() error
	String() string // what it is and where, for people
}

// errKeysOfOther refuses keys that nobody knows to be those of the station that is about to be made.
var errKeysOfOther = errors.New("there are keys of this station's name already, and their ledger is elsewhere: restore it (`station restore`); a new one is never made beside an old key. " +
	"Where they were never used, another token, or another station id, goes on")

// createKeys makes the station's keys, or finds those that an init made which died before it made the ledger.
func createKeys(cfg *config) (keyholder, error) {
	begun := func() bool { _, err := os.Stat(keysDir(cfg.Data)); return err == nil }()
	// Where keys are elsewhere, an empty directory says that they are this station's: a token alone does not tell.
	if err := os.Mkdir(keysDir(cfg.Data), 0o700); err != nil && !begun {
		return nil, err
	}
	keys, err := newKeys(cfg)
	switch {
	case err == nil:
		return keys, nil
	case !errors.Is(err, keyring.ErrExists):
	case !begun:
		err = errKeysOfOther
	default:
		if err := ledgerLost(cfg.Data); err != nil {
			return nil, err
		}
		return openKeys(cfg, "")
	}
	if !begun {
		os.Remove(keysDir(cfg.Data)) // unless keys are in it
	}
	return nil, err
}

func newKeys(cfg *config) (keyholder, error) {
	if cfg.Keys.Provider == providerKeyServer {
		return createRemoteKeys(cfg)
	}
	p, err := cfg.Keys.create(keysDir(cfg.Data))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.Create(p, cfg.Station)
	if err != nil {
		p.Close()
		return nil, err
	}
	return keys, nil
}

// openKeys opens the keys of the station whose ledger is signed with the key of this verifier key; "" is the newest that there is.
func openKeys(cfg *config, vkey string) (keyholder, error) {
	if cfg.Keys.Provider == providerKeyServer {
		return openRemoteKeys(cfg, vkey)
	}
	station := cfg.Station
	if v, err := note.NewVerifier(vkey); err == nil { // whose ledger it is the store finds out
		station = strings.TrimPrefix(v.Name(), ledger.Origin(""))
	}
	p, err := cfg.Keys.open(keysDir(cfg.Data))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.Open(p, station, vkey)
	if err != nil {
		p.Close()
		return nil, err
	}
	return keys, nil
}

// keysOf opens the keys that the ledger in this file is signed with.
func keysOf(cfg *config, ledgerFile string) (keyholder, error) {
	vkey, err := checkpointKey(ledgerFile)
	if err != nil {
		return nil, err
	}
	keys, err := openKeys(cfg, vkey)
	if err != nil {
		return nil, exit(exitError, err)
	}
	return keys, nil
}

// checkpointKey is the verifier key that a ledger's checkpoints are signed with now.
func checkpointKey(path string) (string, error) {
	chain, err := store.KeysOf(path)
	if err == nil && chain.Present() == "" {
		err = fmt.Errorf("%s: no entry names a checkpoint key", path)
	}
	return chain.Present(), err
}
