package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/jung-kurt/gofpdf"

	"station/ledger"
)

// leafHash of an entry, hex: SHA-256 of 00 and its canonical bytes (RFC 6962, section 2.1).
func leafHash(leaf []byte) string {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	return hex.EncodeToString(h.Sum(nil))
}

// Names of the files in the document: the leaves which the report was made from, and the checkpoint over them.
const (
	attached           = "entries.jsonl"
	attachedEarlier    = "earlier.jsonl"
	attachedCheckpoint = "checkpoint.txt"
)

// attach puts the canonical bytes of the entries and the checkpoint into the document. Entries hold no line feeds (RFC 8785).
func (s *sheet) attach() {
	lines := func(records []ledger.Record) (out []byte) {
		for _, rec := range records {
			out = append(append(out, rec.Bytes...), '\n')
		}
		return out
	}
	id := visible(s.run.ID, s.glyphs[sans].has)
	files := []gofpdf.Attachment{{Content: lines(s.run.Records), Filename: attached, Description: "canonical ledger entries of run " + id}}
	if len(s.earlier) > 0 {
		files = append(files, gofpdf.Attachment{Content: lines(s.earlier), Filename: attachedEarlier, Description: "canonical ledger entries of the unit's other runs and permissions, as far as they are quoted"})
	}
	if s.checkpoint != "" {
		files = append(files, gofpdf.Attachment{Content: []byte(s.checkpoint), Filename: attachedCheckpoint, Description: "signed checkpoint that covers run " + id})
	}
	s.pdf.SetAttachments(files)
}

// reference says where in the ledger the run stands and how that is checked.
func (s *sheet) reference() {
	s.together(s.place)
}

// referenceText is the line in the QR code; the package comment describes it.
func (s *sheet) referenceText() string {
	return fmt.Sprintf("station/%s %d %s", s.station, s.last.Index, leafHash(s.last.Bytes))
}

const codeSide = 30.0 // of the QR code with its quiet zone

func (s *sheet) place() {
	s.section("Ledger")
	code, why := qrCode(s.referenceText())
	from := len(s.blocks)
	s.add(block{draw: func(y float64) { s.squares(code, right-codeSide, y+0.5, codeSide) }})
	const w = full - codeSide - 3 - valueX // beside the code
	beside := func(name string, paras ...para) {
		s.row(row{cells: []cell{text(0, nameW, label, name), {valueX, w, paras}}})
	}
	beside("Station", para{body, or(s.station)})
	beside("Entries of the run", para{body, strings.TrimPrefix(strings.TrimPrefix(indexes(s.run.Records), "entries "), "entry ")})
	beside(fmt.Sprintf("Leaf hash of entry %d, %s", s.last.Index, s.last.Entry.Body.Kind()),
		para{digest, leafHash(s.last.Bytes)},
		para{label, "SHA-256 of a zero byte and the entry's canonical bytes (RFC 6962). The entries are attached to this document as " + attached + ", one a line."})
	if len(s.earlier) > 0 {
		beside("Quoted beside them", para{body, indexes(s.earlier)}, para{label, "Of the unit's other runs and permissions; attached as " + attachedEarlier + "."})
	}
	if why == "" {
		why = "Beside this: “station/” and the station's id, the index of that entry, and its leaf hash."
	}
	beside("QR code", para{label, why})
	high := 0.0
	for _, b := range s.blocks[from:] {
		high += b.h
	}
	h := max(0.2, codeSide+1-high)
	if len(code) == 0 {
		h = 0.2
	}
	s.add(block{h: h, draw: func(y float64) { s.rule(y+h, hair, 0.15) }})
	if s.epoch != nil {
		s.wide("Restored ledger", body, s.restored())
	}
	if s.checkpoint == "" {
		s.wide("Checkpoint", style{bold, 8, amber}, "None yet: no signed checkpoint covers this run. Print the report again once there is one.")
		return
	}
	var lines []para
	for _, l := range strings.Split(strings.TrimSuffix(s.checkpoint, "\n"), "\n") {
		lines = append(lines, para{style{mono, 6.5, black}, l})
	}
	s.row(row{rule: true, cells: []cell{text(0, nameW, label, "Checkpoint, verbatim; attached as "+attachedCheckpoint), {valueX, full - valueX, lines}}})
	s.wide("To check it", style{sans, 7.5, black}, "Run “station audit verify” on the ledger or on a backup of it. It recomputes every leaf, compares the tree with signed checkpoints "+
		"such as this one, and names the first entry that was altered. The checkpoint above stands for all entries up to its second line, "+
		"the number of entries; its last lines are signatures by the keys they name.")
}

// restored says where the ledger goes on from a copy, and what that means.
func (s *sheet) restored() string {
	e, ok := s.epoch.Entry.Body.(ledger.StationEpoch)
	if !ok {
		return "" // gather has seen to it
	}
	return fmt.Sprintf("Since entry %d, %s, this ledger goes on from a %s with %d entries, by decision of %s: %s. Entries before it may be missing, and with them a run of this serial on "+
		"another board: this ledger cannot tell. An earlier report or checkpoint over more than %d entries "+
		"is not of this tree: it tells of entries that are lost.", s.epoch.Index, moment(s.epoch.Entry.Time), or(e.From), e.Known, or(e.By), or(e.Reason), e.Known)
}
