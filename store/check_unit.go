package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// CheckUnit returns every entry that the indexes have of a serial, of its runs and about its rework, in the order of their indexes, and looks for rows of the unit that disagree with
// these entries: it makes the rows anew in memory and compares, as Check does for the whole ledger. A run of this serial that met one of the unit's chips, and that no row of the serial leads to, is
// such a disagreement too. It reads what the unit and its chips have, so an entry that no row leads to, and that has left no other trace among them, only Check finds.
// Errors wrap ErrDamaged, and come with the entries that could be read. A serial that the indexes do not have has no entries.
func (d *DB) CheckUnit(serial string) (found []ledger.Record, err error) {
	if serial == "" || len(serial) > maxName {
		return nil, nil
	}
	err = d.view(func(tx *bolt.Tx) error {
		var broken error
		for _, i := range unitEntries(tx, serial) {
			leaf := bytes.Clone(tx.Bucket(bucketEntries).Get(number(i)))
			if leaf == nil {
				return fmt.Errorf("%w: entry %d is missing", ErrDamaged, i)
			}
			if r, err := record(i, leaf); err == nil {
				found = append(found, r)
			} else if broken == nil {
				broken = err
			}
		}
		if broken != nil {
			return broken
		}
		return checkUnit(tx, serial, found)
	})
	return found, err
}

// unitEntries are the indexes of the entries that the rows of a serial lead to, ascending.
func unitEntries(tx *bolt.Tx, serial string) []int64 {
	runs, wanted := map[string]bool{}, permitEntries(tx, serial)
	runsOf(tx, bucketSerials, serial, runs)
	wanted = append(wanted, runEntries(tx, runs)...)
	slices.Sort(wanted)
	return slices.Compact(wanted)
}

// checkUnit compares the rows of a unit with those that follow from the entries found of it.
func checkUnit(tx *bolt.Tx, serial string, found []ledger.Record) error {
	want, file := memoryRows{}, bucketRows{tx}
	for _, r := range found {
		if _, err := index(want, r); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrDamaged, r.Index, err)
		}
	}
	differs := func(name []byte, key string) error {
		return fmt.Errorf("%w: index %s: row %x does not follow from the unit's entries", ErrDamaged, name, key)
	}
	for _, name := range [][]byte{bucketUnits, bucketSerials, bucketRuns, bucketRunEntries, bucketOpenRuns, bucketUnitsByTime, bucketUnitsByDigest} {
		for _, key := range slices.Sorted(maps.Keys(want[string(name)])) {
			if v := file.get(name, []byte(key)); v == nil || string(v) != want[string(name)][key] {
				return differs(name, key)
			}
		}
	}
	if file.get(bucketUnits, []byte(serial)) != nil && want.get(bucketUnits, []byte(serial)) == nil {
		return differs(bucketUnits, serial)
	}
	prefixes := map[string][]string{string(bucketSerials): {string(named(serial))}, string(bucketRunEntries): slices.Sorted(maps.Keys(want[string(bucketRuns)]))}
	for name, all := range prefixes {
		for _, prefix := range all {
			c := tx.Bucket([]byte(name)).Cursor()
			for k, _ := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, _ = c.Next() {
				if _, ok := want[name][string(k)]; !ok {
					return differs([]byte(name), string(k))
				}
			}
		}
	}
	met := map[string]bool{}
	for key := range want[string(bucketUIDs)] {
		runsOf(tx, bucketUIDs, key[2:len(key)-8], met)
	}
	for _, run := range slices.Sorted(maps.Keys(met)) {
		row, _, err := readRun(file, run)
		if err != nil {
			return err
		}
		if row.Serial == serial && want.get(bucketRuns, []byte(run)) == nil {
			return fmt.Errorf("%w: index %s: run %s of this unit is missing, which met its chip", ErrDamaged, bucketSerials, run)
		}
	}
	return nil
}
