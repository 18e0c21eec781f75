// Package report lays the ledger entries of one run out as a PDF: who did what to which unit, when and where, how each
// region was proven, what protects it, which secrets and modes the chip took for ever, what a key server had signed for it, and where in the ledger all of
// this stands. No entry holds a secret, so no report does.
//
// The same entries with the same checkpoint give the same bytes, on any machine and at any time: every value printed comes
// from the canonical bytes of the entries, dates are those of the last entry, and the fonts are embedded.
//
// The document carries these bytes as an attached file, entries.jsonl, one entry a line, and the checkpoint, where there is one, as
// checkpoint.txt, verbatim: whoever has only the PDF can read what was recorded, compute the leaf hashes and check the signature.
// The entries of other runs that a rework's report quotes are in a file of their own, earlier.jsonl.
//
// The QR code beside the ledger section holds one line of three fields, separated by single spaces: the origin of the checkpoints
// (station/<station id>), the index of the run's last entry (decimal) and its leaf hash (64 lower-case hex digits).
//
// Text that the fonts cannot show faithfully (control and invisible characters, characters beyond U+FFFF, scripts without
// glyphs, combining marks, right-to-left scripts) is printed as \u{HEX}, a byte that is not UTF-8 as \x{HEX}, so that nothing
// is lost silently and a report always comes out.
//
// Reading the ledger, waiting for a checkpoint and verifying it do not belong here.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"station/ledger"
)

// Errors that callers branch on.
var (
	// ErrRun: the records are not those of one run, in order, or do not agree with their own bytes.
	ErrRun = errors.New("not the records of one run")
	// ErrCheckpoint: the checkpoint is of another station or does not cover the run's last record.
	ErrCheckpoint = errors.New("checkpoint does not cover the run")
)

// Input is what a report is made of.
type Input struct {
	// Run holds all records of the run in ascending order. Only Records is printed from; the fields beside it are derived
	// from the records anew, so that the report cannot disagree with the leaves it quotes.
	Run ledger.Run
	// Earlier holds, in ascending order, entries of the same serial that are not of the run: permissions for rework, and of a rework the start, end and
	// close of earlier runs. Empty for a unit that nobody thought of reworking.
	Earlier []ledger.Record
	// Checkpoint is the signed note text (C2SP tlog-checkpoint) of the first checkpoint that covers the last of all these records.
	// It is printed verbatim. The signature is not verified here. "" prints that no checkpoint covers the run yet.
	Checkpoint string
	// Epochs are the entries station.epoch of the ledger, in their order. The newest before the run's last entry is printed, and, while the run is
	// open, the newest at all.
	Epochs []ledger.Record
}

// PDF returns the report, A4, usually one to three pages. It fails with ErrRun or ErrCheckpoint for input that it
// cannot vouch for; no text in an entry makes it fail.
func PDF(in Input) ([]byte, error) {
	u, err := gather(in)
	if err != nil {
		return nil, err
	}
	s, err := newSheet(u)
	if err != nil {
		return nil, err
	}
	s.compose()
	return s.output()
}

// compose adds all sections.
func (s *sheet) compose() {
	s.summary()
	s.chip()
	s.regions()
	s.protection()
	s.secrets()
	s.signed()
	s.steps()
	s.reference()
}

// unit is the run with what the sections need beside it.
type unit struct {
	run        ledger.Run
	earlier    []ledger.Record
	station    string
	simulated  bool
	checkpoint string
	resumes    []resume
	last       ledger.Record
	epoch      *ledger.Record // nil where none concerns the run
}

// resume is a point where an open run went on.
type resume struct {
	rec    ledger.Record
	body   ledger.RunResume
	before time.Time        // of the last record before it
	stuck  *ledger.RunStuck // why a person had to decide, nil when nobody had to
}

func gather(in Input) (*unit, error) {
	recs := in.Run.Records
	runs := ledger.Runs(recs)
	if len(runs) != 1 || len(runs[0].Records) != len(recs) {
		return nil, fmt.Errorf("%w: %d records of %d runs", ErrRun, len(recs), len(runs))
	}
	u := &unit{run: runs[0], station: recs[0].Entry.Station, checkpoint: in.Checkpoint, last: recs[len(recs)-1]}
	if in.Run.ID != "" && in.Run.ID != u.run.ID {
		return nil, fmt.Errorf("%w: run %q holds records of run %q", ErrRun, in.Run.ID, u.run.ID)
	}
	for i, rec := range recs {
		if i > 0 && rec.Index <= recs[i-1].Index {
			return nil, fmt.Errorf("%w: entry %d follows entry %d", ErrRun, rec.Index, recs[i-1].Index)
		}
		if rec.Entry.Station != u.station {
			return nil, fmt.Errorf("%w: entry %d is of station %q, not %q", ErrRun, rec.Index, rec.Entry.Station, u.station)
		}
		b, err := rec.Entry.Encode()
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrRun, rec.Index, err)
		}
		if !bytes.Equal(b, rec.Bytes) {
			return nil, fmt.Errorf("%w: entry %d does not agree with its bytes", ErrRun, rec.Index)
		}
		u.simulated = u.simulated || rec.Entry.Simulated
		if body, ok := rec.Entry.Body.(ledger.RunResume); ok {
			r := resume{rec: rec, body: body}
			if i > 0 {
				r.before = recs[i-1].Entry.Time
				if b, ok := recs[i-1].Entry.Body.(ledger.RunStuck); ok {
					r.stuck = &b
				}
			}
			u.resumes = append(u.resumes, r)
		}
	}
	for _, rec := range in.Epochs {
		b, err := rec.Entry.Encode()
		if _, is := rec.Entry.Body.(ledger.StationEpoch); err != nil || !is || !bytes.Equal(b, rec.Bytes) {
			return nil, fmt.Errorf("%w: entry %d is no %s", ErrRun, rec.Index, ledger.KindStationEpoch)
		}
		if rec.Index < u.last.Index || u.run.Open() {
			u.epoch = &rec
		}
	}
	if err := u.takeEarlier(in.Earlier); err != nil {
		return nil, err
	}
	return u, u.checkCheckpoint()
}

// takeEarlier wants entries that are quoted beside the run to be of its unit, and whole.
func (u *unit) takeEarlier(records []ledger.Record) error {
	for i, rec := range records {
		run, serial, _ := ledger.RunOf(rec.Entry.Body)
		b, err := rec.Entry.Encode()
		switch {
		case i > 0 && rec.Index <= records[i-1].Index:
			return fmt.Errorf("%w: entry %d follows entry %d", ErrRun, rec.Index, records[i-1].Index)
		case serial != u.run.Serial || run == u.run.ID || rec.Entry.Station != u.station:
			return fmt.Errorf("%w: entry %d is of run %q of unit %q at station %q", ErrRun, rec.Index, run, serial, rec.Entry.Station)
		case err != nil || !bytes.Equal(b, rec.Bytes):
			return fmt.Errorf("%w: entry %d does not agree with its bytes", ErrRun, rec.Index)
		}
	}
	u.earlier = records
	return nil
}

func (u *unit) checkCheckpoint() error {
	if u.checkpoint == "" {
		return nil
	}
	lines := strings.SplitN(u.checkpoint, "\n", 3)
	if len(lines) < 3 {
		return fmt.Errorf("%w: it is not a checkpoint", ErrCheckpoint)
	}
	if want := "station/" + u.station; lines[0] != want {
		return fmt.Errorf("%w: its origin is %q, not %q", ErrCheckpoint, lines[0], want)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: its size %q is not a number", ErrCheckpoint, lines[1])
	}
	last := u.last.Index
	if n := len(u.earlier); n > 0 {
		last = max(last, u.earlier[n-1].Index)
	}
	if size <= last {
		return fmt.Errorf("%w: it covers %d entries, and the last one here is %d", ErrCheckpoint, size, last)
	}
	return nil
}
