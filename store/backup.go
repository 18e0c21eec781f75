package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// Head is what there is in a ledger that was checked whole.
type Head struct {
	Station   string    `json:"station"`
	Simulated bool      `json:"simulated"`
	Entries   int64     `json:"entries"`
	Root      string    `json:"root"` // tree hash over them, hex
	Last      time.Time `json:"last"` // when the last one was written
	Signed    int64     `json:"signed"`
	Escrows   int       `json:"escrows"`
}

// Backup puts a copy of a ledger, as write gives it (Copy), into a new file, which appears when it is durable and was checked by CheckFile. An existing file is
// never touched: fs.ErrExist. Where the copy is damaged, so is what was copied, and errors name it as of; the copy is gone then.
func Backup(ctx context.Context, path, of string, write func(io.Writer) error) (h Head, err error) {
	if _, err := os.Lstat(path); err == nil {
		return h, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	err = newFile(path, write, func(fresh string) error {
		if h, err = CheckFile(ctx, fresh); err != nil {
			return &copyError{err, fresh, of}
		}
		return nil
	})
	return h, err
}

// copyError is an error of a copy, in which the original is named.
type copyError struct {
	err      error
	copy, of string
}

func (e *copyError) Error() string { return strings.ReplaceAll(e.err.Error(), e.copy, e.of) }

func (e *copyError) Unwrap() error { return e.err }

// Copy writes the ledger file, as it is at one moment. Whoever writes to the ledger meanwhile does not wait.
func (d *DB) Copy(w io.Writer) error {
	return d.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// CheckFile opens a ledger file for reading and runs every check there is: Check, and ledger.Verify with the keys that the ledger names itself. What they
// find is ErrDamaged.
func CheckFile(ctx context.Context, path string) (h Head, err error) {
	d, err := OpenReadOnly(path)
	if err != nil {
		return h, err
	}
	defer d.Close()
	r, err := ledger.Verify(ctx, d)
	if err != nil {
		return h, fmt.Errorf("%s: %w", path, err)
	}
	if len(r.Findings) > 0 {
		return h, fmt.Errorf("%s: %w: %s", path, ErrDamaged, r.Findings[0].What)
	}
	if err := d.Check(ctx); err != nil {
		return h, fmt.Errorf("%s: %w", path, err)
	}
	end, err := d.Entry(r.Entries - 1)
	if err != nil {
		return h, err
	}
	h = Head{r.Station, r.Simulated, r.Entries, hex.EncodeToString(r.Root[:]), end.Entry.Time, r.Signed, 0}
	err = d.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketEscrow); b != nil {
			h.Escrows = b.Stats().KeyN
		}
		return nil
	})
	return h, err
}
