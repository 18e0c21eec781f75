package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/jung-kurt/gofpdf"
)

// leafHash of an entry, hex: SHA-256 of 00 and its canonical bytes (RFC 6962, section 2.1).
func leafHash(leaf []byte) string {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	return hex.EncodeToString(h.Sum(nil))
}

// attached is the name of the file in the document that holds the leaves which the report was made from.
const attached = "entries.jsonl"

// attach puts the canonical bytes of the entries into the document. They hold no line feeds (RFC 8785).
func (s *sheet) attach() {
	var lines []byte
	for _, rec := range s.run.Records {
		lines = append(append(lines, rec.Bytes...), '\n')
	}
	s.pdf.SetAttachments([]gofpdf.Attachment{{Content: lines, Filename: attached, Description: "canonical ledger entries of run " + visible(s.run.ID, s.glyphs[sans].has)}})
}

// reference says where in the ledger the run stands and how that is checked.
func (s *sheet) reference() {
	s.together(s.place)
}

func (s *sheet) place() {
	s.section("Ledger")
	s.pair("Station", s.station, "Entries of the run", strings.TrimPrefix(strings.TrimPrefix(indexes(s.run.Records), "entries "), "entry "))
	name := fmt.Sprintf("Leaf hash of entry %d", s.last.Index)
	if s.run.End != nil && s.last.Entry.Body.Kind() == s.run.End.Kind() {
		name += ", run.end"
	}
	s.row(row{rule: true, cells: []cell{text(0, nameW, label, name), {valueX, full - valueX, []para{
		{digest, leafHash(s.last.Bytes)}, {label, "SHA-256 of a zero byte and the entry's canonical bytes (RFC 6962). The entries are attached as " + attached + ", one a line."}}}}})
	if s.checkpoint == "" {
		s.wide("Checkpoint", style{bold, 8, amber}, "None yet: no signed checkpoint covers this run. Print the report again once there is one.")
		return
	}
	var lines []para
	for _, l := range strings.Split(strings.TrimSuffix(s.checkpoint, "\n"), "\n") {
		lines = append(lines, para{style{mono, 6.5, black}, l})
	}
	s.row(row{rule: true, cells: []cell{text(0, nameW, label, "Checkpoint, verbatim"), {valueX, full - valueX, lines}}})
	s.wide("To check it", style{sans, 7.5, black}, "Run “station audit verify” on the ledger or on a backup of it. It recomputes every leaf, compares the tree with signed checkpoints "+
		"such as this one, and names the first entry that was altered. The checkpoint above stands for all entries up to its second line, "+
		"the number of entries; its last lines are signatures by the keys they name.")
}
