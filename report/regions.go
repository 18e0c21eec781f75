package report

import (
	"fmt"

	"station/ledger"
)

// regions is what was written where, and how it was proven.
func (s *sheet) regions() {
	st := s.run.Start
	if st == nil {
		return
	}
	s.section("Regions")
	if len(st.Regions) == 0 {
		s.note(body, "The recipe names no region.")
	} else {
		s.titles(text(0, 7, label, "#"), text(7, 48, label, "Region"), text(57, 46, label, "Addresses"), text(105, 20, label, "Size"),
			text(127, 26, label, "Proven by"), text(155, 25, label, "Locked"))
	}
	proofs := map[string]ledger.RegionProof{}
	if s.run.End != nil {
		for _, p := range s.run.End.Proven {
			proofs[p.Region] = p
		}
	}
	images := map[string]ledger.Image{}
	for _, i := range st.Images {
		images[i.Name] = i
	}
	for i, r := range st.Regions {
		proof, proven := proofs[r.Name]
		delete(proofs, r.Name)
		how, lock := "✘ not proven", "–"
		if proven {
			how, lock = "✔ "+or(proof.Proof), or(proof.Lock)
		}
		s.row(row{with: true, cells: []cell{text(0, 7, strong, fmt.Sprint(i+1)), text(7, 48, strong, or(r.Name)), text(57, 46, digest, span(r.At, r.Size)),
			text(105, 20, body, size(r.Size)), text(127, 26, body, how), text(155, 25, body, lock)}})
		file := func(sum, what string) []para { return []para{{digest, sum}, {label, what}} }
		if r.Image != "" {
			img, ok := images[r.Image]
			content := file(or(img.SHA256), fmt.Sprintf("%s, %s, %s", r.Image, or(img.File), size(img.Size)))
			if !ok {
				content = []para{{body, r.Image + ", not described in the entry"}}
			}
			s.row(row{with: true, pad: 0.3, cells: []cell{text(7, 48, label, "Image SHA-256"), {57, full - 57, content}}})
		}
		onChip := []para{{body, "not read back as a whole: the run did not end in PASS"}}
		if proven {
			onChip = file(or(proof.SHA256), "the whole region as it stands on the chip")
		}
		s.row(row{rule: true, pad: 0.5, cells: []cell{text(7, 48, label, "Region SHA-256, chip"), {57, full - 57, onChip}}})
	}
	s.head = nil
	if s.run.End != nil {
		for _, p := range s.run.End.Proven {
			if _, odd := proofs[p.Region]; odd {
				s.note(body, fmt.Sprintf("The end names a region that the start does not: %s, %s, %s, %s", or(p.Region), or(p.Proof), or(p.Lock), or(p.SHA256)))
			}
		}
	}
	elsewhere := st.Elsewhere
	switch elsewhere {
	case "blank":
		elsewhere = "Elsewhere: blank. Outside the regions the chip was erased."
	case "keep":
		elsewhere = "Elsewhere: keep. Outside the regions the chip was left as it was."
	default:
		elsewhere = "Elsewhere: " + or(elsewhere)
	}
	s.note(label, elsewhere)
}
