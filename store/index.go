package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

var (
	bucketRuns          = []byte("runs")
	bucketRunEntries    = []byte("run_entries")
	bucketOpenRuns      = []byte("open_runs")
	bucketSerials       = []byte("serials")
	bucketUIDs          = []byte("uids")
	bucketUnits         = []byte("units")
	bucketUnitsByTime   = []byte("units_by_time")
	bucketUnitsByDigest = []byte("units_by_digest")

	indexes = [][]byte{bucketRuns, bucketRunEntries, bucketOpenRuns, bucketSerials, bucketUIDs,
		bucketUnits, bucketUnitsByTime, bucketUnitsByDigest}
)

const (
	runIDSize = 16   // ledger checks it
	maxName   = 1024 // bytes of a serial, UID or digest, which become parts of keys
)

// rows is where index rows are kept: in the file, or, when the file's are checked, in memory.
type rows interface {
	get(bucket, key []byte) []byte
	put(bucket, key, value []byte) error
	remove(bucket, key []byte) error
	each(bucket []byte, do func(key []byte) error) error
}

type bucketRows struct{ tx *bolt.Tx }

func (r bucketRows) get(bucket, key []byte) []byte       { return r.tx.Bucket(bucket).Get(key) }
func (r bucketRows) put(bucket, key, value []byte) error { return r.tx.Bucket(bucket).Put(key, value) }
func (r bucketRows) remove(bucket, key []byte) error     { return r.tx.Bucket(bucket).Delete(key) }
func (r bucketRows) each(bucket []byte, do func(key []byte) error) error {
	return r.tx.Bucket(bucket).ForEach(func(key, _ []byte) error { return do(key) })
}

// runRow is how far a run has come.
type runRow struct {
	First int64 `json:"first"` // index of its first entry
	ledger.Progress
}

// index brings the index rows up to date with one more entry, and names the run that it settles, if it settles one. It
// refuses what may not stand there, so the same rules hold for what is written and for what is verified.
func index(r rows, rec ledger.Record) (settled string, err error) {
	var uid, digest string
	switch b := rec.Entry.Body.(type) {
	case ledger.StationInit:
		if rec.Index != 0 {
			return "", fmt.Errorf("%w: %s at index %d", ledger.ErrGrammar, b.Kind(), rec.Index)
		}
		return "", indexKey(r, rec)
	case ledger.StationKey, ledger.MasterRetired:
		return "", indexKey(r, rec)
	case ledger.StationEpoch:
		if err := b.Check(rec.Index); err != nil {
			return "", err
		}
		return "", r.put(bucketSerials, append(named(""), number(rec.Index)...), []byte{})
	case ledger.KeyServerEntry:
		return "", b.Check()
	case ledger.FloorEntry:
		return "", indexFloor(r, rec.Index, b)
	case ledger.Other: // of a later version; it has no rows that this version knows
		return "", nil
	case ledger.ReworkPermit:
		return "", indexPermit(r, rec, b.Serial, &Permission{rec.Index, b.Chip, b.UID}, b.Check)
	case ledger.ReworkWithdrawn:
		return "", indexPermit(r, rec, b.Serial, nil, b.Check)
	case ledger.RunStart:
		uid, digest = b.Chip.UID, b.Recipe.Digest
		if err := checkRework(r, b); err != nil {
			return "", err
		}
	case ledger.RootKeyIntent:
		if err := indexKey(r, rec); err != nil {
			return "", err
		}
	case ledger.RunEnd:
		digest = b.Recipe.Digest
		if b.Chip != nil {
			uid = b.Chip.UID
		}
	}
	run, serial, _ := ledger.RunOf(rec.Entry.Body)
	for _, name := range []string{serial, uid, digest} {
		if len(name) > maxName {
			return "", fmt.Errorf("%w: run %s: a name of %d bytes, %d are allowed", ledger.ErrGrammar, run, len(name), maxName)
		}
	}
	row, known, err := readRun(r, run)
	if err != nil {
		return "", err
	}
	if !known {
		row.First = rec.Index
	}
	wasOpen := row.Open()
	if row.Progress, err = row.After(rec.Entry.Body); err != nil {
		return "", err
	}
	if err := putJSON(r, bucketRuns, []byte(run), row); err != nil {
		return "", err
	}
	if err := r.put(bucketRunEntries, append([]byte(run), number(rec.Index)...), []byte{}); err != nil {
		return "", err
	}
	switch {
	case row.Open() && !wasOpen:
		err = r.put(bucketOpenRuns, number(row.First), []byte(run))
	case wasOpen && !row.Open():
		settled = run
		err = r.remove(bucketOpenRuns, number(row.First))
	}
	if err != nil {
		return "", err
	}
	if err := indexUnit(r, rec, row); err != nil {
		return "", err
	}
	switch rec.Entry.Body.(type) {
	case ledger.RunStart, ledger.RunEnd:
		if serial == "" {
			break
		}
		if err := r.put(bucketSerials, append(named(serial), number(row.First)...), []byte(run)); err != nil {
			return "", err
		}
	}
	if uid != "" {
		err = r.put(bucketUIDs, append(named(uid), number(row.First)...), []byte(run))
	}
	if s, ok := rec.Entry.Body.(ledger.RunStart); ok && err == nil && s.Retires != "" {
		err = r.put(bucketUIDs, retiredKey(s.Retires), []byte(run))
	}
	return settled, err
}

func readRun(r rows, run string) (row runRow, known bool, err error) {
	old := r.get(bucketRuns, []byte(run))
	if old == nil {
		return row, false, nil
	}
	if err := json.Unmarshal(old, &row); err != nil {
		return row, false, fmt.Errorf("%w: row of run %s: %v", ErrDamaged, run, err)
	}
	return row, true, nil
}

// indexUnit brings the newest state of the unit up to date with one more entry of a run.
func indexUnit(r rows, rec ledger.Record, run runRow) error {
	_, serial, _ := ledger.RunOf(rec.Entry.Body)
	if serial == "" {
		return nil
	}
	old, known, err := readUnit(r, serial)
	if err != nil {
		return err
	}
	next, changed := old.after(rec, run)
	if !changed || old.Firm && !next.Firm {
		return nil
	}
	return putUnit(r, serial, old, known, next)
}

func readUnit(r rows, serial string) (row unitRow, known bool, err error) {
	text := r.get(bucketUnits, []byte(serial))
	if text == nil {
		return row, false, nil
	}
	if err := json.Unmarshal(text, &row); err != nil {
		return row, false, fmt.Errorf("%w: row of unit %q: %v", ErrDamaged, serial, err)
	}
	return row, true, nil
}

// putUnit puts the next state of a unit in place of the old one, where there is one.
func putUnit(r rows, serial string, old unitRow, known bool, next unitRow) error {
	if known {
		if err := r.remove(bucketUnitsByTime, old.byTime()); err != nil {
			return err
		}
		if err := r.remove(bucketUnitsByDigest, old.byDigest()); err != nil {
			return err
		}
	}
	if err := putJSON(r, bucketUnits, []byte(serial), next); err != nil {
		return err
	}
	if err := r.put(bucketUnitsByTime, next.byTime(), []byte(serial)); err != nil {
		return err
	}
	return r.put(bucketUnitsByDigest, next.byDigest(), []byte(serial))
}

// after returns the state of a unit after one more entry of a run of it, and whether that entry tells of the state.
func (old unitRow) after(rec ledger.Record, run runRow) (next unitRow, changed bool) {
	next = unitRow{Unit: Unit{Outcome: ledger.Interrupted, UID: run.UID, Time: rec.Entry.Time, Index: rec.Index}, Firm: run.Started}
	switch b := rec.Entry.Body.(type) {
	case ledger.RunStart:
		next.Serial, next.Run, next.Recipe, next.Slot, next.Operator = b.Serial, b.Run, b.Recipe, b.Slot, b.Operator
		return next, true
	case ledger.RunEnd:
		next.Serial, next.Run, next.Recipe, next.Slot, next.Operator = b.Serial, b.Run, b.Recipe, b.Slot, b.Operator
		next.Outcome, next.Cause = b.Outcome, b.Cause
		next.Firm = next.Firm || b.Outcome == ledger.Fail
		if b.Chip != nil && next.UID == "" {
			next.UID = b.Chip.UID
		}
		next.Rework = old.Rework // a start uses it, nothing else does
		return next, true
	case ledger.RunStuck:
		next = old
		next.Cause = b.Cause
		return next, b.Run == old.Run
	case ledger.RunResume:
		next = old
		next.Cause = ""
		return next, b.Run == old.Run && old.Cause != ""
	case ledger.UnitClose:
		next = old
		next.Closed, next.Time, next.Index = b.As, rec.Entry.Time, rec.Index
		return next, b.Run == old.Run
	}
	return old, false
}

func (u *Unit) byTime() []byte   { return append(moment(u.Time), number(u.Index)...) }
func (u *Unit) byDigest() []byte { return append(named(u.Recipe.Digest), u.byTime()...) }

func putJSON(r rows, bucket, key []byte, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return r.put(bucket, key, text)
}

// named is a name as the beginning of a key, with its length, so that no name is the beginning of another.
func named(name string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(name))), name...)
}

// moment is a time as a part of a key: as bytes it sorts as the time does.
func moment(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMicro())^1<<63)
}
