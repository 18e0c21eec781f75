package keyserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/url"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
	"station/provision"
)

// StationKeyring is a station's keys as the key server lends them: what keyring.Keyring is for keys that the station has itself.
type StationKeyring struct {
	c         *Client
	vkey      string
	recipient string
	digest    string // of the recipe that root keys are for
}

// CreateKeys makes the station's keys: an error with CauseKeyExists where there are some.
func (c *Client) CreateKeys() (*StationKeyring, error) {
	var a KeysAnswer
	if err := c.ask(context.Background(), RouteInit, nil, struct{}{}, &a); err != nil {
		return nil, err
	}
	return c.keyring(RouteInit, a, "")
}

// OpenKeys opens them; vkey is the checkpoint key of the ledger, "" the newest.
func (c *Client) OpenKeys(vkey string) (*StationKeyring, error) {
	a, err := c.keys(vkey)
	if err != nil {
		return nil, err
	}
	return c.keyring(RouteKeys, a, vkey)
}

func (c *Client) keys(vkey string) (a KeysAnswer, err error) {
	query := url.Values{}
	if vkey != "" {
		query.Set("checkpoint", vkey)
	}
	return a, c.ask(context.Background(), RouteKeys, query, nil, &a)
}

func (c *Client) keyring(route string, a KeysAnswer, want string) (*StationKeyring, error) {
	if _, err := c.verifier(a.Checkpoint); err != nil || a.Station != c.station || a.Recipient == "" || want != "" && a.Checkpoint != want {
		return nil, wrong(route, "it answers with the keys of another station than %s, or with none", c.station)
	}
	return &StationKeyring{c: c, vkey: a.Checkpoint, recipient: a.Recipient}, nil
}

func (c *Client) verifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(vkey)
	if err == nil && v.Name() != ledger.Origin(c.station) {
		err = errContent
	}
	return v, err
}

// UseRecipe says for which recipe root keys are asked from now on: the server counts chips by its digest.
func (k *StationKeyring) UseRecipe(digest string) { k.digest = digest }

// VerifierKey is the public half of Signer.
func (k *StationKeyring) VerifierKey() string { return k.vkey }

// String names whose keys they are, and where.
func (k *StationKeyring) String() string {
	return fmt.Sprintf("keys of %s at %s", k.c.station, k.c.base)
}

// Signer has checkpoints signed by the key server.
func (k *StationKeyring) Signer() note.Signer { return signer{k.c, k.vkey} }

type signer struct {
	c    *Client
	vkey string
}

func (s signer) Name() string { return ledger.Origin(s.c.station) }

func (s signer) KeyHash() uint32 {
	v, err := s.c.verifier(s.vkey)
	if err != nil {
		return 0 // it was read before
	}
	return v.KeyHash()
}

func (s signer) Sign(text []byte) ([]byte, error) {
	var a SignAnswer
	if err := s.c.ask(context.Background(), RouteSign, nil, SignRequest{s.vkey, string(text)}, &a); err != nil {
		return nil, err
	}
	if v, err := s.c.verifier(s.vkey); err != nil || !v.Verify(text, a.Signature) {
		return nil, wrong(RouteSign, "its signature does not fit the checkpoint key")
	}
	return a.Signature, nil
}

// NextCheckpoint is the key to rotate to, made where there is none.
func (k *StationKeyring) NextCheckpoint() (note.Signer, string, error) {
	var a CheckpointKey
	if err := k.c.ask(context.Background(), RouteCheckpointKey, nil, CheckpointKey{k.vkey}, &a); err != nil {
		return nil, "", err
	}
	if _, err := k.c.verifier(a.Checkpoint); err != nil || a.Checkpoint == k.vkey {
		return nil, "", wrong(RouteCheckpointKey, "it answers with a checkpoint key that is not new, or another station's")
	}
	return signer{k.c, a.Checkpoint}, a.Checkpoint, nil
}

// DestroyOld destroys every checkpoint key but the one that is open.
func (k *StationKeyring) DestroyOld() error {
	return k.c.ask(context.Background(), RouteDestroyOld, nil, CheckpointKey{k.vkey}, &struct{}{})
}

// Tag is HMAC-SHA-256 of the secret under a key that the server lends: the secret stays here.
func (k *StationKeyring) Tag(uid, escrow string, secret []byte) ([]byte, error) {
	key, err := k.c.key(RouteTagKey, TagKeyRequest{uid, escrow})
	if err != nil {
		return nil, err
	}
	defer clear(key)
	mac := hmac.New(sha256.New, key)
	mac.Write(secret)
	return mac.Sum(nil), nil
}

// DerivedKey lends the root key that a master gives one counter of a chip, and wipes it.
func (k *StationKeyring) DerivedKey(master string, of provision.KeyOf, use func(key []byte) error) error {
	key, err := k.c.key(RouteRootKey, RootKeyRequest{master, of.Part, of.UID, of.Recipe, k.digest, of.Index})
	if err != nil {
		return err
	}
	defer clear(key)
	return use(key)
}

func (c *Client) key(route string, q any) ([]byte, error) {
	var a KeyAnswer
	if err := c.ask(context.Background(), route, nil, q, &a); err != nil {
		clear(a.Key)
		return nil, err
	}
	if len(a.Key) != 32 {
		clear(a.Key)
		return nil, wrong(route, "it answers with a key of another length")
	}
	return a.Key, nil
}

// Masters are the names of the master keys that are in use.
func (k *StationKeyring) Masters() ([]string, error) {
	a, err := k.c.keys(k.vkey)
	names := []string{}
	for _, m := range a.Masters {
		if !m.Retired {
			names = append(names, m.Name)
		}
	}
	return names, err
}

// MasterFingerprint is by what a master is recognised. ErrMissing where the server has none of that name.
func (k *StationKeyring) MasterFingerprint(name string) (string, error) {
	a, err := k.c.keys(k.vkey)
	if err != nil {
		return "", err
	}
	for _, m := range a.Masters {
		if m.Name != name {
			continue
		}
		if !lowerHex(m.Fingerprint, 16) {
			return "", wrong(RouteKeys, "it answers with no fingerprint")
		}
		return m.Fingerprint, nil
	}
	return "", fmt.Errorf("master key %s: %w at the key server", name, ErrMissing)
}

// Recipient is to whom an auditor re-seals a password for this station.
func (k *StationKeyring) Recipient() (string, error) { return k.recipient, nil }

// OpenUnlock lends the password that was re-sealed to this station, and says for which run.
func (k *StationKeyring) OpenUnlock(sealed []byte, use func(of provision.UnlockOf, password []byte) error) error {
	var a UnlockAnswer
	err := k.c.ask(context.Background(), RouteUnlock, nil, UnlockRequest{sealed}, &a)
	defer clear(a.Password)
	if err != nil {
		return err
	}
	if len(a.Password) == 0 || a.UID == "" || a.Escrow == "" {
		return wrong(RouteUnlock, "it answers with no password")
	}
	return use(provision.UnlockOf{Serial: a.Serial, UID: a.UID, Escrow: a.Escrow, Permit: a.Permit}, a.Password)
}
