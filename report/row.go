package report

// para is a text of one style within a cell.
type para struct {
	style style
	text  string
}

// cell is a column of a row: its left edge from the margin, its width, and what stands in it from top to bottom.
type cell struct {
	x, w  float64
	paras []para
}

// row options.
type row struct {
	cells []cell
	rule  bool // a hairline under it
	with  bool // stays with the row after it
	bar   *ink // a thick bar at the left edge on a tinted ground
	pad   float64
}

// text of a cell, one paragraph.
func text(x, w float64, st style, text string) cell { return cell{x, w, []para{{st, text}}} }

// setLine is a line ready to be drawn.
type setLine struct {
	style style
	text  string
}

// row adds a row, in several blocks where it is too high for one.
func (s *sheet) row(r row) {
	if r.pad == 0 {
		r.pad = 0.7
	}
	rest := make([][]setLine, len(r.cells))
	biggest := 0.0 // the first lines of all cells stand on one base line
	for _, c := range r.cells {
		if len(c.paras) > 0 {
			biggest = max(biggest, c.paras[0].style.size)
		}
	}
	for i, c := range r.cells {
		for _, p := range c.paras {
			for _, l := range s.lines(p.style, p.text, c.w) {
				rest[i] = append(rest[i], setLine{p.style, l})
			}
		}
	}
	for more := true; more; {
		more = false
		part := make([][]setLine, len(rest))
		high := 0.0
		lead := make([]float64, len(rest))
		for i := range rest {
			if len(rest[i]) > 0 {
				lead[i] = max(0, biggest-rest[i][0].style.size) * points * ascent
			}
			h, n := lead[i], 0
			for n < len(rest[i]) && h+rest[i][n].style.height() <= maxRow {
				h += rest[i][n].style.height()
				n++
			}
			part[i], rest[i] = rest[i][:n], rest[i][n:]
			high = max(high, h)
			more = more || len(rest[i]) > 0
		}
		last := !more
		s.add(block{h: high + 2*r.pad, with: r.with && last, draw: func(y float64) {
			s.drawRow(r, part, lead, y, high+2*r.pad, last)
		}})
	}
}

func (s *sheet) drawRow(r row, part [][]setLine, lead []float64, y, h float64, last bool) {
	if r.bar != nil {
		s.fill(tint)
		s.pdf.Rect(left, y, full, h, "F")
		s.fill(*r.bar)
		s.pdf.Rect(left, y, 1.6, h, "F")
	}
	for i, c := range r.cells {
		at := y + r.pad + lead[i]
		for _, l := range part[i] {
			s.line(l.style, left+c.x, at, l.text)
			at += l.style.height()
		}
	}
	if r.rule && last {
		s.rule(y+h-0.08, hair, 0.15) // the ground of the next row must not cover it
	}
}

// Columns of the name and value grids.
const (
	nameW  = 25.0
	valueX = 27.0
	halfX  = 94.0
	half2X = halfX + 23
	halfW  = halfX - valueX - 3
	half2W = full - half2X
)

// pair adds a row of two names with their values.
func (s *sheet) pair(name, value, name2, value2 string) {
	s.row(row{rule: true, cells: []cell{
		text(0, nameW, label, name), text(valueX, halfW, body, or(value)),
		text(halfX, nameW-4, label, name2), text(half2X, half2W, body, or(value2)),
	}})
}

// wide adds a row of one name with its value over the whole width.
func (s *sheet) wide(name string, st style, value string) {
	s.row(row{rule: true, cells: []cell{text(0, nameW, label, name), text(valueX, full-valueX, st, or(value))}})
}

// together keeps the blocks that add adds on one page.
func (s *sheet) together(add func()) {
	from := len(s.blocks)
	add()
	for i := from; i < len(s.blocks)-1; i++ {
		s.blocks[i].with = true
	}
}

// note adds a text over the whole width.
func (s *sheet) note(st style, value string) { s.row(row{cells: []cell{text(0, full, st, value)}}) }

// titles begins a table: a row of column titles that is repeated on every page the table runs over.
func (s *sheet) titles(cells ...cell) {
	s.head = nil
	at := len(s.blocks)
	s.row(row{cells: cells, rule: true, with: true})
	head := s.blocks[at]
	s.head = &head
}
