package report

import (
	"image/color"

	"github.com/boombuler/barcode/code128"
	"github.com/boombuler/barcode/qr"
)

// quiet zone on both sides of a bar code, in modules.
const quiet = 10

// narrowest is the least width of one module: 7.5 mil, which hand scanners read.
const narrowest = 0.19

// barcode returns the modules of text as Code 128 (ISO/IEC 15417) with its quiet zones of ten modules, true is black, or
// the reason why there is none.
func barcode(text string) (bars []bool, why string) {
	for _, r := range text {
		if r < ' ' || r > '~' {
			return nil, "No bar code: Code 128 holds ASCII characters only."
		}
	}
	code, err := code128.Encode(text)
	if err != nil || float64(code.Bounds().Dx()+2*quiet)*narrowest > full {
		return nil, "No bar code: the serial has too many or no characters."
	}
	n := code.Bounds().Dx()
	bars = make([]bool, n+2*quiet)
	for i := range n {
		bars[quiet+i] = code.At(i, 0) == color.Color(color.Black)
	}
	return bars, ""
}

// moduleWidth is at most half a millimetre.
func moduleWidth(bars []bool, w float64) float64 { return min(w/float64(len(bars)), 0.5) }

// bars draws modules as vectors in an area w wide, from its left edge.
func (s *sheet) bars(bars []bool, x, y, w, h float64) {
	module := moduleWidth(bars, w)
	s.fill(white)
	s.pdf.Rect(x, y, module*float64(len(bars)), h, "F")
	s.runs(bars, x, y, module, h)
}

// qrCode returns the modules of text as a QR code (ISO/IEC 18004, correction level M) with its quiet zone of four modules,
// by rows, true is black, or the reason why there is none. Hand-held scanners read modules of 13 mil.
func qrCode(text string) (rows [][]bool, why string) {
	const quiet, narrowest = 4, 0.33
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil || float64(code.Bounds().Dx()+2*quiet)*narrowest > codeSide {
		return nil, "None: the station's id is too long."
	}
	n := code.Bounds().Dx()
	rows = make([][]bool, n+2*quiet)
	for y := range rows {
		rows[y] = make([]bool, n+2*quiet)
	}
	for y := range n {
		for x := range n {
			rows[quiet+y][quiet+x] = code.At(x, y) == color.Color(color.Black)
		}
	}
	return rows, ""
}

// squares draws rows of modules as vectors in a square.
func (s *sheet) squares(rows [][]bool, x, y, side float64) {
	if len(rows) == 0 {
		return
	}
	s.fill(white) // over the watermark
	s.pdf.Rect(x, y, side, side, "F")
	module := side / float64(len(rows))
	for i, bars := range rows {
		s.runs(bars, x, y+float64(i)*module, module, module)
	}
}

// runs draws the black modules of one row, neighbours as one.
func (s *sheet) runs(bars []bool, x, y, module, h float64) {
	s.fill(ink{0, 0, 0})
	for i := 0; i < len(bars); {
		j := i
		for j < len(bars) && bars[j] == bars[i] {
			j++
		}
		if bars[i] {
			s.pdf.Rect(x+float64(i)*module, y, float64(j-i)*module, h, "F")
		}
		i = j
	}
}
