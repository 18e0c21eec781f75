package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"station/ledger"
)

// Unit is the newest state of one serial: that of the run whose start or end was written last, or that a
// person closed. A run that neither touched
// the unit nor found it bad (refused, contact absent) says nothing about the unit and shows only where there is no other.
type Unit struct {
	Serial   string         `json:"serial"`
	Run      string         `json:"run"`
	Outcome  ledger.Outcome `json:"outcome"`          // INTERRUPTED while the run is open, and when a person closed it
	Cause    string         `json:"cause"`            // of the outcome, or of the need for a person while the run is open
	Closed   string         `json:"closed,omitempty"` // what a person closed the open run as: ledger.Scrapped or ledger.Lost
	Recipe   ledger.Recipe  `json:"recipe"`
	UID      string         `json:"uid"` // of the chip, "" when none was identified
	Slot     string         `json:"slot"`
	Operator string         `json:"operator"`
	Time     time.Time      `json:"time"`             // of the entry at Index
	Index    int64          `json:"index"`            // of the run's start, of its end, of its close, or of the permission
	Rework   *Permission    `json:"rework,omitempty"` // not used yet
}

// Permission is what a unit's row keeps of a rework.permit.
type Permission struct {
	Index int64  `json:"index"`
	Chip  string `json:"chip"` // ledger.SameChip or ledger.NewChip
	UID   string `json:"uid"`  // of the chip that the unit has
}

// unitRow is a Unit as it is kept.
type unitRow struct {
	Unit
	Firm bool `json:"firm"` // the run touched the unit or found it bad
}

// UnitQuery selects units by their newest state. Zero values select everything.
type UnitQuery struct {
	Digest string    // recipe digest
	Since  time.Time // Time at or after it
	Until  time.Time // Time before it
	Limit  int       // most units to return; 0 means 100
	Cursor string    // what the page before returned, "" for the first
}

const defaultLimit = 100

// Units returns units, newest first, and the cursor of the next page, "" when there is none. A unit that changes
// between two pages moves to the front and may be missed by the later page.
func (d *DB) Units(q UnitQuery) (units []Unit, next string, err error) {
	if q.Limit < 0 {
		return nil, "", fmt.Errorf("limit %d is negative", q.Limit)
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	bucket, prefix := bucketUnitsByTime, []byte{}
	if q.Digest != "" {
		if len(q.Digest) > maxName {
			return nil, "", nil
		}
		bucket, prefix = bucketUnitsByDigest, named(q.Digest)
	}
	low, high := prefix, append(bytes.Clone(prefix), bytes.Repeat([]byte{0xFF}, 17)...)
	if !q.Since.IsZero() {
		low = append(bytes.Clone(prefix), moment(q.Since)...)
	}
	if !q.Until.IsZero() {
		high = append(bytes.Clone(prefix), moment(q.Until)...)
	}
	if q.Cursor != "" {
		at, err := hex.DecodeString(q.Cursor)
		if err != nil || len(at) != 16 {
			return nil, "", badCursor(q.Cursor)
		}
		if at = append(bytes.Clone(prefix), at...); bytes.Compare(at, high) < 0 {
			high = at
		}
	}
	err = d.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		newest := c.Prev // the first below high
		if k, _ := c.Seek(high); k == nil {
			newest = c.Last
		}
		k, serial := newest()
		for ; k != nil && bytes.HasPrefix(k, prefix) && bytes.Compare(k, low) >= 0; k, serial = c.Prev() {
			if len(units) == q.Limit {
				next = hex.EncodeToString(units[len(units)-1].byTime())
				return nil
			}
			var row unitRow
			if err := json.Unmarshal(tx.Bucket(bucketUnits).Get(serial), &row); err != nil {
				return fmt.Errorf("%w: row of unit %q: %v", ErrDamaged, serial, err)
			}
			units = append(units, row.Unit)
		}
		return nil
	})
	return units, next, err
}
