package ledger

import (
	"errors"
	"fmt"
)

// KindStationEpoch is the kind of StationEpoch.
const KindStationEpoch = "station.epoch"

// What a ledger was restored from. A backup lacks what was written after it. A mirror lacks nothing permanent of the time when it was in force, and
// nothing in it shows until when that was: it may have been given up, or been away.
const (
	FromBackup = "backup"
	FromMirror = "mirror"
)

// StationEpoch says that the ledger goes on from a copy. What the station wrote after the last entry of that copy, and may have signed
// and printed, is in no ledger any more; other entries stand at these indexes from here on. No copy can show that there was nothing.
type StationEpoch struct {
	Software string `json:"software"`
	Known    int64  `json:"known"` // entries of the copy; this one is the next
	Root     string `json:"root"`  // tree hash over them, 64 hex digits
	From     string `json:"from"`  // FromBackup or FromMirror
	Reason   string `json:"reason"`
	By       string `json:"by"` // pseudonymous id
}

func (StationEpoch) Kind() string { return KindStationEpoch }

// Check says whether the entry may stand at index i. Errors wrap ErrGrammar.
func (e StationEpoch) Check(i int64) error {
	var err error
	switch {
	case i < 1 || e.Known != i:
		err = fmt.Errorf("it knows %d entries and stands at %d", e.Known, i)
	case !lowerHex(e.Root, 64):
		err = fmt.Errorf("tree hash %q", e.Root)
	case e.From != FromBackup && e.From != FromMirror:
		err = fmt.Errorf("from %q", e.From)
	case e.Reason == "" || e.By == "":
		err = errors.New("no reason, or nobody's")
	default:
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrGrammar, KindStationEpoch, err)
}

// LostAt is the index of the newest station.epoch among records, in their order: entries before it may be missing. 0 where there is none.
func LostAt(records []Record) (index int64) {
	for _, r := range records {
		if _, ok := r.Entry.Body.(StationEpoch); ok {
			index = r.Index
		}
	}
	return index
}

// Quarantined says that the run was open in the copy from which the ledger went on at index lost, and its chip was not seen since: how far the
// run has come only the chip can tell. With 0 nothing is missing.
func (r *Run) Quarantined(lost int64) bool {
	return r.Open() && r.Records[len(r.Records)-1].Index < lost
}
