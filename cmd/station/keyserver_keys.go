package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"station/keyring"
	"station/keyserver"
	"station/provision"
)

// providerKeys are the keys of all stations in one provider.
type providerKeys struct {
	p   keyring.Provider
	own *keyring.Keyring // whose masters are those of all

	mu   sync.Mutex
	open map[[2]string]*keyring.Keyring // by station and verifier key: a token is slow to look through
}

// theirs says in keyserver's words what the keyring says in its own.
func theirs(err error) error {
	switch {
	case errors.Is(err, keyring.ErrMissing):
		return fmt.Errorf("%w: %w", keyserver.ErrMissing, err)
	case errors.Is(err, keyring.ErrExists):
		return fmt.Errorf("%w: %w", keyserver.ErrExists, err)
	case errors.Is(err, keyring.ErrName):
		return fmt.Errorf("%w: %w", keyserver.ErrName, err)
	}
	return err
}

func (k *providerKeys) Station(station, vkey string) (keyserver.StationKeys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if had, ok := k.open[[2]string{station, vkey}]; ok && vkey != "" {
		return stationKeys{had, k, station}, nil
	}
	opened, err := keyring.OpenFor(k.p, station, vkey)
	if err != nil {
		return nil, theirs(err)
	}
	if k.open == nil {
		k.open = map[[2]string]*keyring.Keyring{}
	}
	k.open[[2]string{station, vkey}] = opened
	return stationKeys{opened, k, station}, nil
}

func (k *providerKeys) Create(station string) (keyserver.StationKeys, error) {
	made, err := keyring.CreateFor(k.p, station)
	if err != nil {
		return nil, theirs(err)
	}
	return stationKeys{made, k, station}, nil
}

func (k *providerKeys) Masters() ([]string, error) { return k.own.Masters() }

func (k *providerKeys) Fingerprint(master string) (string, error) {
	fingerprint, err := k.own.MasterFingerprint(master)
	return fingerprint, theirs(err)
}

func (k *providerKeys) FingerprintOf(value []byte) string { return keyring.FingerprintOf(value) }

func (k *providerKeys) CreateMaster(master string, value []byte) error {
	return theirs(k.own.CreateMaster(master, value))
}

func (k *providerKeys) RootKey(master string, of provision.KeyOf) (key []byte, err error) {
	err = k.own.DerivedKey(master, keyring.KeyOf(of), func(lent []byte) error {
		key = bytes.Clone(lent)
		return nil
	})
	return key, theirs(err)
}

func (k *providerKeys) MAC(master string, message []byte) ([]byte, error) {
	sum, err := k.p.MAC("master-"+master, message)
	return sum, theirs(err)
}

type stationKeys struct {
	*keyring.Keyring
	all     *providerKeys
	station string
}

func (k stationKeys) NextCheckpoint() (note.Signer, string, error) {
	signer, vkey, err := k.Keyring.NextCheckpoint()
	return signer, vkey, theirs(err)
}

func (k stationKeys) DestroyOld() error {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	for key := range k.all.open {
		if key[0] == k.station {
			delete(k.all.open, key)
		}
	}
	return k.Keyring.DestroyOld()
}

func (k stationKeys) OpenUnlock(sealed []byte, use func(provision.UnlockOf, []byte) error) error {
	return k.Keyring.OpenUnlock(sealed, func(of keyring.Unlock, password []byte) error { return use(provision.UnlockOf(of), password) })
}
