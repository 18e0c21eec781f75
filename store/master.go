package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// Master is what the ledger tells of a master key.
type Master struct {
	Fingerprint string `json:"fingerprint"` // in the newest root_key.intent that names it, or else in its master.retired; "" where neither tells it
	Used        bool   `json:"used"`        // there is such an entry
	Retired     int64  `json:"retired"`     // index of its master.retired, 0 for none
}

// Master is what the ledger tells of this master key.
func (d *DB) Master(name string) (fingerprint string, used, retired bool, err error) {
	var m Master
	err = d.view(func(tx *bolt.Tx) error {
		r, err := keyRows(tx)
		if err != nil {
			return err
		}
		m, err = readMaster(r, name)
		return err
	})
	return m.Fingerprint, m.Used, m.Retired != 0, err
}

// Masters are all that the ledger tells of, by name.
func (d *DB) Masters() (map[string]Master, error) {
	all := map[string]Master{}
	err := d.view(func(tx *bolt.Tx) error {
		r, err := keyRows(tx)
		if err != nil {
			return err
		}
		return r.each(bucketMasters, func(name []byte) error {
			all[string(name)], err = readMaster(r, string(name))
			return err
		})
	})
	return all, err
}

func readMaster(r rows, name string) (m Master, err error) {
	if text := r.get(bucketMasters, []byte(name)); name != "" && text != nil {
		if err := json.Unmarshal(text, &m); err != nil {
			return m, fmt.Errorf("%w: row of the master %q: %v", ErrDamaged, name, err)
		}
	}
	return m, nil
}

func putMaster(r rows, name string, m Master) error {
	if len(name) > maxName {
		return fmt.Errorf("%w: a name of a master of %d bytes, %d are allowed", ledger.ErrGrammar, len(name), maxName)
	}
	return putJSON(r, bucketMasters, []byte(name), m)
}
