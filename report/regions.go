package report

import (
	"fmt"
	"slices"
	"strings"

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
	var proofs []ledger.RegionProof
	if s.run.End != nil {
		proofs = s.run.End.Proven
	}
	// By position, so that what is named twice or by nobody is still printed.
	usedProof, usedImage := map[int]bool{}, map[int]bool{}
	for i, r := range st.Regions {
		how, lock := "not proven", "–"
		var proof ledger.RegionProof
		at := slices.IndexFunc(proofs, func(p ledger.RegionProof) bool { return p.Region == r.Name })
		proven := at >= 0
		if proven {
			usedProof[at] = true
			proof = proofs[at]
			how, lock = "✔ "+or(proof.Proof), or(proof.Lock)
		}
		if by := s.signedLock(r.Name); by != "" {
			if lock == "–" || lock == "none" {
				lock = by
			} else {
				lock += ", and " + by
			}
		}
		rows := []row{{cells: []cell{text(0, 7, strong, fmt.Sprint(i+1)), text(7, 48, strong, or(r.Name)), text(57, 46, digest, span(r.At, r.Size)),
			text(105, 20, body, size(r.Size)), text(127, 26, body, how), text(155, 25, body, lock)}}}
		if r.Image != "" {
			content := []para{{body, r.Image + ", not described in the entry"}}
			if at := slices.IndexFunc(st.Images, func(i ledger.Image) bool { return i.Name == r.Image }); at >= 0 {
				usedImage[at] = true
				content = imageOf(st.Images[at])
			}
			rows = append(rows, row{pad: 0.3, cells: []cell{text(7, 48, label, "Image SHA-256"), {57, full - 57, content}}})
		}
		if proven {
			rows = append(rows, row{pad: 0.5, cells: []cell{text(7, 48, label, "SHA-256 of region on chip"), text(57, full-57, digest, or(proof.SHA256))}})
		}
		rows[len(rows)-1].rule = true
		s.together(func() {
			for _, r := range rows {
				s.row(r)
			}
		})
	}
	s.head = nil
	for i, img := range st.Images {
		if !usedImage[i] {
			s.row(row{rule: true, cells: []cell{text(0, 55, label, "Image of no region, SHA-256"), {57, full - 57, imageOf(img)}}})
		}
	}
	for i, p := range proofs {
		if !usedProof[i] {
			s.row(row{rule: true, cells: []cell{text(0, 55, label, "Proof of no region above"),
				{57, full - 57, []para{{digest, or(p.SHA256)}, {label, fmt.Sprintf("%s, %s, locked: %s", or(p.Region), or(p.Proof), or(p.Lock))}}}}})
		}
	}
	elsewhere := st.Elsewhere
	switch elsewhere {
	case "blank":
		elsewhere = "Elsewhere: blank. The recipe has the chip erased outside the regions."
	case "keep":
		elsewhere = "Elsewhere: keep. The recipe leaves the chip as it was outside the regions."
	default:
		elsewhere = "Elsewhere: " + or(elsewhere)
	}
	proven := " SHA-256 of region on chip: of the whole region as it stands there."
	if s.run.Outcome() != ledger.Pass {
		proven = " Only a run that ends in PASS proves its regions; what single steps confirmed stands among the steps."
	}
	if slices.ContainsFunc(proofs, func(p ledger.RegionProof) bool { return strings.Contains(p.Proof, "measurement") }) {
		proven += " Measurement: the chip hashed the region and signed the digest, and the key server verified it."
	}
	s.note(label, elsewhere+proven)
}

// signedLock says by which signed one-way command a region is what it is for ever, "" for none: where the chip's counter tells that it took effect, or that it may have.
func (s *sheet) signedLock(region string) string {
	by := ""
	for _, t := range turns(s.run.Records) {
		about := func(b ledger.RunStep) bool { return b.N == t.n && strings.HasSuffix(b.Title, "), "+region) } // as the recipe writes a relay without an image
		if !slices.ContainsFunc(s.run.Steps, about) {
			continue
		}
		for i, b := range t.blocks {
			switch took, perhaps := t.took(i); {
			case !b.OneWay:
			case took:
				return "by a signed command (" + or(b.Command) + ")"
			case perhaps:
				by = "▲ perhaps, by a signed command (" + or(b.Command) + ")"
			}
		}
	}
	return by
}

func imageOf(i ledger.Image) []para {
	return []para{{digest, or(i.SHA256)}, {label, fmt.Sprintf("%s, %s, %s", or(i.Name), or(i.File), size(i.Size))}}
}
