package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/jung-kurt/gofpdf"

	"station/ledger"
)

// The page is A4 upright. All lengths are in millimetres, font sizes in points.
const (
	pageW, pageH = 210.0, 297.0
	left, right  = 15.0, 195.0
	full         = right - left
	bottom       = 279.0
	maxRow       = 110.0 // a row higher than this is cut, so that it fits on a page together with what it must stay with
	points       = 25.4 / 72
	ascent       = 0.98 // of a line of text above its base line, as a part of the font size
)

// ink is a colour, red, green, blue.
type ink [3]int

var (
	black = ink{20, 24, 31}
	muted = ink{98, 105, 117}
	hair  = ink{200, 205, 212}
	tint  = ink{244, 245, 247}
	white = ink{255, 255, 255}
	amber = ink{166, 88, 0}
)

// style of a text.
type style struct {
	font font
	size float64
	ink  ink
}

var (
	body    = style{sans, 8, black}
	strong  = style{bold, 8, black}
	label   = style{sans, 7, muted}
	digest  = style{mono, 6.8, black}
	caption = style{bold, 10.5, black}
)

func (st style) height() float64 { return st.size * points * 1.28 }

// block is a piece of the page that is never cut.
type block struct {
	h    float64
	draw func(y float64) // y is its upper edge
	with bool            // stays on one page with the block after it
	head *block          // drawn again above it where it opens a page
	gap  bool            // empty, and left out where it would open a page
}

// sheet collects blocks from top to bottom, then lays them on pages.
type sheet struct {
	*unit
	pdf    *gofpdf.Fpdf
	glyphs [3]glyphs
	blocks []block
	head   *block // of the table being built
}

func newSheet(u *unit) (*sheet, error) {
	pdf := gofpdf.New("P", "mm", "A4", "")
	pdf.SetMargins(0, 0, 0)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetCatalogSort(true)
	pdf.SetProducer("station report 1", false)
	when := u.last.Entry.Time.UTC()
	pdf.SetCreationDate(when)
	pdf.SetModificationDate(when)
	have, err := addFonts(pdf)
	if err != nil {
		return nil, err
	}
	s := &sheet{unit: u, pdf: pdf, glyphs: have}
	title := fmt.Sprintf("Provisioning report %s %s", u.run.Serial, u.run.Outcome())
	if u.simulated {
		title += " SIMULATED"
	}
	if u.invented() {
		title += " INVENTED MAP"
	}
	pdf.SetTitle(visible(title, s.glyphs[sans].has), true)
	return s, nil
}

// put selects the font of st and returns text as it can be drawn with it.
func (s *sheet) put(st style, text string) string {
	f := fonts()[st.font]
	s.pdf.SetFont(f.family, f.style, st.size)
	return visible(text, s.glyphs[st.font].has)
}

func (s *sheet) width(st style, text string) float64 {
	text = s.put(st, text)
	return s.pdf.GetStringWidth(text)
}

// lines wraps text to w. The lines are as they will be drawn.
func (s *sheet) lines(st style, text string, w float64) []string {
	text = s.put(st, text)
	return wrap(text, w, func(r rune) float64 { return s.pdf.GetStringWidth(string(r)) })
}

// fit shortens text in its middle until it is at most w wide. Only for what is printed whole elsewhere.
func (s *sheet) fit(st style, text string, w float64) string {
	text = s.put(st, text)
	if s.pdf.GetStringWidth(text) <= w {
		return text
	}
	r := []rune(text)
	for keep := min(len(r)-1, 400); keep > 1; keep-- {
		short := string(r[:(keep+1)/2]) + "…" + string(r[len(r)-keep/2:])
		if s.pdf.GetStringWidth(short) <= w {
			return short
		}
	}
	return "…"
}

// line draws text that lines or fit returned, its upper edge at y.
func (s *sheet) line(st style, x, y float64, text string) {
	f := fonts()[st.font]
	s.pdf.SetFont(f.family, f.style, st.size)
	s.pdf.SetTextColor(st.ink[0], st.ink[1], st.ink[2])
	s.pdf.Text(x, y+st.size*points*ascent, text)
}

func (s *sheet) fill(c ink) { s.pdf.SetFillColor(c[0], c[1], c[2]) }
func (s *sheet) pen(c ink, width float64) {
	s.pdf.SetDrawColor(c[0], c[1], c[2])
	s.pdf.SetLineWidth(width)
}

func (s *sheet) rule(y float64, c ink, width float64) {
	s.pen(c, width)
	s.pdf.Line(left, y, right, y)
}

func (s *sheet) add(b block) {
	b.head = s.head
	s.blocks = append(s.blocks, b)
}

func (s *sheet) space(h float64) { s.add(block{h: h, gap: true, draw: func(float64) {}}) }

// section begins a part of the report. It stays with what follows.
func (s *sheet) section(title string) {
	s.head = nil
	s.space(3.2)
	text := s.lines(caption, title, full)[0]
	s.add(block{h: 7, with: true, draw: func(y float64) {
		s.line(caption, left, y, text)
		s.rule(y+5.4, black, 0.35)
	}})
}

// output lays the blocks on pages and draws them.
func (s *sheet) output() ([]byte, error) {
	top := 21.0
	for _, on := range []bool{s.simulated, s.invented()} {
		if on {
			top += 10
		}
	}
	type placed struct {
		block
		y float64
	}
	var pages [][]placed
	y := bottom + 1
	for i, b := range s.blocks {
		if b.gap {
			if y+b.h <= bottom {
				y += b.h
			}
			continue
		}
		need := b.h
		for j := i; s.blocks[j].with && j+1 < len(s.blocks); j++ {
			need += s.blocks[j+1].h
		}
		// What was kept with the block before is already where it belongs.
		kept := i > 0 && s.blocks[i-1].with && !s.blocks[i-1].gap && y+b.h <= bottom
		if len(pages) == 0 || !kept && y+need > bottom {
			pages = append(pages, nil)
			y = top
			if b.head != nil {
				pages[len(pages)-1] = append(pages[len(pages)-1], placed{*b.head, y})
				y += b.head.h
			}
		}
		p := &pages[len(pages)-1]
		*p = append(*p, placed{b, y})
		y += b.h
	}
	for i, page := range pages {
		s.pdf.AddPage()
		if s.simulated {
			s.watermark()
		}
		s.frame(i+1, len(pages))
		for _, b := range page {
			b.draw(b.y)
		}
	}
	s.attach()
	var out bytes.Buffer
	if err := s.pdf.Output(&out); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}

// frame draws what stands on every page: serial and outcome above, the place in the ledger below.
func (s *sheet) frame(page, pages int) {
	look := looks(s.run.Outcome())
	s.line(style{bold, 8.5, black}, left, 10.2, s.fit(style{bold, 8.5, black}, "Provisioning report", 40))
	serial := style{bold, 8.5, black}
	s.line(serial, left+48, 10.2, s.fit(serial, s.run.Serial, 84))
	word := style{bold, 8.5, look.ink}
	text := s.fit(word, string(s.run.Outcome()), 34)
	w := s.width(word, text)
	s.line(word, right-w, 10.2, text)
	s.shape(look, right-w-3.4, 11.8, 1.9, look.ink, white)
	s.rule(15.4, black, 0.35)
	y := 18.2
	if s.simulated {
		s.banner(y, notReal, "made on a simulated station: no real chip was programmed")
		y += 10
	}
	if s.invented() {
		s.banner(y, "INVENTED MAP", "its signed commands are ones that no real part has")
	}

	s.rule(281.5, hair, 0.2)
	s.line(label, left, 283, s.fit(label, "Station "+s.station+"  ·  ledger "+indexes(s.run.Records)+"  ·  run "+s.run.ID, 150))
	s.line(label, left, 286.4, s.fit(label, "Leaf "+leafHash(s.last.Bytes), 150))
	number := fmt.Sprintf("Page %d of %d", page, pages)
	s.line(label, right-s.width(label, number), 283, number)
}

const notReal = "SIMULATED"

func (s *sheet) banner(y float64, says, why string) {
	s.fill(black)
	s.pdf.Rect(left, y, full, 9, "F")
	// Slanted stripes at both ends, as on hazard tape.
	s.fill(ink{255, 205, 0})
	for _, x := range []float64{left, right - 30} {
		s.pdf.ClipRect(x, y, 30, 9, false)
		for i := -2.0; i < 6; i++ {
			at := x + i*8
			s.pdf.Polygon([]gofpdf.PointType{{X: at, Y: y + 9}, {X: at + 4, Y: y + 9}, {X: at + 10, Y: y}, {X: at + 6, Y: y}}, "F")
		}
		s.pdf.ClipEnd()
	}
	word, note := style{bold, 15, white}, style{sans, 8.5, white}
	gap := 3.5
	x := left + (full-s.width(word, says)-gap-s.width(note, why))/2
	s.line(word, x, y+1.8, says)
	s.line(note, x+s.width(word, says)+gap, y+3.4, why)
}

func (s *sheet) watermark() {
	st := style{bold, 92, ink{229, 231, 235}}
	w := s.width(st, notReal)
	s.pdf.TransformBegin()
	s.pdf.TransformRotate(55, pageW/2, pageH/2)
	s.line(st, (pageW-w)/2, (pageH-st.size*points)/2, notReal)
	s.pdf.TransformEnd()
}

// indexes of records, consecutive ones as a range: "entries 4–9, 12".
func indexes(recs []ledger.Record) string {
	var parts []string
	for i := 0; i < len(recs); {
		j := i
		for j+1 < len(recs) && recs[j+1].Index == recs[j].Index+1 {
			j++
		}
		part := fmt.Sprint(recs[i].Index)
		if j > i {
			part += fmt.Sprintf("–%d", recs[j].Index)
		}
		parts = append(parts, part)
		i = j + 1
	}
	if len(recs) == 1 {
		return "entry " + parts[0]
	}
	return "entries " + strings.Join(parts, ", ")
}
