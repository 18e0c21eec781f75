package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// one is a row of an index, as its key begins and ends.
type one struct {
	name       []byte
	begin, end string
}

// move gives the only row of this kind another key, and the same value.
func (o one) move(t *testing.T, d *DB, to string) {
	t.Helper()
	o.change(t, d, func(b *bolt.Bucket, key, value []byte) error { return b.Put([]byte(to), value) })
}

func (o one) change(t *testing.T, d *DB, put func(b *bolt.Bucket, key, value []byte) error) {
	t.Helper()
	err := d.bolt.Update(func(tx *bolt.Tx) error {
		b, found := tx.Bucket(o.name), 0
		var key, value []byte
		err := b.ForEach(func(k, v []byte) error {
			if strings.HasPrefix(string(k), o.begin) && strings.HasSuffix(string(k), o.end) {
				key, value = append([]byte{}, k...), append([]byte{}, v...)
				found++
			}
			return nil
		})
		if err == nil && found != 1 {
			err = fmt.Errorf("%d rows of %s", found, o.name)
		}
		if err == nil {
			err = b.Delete(key)
		}
		if err != nil {
			return err
		}
		return put(b, key, value)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A row of a unit that does not follow from its entries is found by reading what the unit has, whether it hides a run, a permission or an entry, or tells another state of it.
func TestCheckUnit(t *testing.T) {
	const runs = 4
	built := func(t *testing.T) (*DB, []int64) {
		d, _ := create(t, options(t, "line1", 1))
		at := []int64{mustAppend(t, d, start(1, "A"), step(1, "A", 1), end(1, "A", ledger.Pass))}
		mustAppend(t, d, start(9, "B"), step(9, "B", 1), end(9, "B", ledger.Pass))
		for n := 2; n <= runs; n++ {
			permitted := mustAppend(t, d, permit("A", ledger.SameChip, "uid-A"))
			again := start(n, "A")
			again.Permit = permitted
			at = append(at, permitted, mustAppend(t, d, again, step(n, "A", 1)))
			if n < runs { // the newest is open
				mustAppend(t, d, end(n, "A", ledger.Fail))
			}
		}
		refused := end(8, "A", ledger.Refused)
		refused.Chip = &ledger.Chip{UID: "uid-A"}
		return d, append(at, mustAppend(t, d, refused))
	}
	a, gone := string(named("A")), string(named("@"))
	row := func(i int64) string { return string(number(i)) }
	for name, c := range map[string]struct {
		alter func(t *testing.T, d *DB, at []int64)
		want  string
	}{
		"nothing":          {func(*testing.T, *DB, []int64) {}, ""},
		"another unit":     {func(t *testing.T, d *DB, _ []int64) { one{bucketSerials, string(named("B")), ""}.move(t, d, gone) }, ""},
		"the first run":    {func(t *testing.T, d *DB, at []int64) { one{bucketSerials, a, row(at[0])}.move(t, d, gone+row(at[0])) }, "never run"},
		"a run between":    {func(t *testing.T, d *DB, at []int64) { one{bucketSerials, a, row(at[2])}.move(t, d, gone+row(at[2])) }, "rework.permit"},
		"the newest run":   {func(t *testing.T, d *DB, at []int64) { one{bucketSerials, a, row(at[6])}.move(t, d, gone+row(at[6])) }, "index units"},
		"a refused run":    {func(t *testing.T, d *DB, at []int64) { one{bucketSerials, a, row(at[7])}.move(t, d, gone+row(at[7])) }, "run " + run(8)},
		"a permission":     {func(t *testing.T, d *DB, at []int64) { one{bucketSerials, a, row(at[1])}.move(t, d, gone+row(at[1])) }, "permission"},
		"a permission far": {func(t *testing.T, d *DB, at []int64) { one{bucketSerials, a, row(at[1])}.move(t, d, a+row(999)) }, "entry 999"},
		"a run's start": {func(t *testing.T, d *DB, at []int64) {
			one{bucketRunEntries, run(2), row(at[2])}.move(t, d, run(7)+row(at[2]))
		}, "never started"},
		"a run's end": {func(t *testing.T, d *DB, at []int64) {
			one{bucketRunEntries, run(1), row(at[0] + 2)}.move(t, d, run(7)+row(at[0]+2))
		}, "index runs"},
		"another's entry": {func(t *testing.T, d *DB, at []int64) {
			one{bucketRunEntries, run(9), row(at[0] + 3)}.move(t, d, run(1)+row(at[0]+3))
		}, "index "},
		"another's run besides": {func(t *testing.T, d *DB, at []int64) {
			one{bucketSerials, a, row(at[0])}.change(t, d, func(b *bolt.Bucket, key, value []byte) error {
				return errors.Join(b.Put(key, value), b.Put([]byte(a+row(at[0]+3)), []byte(run(9))))
			})
		}, "index serials"},
		"how far it came": {func(t *testing.T, d *DB, _ []int64) {
			one{bucketRuns, run(4), ""}.change(t, d, func(b *bolt.Bucket, key, value []byte) error {
				return b.Put(key, []byte(strings.Replace(string(value), `"of":3`, `"of":4`, 1)))
			})
		}, "index runs"},
		"not open":    {func(t *testing.T, d *DB, at []int64) { one{bucketOpenRuns, row(at[6]), ""}.move(t, d, row(at[6]+1)) }, "index open_runs"},
		"its state":   {func(t *testing.T, d *DB, _ []int64) { one{bucketUnits, "A", ""}.move(t, d, "@") }, "index units"},
		"another way": {func(t *testing.T, d *DB, at []int64) { one{bucketUnits, "A", ""}.change(t, d, passed) }, "index units"},
		"all of it": {func(t *testing.T, d *DB, at []int64) {
			for _, i := range at {
				one{bucketSerials, a, row(i)}.move(t, d, gone+row(i))
			}
		}, "index units"},
	} {
		t.Run(name, func(t *testing.T) {
			d, at := built(t)
			c.alter(t, d, at)
			found, err := d.CheckUnit("A")
			if c.want == "" && (err != nil || len(found) != 15) {
				t.Errorf("%d entries, %v", len(found), err)
			}
			if c.want != "" && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want one about %q", err, c.want)
			}
			if whole := d.Check(ctx); name != "nothing" && whole == nil {
				t.Error("the whole ledger is sound")
			}
		})
	}
}

// passed makes of an open unit one that passed.
func passed(b *bolt.Bucket, key, value []byte) error {
	return b.Put(key, []byte(strings.Replace(string(value), `"outcome":"INTERRUPTED"`, `"outcome":"PASS"`, 1)))
}

// Of a serial that is not known, and of none, there is nothing to find.
func TestCheckUnitKnowsNone(t *testing.T) {
	d, _ := create(t, options(t, "line1", 1))
	mustAppend(t, d, start(1, "A"), end(1, "A", ledger.Pass))
	for _, serial := range []string{"", "AA", strings.Repeat("A", maxName+1)} {
		if found, err := d.CheckUnit(serial); len(found) != 0 || err != nil {
			t.Errorf("%.9q: %d entries, %v", serial, len(found), err)
		}
	}
}
