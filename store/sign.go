package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
)

const (
	signLimit    = 30 * time.Second // longest wait for a checkpoint, whatever ctx says
	signRetry    = 5 * time.Second  // after a failure
	signAttempts = 2                // failures that whoever waits for a checkpoint sees before he is told: a key that is away for a moment is one
	stopLimit    = 10 * time.Second // longest wait for the signer at Close
)

// signer signs checkpoints, after the commit and never inside it: a commit that fails must not leave a signed head for
// entries that never existed. It is one goroutine, so the sizes that it signs only grow, and the first
// checkpoint that covers an entry stays the first.
type signer struct {
	d        *DB
	nudges   chan struct{}   // room for one: any number of appends is one nudge
	requests chan chan error // answered when the present size was signed
	quit     chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, after every attempt
	err     error         // of the last attempt
}

func newSigner(d *DB) *signer {
	s := &signer{
		d: d, nudges: make(chan struct{}, 1), requests: make(chan chan error),
		quit: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
	}
	go s.loop()
	return s
}

func (s *signer) nudge() {
	select {
	case s.nudges <- struct{}{}:
	default:
	}
}

func (s *signer) loop() {
	defer close(s.done)
	retry := time.NewTimer(signRetry)
	defer retry.Stop()
	for {
		retry.Stop()
		if s.state() != nil {
			retry.Reset(signRetry)
		}
		var answer chan error
		select {
		case <-s.nudges:
		case answer = <-s.requests:
		case <-retry.C:
		case <-s.quit:
			s.attempt()
			return
		}
		err := s.attempt()
		if answer != nil {
			answer <- err
		}
	}
}

func (s *signer) attempt() error {
	err := s.d.sign()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.changed)
	s.changed = make(chan struct{})
	return err
}

// state returns the error of the last attempt.
func (s *signer) state() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *signer) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// stop lets the signer sign what is unsigned, and waits for it.
func (s *signer) stop() error {
	close(s.quit)
	select {
	case <-s.done:
	case <-time.After(stopLimit):
		return fmt.Errorf("the checkpoint key did not answer within %v; the ledger's tail is signed at the next start", stopLimit)
	}
	if err := s.state(); err != nil {
		return fmt.Errorf("the ledger's tail is unsigned until the next start: %w", err)
	}
	return nil
}

// sign makes a checkpoint of the present size where there is none.
func (d *DB) sign() error {
	c, signed, keys, err := d.head()
	if err != nil || c.Size == signed {
		return err
	}
	text, err := d.o.sign(c, keys)
	if err != nil {
		return err
	}
	_, err = d.update(context.Background(), false, func(tx *bolt.Tx, _ ledger.Entry) (int64, error) {
		return 0, tx.Bucket(bucketCheckpoints).Put(number(c.Size), text)
	})
	return err
}

// sign signs a checkpoint with each of these verifier keys' private halves.
func (o *Options) sign(c ledger.Checkpoint, keys []string) ([]byte, error) {
	var signers []note.Signer
	for _, key := range keys {
		s, err := o.signer(key)
		if err != nil {
			return nil, fmt.Errorf("signing checkpoint of size %d: %w", c.Size, err)
		}
		signers = append(signers, s)
	}
	text, err := c.Sign(signers...)
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint of size %d: %w", c.Size, err)
	}
	vs, err := verifiers(keys)
	if err != nil {
		return nil, err
	}
	if _, err := ledger.OpenCheckpoint(text, vs...); err != nil {
		return nil, fmt.Errorf("the checkpoint key signed what its own verifier key refuses: %w", err)
	}
	return text, nil
}

// signer is the private half of a verifier key.
func (o *Options) signer(key string) (note.Signer, error) {
	if key == o.VerifierKey {
		return o.Signer, nil
	}
	if o.Earlier == nil {
		return nil, fmt.Errorf("the checkpoint key %s has to sign it too, and is not there", key)
	}
	s, err := o.Earlier(key)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint key %s, which was replaced, has to sign it too: %w. If it is lost for good: `station key rotate checkpoint --lost`", key, err)
	}
	return s, nil
}

func verifiers(keys []string) (out []note.Verifier, err error) {
	for _, key := range keys {
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("checkpoint verifier key: %w", err)
		}
		out = append(out, v)
	}
	return out, nil
}

// head returns the unsigned checkpoint of the present size, the size that was signed last, and the keys that have to sign.
func (d *DB) head() (c ledger.Checkpoint, signed int64, keys []string, err error) {
	// Nobody may write meanwhile: between a failed commit and the note of it the file shows what was never committed.
	release, err := d.hold(context.Background())
	if err != nil {
		return c, 0, nil, err
	}
	defer release()
	if err := d.writable(); err != nil {
		return c, 0, nil, err
	}
	err = d.view(func(tx *bolt.Tx) (err error) {
		c.Station = d.o.Station
		c.Size = last(tx.Bucket(bucketEntries)) + 1
		signed = max(0, last(tx.Bucket(bucketCheckpoints)))
		chain, err := chainIn(tx)
		if err != nil {
			return err
		}
		keys = chain.Signers(signed, c.Size)
		c.Root, err = tlog.TreeHash(c.Size, hashes{tx})
		return err
	})
	return c, signed, keys, err
}

// Sign makes sure that a checkpoint covers every entry that is there now.
func (d *DB) Sign(ctx context.Context) error {
	if d.signer == nil {
		return ErrReadOnly
	}
	ctx, cancel := context.WithTimeout(ctx, signLimit)
	defer cancel()
	answer := make(chan error, 1)
	select {
	case d.signer.requests <- answer:
	case <-d.signer.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CheckpointFor returns the first checkpoint (signed note) whose size covers entry index, and waits until there is one:
// as long as ctx allows, at most 30 seconds, and no longer than until the key has failed a second time. It is the same text at every call. The error wraps ledger.ErrMissing
// when there is no such entry, or when the ledger is open for reading only and nothing covers the entry.
func (d *DB) CheckpointFor(ctx context.Context, index int64) ([]byte, error) {
	size, err := d.Size()
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= size {
		return nil, fmt.Errorf("entry %d of %d: %w", index, size, ledger.ErrMissing)
	}
	ctx, cancel := context.WithTimeout(ctx, signLimit)
	defer cancel()
	for failed := 0; ; {
		var changed, done <-chan struct{}
		if d.signer != nil {
			changed, done = d.signer.watch(), d.signer.done
		}
		_, text, err := d.Checkpoint(index + 1)
		if d.signer == nil || !errors.Is(err, ledger.ErrMissing) {
			return text, err
		}
		select {
		case <-changed:
			err := d.signer.state()
			if err == nil {
				break
			}
			if failed++; failed == signAttempts {
				return nil, fmt.Errorf("no checkpoint covers entry %d yet: %w", index, err)
			}
		case <-done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("no checkpoint covers entry %d yet: %w", index, errors.Join(ctx.Err(), d.signer.state()))
		}
	}
}
