package main

import (
	"errors"
	"fmt"
	"slices"

	"station/keyring"
	"station/ledger"
	"station/provision"
	"station/recipes"
	"station/store"
)

// secrets is the station's keys and the escrow groups of the configuration, as the engine asks for them.
type secrets struct {
	keys   keyholder
	groups []escrowGroup
}

// Random asks the keyring, which knows more than this machine's random bytes where it is a token. What is for a chip a key server never sees.
func (s secrets) Random(n int, use func([]byte) error) error {
	if k, ok := s.keys.(interface {
		RandomSecret(n int, use func([]byte) error) error
	}); ok {
		return k.RandomSecret(n, use)
	}
	return keyring.RandomSecret(n, use)
}

func (s secrets) Derived(master string, of provision.KeyOf, use func([]byte) error) error {
	return s.keys.DerivedKey(master, keyring.KeyOf(of), use)
}

func (s secrets) Master(name string) (string, error) { return s.keys.MasterFingerprint(name) }

func (s secrets) OpenUnlock(sealed []byte, use func(provision.UnlockOf, []byte) error) error {
	return s.keys.OpenUnlock(sealed, func(of keyring.Unlock, password []byte) error { return use(provision.UnlockOf(of), password) })
}

func (s secrets) Tag(uid, escrow string, secret []byte) ([]byte, error) {
	return s.keys.Tag(uid, escrow, secret)
}

// Seal encrypts to every recipient of the groups; who is in two of them is one recipient.
func (s secrets) Seal(groups []string, secret []byte) ([]byte, []ledger.Recipient, error) {
	var all []string
	var to []ledger.Recipient
	for _, name := range groups {
		g, ok := s.group(name)
		if !ok {
			return nil, nil, fmt.Errorf("the configuration has no escrow group %q", name)
		}
		for _, r := range g.Recipients {
			if !slices.Contains(all, r) {
				all = append(all, r)
				to = append(to, ledger.Recipient{Group: name, Fingerprint: keyring.Fingerprint(r)})
			}
		}
	}
	text, err := keyring.Seal(all, secret)
	return text, to, err
}

func (s secrets) CheckSealed(text []byte, recipients int) error {
	got, err := keyring.Recipients(text)
	if err == nil && len(got) != recipients {
		err = fmt.Errorf("the escrow is for %d recipients, not %d", len(got), recipients)
	}
	return err
}

func (s secrets) group(name string) (escrowGroup, bool) {
	i := slices.IndexFunc(s.groups, func(g escrowGroup) bool { return g.Name == name })
	if i < 0 {
		return escrowGroup{}, false
	}
	return s.groups[i], true
}

// haveKeysFrom tells whether one of these units has, or may have, the root key of a step; the engine looks at each. Where nobody has said yet which units come, it is so.
func haveKeysFrom(db *store.DB, k recipes.RootKey, units []pair) (bool, error) {
	for _, u := range units {
		runs, err := db.Runs(u.value, "")
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(runs, func(r ledger.Run) bool { return r.RootKeyFrom(k.Derive, k.Index) }) {
			return true, nil
		}
	}
	return len(units) == 0, nil
}

// ready says what the station lacks for a recipe, before any slot is opened. units are the scanned serials by slot, none where they are scanned later.
func (s secrets) ready(r *recipes.Recipe, db *store.DB, units []pair) error {
	restore, create := "restore its file from the copy of the keys", "`station key create %s` makes it"
	if k, ok := s.keys.(remoteKeys); ok {
		k.UseRecipe(r.Digest())
		restore, create = "restore it on the key server, from the copy of its keys", "`station keyserver key create %s`, on the key server, makes it"
	}
	var errs []error
	for _, name := range r.EscrowGroups() {
		if _, ok := s.group(name); !ok {
			errs = append(errs, fmt.Errorf("the recipe seals secrets to the group %q, which the configuration does not have: add it to config.yaml, `escrow: [{name: %s, recipients: [age1...]}]`", name, name))
		}
	}
	code := exitRefused
	for _, step := range r.Steps() {
		k, ok := step.(recipes.RootKey)
		if !ok || k.Derive == "" {
			continue
		}
		theirs, used, retired, err := db.Master(k.Derive)
		if err != nil {
			return exit(exitError, err)
		}
		if has, err := haveKeysFrom(db, k, units); err != nil {
			return exit(exitError, err)
		} else if retired && !has {
			errs = append(errs, fmt.Errorf("the recipe derives a root key from the master %q, which was retired: no chip gets a key from it any more. A recipe with a master of another name goes on", k.Derive))
			continue
		}
		switch ours, err := s.keys.MasterFingerprint(k.Derive); {
		case errors.Is(err, keyring.ErrMissing) && used:
			code = exitError
			errs = append(errs, fmt.Errorf("the recipe derives a root key from the master %q, which units have their keys from and this station does not have any more: %s. "+
				"If it is lost for good, a recipe with a master of another name goes on", k.Derive, restore))
		case errors.Is(err, keyring.ErrMissing):
			errs = append(errs, fmt.Errorf("the recipe derives a root key from the master %q, which this station does not have: "+create, k.Derive, k.Derive))
		case errors.Is(err, keyring.ErrName):
			errs = append(errs, fmt.Errorf("the recipe derives a root key from a master that no station can have: %w", err))
		case errors.As(err, new(interface{ KeyServer() bool })):
			code = exitError
			errs = append(errs, fmt.Errorf("the recipe derives a root key from the master %q: %w", k.Derive, err))
		case err != nil:
			code = exitError
			errs = append(errs, fmt.Errorf("the recipe derives a root key from the master %q, which cannot be read: %w. If the file is spoilt, restore it from the backup", k.Derive, err))
		case theirs != "" && ours != theirs:
			code = exitError
			errs = append(errs, fmt.Errorf("the recipe derives a root key from the master %q, which is another key than the one that earlier units got theirs from (fingerprint %s, and theirs is %s): %s",
				k.Derive, ours, theirs, restore))
		}
	}
	if len(errs) > 0 {
		return exit(code, fmt.Errorf("this station cannot carry the recipe out; no slot was opened\n%w", errors.Join(errs...)))
	}
	return nil
}
