package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// The newest entry that names a master tells its fingerprint, and no other name's, kind's or serial's does; one that was retired is so for ever. The same of a file of
// version 2, which has no rows of it: read as it is, and made the present version with its mirror.
func TestMaster(t *testing.T) {
	s := &told{}
	o := options(t, "line1", 1)
	o.Tell = s.tell
	o.Mirror = filepath.Join(t.TempDir(), "mirror")
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	d, path := create(t, o)
	escrow := 0
	use := func(n int, key, fingerprint string) {
		t.Helper()
		escrow++
		mustAppend(t, d, start(n, fmt.Sprint("S", n)))
		b := ledger.RootKeyIntent{Run: run(n), Serial: fmt.Sprint("S", n), UID: fmt.Sprint("uid-S", n), Key: key, Escrow: sealedAs(escrow), Reply: sealedAs(1).SHA256, Master: fingerprint}
		mustCommit(t, d, ledger.Change{Bodies: []ledger.Body{b}, Escrow: map[string][]byte{escrowID(escrow): ciphertext(escrow)}})
	}
	retired := false
	want := func(name, fingerprint string, used bool) {
		t.Helper()
		r := retired && name == "line/root"
		if f, u, ret, err := d.Master(name); f != fingerprint || u != used || ret != r || err != nil {
			t.Errorf("%s: %q, %t, %t, %v; want %q, %t, %t", name, f, u, ret, err, fingerprint, used, r)
		}
	}
	want("line/root", "", false)
	use(1, "derive:line/root", "")
	want("line/root", "", true) // of an earlier version
	use(2, "derive:line/root", "aa")
	use(3, "derive:line/root-2027", "bb")
	use(4, "random", "")
	mustAppend(t, d, start(5, "derive:line/root"))
	all := func() {
		t.Helper()
		want("line/root", "aa", true)
		want("line/root-2027", "bb", true)
		want("line", "", false)
		want("random", "", false)
		want("", "", false)
	}
	all()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, filepath.Join(o.Mirror, MirrorFile)} {
		b, err := bolt.Open(file, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Update(func(tx *bolt.Tx) error {
			return errors.Join(tx.DeleteBucket(bucketKeys), tx.DeleteBucket(bucketMasters), tx.DeleteBucket(bucketFloor), tx.Bucket(bucketStore).Put([]byte("version"), []byte("2")))
		})
		if err := errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	d = d2(t, path)
	all()
	if c, err := d.Keys(); err != nil || len(c) != 1 || c.Present() != o.VerifierKey {
		t.Errorf("%v, %v", c, err)
	}
	sound(t, d, o.VerifierKey)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if d, err = Open(path, o); err != nil {
		t.Fatal(err)
	}
	all()
	m := ledger.MasterRetired{Name: "line/root", Fingerprint: "00000000000000aa", Reason: "the card was seen elsewhere", By: "op-80"}
	mustAppend(t, d, m)
	if _, err := d.Append(ctx, m); !errors.Is(err, ledger.ErrGrammar) {
		t.Errorf("retired twice: %v", err)
	}
	if _, err := d.Append(ctx, ledger.MasterRetired{Name: strings.Repeat("m", maxName+1), Reason: "r", By: "b"}); !errors.Is(err, ledger.ErrGrammar) {
		t.Errorf("a long name: %v", err)
	}
	retired = true
	all()
	use(6, "derive:line/root", "cc") // what holds this up is the engine
	want("line/root", "cc", true)
	mustAppend(t, d, ledger.MasterRetired{Name: "never used", Fingerprint: "00000000000000dd", Reason: "r", By: "b"})
	masters, err := d.Masters()
	if diff := cmp.Diff(map[string]Master{"line/root": {"cc", true, 10}, "line/root-2027": {"bb", true, 0}, "never used": {"00000000000000dd", false, 13}}, masters); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	errUndo := errors.New("undo")
	for _, spoil := range []func(tx *bolt.Tx) error{
		func(tx *bolt.Tx) error { return tx.Bucket(bucketMasters).Delete([]byte("line/root")) },
		func(tx *bolt.Tx) error {
			return tx.Bucket(bucketMasters).Put([]byte("line/root"), []byte(`{"fingerprint":"cc","used":true,"retired":0}`))
		},
		func(tx *bolt.Tx) error { return tx.Bucket(bucketKeys).Put(rowCheckpoint, []byte(`[]`)) },
	} {
		err := d.bolt.Update(func(tx *bolt.Tx) error {
			if err := spoil(tx); err != nil {
				return err
			}
			if err := checkIndexes(ctx, tx); !errors.Is(err, ErrDamaged) {
				t.Errorf("a row that does not follow from the entries: %v", err)
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
	}
	inStep(t, d, o)
	s.want(t, "same file system", "same file system") // and nothing of a mirror that is lost
}
