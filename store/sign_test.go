package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

// slowSigner takes its time, and refuses as long as it is told to.
type slowSigner struct {
	note.Signer
	takes   time.Duration
	refuses atomic.Bool
	signed  atomic.Int64
}

var errToken = errors.New("token was removed")

func (s *slowSigner) Sign(msg []byte) ([]byte, error) {
	time.Sleep(s.takes)
	if s.refuses.Load() {
		return nil, errToken
	}
	s.signed.Add(1)
	return s.Signer.Sign(msg)
}

// slow makes the options' signer a slow one.
func slow(o *Options, takes time.Duration) *slowSigner {
	s := &slowSigner{Signer: o.Signer, takes: takes}
	o.Signer = s
	return s
}

func TestAppendDoesNotWaitForTheSigner(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "line1", 1)
		s := slow(&o, 3*time.Second)
		d, err := Create(filepath.Join(dir, "ledger.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var first int64
		for n := range 10 {
			if i := mustAppend(t, d, start(n, "S")); n == 0 {
				first = i
			}
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("ten appends waited %v", waited)
		}
		text, err := d.CheckpointFor(ctx, first+9)
		if err != nil {
			t.Fatal(err)
		}
		// One checkpoint may have been under way with the first appends; the next has them all.
		if n := s.signed.Load(); n > 3 || time.Since(begun) > 6*time.Second {
			t.Errorf("%d signatures in %v for ten appends at once", n, time.Since(begun))
		}
		again, err := d.CheckpointFor(ctx, first+9)
		mustAppend(t, d, start(100, "S"))
		if err := d.Sign(ctx); err != nil {
			t.Fatal(err)
		}
		later, laterErr := d.CheckpointFor(ctx, first+9)
		if err != nil || laterErr != nil || string(again) != string(text) || string(later) != string(text) {
			t.Errorf("the checkpoint of an entry changes:\n%s%s%s", text, again, later)
		}
		v, err := note.NewVerifier(o.VerifierKey)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := ledger.OpenCheckpoint(text, v); err != nil || c.Size != first+10 || c.Station != "line1" {
			t.Errorf("%+v, %v", c, err)
		}
		sound(t, d, o.VerifierKey)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSignerThatRefuses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "line1", 1)
		s := slow(&o, 0)
		d, err := Create(filepath.Join(dir, "ledger.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		s.refuses.Store(true)
		i := mustAppend(t, d, start(1, "A")) // PASS does not wait for a checkpoint
		if err := d.Sign(ctx); !errors.Is(err, errToken) {
			t.Errorf("sign: %v", err)
		}
		begun := time.Now()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := d.CheckpointFor(short, i); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errToken) {
			t.Errorf("checkpoint: %v", err)
		}
		if _, err := d.CheckpointFor(ctx, i); !errors.Is(err, errToken) || time.Since(begun) != signAttempts*signRetry {
			t.Errorf("checkpoint without a limit: %v after %v", err, time.Since(begun))
		}
		if _, err := d.CheckpointFor(ctx, i+1); !errors.Is(err, ledger.ErrMissing) {
			t.Errorf("checkpoint of no entry: %v", err)
		}
		s.refuses.Store(false)
		begun = time.Now()
		if _, err := d.CheckpointFor(ctx, i); err != nil || time.Since(begun) > signRetry {
			t.Errorf("checkpoint once the token is back: %v after %v", err, time.Since(begun))
		}
		s.refuses.Store(true)
		mustAppend(t, d, start(2, "B"))
		if err := d.Close(); !errors.Is(err, errToken) {
			t.Errorf("close with an unsigned tail: %v", err)
		}
		if _, err := Open(d.path, o); !errors.Is(err, errToken) {
			t.Errorf("open without a key that signs: %v", err)
		}
		s.refuses.Store(false)
		d, err = Open(d.path, o)
		if err != nil {
			t.Fatal(err)
		}
		if r := sound(t, d, o.VerifierKey); r.Unsigned() != 0 || r.Entries != 3 {
			t.Errorf("the tail is unsigned after open: %+v", r)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseWaitsForTheSignerWithALimit(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "line1", 1)
		s := slow(&o, 0)
		d, err := Create(filepath.Join(dir, "ledger.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		s.takes = 2 * stopLimit
		mustAppend(t, d, start(1, "A"))
		begun := time.Now()
		if err := d.Close(); err == nil || !strings.Contains(err.Error(), "did not answer") || time.Since(begun) != stopLimit {
			t.Errorf("close: %v after %v", err, time.Since(begun))
		}
		synctest.Wait()
		time.Sleep(2 * stopLimit) // the late signature finds the ledger closed
		s.takes = 0
		d, err = Open(d.path, o)
		if err != nil {
			t.Fatal(err)
		}
		sound(t, d, o.VerifierKey)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSecondOpenerInABubble(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "line1", 1)
		d, err := Create(filepath.Join(dir, "ledger.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := Open(d.path, o); !errors.Is(err, ErrInUse) || time.Since(begun) > 2*lockTimeout {
			t.Errorf("second opener: %v after %v", err, time.Since(begun))
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A key whose signatures its own verifier key refuses would leave a ledger that nobody can verify.
func TestSignerThatLies(t *testing.T) {
	o := options(t, "line1", 1)
	o.Signer = lyingSigner{o.Signer}
	path := filepath.Join(t.TempDir(), "ledger.db")
	d, err := Create(path, o)
	if err == nil {
		d.Close()
		t.Fatal("a signer that lies was accepted")
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, text, err := r.Checkpoint(0); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("stored checkpoint %q, %v", text, err)
	}
}

type lyingSigner struct{ note.Signer }

func (lyingSigner) Sign([]byte) ([]byte, error) { return make([]byte, 64), nil }
