package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

func jobBegin(n int) ledger.JobBegin {
	return ledger.JobBegin{Job: run(n), By: "op-7f", File: "gateway-boot.yaml", Recipe: ledger.Recipe{ID: "gateway-boot", Digest: "sha256:d"}, Quantity: 8}
}

// The job and the shift that are open are those that began last and did not end, through a restart, on the mirror, and in a file of version 3, which has no row of it: read as it is, and
// made the present version. What stands out of order is refused and changes nothing.
func TestFloor(t *testing.T) {
	s := &told{}
	o := options(t, "line1", 1)
	o.Tell, o.Mirror = s.tell, filepath.Join(t.TempDir(), "mirror")
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	d, path := create(t, o)
	want := func(job, shift int64) {
		t.Helper()
		if rec, ok, err := d.OpenJob(); err != nil || ok != (job > 0) || rec.Index != job {
			t.Errorf("job: %+v, %t, %v; want entry %d", rec, ok, err, job)
		}
		if rec, ok, err := d.OpenShift(); err != nil || ok != (shift > 0) || rec.Index != shift {
			t.Errorf("shift: %+v, %t, %v; want entry %d", rec, ok, err, shift)
		}
	}
	refused := func(b ledger.Body) {
		t.Helper()
		before, _ := d.Size()
		if _, err := d.Append(ctx, b); !errors.Is(err, ledger.ErrGrammar) {
			t.Errorf("%s: %v", b.Kind(), err)
		}
		if after, _ := d.Size(); after != before {
			t.Errorf("%s is in the ledger", b.Kind())
		}
	}
	end := func(n int) ledger.JobEnd { return ledger.JobEnd{Job: run(n), By: "op-7f"} }
	shift, shiftEnd := ledger.ShiftBegin{By: "op-7f"}, ledger.ShiftEnd{By: "op-7f"}
	want(0, 0)
	refused(end(1))
	refused(shiftEnd)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, filepath.Join(o.Mirror, MirrorFile)} {
		b, err := bolt.Open(file, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Update(func(tx *bolt.Tx) error {
			return errors.Join(tx.DeleteBucket(bucketFloor), tx.Bucket(bucketStore).Put([]byte("version"), []byte("3")))
		})
		if err := errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	d = d2(t, path)
	want(0, 0)
	sound(t, d, o.VerifierKey)
	reopen := func() {
		t.Helper()
		err := d.Close()
		if err == nil {
			d, err = Open(path, o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	reopen()
	mustAppend(t, d, jobBegin(1)) // 1
	want(1, 0)
	refused(jobBegin(2))
	refused(end(2))
	mustAppend(t, d, start(3, "A"))
	mustAppend(t, d, shift) // 3
	reopen()
	want(1, 3)
	mustAppend(t, d, shift) // 4
	want(1, 4)
	mustAppend(t, d, end(1))
	want(0, 4)
	refused(end(1))
	mustAppend(t, d, jobBegin(2)) // 6
	mustAppend(t, d, shiftEnd)
	refused(shiftEnd)
	want(6, 0)
	reopen()
	want(6, 0)
	sound(t, d, o.VerifierKey)
	errUndo := errors.New("undo")
	for _, row := range []string{"", `{"job":"","job_at":0,"shift_at":0}`, `{"job":"` + run(2) + `","job_at":1,"shift_at":0}`} {
		err := d.bolt.Update(func(tx *bolt.Tx) error {
			err := tx.Bucket(bucketFloor).Delete(rowOpen)
			if row != "" {
				err = tx.Bucket(bucketFloor).Put(rowOpen, []byte(row))
			}
			if err != nil {
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
	s.want(t, "same file system", "same file system", "same file system", "same file system")
}
