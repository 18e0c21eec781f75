package keyserver

import (
	"context"
	"errors"
	"maps"
	"slices"

	"station/ledger"
)

// What may be wrong with a master, in a List.
const (
	FaultMissing = "missing"           // the ledger names it, and there is no key
	FaultOther   = "another key"       // than the ledger has under that name
	FaultUnnamed = "not in the ledger" // whoever made it died before the ledger named it
)

// wayBack is what a person can do of a master that is lost.
const wayBack = "restore it from the copy of the keys, or give it with `station keyserver key create %s --from FILE`. If it is lost for good, a new master has another name"

// master is the fingerprint of a master key that may be used: the very one that the ledger names.
func (s *Server) master(name string) (fingerprint string, err error) {
	s.mu.Lock()
	want, named := s.state.masters[name]
	s.mu.Unlock()
	fingerprint, err = s.o.Keys.Fingerprint(name)
	what := about{master: name}
	switch {
	case errors.Is(err, ErrMissing) && named:
		return "", refuse(CauseKeyMissing, what, "the key server has lost the master key %s (fingerprint %s): "+wayBack, name, want, name)
	case errors.Is(err, ErrMissing):
		return "", refuse(CauseKeyMissing, what, "the key server has no key %s: `station keyserver key create` makes it", name)
	case err != nil:
		return "", s.missing(name, err)
	case !named:
		return "", refuse(CauseKeyMissing, what, "the ledger of the key server does not name the key %s that is there (fingerprint %s): `station keyserver key create %s` writes it down", name, fingerprint, name)
	case fingerprint != want:
		return "", refuse(CauseKeyOther, what, "the key %s that is there is not the one of the key server's ledger (fingerprint %s, and the ledger has %s): take it away and "+wayBack, name, fingerprint, want, name)
	}
	return fingerprint, nil
}

// masters are those that may be used, or are retired.
func (s *Server) masters() ([]Master, error) {
	all, err := s.allMasters()
	return slices.DeleteFunc(all, func(m Master) bool { return m.Fault != "" }), err
}

// allMasters are those that the ledger names, and those that are there.
func (s *Server) allMasters() ([]Master, error) {
	names, err := s.o.Keys.Masters()
	if err != nil {
		return nil, err
	}
	out := []Master{}
	s.mu.Lock()
	recorded := maps.Clone(s.state.masters)
	retired := maps.Clone(s.state.retired)
	s.mu.Unlock()
	for _, name := range names {
		fingerprint, err := s.o.Keys.Fingerprint(name)
		if err != nil {
			return nil, err
		}
		m := Master{Name: name, Fingerprint: fingerprint, Retired: retired[name]}
		switch want, named := recorded[name]; {
		case !named:
			m.Fault = FaultUnnamed
		case want != fingerprint:
			m.Fault = FaultOther
		}
		delete(recorded, name)
		out = append(out, m)
	}
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		out = append(out, Master{Name: name, Fingerprint: recorded[name], Retired: retired[name], Fault: FaultMissing})
	}
	return out, nil
}

// keyCreate makes a master, finds the one whose maker died before the ledger named it, or takes back the very one that was lost.
func (s *Server) keyCreate(ctx context.Context, q KeyRequest) (Master, error) {
	if n := len(q.Value); n != 0 && n != 32 {
		return Master{}, refuse(CauseRefused, about{}, "a master key has 32 bytes, and not %d", n)
	}
	if q.By == "" {
		return Master{}, nobody
	}
	imported, brought := len(q.Value) > 0, ""
	if imported {
		brought = s.o.Keys.FingerprintOf(q.Value)
	} else {
		q.Value = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	want, named := s.state.masters[q.Name]
	if s.state.retired[q.Name] && (!named || brought != want) { // chips that have theirs from it go on: the very one comes back
		return Master{}, refuse(CauseKeyRetired, about{}, "the master key %s was retired: a new master has another name", q.Name)
	}
	for other, fingerprint := range s.state.masters {
		if imported && fingerprint == brought && other != q.Name {
			return Master{}, refuse(CauseKeyExists, about{}, "that key is the master %s: another name does not make another key of it", other)
		}
	}
	fingerprint, err := s.o.Keys.Fingerprint(q.Name)
	switch missing := errors.Is(err, ErrMissing); {
	case err != nil && !missing:
		return Master{}, s.missing("the master key "+q.Name, err)
	case !missing && (named || imported && brought != fingerprint):
		return Master{}, refuse(CauseKeyExists, about{}, "the master key %s exists already, fingerprint %s", q.Name, fingerprint)
	case missing && named && !imported:
		return Master{}, refuse(CauseKeyMissing, about{}, "the master key %s was made before (fingerprint %s) and is lost: "+wayBack, q.Name, want, q.Name)
	case missing && named && brought != want:
		return Master{}, refuse(CauseKeyOther, about{}, "that is not the master key %s: its fingerprint is %s, and the ledger has %s", q.Name, brought, want)
	case missing:
		if err := s.o.Keys.CreateMaster(q.Name, q.Value); err != nil {
			return Master{}, s.missing("the master key "+q.Name, err)
		}
		if fingerprint, err = s.o.Keys.Fingerprint(q.Name); err != nil {
			return Master{}, err
		}
	}
	return Master{Name: q.Name, Fingerprint: fingerprint}, s.whole(ctx, ledger.KeyCreated{Name: q.Name, Fingerprint: fingerprint, Imported: imported, By: q.By})
}

// keyRetire works for a key that is lost too.
func (s *Server) keyRetire(ctx context.Context, q KeyRequest) (Master, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fingerprint, named := s.state.masters[q.Name]
	if !named {
		return Master{}, refuse(CauseKeyMissing, about{}, "the ledger of the key server names no master key %.80q", q.Name)
	}
	if s.state.retired[q.Name] {
		return Master{}, refuse(CauseKeyRetired, about{}, "the master key %s is retired already", q.Name)
	}
	if err := unreasoned(q.Reason, q.By); err != nil {
		return Master{}, err
	}
	e := ledger.MasterRetired{Name: q.Name, Fingerprint: fingerprint, Reason: q.Reason, By: q.By}
	return Master{Name: q.Name, Fingerprint: fingerprint, Retired: true}, s.write(ctx, e)
}
