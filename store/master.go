package store

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// Master looks for the newest root_key.intent whose key is derived from this master key: whether there is one, and the fingerprint of the master that it
// tells, "" where it is of an earlier version. It reads the ledger from its end, which is long only for a master that was not used for long.
func (d *DB) Master(name string) (fingerprint string, used bool, err error) {
	// Names of masters need no escape in JSON, so an entry without these bytes is not it, and need not be decoded.
	key := []byte(`"derive:` + name + `"`)
	for end := int64(-1); end != 0 && !used; {
		err = d.view(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketEntries)
			if end < 0 {
				end = last(b) + 1
			}
			c := b.Cursor()
			from := max(0, end-chunk)
			k, leaf := c.Seek(number(end - 1))
			for ; k != nil && bytes.Compare(k, number(from)) >= 0; k, leaf = c.Prev() {
				if !bytes.Contains(leaf, key) {
					continue
				}
				r, err := record(int64(binary.BigEndian.Uint64(k)), leaf)
				if err != nil {
					return err
				}
				if b, is := r.Entry.Body.(ledger.RootKeyIntent); is && b.MasterKey() == name {
					fingerprint, used = b.Master, true
					return nil
				}
			}
			end = from
			return nil
		})
		if err != nil {
			return "", false, err
		}
	}
	return fingerprint, used, nil
}
