package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// ErrEscrow means that ciphertexts or notes do not fit the entries that they were to be committed with.
var ErrEscrow = errors.New("escrow or note does not fit its entry")

const (
	maxNoteName = 64       // bytes
	maxKept     = 64 << 10 // bytes of one ciphertext or note
)

var (
	bucketEscrow = []byte("escrow")
	bucketNotes  = []byte("notes")

	kept = [][]byte{bucketEscrow, bucketNotes} // which files of version 1 do not have
)

// Commit writes a change as one transaction, all or none, and returns the index of its first entry. What Append says of
// entries, durability and errors holds here too; ErrEscrow means that Escrow, Notes or Forget do not fit Bodies.
// With Notes or Forget all Bodies are of one run; notes cannot be left with a run that is settled.
//
// A change with a body that is ledger.Permanent is on the mirror too when Commit returns, or the error wraps ErrMirror. Then first is not 0 where
// the ledger has the change all the same.
func (d *DB) Commit(ctx context.Context, c ledger.Change) (first int64, err error) {
	if len(c.Bodies) == 0 {
		return 0, fmt.Errorf("%w: no entry to append", ledger.ErrGrammar)
	}
	for _, b := range c.Bodies {
		switch b.(type) {
		case nil, ledger.Other, *ledger.Other:
			return 0, fmt.Errorf("%w: a body of type %T cannot be written", ledger.ErrEncoding, b)
		}
	}
	first, err = d.update(ctx, slices.ContainsFunc(c.Bodies, ledger.Permanent), func(tx *bolt.Tx, at ledger.Entry) (int64, error) {
		records, err := put(tx, at, c.Bodies...)
		if err != nil {
			return 0, err
		}
		if err := putEscrow(tx, records, c.Escrow); err != nil {
			return 0, err
		}
		return records[0].Index, putNotes(tx, records, c)
	})
	if first > 0 {
		d.signer.nudge()
	}
	return first, err
}

// sealed returns what an entry says of an escrow.
func sealed(b ledger.Body) (s ledger.Sealed, ok bool) {
	switch b := b.(type) {
	case ledger.PasswordIntent:
		return b.Escrow, true
	case ledger.RootKeyIntent:
		return b.Escrow, true
	}
	return ledger.Sealed{}, false
}

// fits says whether a ciphertext is the one that an entry names.
func fits(s ledger.Sealed, ciphertext []byte) bool {
	sum := sha256.Sum256(ciphertext)
	return len(ciphertext) > 0 && hex.EncodeToString(sum[:]) == s.SHA256
}

func putEscrow(tx *bolt.Tx, records []ledger.Record, ciphertexts map[string][]byte) error {
	b, named := tx.Bucket(bucketEscrow), 0
	for _, r := range records {
		s, ok := sealed(r.Entry.Body)
		if !ok {
			continue
		}
		ciphertext, given := ciphertexts[s.ID]
		switch {
		case !given:
			return fmt.Errorf("%w: %s names escrow %s, and its ciphertext is not there", ErrEscrow, r.Entry.Body.Kind(), s.ID)
		case len(ciphertext) > maxKept:
			return fmt.Errorf("%w: escrow %s has %d bytes, %d are allowed", ErrEscrow, s.ID, len(ciphertext), maxKept)
		case !fits(s, ciphertext):
			return fmt.Errorf("%w: escrow %s does not have the digest that %s names", ErrEscrow, s.ID, r.Entry.Body.Kind())
		case b.Get([]byte(s.ID)) != nil:
			return fmt.Errorf("%w: escrow %s is there already and is never replaced", ErrEscrow, s.ID)
		}
		if err := b.Put([]byte(s.ID), ciphertext); err != nil {
			return err
		}
		named++
	}
	if named != len(ciphertexts) {
		return fmt.Errorf("%w: %d ciphertexts, and the entries name %d", ErrEscrow, len(ciphertexts), named)
	}
	return nil
}

func putNotes(tx *bolt.Tx, records []ledger.Record, c ledger.Change) error {
	if len(c.Notes) == 0 && len(c.Forget) == 0 {
		return nil
	}
	run, _, _ := ledger.RunOf(records[0].Entry.Body)
	for _, r := range records {
		if other, _, _ := ledger.RunOf(r.Entry.Body); other != run {
			return fmt.Errorf("%w: notes with entries of the runs %s and %s", ErrEscrow, run, other)
		}
	}
	b := tx.Bucket(bucketNotes)
	for _, name := range c.Forget {
		if err := b.Delete(noteKey(run, name)); err != nil {
			return err
		}
	}
	for name, value := range c.Notes {
		if name == "" || len(name) > maxNoteName || len(value) > maxKept {
			return fmt.Errorf("%w: note %q of %d bytes", ErrEscrow, name, len(value))
		}
		if err := b.Put(noteKey(run, name), value); err != nil {
			return err
		}
	}
	if row, _, err := readRun(bucketRows{tx}, run); err != nil {
		return err
	} else if len(c.Notes) > 0 && !row.Open() {
		return fmt.Errorf("%w: notes of run %s, which is not open", ErrEscrow, run)
	}
	return nil
}

func noteKey(run, name string) []byte { return append([]byte(run), name...) }

// forgetNotes deletes the notes of a run that is settled.
func forgetNotes(tx *bolt.Tx, run string) error {
	c := tx.Bucket(bucketNotes).Cursor()
	for k, _ := c.Seek([]byte(run)); bytes.HasPrefix(k, []byte(run)); k, _ = c.Seek([]byte(run)) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// Escrow returns the ciphertext of an escrow as it is on the disk. The error wraps ledger.ErrMissing where there is none.
func (d *DB) Escrow(id string) ([]byte, error) { return d.keep(bucketEscrow, []byte(id), "escrow "+id) }

// Note returns a note of an open run. The error wraps ledger.ErrMissing where there is none.
func (d *DB) Note(run, name string) ([]byte, error) {
	return d.keep(bucketNotes, noteKey(run, name), fmt.Sprintf("note %q of run %s", name, run))
}

func (d *DB) keep(bucket, key []byte, what string) (value []byte, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucket); b != nil {
			value = bytes.Clone(b.Get(key))
		}
		if value == nil {
			return fmt.Errorf("%s: %w", what, ledger.ErrMissing)
		}
		return nil
	})
	return value, err
}

// Escrow says of which secret an escrow is. Neither Void nor Proven: nobody knows yet, or never will.
type Escrow struct {
	ledger.Sealed
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Kind   string `json:"kind"`   // "password" or "root_key"
	Index  int    `json:"index"`  // of the counter; 0 for a password
	Void   bool   `json:"void"`   // the chip never learned it
	Proven bool   `json:"proven"` // the chip has shown that it has it
}

// EscrowsOf returns the escrows of every run of a serial, oldest first.
func (d *DB) EscrowsOf(serial string) ([]Escrow, error) {
	runs, err := d.Runs(serial, "")
	if err != nil {
		return nil, err
	}
	var out []Escrow
	for _, run := range runs {
		at := map[string]int{} // id -> place in out
		for _, r := range run.Records {
			switch b := r.Entry.Body.(type) {
			case ledger.PasswordIntent:
				at[b.Escrow.ID] = len(out)
				out = append(out, Escrow{Sealed: b.Escrow, Run: b.Run, Serial: b.Serial, UID: b.UID, Kind: "password"})
			case ledger.RootKeyIntent:
				at[b.Escrow.ID] = len(out)
				out = append(out, Escrow{Sealed: b.Escrow, Run: b.Run, Serial: b.Serial, UID: b.UID, Kind: "root_key", Index: b.Index})
			case ledger.PasswordVoid:
				out[at[b.Escrow]].Void = true // the grammar has an intent before it
			case ledger.RootKeyVoid:
				out[at[b.Escrow]].Void = true
			case ledger.PasswordProven:
				out[at[b.Escrow]].Proven = true
			case ledger.RootKeyProven:
				out[at[b.Escrow]].Proven = true
			}
		}
	}
	return out, nil
}
