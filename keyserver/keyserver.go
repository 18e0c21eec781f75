// Package keyserver is the on-site key server and its client: HTTPS with mutual TLS, a station being the common name of its certificate. The server keeps the
// keys of stations, lends them for the recipes and the number of chips that a person allowed, makes the authenticated commands of the steps measure and relay and judges
// what the chips answer, and witnesses the stations' checkpoints. Everything it does is durable in its own ledger before an answer leaves, and that ledger
// is all it remembers: started again, it goes on where it was.
//
// Where keys are kept is a matter of Keys, where the ledger is of Ledger; cmd/station makes both. What a station does with a block is flash's and provision's.
//
// # Protocol, version 1
//
// Bodies are JSON objects; unknown fields are errors; bytes are base64, 64-bit counters decimal strings. Errors are application/problem+json (RFC 9457) with the type
// "urn:station:problem:" and a Cause. protocol.go has the routes and their bodies. Every request can be given again: the same comes of it, and no chip
// counts twice; each root key and each password that is lent is an entry of its own, and so is the first turn of each run.
package keyserver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
	"station/provision"
)

// Errors that Keys wraps.
var (
	ErrMissing = errors.New("key is missing")
	ErrExists  = errors.New("key exists already")
	ErrName    = errors.New("not a name for a key")
)

// Keys are the keys of all stations, wherever they are kept. Safe for concurrent use. Every call ends within a limit of its own.
type Keys interface {
	// Station opens the keys of a station; vkey is the checkpoint key that is meant, "" the newest. ErrMissing where there is none.
	Station(station, vkey string) (StationKeys, error)
	// Create makes them: ErrExists where there are some.
	Create(station string) (StationKeys, error)
	// Masters are the names of the master keys.
	Masters() ([]string, error)
	// Fingerprint tells two masters apart, and nothing of either.
	Fingerprint(master string) (string, error)
	// FingerprintOf is what Fingerprint would be of a master of this value.
	FingerprintOf(value []byte) string
	// CreateMaster makes one, of value where that is not nil.
	CreateMaster(master string, value []byte) error
	// RootKey is the 32-byte key that a master gives one counter of one chip.
	RootKey(master string, of provision.KeyOf) ([]byte, error)
	// MAC is HMAC-SHA-256 under a master key.
	MAC(master string, message []byte) ([]byte, error)
}

// StationKeys are the keys of one station.
type StationKeys interface {
	VerifierKey() string
	Signer() note.Signer
	// NextCheckpoint is the verifier key to rotate to, made where there is none.
	NextCheckpoint() (note.Signer, string, error)
	// DestroyOld leaves the checkpoint key that is open, and no other.
	DestroyOld() error
	TagKey(uid, escrow string) ([]byte, error)
	Recipient() (string, error)
	OpenUnlock(sealed []byte, use func(of provision.UnlockOf, password []byte) error) error
}

// Ledger is the server's own account; *store.DB is one.
type Ledger interface {
	Append(ctx context.Context, bodies ...ledger.Body) (first int64, err error)
	Size() (int64, error)
	Records(from, to int64) ([]ledger.Record, error)
}

// Options of a server.
type Options struct {
	Ledger Ledger
	Keys   Keys
	Jobs   string // directory of the job files
	CA     *CA
	Now    func() time.Time // nil: time.Now
	Tell   func(line string)
}

// Server is a key server. ServeHTTP answers stations, Admin whoever sits at its PC.
type Server struct {
	o     Options
	roots *x509.CertPool

	mu       sync.Mutex // holds while something is decided and written down
	state    *state
	jobs     map[string]*Job // by the digest of the file
	told     map[string]bool // refusals that there is an entry of
	tellings map[string]int  // how many, by station
}

// New reads the whole ledger, which tells the server what it did before.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	s := &Server{o: o, roots: x509.NewCertPool(), state: newState(), jobs: map[string]*Job{}, told: map[string]bool{}, tellings: map[string]int{}}
	s.roots.AddCert(o.CA.Certificate)
	size, err := o.Ledger.Size()
	if err != nil {
		return nil, err
	}
	const chunk = 1024
	for from := int64(0); from < size; from += chunk {
		records, err := o.Ledger.Records(from, min(from+chunk, size))
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			s.state.after(r.Entry.Body)
		}
	}
	return s, nil
}

// write makes entries durable, and then true. The caller holds mu.
func (s *Server) write(ctx context.Context, bodies ...ledger.Body) error {
	if _, err := s.o.Ledger.Append(ctx, bodies...); err != nil {
		return fmt.Errorf("the ledger of the key server: %w", err)
	}
	for _, b := range bodies {
		s.state.after(b)
	}
	return nil
}

// stationForm is what a station's id may be; its configuration says the same.
var stationForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
