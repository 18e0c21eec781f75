package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"

	"station/keyring"
	"station/keyserver"
	"station/provision"
)

// connect makes the client of the key server that the configuration names. It connects to nobody yet.
func (c *config) connect() (*keyserver.Client, error) {
	k := c.KeyServer
	info, err := os.Stat(k.Key)
	if err != nil {
		return nil, fmt.Errorf("the key of the station's certificate: %w", err)
	}
	if perm := info.Mode().Perm(); perm&^0o600 != 0 {
		return nil, fmt.Errorf("%s: %w: mode is %#o; run chmod 600 on it, and think about who may have read it", k.Key, keyring.ErrMode, perm)
	}
	ca, err := readCertificate(k.CA)
	if err != nil {
		return nil, fmt.Errorf("the certificate of the key server: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(k.Cert, k.Key)
	if err != nil {
		return nil, fmt.Errorf("the station's certificate (%s and %s): %w", k.Cert, k.Key, err)
	}
	client, err := keyserver.NewClient(keyserver.ClientOptions{URL: k.URL, CA: ca, Cert: cert, Limit: k.Limit})
	if err != nil {
		return nil, err
	}
	if client.Station() != c.Station {
		return nil, fmt.Errorf("%s is the certificate of station %s, and this is station %s", k.Cert, client.Station(), c.Station)
	}
	return client, nil
}

// remoteKeys are the station's keys at a key server.
type remoteKeys struct {
	*keyserver.StationKeyring
	client *keyserver.Client
}

func createRemoteKeys(cfg *config) (keyholder, error) {
	return remote(cfg, func(c *keyserver.Client) (*keyserver.StationKeyring, error) { return c.CreateKeys() })
}

func openRemoteKeys(cfg *config, vkey string) (keyholder, error) {
	return remote(cfg, func(c *keyserver.Client) (*keyserver.StationKeyring, error) { return c.OpenKeys(vkey) })
}

func remote(cfg *config, get func(*keyserver.Client) (*keyserver.StationKeyring, error)) (keyholder, error) {
	client, err := cfg.connect()
	if err != nil {
		return nil, err
	}
	keys, err := get(client)
	if err != nil {
		client.Close()
		return nil, ours(err)
	}
	return remoteKeys{keys, client}, nil
}

// ours says in the keyring's words what a key server says in its own.
func ours(err error) error {
	var refused *keyserver.Error
	switch {
	case errors.As(err, &refused) && refused.Cause == keyserver.CauseKeyExists:
		return fmt.Errorf("%w: %w", keyring.ErrExists, err)
	case errors.Is(err, keyserver.ErrMissing):
		return fmt.Errorf("%w: %w", keyring.ErrMissing, err)
	}
	return err
}

func (k remoteKeys) SignerOf(vkey string) (note.Signer, error) {
	earlier, err := k.client.OpenKeys(vkey)
	if err != nil {
		return nil, ours(err)
	}
	return earlier.Signer(), nil
}

func (k remoteKeys) Close() error { return k.client.Close() }

func (k remoteKeys) DerivedKey(master string, of keyring.KeyOf, use func(key []byte) error) error {
	return k.StationKeyring.DerivedKey(master, provision.KeyOf(of), use)
}

func (k remoteKeys) MasterFingerprint(name string) (string, error) {
	fingerprint, err := k.StationKeyring.MasterFingerprint(name)
	return fingerprint, ours(err)
}

func (k remoteKeys) OpenUnlock(sealed []byte, use func(of keyring.Unlock, password []byte) error) error {
	return k.StationKeyring.OpenUnlock(sealed, func(of provision.UnlockOf, password []byte) error { return use(keyring.Unlock(of), password) })
}
