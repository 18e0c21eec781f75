package report

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jung-kurt/gofpdf"
)

// The fonts are strings because gofpdf writes padding into the bytes it is given: every report gets its own copy.
//
//go:embed font/DejaVuSansCondensed.ttf
var sansTTF string

//go:embed font/DejaVuSansCondensed-Bold.ttf
var boldTTF string

//go:embed font/DejaVuSansMono.ttf
var monoTTF string

// font is one of the three faces of a report.
type font int

const (
	sans font = iota
	bold
	mono
)

// fonts in the order of their constants, as gofpdf names them.
func fonts() [3]struct{ family, style, ttf string } {
	return [3]struct{ family, style, ttf string }{{"sans", "", sansTTF}, {"sans", "B", boldTTF}, {"mono", "", monoTTF}}
}

// addFonts registers the faces and returns which characters each can draw.
func addFonts(pdf *gofpdf.Fpdf) ([3]glyphs, error) {
	var have [3]glyphs
	for i, f := range fonts() {
		g, err := readGlyphs([]byte(f.ttf))
		if err != nil {
			return have, fmt.Errorf("font %s%s: %w", f.family, f.style, err)
		}
		have[i] = g
		pdf.AddUTF8FontFromBytes(f.family, f.style, []byte(f.ttf))
	}
	return have, pdf.Error()
}

// glyphs is the set of characters up to U+FFFF that a font has a glyph for.
type glyphs [0x10000 / 64]uint64

func (g *glyphs) has(r rune) bool { return r >= 0 && r <= 0xFFFF && g[r/64]>>(r%64)&1 == 1 }

var errFont = errors.New("font has no Unicode character map")

// readGlyphs reads the character map of a TrueType font (OpenType specification, cmap, platform 3 encoding 1, format 4).
// Beyond the end of the file it reads zeros.
func readGlyphs(ttf []byte) (glyphs, error) {
	var g glyphs
	u16 := func(at int) int {
		if at < 0 || at+2 > len(ttf) {
			return 0
		}
		return int(binary.BigEndian.Uint16(ttf[at:]))
	}
	u32 := func(at int) int { return u16(at)<<16 | u16(at+2) }
	cmap := 0
	for i := range u16(4) {
		if entry := 12 + 16*i; u32(entry) == 0x636D6170 { // "cmap"
			cmap = u32(entry + 8)
		}
	}
	sub := 0
	for i := range u16(cmap + 2) {
		if entry := cmap + 4 + 8*i; cmap > 0 && u16(entry) == 3 && u16(entry+2) == 1 {
			sub = cmap + u32(entry+4)
		}
	}
	if sub == 0 || u16(sub) != 4 {
		return g, errFont
	}
	segments := u16(sub+6) / 2
	ends := sub + 14
	starts := ends + 2*segments + 2
	deltas := starts + 2*segments
	offsets := deltas + 2*segments
	for i := range segments {
		start, end, delta, offset := u16(starts+2*i), u16(ends+2*i), u16(deltas+2*i), u16(offsets+2*i)
		for c := start; c <= end && c < 0xFFFF; c++ {
			glyph := c + delta
			if offset != 0 {
				if glyph = u16(offsets + 2*i + offset + 2*(c-start)); glyph != 0 {
					glyph += delta
				}
			}
			if glyph&0xFFFF != 0 {
				g[c/64] |= 1 << (c % 64)
			}
		}
	}
	return g, nil
}
