package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Digits of a run's id, and of a chip's UID, that are enough to look for it.
const (
	leastRunDigits = 8
	leastUIDDigits = 6
)

// Find returns units that text leads to, and the cursor of the next page, "" when there is none: first those whose serial begins with it, by serial; then, where it is 8 hexadecimal digits or
// more, those of which the id of a run begins with it; and where it is 6 or more, those on a chip whose UID does, or that were. All of them, newest first, for "".
// UIDs are in one case, upper or lower. It reads no more rows than begin with text. Of a unit that was on several such chips before the one that it has, more than one page may tell.
// limit 0 means 100.
func (d *DB) Find(text, cursor string, limit int) (units []Unit, next string, err error) {
	if text == "" {
		return d.Units(UnitQuery{Limit: limit, Cursor: cursor})
	}
	if limit < 0 {
		return nil, "", fmt.Errorf("limit %d is negative", limit)
	}
	if limit == 0 {
		limit = defaultLimit
	}
	if len(text) > maxName {
		return nil, "", nil
	}
	from, err := hex.DecodeString(cursor)
	if err != nil {
		return nil, "", badCursor(cursor)
	}
	err = d.view(func(tx *bolt.Tx) error {
		f := finder{tx: tx, text: text, seen: map[string]bool{}}
		places := f.places()
		if cursor != "" {
			for len(places) > 0 && !places[0].has(from) {
				places = places[1:]
			}
			if len(places) == 0 {
				return badCursor(cursor)
			}
		}
		var at []byte // of the last unit of this page
		for _, p := range places {
			c := tx.Bucket(p.bucket).Cursor()
			key := p.prefix
			if p.has(from) {
				key = from[1:]
			}
			for k, v := c.Seek(key); bytes.HasPrefix(k, p.prefix); k, v = c.Next() {
				if p.has(from) && bytes.Equal(k, from[1:]) {
					continue // the last one of the page before
				}
				u, ok, err := p.unit(k, v)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				if len(units) == limit {
					next = hex.EncodeToString(at)
					return nil
				}
				units = append(units, u)
				at = append([]byte{p.name}, k...)
			}
		}
		return nil
	})
	return units, next, err
}

// ErrCursor means that a cursor is not one that a page of the same search returned.
var ErrCursor = errors.New("is not one that a page returned")

func badCursor(cursor string) error { return fmt.Errorf("cursor %q %w", cursor, ErrCursor) }

// finder looks for units within a transaction.
type finder struct {
	tx   *bolt.Tx
	text string
	seen map[string]bool // serials of this page that a chip led to
}

// place is where rows begin with prefix that lead to units.
type place struct {
	name   byte // of the place in a cursor, before the key
	bucket []byte
	prefix []byte
	unit   func(k, v []byte) (u Unit, ok bool, err error)
}

func (p place) has(cursor []byte) bool {
	return len(cursor) > 0 && cursor[0] == p.name && bytes.HasPrefix(cursor[1:], p.prefix)
}

func (f *finder) places() []place {
	all := []place{{'s', bucketUnits, []byte(f.text), f.bySerial}}
	if strings.Trim(f.text, "0123456789abcdefABCDEF") != "" {
		return all
	}
	lower, upper := strings.ToLower(f.text), strings.ToUpper(f.text)
	if len(f.text) >= leastRunDigits {
		all = append(all, place{'r', bucketRuns, []byte(lower), f.byRun})
	}
	if len(f.text) < leastUIDDigits {
		return all
	}
	c := f.tx.Bucket(bucketUIDs).Cursor()
	for k, _ := c.First(); len(k) > 2; { // once for each length of a UID, by which they are sorted first
		n := binary.BigEndian.Uint16(k)
		length := bytes.Clone(k[:2])
		for _, digits := range []string{upper, lower} {
			if int(n) >= len(digits) && (digits == upper || lower != upper) {
				all = append(all, place{'u', bucketUIDs, append(bytes.Clone(length), digits...), f.byUID})
			}
		}
		if n == math.MaxUint16 {
			break
		}
		k, _ = c.Seek(binary.BigEndian.AppendUint16(nil, n+1))
	}
	return all
}

func (f *finder) bySerial(serial, _ []byte) (u Unit, ok bool, err error) {
	row, known, err := readUnit(bucketRows{f.tx}, string(serial))
	return row.Unit, known, err
}

func (f *finder) byRun(run, _ []byte) (u Unit, ok bool, err error) {
	u, err = f.unitOf(run)
	return u, err == nil && u.Serial != "" && f.led(u.Serial) == string(run), err
}

// byUID is the unit of a run that met a chip: once, by the run that its newest state is of, where that was on such a chip.
func (f *finder) byUID(k, run []byte) (u Unit, ok bool, err error) {
	if bytes.HasSuffix(k, number(math.MaxInt64)) { // which retired the chip; its own runs are before
		return u, false, nil
	}
	u, err = f.unitOf(run)
	has := len(u.UID) >= len(f.text) && strings.EqualFold(u.UID[:len(f.text)], f.text)
	if err != nil || u.Serial == "" || f.seen[u.Serial] || has && u.Run != string(run) || f.led(u.Serial) != "" {
		return u, false, err
	}
	f.seen[u.Serial] = true
	return u, true, nil
}

// unitOf is the unit of a run, and none where another place led to it before.
func (f *finder) unitOf(run []byte) (u Unit, err error) {
	r := bucketRows{f.tx}
	row, _, err := readRun(r, string(run))
	if err != nil || row.Serial == "" || strings.HasPrefix(row.Serial, f.text) {
		return u, err
	}
	unit, _, err := readUnit(r, row.Serial)
	return unit.Unit, err
}

// led is the first run of a serial whose id begins with the text, by id, "" for none.
func (f *finder) led(serial string) (first string) {
	if len(f.text) < leastRunDigits {
		return ""
	}
	prefix := named(serial)
	c := f.tx.Bucket(bucketSerials).Cursor()
	for k, run := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, run = c.Next() {
		if id := string(run); strings.HasPrefix(id, strings.ToLower(f.text)) && (first == "" || id < first) {
			first = id
		}
	}
	return first
}
