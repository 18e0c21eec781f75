package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

func escrowID(n int) string { return fmt.Sprintf("%016x", 0xe000+n) }

func ciphertext(n int) []byte { return []byte(fmt.Sprint("ciphertext ", n)) }

func sealedAs(n int) ledger.Sealed {
	sum := sha256.Sum256(ciphertext(n))
	return ledger.Sealed{ID: escrowID(n), SHA256: hex.EncodeToString(sum[:]), Recipients: []ledger.Recipient{{Group: "audit", Fingerprint: "f"}}}
}

func intent(n int, serial string, escrow int) ledger.PasswordIntent {
	return ledger.PasswordIntent{Run: run(n), Serial: serial, UID: "uid-" + serial, Escrow: sealedAs(escrow)}
}

func void(n int, serial string, escrow int) ledger.PasswordVoid {
	return ledger.PasswordVoid{Run: run(n), Serial: serial, Escrow: escrowID(escrow)}
}

// intended is the change before a password is sent.
func intended(n int, serial string, escrow int) ledger.Change {
	return ledger.Change{
		Bodies: []ledger.Body{intent(n, serial, escrow)},
		Escrow: map[string][]byte{escrowID(escrow): ciphertext(escrow)},
		Notes:  map[string][]byte{"tag": []byte(fmt.Sprint("tag ", escrow))},
	}
}

func mustCommit(t *testing.T, d *DB, c ledger.Change) int64 {
	t.Helper()
	i, err := d.Commit(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func wantNote(t *testing.T, d *DB, n int, name, want string) {
	t.Helper()
	got, err := d.Note(run(n), name)
	if want == "" && !errors.Is(err, ledger.ErrMissing) || want != "" && (err != nil || string(got) != want) {
		t.Errorf("note %s of run %d is %q, %v; want %q", name, n, got, err, want)
	}
}

func TestCommit(t *testing.T) {
	o := options(t, "line1", 1)
	d, path := create(t, o)
	mustAppend(t, d, start(1, "A"), start(2, "B"))
	if first := mustCommit(t, d, intended(1, "A", 1)); first != 3 {
		t.Errorf("first index %d", first)
	}
	mustCommit(t, d, intended(2, "B", 2))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path, o) // as after a crash
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sound(t, d, o.VerifierKey)
	wantNote(t, d, 1, "tag", "tag 1")
	wantNote(t, d, 2, "tag", "tag 2")
	wantNote(t, d, 1, "ta", "")
	if got, err := d.Escrow(escrowID(1)); err != nil || string(got) != "ciphertext 1" {
		t.Errorf("escrow %q, %v", got, err)
	}
	if _, err := d.Escrow(escrowID(9)); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("an escrow that is not there: %v", err)
	}

	// The chip did not learn it: a void forgets one note, adds another; the next intent replaces that one.
	mustCommit(t, d, ledger.Change{Bodies: []ledger.Body{void(1, "A", 1)}, Forget: []string{"tag", "absent"}, Notes: map[string][]byte{"packet": []byte("p")}})
	wantNote(t, d, 1, "tag", "")
	wantNote(t, d, 1, "packet", "p")
	again := intended(1, "A", 3)
	again.Notes["packet"] = []byte("q")
	mustCommit(t, d, again)
	wantNote(t, d, 1, "packet", "q")
	rootKey := ledger.RootKeyIntent{Run: run(1), Serial: "A", UID: "uid-A", Index: 2, Key: "random", Escrow: sealedAs(4), Reply: sealedAs(1).SHA256}
	mustCommit(t, d, ledger.Change{Bodies: []ledger.Body{rootKey}, Escrow: map[string][]byte{escrowID(4): ciphertext(4)}})
	mustAppend(t, d, ledger.RootKeyProven{Run: run(1), Serial: "A", UID: "uid-A", Index: 2, Key: "random", Escrow: escrowID(4)})

	want := []Escrow{
		{Sealed: sealedAs(1), Run: run(1), Serial: "A", UID: "uid-A", Kind: "password", Void: true},
		{Sealed: sealedAs(3), Run: run(1), Serial: "A", UID: "uid-A", Kind: "password"},
		{Sealed: sealedAs(4), Run: run(1), Serial: "A", UID: "uid-A", Kind: "root_key", Index: 2, Proven: true},
	}
	if got, err := d.EscrowsOf("A"); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	if got, err := d.EscrowsOf("C"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}

	// Whatever settles a run takes its notes along, and no other run's; escrows stay.
	mustAppend(t, d, end(1, "A", ledger.Fail))
	wantNote(t, d, 1, "tag", "")
	wantNote(t, d, 1, "packet", "")
	wantNote(t, d, 2, "tag", "tag 2")
	mustAppend(t, d, ledger.RunStuck{Run: run(2), Serial: "B", Cause: "password-foreign"})
	wantNote(t, d, 2, "tag", "tag 2")
	mustAppend(t, d, ledger.UnitClose{Run: run(2), Serial: "B", As: ledger.Scrapped, Reason: "r", By: "op"})
	wantNote(t, d, 2, "tag", "")
	for n := 1; n <= 4; n++ {
		if got, err := d.Escrow(escrowID(n)); err != nil || string(got) != string(ciphertext(n)) {
			t.Errorf("escrow %d: %q, %v", n, got, err)
		}
	}
	if open, err := d.OpenRuns(); err != nil || len(open) != 0 {
		t.Errorf("open runs %v, %v", open, err)
	}
	sound(t, d, o.VerifierKey)
}

func TestCommitRefusesAndChangesNothing(t *testing.T) {
	o := options(t, "line1", 1)
	d, _ := create(t, o)
	mustAppend(t, d, start(1, "A"), start(2, "B"), start(3, "C"))
	mustCommit(t, d, intended(3, "C", 3))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	with := func(change func(c *ledger.Change)) ledger.Change {
		c := intended(1, "A", 1)
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		change ledger.Change
		want   error
	}{
		"nothing":               {ledger.Change{Notes: map[string][]byte{"tag": nil}}, ledger.ErrGrammar},
		"no ciphertext":         {with(func(c *ledger.Change) { c.Escrow = nil }), ErrEscrow},
		"another ciphertext":    {with(func(c *ledger.Change) { c.Escrow[escrowID(1)] = ciphertext(2) }), ErrEscrow},
		"empty ciphertext":      {with(func(c *ledger.Change) { c.Escrow[escrowID(1)] = nil }), ErrEscrow},
		"huge ciphertext":       {with(func(c *ledger.Change) { c.Escrow[escrowID(1)] = make([]byte, maxKept+1) }), ErrEscrow},
		"ciphertext of nothing": {with(func(c *ledger.Change) { c.Escrow[escrowID(2)] = ciphertext(2) }), ErrEscrow},
		"escrow id again": {with(func(c *ledger.Change) {
			c.Bodies = []ledger.Body{intent(1, "A", 3)}
			c.Escrow = map[string][]byte{escrowID(3): ciphertext(3)}
		}), ErrEscrow},
		"note without name":       {with(func(c *ledger.Change) { c.Notes[""] = []byte("x") }), ErrEscrow},
		"note with a long name":   {with(func(c *ledger.Change) { c.Notes[strings.Repeat("n", maxNoteName+1)] = []byte("x") }), ErrEscrow},
		"huge note":               {with(func(c *ledger.Change) { c.Notes["tag"] = make([]byte, maxKept+1) }), ErrEscrow},
		"notes of two runs":       {with(func(c *ledger.Change) { c.Bodies = append(c.Bodies, step(2, "B", 1)) }), ErrEscrow},
		"notes of a settled run":  {with(func(c *ledger.Change) { c.Bodies = append(c.Bodies, end(1, "A", ledger.Fail)) }), ErrEscrow},
		"second intent":           {intended(3, "C", 4), ledger.ErrGrammar},
		"end with an open secret": {ledger.Change{Bodies: []ledger.Body{end(3, "C", ledger.Error)}, Forget: []string{"tag"}}, ledger.ErrGrammar},
		"good, then bad":          {with(func(c *ledger.Change) { c.Bodies = append(c.Bodies, void(1, "A", 2)) }), ledger.ErrGrammar},
		"cancelled":               {with(func(*ledger.Change) {}), context.Canceled},
	} {
		at := ctx
		if name == "cancelled" {
			at = cancelled
		}
		if _, err := d.Commit(at, c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if size, err := d.Size(); size != 5 || err != nil {
			t.Fatalf("%s: size %d, %v", name, size, err)
		}
		wantNote(t, d, 1, "tag", "")
		wantNote(t, d, 3, "tag", "tag 3")
		if _, err := d.Escrow(escrowID(1)); !errors.Is(err, ledger.ErrMissing) {
			t.Errorf("%s: escrow: %v", name, err)
		}
	}
	sound(t, d, o.VerifierKey)
	mustCommit(t, d, intended(1, "A", 1)) // refusals leave it usable
}

// TestUnitStuckAndClosed: the newest state of a unit tells that a person must decide, and what the person decided.
func TestUnitStuckAndClosed(t *testing.T) {
	o := options(t, "line1", 1)
	d, _ := create(t, o)
	mustAppend(t, d, start(1, "A"))
	unit := func() Unit {
		t.Helper()
		units, _, err := d.Units(UnitQuery{})
		if err != nil || len(units) != 1 {
			t.Fatalf("%v, %v", units, err)
		}
		if err := d.Check(ctx); err != nil {
			t.Fatal(err)
		}
		return units[0]
	}
	stuck := ledger.RunStuck{Run: run(1), Serial: "A", Cause: "password-foreign"}
	mustAppend(t, d, stuck)
	if u := unit(); u.Outcome != ledger.Interrupted || u.Cause != "password-foreign" || u.Closed != "" || u.Index != 1 {
		t.Errorf("stuck: %+v", u)
	}
	mustAppend(t, d, ledger.RunResume{Run: run(1), Serial: "A", Chip: ledger.Chip{UID: "uid-A"}})
	if u := unit(); u.Outcome != ledger.Interrupted || u.Cause != "" {
		t.Errorf("resumed: %+v", u)
	}
	// A refusal meanwhile says nothing about the unit.
	mustAppend(t, d, ledger.RunEnd{Run: run(2), Serial: "A", Outcome: ledger.Refused}, stuck)
	i := mustAppend(t, d, ledger.UnitClose{Run: run(1), Serial: "A", As: ledger.Lost, Reason: "gone", By: "op"})
	if u := unit(); u.Outcome != ledger.Interrupted || u.Cause != "password-foreign" || u.Closed != ledger.Lost || u.Index != i || u.Run != run(1) {
		t.Errorf("closed: %+v", u)
	}
	mustAppend(t, d, start(3, "A"), end(3, "A", ledger.Pass)) // found again, and reworked
	if u := unit(); u.Outcome != ledger.Pass || u.Closed != "" {
		t.Errorf("after rework: %+v", u)
	}
}

func TestCheckFindsEscrowDamage(t *testing.T) {
	o := options(t, "line1", 1)
	d, _ := create(t, o)
	mustAppend(t, d, start(1, "A"), end(1, "A", ledger.Pass), start(2, "B"))
	mustCommit(t, d, intended(2, "B", 2))
	sound(t, d, o.VerifierKey)
	errUndo := errors.New("undo")
	id := []byte(escrowID(2))
	for name, spoil := range map[string]func(escrow, notes *bolt.Bucket) error{
		"missing":             func(e, _ *bolt.Bucket) error { return e.Delete(id) },
		"altered":             func(e, _ *bolt.Bucket) error { return e.Put(id, ciphertext(3)) },
		"of no entry":         func(e, _ *bolt.Bucket) error { return e.Put([]byte(escrowID(3)), ciphertext(3)) },
		"note of an old run":  func(_, n *bolt.Bucket) error { return n.Put(noteKey(run(1), "tag"), []byte("x")) },
		"note of no run":      func(_, n *bolt.Bucket) error { return n.Put(noteKey(run(9), "tag"), []byte("x")) },
		"note without a name": func(_, n *bolt.Bucket) error { return n.Put([]byte(run(2)), []byte("x")) },
	} {
		err := d.bolt.Update(func(tx *bolt.Tx) error {
			if err := spoil(tx.Bucket(bucketEscrow), tx.Bucket(bucketNotes)); err != nil {
				return err
			}
			if err := checkKept(ctx, tx); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
	}
	sound(t, d, o.VerifierKey)
}

// TestVersion1 reads a file of version 1 as it is, and makes the present version of it when it is opened for writing.
func TestVersion1(t *testing.T) {
	o := options(t, "line1", 1)
	d, path := create(t, o)
	mustAppend(t, d, start(1, "A"))
	if err := d.Sign(ctx); err != nil {
		t.Fatal(err)
	}
	err := d.bolt.Update(func(tx *bolt.Tx) error {
		return errors.Join(tx.DeleteBucket(bucketEscrow), tx.DeleteBucket(bucketNotes), tx.DeleteBucket(bucketKeys), tx.DeleteBucket(bucketMasters), tx.DeleteBucket(bucketFloor), tx.Bucket(bucketStore).Put([]byte("version"), []byte("1")))
	})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	old, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, old, o.VerifierKey)
	if _, err := old.Escrow(escrowID(1)); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("escrow: %v", err)
	}
	wantNote(t, old, 1, "tag", "")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, err = Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		if r := sound(t, d, o.VerifierKey); r.Entries != 2 {
			t.Errorf("%+v", r)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if d, err = Open(path, o); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	mustCommit(t, d, intended(1, "A", 1))
	sound(t, d, o.VerifierKey)
}
