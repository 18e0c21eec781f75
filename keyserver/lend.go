package keyserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"station/ledger"
	"station/provision"
)

func (s *Server) tagKey(client string, q TagKeyRequest) (KeyAnswer, error) {
	if err := short(q.UID, q.Escrow); err != nil {
		return KeyAnswer{}, err
	}
	k, err := s.stationKeys(client, "")
	if err != nil {
		return KeyAnswer{}, err
	}
	key, err := k.TagKey(q.UID, q.Escrow)
	return KeyAnswer{key}, err
}

func (s *Server) unlock(ctx context.Context, client string, q UnlockRequest) (UnlockAnswer, error) {
	k, err := s.stationKeys(client, "")
	if err != nil {
		return UnlockAnswer{}, err
	}
	var a UnlockAnswer
	err = k.OpenUnlock(q.Sealed, func(of provision.UnlockOf, password []byte) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.write(ctx, ledger.UnlockServed{Client: client, Serial: of.Serial, UID: of.UID, Escrow: of.Escrow, Permit: of.Permit}); err != nil {
			return &writeErr{err}
		}
		a = UnlockAnswer{of.Serial, of.UID, of.Escrow, of.Permit, slices.Clone(password)}
		return nil
	})
	if w := (*writeErr)(nil); err != nil && !errors.As(err, &w) {
		return a, refuse(CauseContent, about{}, "it is not sealed to station %s, or was altered", client)
	}
	return a, err
}

type writeErr struct{ error }

// rootKey derives a root key for a chip of an allowance.
func (s *Server) rootKey(ctx context.Context, client string, q RootKeyRequest) (KeyAnswer, error) {
	if err := short(q.Master, q.Part, q.UID, q.Recipe, q.Digest); err != nil {
		return KeyAnswer{}, err
	}
	if err := checkUID(q.UID); err != nil {
		return KeyAnswer{}, err
	}
	if err := s.mayLend(client, q); err != nil {
		return KeyAnswer{}, err
	}
	fingerprint, err := s.master(q.Master)
	if err != nil {
		return KeyAnswer{}, err
	}
	if err := s.lend(ctx, client, q, fingerprint); err != nil {
		return KeyAnswer{}, err
	}
	key, err := s.o.Keys.RootKey(q.Master, provision.KeyOf{Part: q.Part, UID: q.UID, Recipe: q.Recipe, Index: q.Index})
	if err != nil {
		return KeyAnswer{}, s.missing(q.Master, err)
	}
	return KeyAnswer{key}, nil
}

// lend writes down that a root key is lent, where it may be.
func (s *Server) lend(ctx context.Context, client string, q RootKeyRequest, fingerprint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lendable(client, q); err != nil {
		return err
	}
	return s.write(ctx, ledger.RootKeyServed{Client: client, Recipe: q.Recipe, Digest: q.Digest, Part: q.Part, UID: q.UID, Index: q.Index, Master: q.Master, Fingerprint: fingerprint})
}

// mayLend asks the allowance before anybody asks the keys.
func (s *Server) mayLend(client string, q RootKeyRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lendable(client, q)
}

// lendable refuses a root key that no allowance has. The caller holds mu.
func (s *Server) lendable(client string, q RootKeyRequest) error {
	what := about{q.Digest, q.UID, q.Master}
	a, err := s.allowed(client, q.Digest, q.UID)
	if err != nil {
		return err
	}
	j, err := s.job(a)
	if err != nil {
		return err
	}
	if q.Recipe != j.Recipe || !slices.Contains(j.Keys, Key{q.Master, q.Index}) || !slices.ContainsFunc(j.Parts, func(p Part) bool { return p.Name == q.Part }) {
		return refuse(CauseNotInRecipe, what, "recipe %s derives no root key %d from %s for a %s", j.Recipe, q.Index, q.Master, q.Part)
	}
	if part := a.used[q.UID]; part != "" && part != q.Part {
		return refuse(CauseNotInRecipe, what, "chip %s is a %s by its first root key, and a key for a %s is asked", q.UID, part, q.Part)
	}
	return s.usable(a, q.Master, what)
}

// ready tells what is left of an allowance, and what of its masters cannot be used.
func (s *Server) ready(client string, q ReadyRequest, end time.Time) (ReadyAnswer, error) {
	if !validDigest(q.Digest) {
		return ReadyAnswer{}, fmt.Errorf("%w: field %q", errContent, "digest")
	}
	if len(q.UIDs) > MaxReadyUIDs {
		return ReadyAnswer{}, fmt.Errorf("%w: %d chips", errContent, len(q.UIDs))
	}
	masters, err := s.allMasters()
	if err != nil {
		return ReadyAnswer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.state.allowances[allowed{client, q.Digest}]
	if !ok {
		return ReadyAnswer{}, noAllowance(client, q.Digest, about{digest: q.Digest})
	}
	out := ReadyAnswer{Left: a.units - len(a.used), Counted: []string{}, Retired: []string{}, Missing: []string{}, NotAfter: end.UTC().Format(ledger.TimeFormat)}
	for _, uid := range q.UIDs {
		if a.did(uid) && !slices.Contains(out.Counted, uid) {
			out.Counted = append(out.Counted, uid)
		}
	}
	for _, name := range a.masters {
		i := slices.IndexFunc(masters, func(m Master) bool { return m.Name == name })
		switch {
		case i < 0 || masters[i].Fault != "":
			out.Missing = append(out.Missing, name)
		case masters[i].Retired:
			out.Retired = append(out.Retired, name)
		}
	}
	return out, nil
}

func noAllowance(client, digest string, what about) error {
	return refuse(CauseNoAllowance, what, "station %s has no allowance for a recipe with the digest %s: run `station keyserver allow` on the key server", client, digest)
}

// allowed finds the allowance that lets a station do something to a chip. The caller holds mu.
func (s *Server) allowed(client, digest, uid string) (*allowance, error) {
	what := about{digest: digest, uid: uid}
	a, ok := s.state.allowances[allowed{client, digest}]
	switch {
	case !ok:
		return nil, noAllowance(client, digest, what)
	case !a.did(uid) && len(a.used) >= a.units:
		return nil, refuse(CauseUsedUp, what, "the allowance of station %s for %s version %d is used up: %d chips. `station keyserver allow` on the key server adds to it", client, a.recipe.ID, a.recipe.Version, a.units)
	}
	return a, nil
}

func (a *allowance) did(uid string) bool {
	_, ok := a.used[uid]
	return ok
}

// usable refuses a master that the allowance does not name, or that is retired, but for a chip that has its root key from it. The caller holds mu.
func (s *Server) usable(a *allowance, master string, what about) error {
	what.master = master
	if !slices.Contains(a.masters, master) {
		return refuse(CauseNoAllowance, what, "the allowance for %s does not include the master key %s", a.recipe.ID, master)
	}
	if s.state.retired[master] && !s.state.served[[2]string{what.uid, master}] {
		return refuse(CauseKeyRetired, what, "the master key %s is retired: a recipe with another one goes on", master)
	}
	return nil
}
