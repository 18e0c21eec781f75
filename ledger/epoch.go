package ledger

import (
	"errors"
	"fmt"
)

// KindStationEpoch is the kind of StationEpoch.
const KindStationEpoch = "station.epoch"

// What a ledger was restored from, and with it what may be missing.
const (
	FromBackup = "backup" // whatever was written after it
	FromMirror = "mirror" // nothing permanent: the mirror has each intent before its command is sent

	MissingAny          = "any"
	MissingNotPermanent = "none permanent"
)

// StationEpoch says that the ledger goes on from a copy. What the station wrote after the last entry of that copy, and may have signed
// and printed, is in no ledger any more; other entries stand at these indexes from here on.
type StationEpoch struct {
	Software string `json:"software"`
	Known    int64  `json:"known"`   // entries of the copy; this one is the next
	Root     string `json:"root"`    // tree hash over them, 64 hex digits
	From     string `json:"from"`    // FromBackup or FromMirror
	Missing  string `json:"missing"` // which entries after the known ones may be lost: MissingAny or MissingNotPermanent
	Reason   string `json:"reason"`
	By       string `json:"by"` // pseudonymous id
}

func (StationEpoch) Kind() string { return KindStationEpoch }

// Check says whether the entry may stand at index i. Errors wrap ErrGrammar.
func (e StationEpoch) Check(i int64) error {
	var err error
	switch missing := map[string]string{FromBackup: MissingAny, FromMirror: MissingNotPermanent}[e.From]; {
	case i < 1 || e.Known != i:
		err = fmt.Errorf("it knows %d entries and stands at %d", e.Known, i)
	case !lowerHex(e.Root, 64):
		err = fmt.Errorf("tree hash %q", e.Root)
	case missing == "" || missing != e.Missing:
		err = fmt.Errorf("from %q, and missing is %q", e.From, e.Missing)
	case e.Reason == "" || e.By == "":
		err = errors.New("no reason, or nobody's")
	default:
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrGrammar, KindStationEpoch, err)
}

// LostAt is the index of the newest station.epoch among records, in their order, before which anything may be missing; 0 where there is none.
func LostAt(records []Record) (index int64) {
	for _, r := range records {
		if e, ok := r.Entry.Body.(StationEpoch); ok && e.Missing == MissingAny {
			index = r.Index
		}
	}
	return index
}

// Quarantined says that the run was open in the copy from which the ledger went on at index lost, and its chip was not seen since: how far the
// run has come only the chip can tell. With 0 nothing was lost.
func (r *Run) Quarantined(lost int64) bool {
	return r.Open() && r.Records[len(r.Records)-1].Index < lost
}
