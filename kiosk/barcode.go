package kiosk

import (
	"errors"
	"fmt"
	"html/template"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/code128"
)

// Widths of a bar code on paper, in millimetres. A module of a half is read from a metre; hand scanners read 7.5 mil, which is the least.
const (
	wideModule   = 0.5
	narrowModule = 0.19
	barHeight    = 18
	quietZone    = 10 // modules on both sides
)

var errNotASCII = errors.New("only ASCII characters can be bars of Code 128")

// barcode is text as Code 128 (ISO/IEC 15417) with its quiet zones, drawn into at most so many millimetres: SVG that stands in a page, without a style or a script.
// It is an error where no hand scanner would read it: too long, or not ASCII.
func barcode(text string, width float64) (template.HTML, error) {
	for _, r := range text {
		if r < ' ' || r > '~' {
			return "", fmt.Errorf("%q: %w", text, errNotASCII)
		}
	}
	code, err := code128.Encode(text)
	if err != nil {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	n := code.Bounds().Dx()
	modules := n + 2*quietZone
	module := min(width/float64(modules), wideModule)
	if module < narrowModule {
		return "", fmt.Errorf("%q: %d modules are too many for %g mm", text, modules, width)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="barcode" role="img" width="%.2fmm" height="%dmm" viewBox="0 0 %d %d" preserveAspectRatio="none">`,
		module*float64(modules), barHeight, modules, barHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="`, modules, barHeight)
	for x := 0; x < n; x++ {
		from := x
		for x < n && code.At(x, 0) == color.Color(color.Black) {
			x++
		}
		if x > from {
			fmt.Fprintf(&b, "M%d 0h%dv%dh-%dz", quietZone+from, x-from, barHeight, x-from)
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil
}
