package flash

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"station/spi"
)

// ContactTest is what many readings of the same thing came to.
type ContactTest struct {
	IDs, SFDPs int      // how many readings of READ ID and of the first 256 bytes of the SFDP area, each in a round trip of its own
	ID         [20]byte // the first reading
	OtherIDs   int      // readings that differ from the first
	OtherSFDPs int
	Status     [2]byte // status (05) and flag status (70)
	// Unstable is how many pairs of status readings, one behind each ID, differ from the first pair, but for error bits: those are of one die of a stacked part,
	// and each die answers in its turn. A chip that is left alone changes none.
	Unstable int
	// Round trips of a READ ID.
	Fastest, Median, Slowest time.Duration
}

// Err is nil for a contact without a fault: the same chip answered every time. Otherwise ErrAbsent, or ErrUnsteady, wrapped.
func (t *ContactTest) Err() error {
	if t.OtherIDs+t.OtherSFDPs+t.Unstable > 0 {
		return fmt.Errorf("%d of %d readings of the ID, %d of %d of the SFDP and %d of the status differ from the first: %w",
			t.OtherIDs, t.IDs, t.OtherSFDPs, t.SFDPs, t.Unstable, ErrUnsteady)
	}
	_, err := steadyID(t.ID)
	return err
}

// MeasureID reads the ID n times, each in a round trip of its own, and nothing else: on wires that are too long for a clock a chip may take a command for another
// one, and from READ ID no short way leads to one that changes it. progress may be nil. Errors are those of spi, wrapped.
func MeasureID(ctx context.Context, conn spi.Conn, n int, progress func(done, total int64)) (*ContactTest, error) {
	t := &ContactTest{IDs: n}
	for i := range n {
		var id [20]byte
		if err := conn.Do(ctx, readID(&id)); err != nil {
			return nil, fmt.Errorf("test contact: %w", err)
		}
		if i == 0 {
			t.ID = id
		}
		if id != t.ID {
			t.OtherIDs++
		}
		if progress != nil {
			progress(int64(i+1), int64(n))
		}
	}
	return t, nil
}

// MeasureContact reads the ID ids times, the SFDP area sfdps times, and status with each ID, without a profile; each ID is a round trip that is timed. progress may be
// nil; it gets readings done and in all. Errors are those of spi, wrapped; what the readings say is in ContactTest.Err.
func MeasureContact(ctx context.Context, conn spi.Conn, ids, sfdps int, progress func(done, total int64)) (*ContactTest, error) {
	t := &ContactTest{IDs: ids, SFDPs: sfdps}
	done := func(n int) {
		if progress != nil {
			progress(int64(n), int64(ids+sfdps))
		}
	}
	var trips []time.Duration
	for i := range ids {
		var id [20]byte
		var status [2]byte
		start := time.Now()
		if err := conn.Do(ctx, readID(&id)); err != nil {
			return nil, fmt.Errorf("test contact: %w", err)
		}
		trips = append(trips, time.Since(start))
		err := conn.Do(ctx, spi.Frame{Out: []byte{opReadStatus}, In: status[:1]}, spi.Frame{Out: []byte{opReadFlags}, In: status[1:]})
		if err != nil {
			return nil, fmt.Errorf("test contact: %w", err)
		}
		if i == 0 {
			t.ID, t.Status = id, status
		}
		if id != t.ID {
			t.OtherIDs++
		}
		if status[0] != t.Status[0] || (status[1]^t.Status[1])&^fsrErrors != 0 {
			t.Unstable++
		}
		done(i + 1)
	}
	var first []byte
	for i := range sfdps {
		sfdp := make([]byte, 256)
		if err := conn.Do(ctx, readSFDP(sfdp)); err != nil {
			return nil, fmt.Errorf("test contact: %w", err)
		}
		if i == 0 {
			first = sfdp
		}
		if !bytes.Equal(sfdp, first) {
			t.OtherSFDPs++
		}
		done(ids + i + 1)
	}
	if slices.Sort(trips); len(trips) > 0 {
		t.Fastest, t.Median, t.Slowest = trips[0], trips[len(trips)/2], trips[len(trips)-1]
	}
	return t, nil
}
