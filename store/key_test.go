package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

// keyedOptions are those of the station line1 whose checkpoint key is that of the seed, with a keyring that has the keys of these seeds too.
func keyedOptions(t fataler, seed byte, earlier ...byte) Options {
	o := options(t, "line1", seed)
	o.Earlier = func(key string) (note.Signer, error) {
		for _, s := range earlier {
			if was := options(t, "line1", s); was.VerifierKey == key {
				return was.Signer, nil
			}
		}
		return nil, errNoKey
	}
	return o
}

var errNoKey = errors.New("no such key")

var yearly = Rotation{Reason: "yearly", By: "op-80"}

func vkeyOf(t fataler, seed byte) string { return options(t, "line1", seed).VerifierKey }

// soundFor is sound, with each of these keys alone pinned, and all of them.
func soundFor(t fataler, d *DB, seeds ...byte) {
	if err := d.Check(ctx); err != nil {
		t.Fatal(err)
	}
	var all []note.Verifier
	for _, s := range seeds {
		sound(t, d, vkeyOf(t, s))
		v, err := note.NewVerifier(vkeyOf(t, s))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	r, err := ledger.Verify(ctx, d, all...)
	if err != nil || len(r.Findings) > 0 || r.Unsigned() != 0 {
		t.Fatal(r, err)
	}
}

// Each key in turn signs, backups and the mirror go on, and every key of the chain vouches for all of it.
func TestRotate(t *testing.T) {
	s := &told{}
	o := keyedOptions(t, 1)
	o.Mirror, o.Tell = filepath.Join(t.TempDir(), "mirror"), s.tell
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	d, path := create(t, o)
	mustAppend(t, d, start(1, "A"))
	for seed := byte(2); seed <= 4; seed++ {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		next := keyedOptions(t, seed, seed-1)
		next.Mirror, next.Tell = o.Mirror, s.tell
		var err error
		if d, err = Rotate(path, next, yearly); err != nil {
			t.Fatal(err)
		}
		size, err := d.Size()
		if err != nil {
			t.Fatal(err)
		}
		rec, err := d.Entry(size - 1)
		if want := (ledger.StationKey{From: vkeyOf(t, seed-1), To: next.VerifierKey, Reason: "yearly", By: "op-80"}); err != nil || rec.Entry.Body != want {
			t.Errorf("%+v, %v; want %+v", rec.Entry.Body, err, want)
		}
		text, err := d.CheckpointFor(ctx, size-1)
		if n := strings.Count(string(text), "\n— "); err != nil || n != 2 {
			t.Errorf("%d signatures on\n%s%v", n, text, err)
		}
		i := mustAppend(t, d, step(1, "A", 1))
		if text, err = d.CheckpointFor(ctx, i); err != nil || strings.Count(string(text), "\n— ") != 1 {
			t.Errorf("afterwards\n%s%v", text, err)
		}
		o = next
	}
	soundFor(t, d, 1, 2, 3, 4)
	backup, h := mustBackup(t, d)
	if h.Entries != 8 {
		t.Errorf("%+v", h)
	}
	inStep(t, d, o)
	// Only the newest key opens it, for work and for another rotation, and none comes back.
	for seed := byte(1); seed <= 5; seed++ {
		if d, err := Open(path, keyedOptions(t, seed, 1, 2, 3, 4)); (err == nil) != (seed == 4) || err != nil && !errors.Is(err, ErrMismatch) {
			t.Errorf("key %d: %v", seed, err)
		} else if d != nil {
			d.Close()
		}
		if d, err := Rotate(path, keyedOptions(t, seed, 1, 2, 3), yearly); err == nil || seed < 5 && !errors.Is(err, ErrMismatch) || seed == 5 && !errors.Is(err, errNoKey) {
			t.Errorf("rotation to key %d: %v", seed, err)
			if d != nil {
				d.Close()
			}
		}
	}
	restored := filepath.Join(t.TempDir(), "ledger.db")
	plain := keyedOptions(t, 4)
	r, epoch, err := Restore(ctx, restored, plain, Restoration{Backup: backup, Reason: "r", By: "b"})
	if err != nil || epoch.Known != 8 {
		t.Fatal(epoch, err)
	}
	soundFor(t, r, 1, 4)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// A key that is lost signs nothing: the new one vouches alone for what comes, and both have to be pinned.
func TestRotateLost(t *testing.T) {
	d, path := create(t, keyedOptions(t, 1))
	mustAppend(t, d, start(1, "A"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err := Rotate(path, keyedOptions(t, 2), yearly); !errors.Is(err, errNoKey) || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "--lost") {
		t.Errorf("%v, %v", d, err)
	}
	if n := sizeOf(t, path); n != 2 {
		t.Errorf("%d entries", n)
	}
	lost := yearly
	lost.Lost = true
	d, err := Rotate(path, keyedOptions(t, 2), lost)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pin := func(seeds ...byte) ledger.Report {
		t.Helper()
		var all []note.Verifier
		for _, s := range seeds {
			v, err := note.NewVerifier(vkeyOf(t, s))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		r, err := ledger.Verify(ctx, d, all...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		seeds []byte
		from  int64 // of the finding, -1 for none
	}{{nil, -1}, {[]byte{1, 2}, -1}, {[]byte{1}, 2}, {[]byte{2}, 0}} {
		r := pin(c.seeds...)
		if good := len(r.Findings) == 0; good != (c.from < 0) || !good && r.Findings[0].From != c.from {
			t.Errorf("keys %v pinned: %+v", c.seeds, r)
		}
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	d := d2(t, path)
	n, err := d.Size()
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDeathInRotation dies before and after each durable write of a rotation, and of the start that finishes it: the ledger then has the old key, or the new one, which that
// start opens; the checkpoint of the entry carries both signatures, or the new one's alone where the old one is lost; and where the key is the old one still, the rotation is done again.
func TestDeathInRotation(t *testing.T) {
	for _, lost := range []bool{false, true} {
		deaths := 0
		for died := true; died; deaths++ {
			died = deathInRotation(t, lost, deaths)
		}
		if want := 4; deaths-1 != want { // before and after the entry, and its checkpoint
			t.Errorf("lost %t: %d deaths, want %d", lost, deaths-1, want)
		}
	}
}

func deathInRotation(t *testing.T, lost bool, at int) (died bool) {
	t.Helper()
	mirror := filepath.Join(t.TempDir(), "mirror")
	if err := os.Mkdir(mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	keyedOptions := func(t *testing.T, seed byte, earlier ...byte) Options {
		o := keyedOptions(t, seed, earlier...)
		o.Mirror = mirror
		return o
	}
	d, path := create(t, keyedOptions(t, 1))
	mustAppend(t, d, start(1, "A"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	dead := false
	dies := func(o Options, at int) Options {
		calls := 0
		o.Disk = func(bool) error {
			if calls++; calls > at {
				dead = true
				return errDied
			}
			return nil
		}
		return o
	}
	earlier := []byte{1}
	if lost {
		earlier = nil
	}
	why := yearly
	why.Lost = lost
	if d, err := Rotate(path, dies(keyedOptions(t, 2, earlier...), at), why); err == nil {
		d.Close()
	} else if !dead {
		t.Fatal(err)
	}
	died = dead
	c, err := KeysOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Present() == vkeyOf(t, 1) { // nothing was changed
		if !died {
			t.Fatal("it did nothing")
		}
		if !lost {
			d, err := Open(path, keyedOptions(t, 1))
			if err != nil {
				t.Fatal(err)
			}
			soundFor(t, d, 1)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Rotate(path, keyedOptions(t, 2, earlier...), why)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !lost {
		// Without the old key it does not start where its signature is missing, and signs nothing.
		r := d2(t, path)
		_, _, err := r.Checkpoint(3)
		signed := err == nil
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path, keyedOptions(t, 2))
		if (err == nil) != signed || err != nil && !errors.Is(err, errNoKey) {
			t.Errorf("death %d: without the old key: %v, though signed is %t", at, err, signed)
		}
		if err == nil {
			d.Close()
		}
	}
	for at := range 2 { // the start that finishes it dies too
		if d, err := Open(path, dies(keyedOptions(t, 2, earlier...), at)); err == nil {
			d.Close()
		} else if !errors.Is(err, errDied) {
			t.Errorf("second death %d: %v", at, err)
		}
	}
	if d, err = Open(path, keyedOptions(t, 2, earlier...)); err != nil {
		t.Fatalf("death %d: %v", at, err)
	}
	defer d.Close()
	keys := []byte{1, 2}
	if lost {
		keys = nil
	}
	soundFor(t, d, keys...)
	if n, err := d.Size(); err != nil || n != 3 {
		t.Errorf("death %d: %d entries, %v", at, n, err)
	}
	want := map[bool]int{false: 2, true: 1}[lost]
	if text, err := d.CheckpointFor(context.Background(), 2); err != nil || strings.Count(string(text), "\n— ") != want {
		t.Errorf("death %d: want %d signatures on\n%s%v", at, want, text, err)
	}
	mustAppend(t, d, step(1, "A", 1))
	if !lost { // where one key can be pinned for both
		inStep(t, d, keyedOptions(t, 2))
	}
	return died
}

var errDied = errors.New("died")

// TestForgedRotation puts a checkpoint of the entry into the file that lacks a signature: it is not gone on from.
func TestForgedRotation(t *testing.T) {
	for name, signers := range map[string][]byte{"the new key alone": {2}, "the old key alone": {1}, "a stranger's too": {2, 3}} {
		d, path := create(t, keyedOptions(t, 1))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := Rotate(path, keyedOptions(t, 2, 1), yearly)
		if err != nil {
			t.Fatal(err)
		}
		c, _, _, err := d.head()
		if err != nil {
			t.Fatal(err)
		}
		var with []note.Signer
		for _, s := range signers {
			with = append(with, options(t, "line1", s).Signer)
		}
		text, err := c.Sign(with...)
		if err != nil {
			t.Fatal(err)
		}
		err = d.bolt.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketCheckpoints).Put(number(c.Size), text) })
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		if d, err := Open(path, keyedOptions(t, 2, 1)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, %v", name, d, err)
		}
		if _, err := CheckFile(ctx, path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s, as a backup: %v", name, err)
		}
	}
}

// A copy of before the rotation: the mirror's newer entries go on with the newer key; a backup alone goes on with the older key while it is there, and with another one where it
// is said to be lost. Nothing else opens it.
func TestRestoreAcrossRotation(t *testing.T) {
	o := keyedOptions(t, 1)
	o.Mirror = filepath.Join(t.TempDir(), "mirror")
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	d, path := create(t, o)
	mustAppend(t, d, start(1, "A"))
	backup, _ := mustBackup(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	next := keyedOptions(t, 2, 1)
	next.Mirror = o.Mirror
	d, err := Rotate(path, next, yearly)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, d, step(1, "A", 1))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    byte
		mirror bool
		lost   bool
		size   int64 // 0: refused
		keys   []byte
	}{
		"mirror, the newer key":            {2, true, false, 5, []byte{1, 2}},
		"mirror, the older key":            {1, true, false, 0, nil},
		"mirror, another key":              {3, true, false, 0, nil},
		"mirror, another, lost":            {3, true, true, 6, nil},
		"mirror, the newer, said lost":     {2, true, true, 0, nil},
		"backup, the older key":            {1, false, false, 3, []byte{1}},
		"backup, the newer key":            {2, false, false, 0, nil},
		"backup, the newer, older lost":    {2, false, true, 4, nil},
		"backup, the older, said lost too": {1, false, true, 0, nil},
	} {
		from := Restoration{Backup: backup, Reason: "r", By: "b", LostKey: c.lost}
		o := keyedOptions(t, c.key)
		if c.mirror {
			from.Mirror = next.Mirror
		}
		again := filepath.Join(t.TempDir(), "ledger.db")
		r, _, err := Restore(ctx, again, o, from)
		if c.size == 0 {
			if !errors.Is(err, ErrMismatch) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n, err := r.Size(); err != nil || n != c.size {
			t.Errorf("%s: %d entries, %v", name, n, err)
		}
		soundFor(t, r, c.keys...)
		if k, err := r.Keys(); err != nil || k.Present() != o.VerifierKey {
			t.Errorf("%s: %v, %v", name, k, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A mirror that missed the rotation is brought up, and one that has a rotation that the ledger lacks is a fork.
func TestMirrorMissedRotation(t *testing.T) {
	o := keyedOptions(t, 1)
	o.Mirror = filepath.Join(t.TempDir(), "mirror")
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	d, path := create(t, o)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err = Rotate(path, keyedOptions(t, 2, 1), yearly) // without the mirror
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	next := keyedOptions(t, 2)
	next.Mirror = o.Mirror
	if d, err = Open(path, next); err != nil {
		t.Fatal(err)
	}
	inStep(t, d, next)
	write(t, path, string(old))
	if d, err := Open(path, o); !errors.Is(err, ErrFork) || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("a ledger of before the rotation, with the mirror of after it: %v, %v", d, err)
	}
}
