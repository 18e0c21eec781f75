package report

import (
	"fmt"
	"slices"
	"strings"

	"station/ledger"
)

// protection says what protects the chip, in words and as a picture.
func (s *sheet) protection() {
	st, end := s.run.Start, s.run.End
	if st == nil && (end == nil || end.After == nil) {
		return
	}
	var before, after *ledger.Locks
	if st != nil {
		before = &st.Before
	}
	if end != nil {
		after = end.After
	}
	s.together(func() { s.compareLocks(before, after) })
	if st == nil {
		return
	}
	if st.Part.Size <= 0 || st.Part.Sector <= 0 {
		s.note(body, "No lock map: the entry gives the part no size.")
		return
	}
	m := lockMap{sheet: s, size: st.Part.Size, cell: st.Part.Sector, regions: st.Regions}
	for m.size/m.cell > 4096 { // beyond the largest part of the family a cell stands for several sectors
		m.cell *= 2
	}
	m.cells = int((m.size + m.cell - 1) / m.cell)
	m.columns = 128
	if m.cells <= 256 {
		m.columns = 32
	} else if m.cells <= 1024 {
		m.columns = 64
	}
	title, first := "After the run", after
	open := spansOf(ledger.Locks{})
	again := false // the chip before the run is drawn too
	switch {
	case after == nil:
		title, first = "Before the run (after it, the protection was not read)", before
	case spansOf(*before) == open && spansOf(*after) == open:
		title = "Before and after the run: no sector is locked"
	case spansOf(*before) == spansOf(*after):
		title = "Before and after the run: the same sectors are locked"
	case spansOf(*before) == open:
		title = "After the run (before it, no sector was locked)"
	default:
		again = true
	}
	s.together(func() {
		m.legend()
		m.draw(title, *first, false)
	})
	if again {
		s.together(func() { m.draw("Before the run", *before, true) })
	}
}

// compareLocks is the protection before and after the run, side by side.
func (s *sheet) compareLocks(before, after *ledger.Locks) {
	s.section("Protection")
	if s.run.End != nil {
		lasts := freeze(s.run.End.Freeze)
		if after == nil {
			lasts = "Not known: the protection was not read at the end."
			if f := s.run.End.Freeze; f != "" && f != "none" {
				lasts += " Recorded: " + f + "."
			}
		}
		s.wide("Freeze", strong, lasts)
	} else {
		s.wide("Freeze", strong, "Not known: the run came to no end, at which it would have been read.")
	}
	s.titles(text(0, nameW, label, ""), text(valueX, 74, label, "Before the run"), text(104, 76, label, "After the run"))
	compare := func(name string, st style, show func(l *ledger.Locks) string) {
		value := func(l *ledger.Locks) string {
			if l == nil {
				return "not read"
			}
			return show(l)
		}
		s.row(row{rule: true, cells: []cell{text(0, nameW, label, name), text(valueX, 74, st, value(before)), text(104, 76, st, value(after))}})
	}
	compare("Nonvolatile lock", digest, func(l *ledger.Locks) string { return spans(l.Nonvolatile) })
	compare("Volatile lock", digest, func(l *ledger.Locks) string { return spans(l.Volatile) })
	compare("Block protection", digest, func(l *ledger.Locks) string { return spans(l.BlockProtect) })
	compare("Freeze bit", body, func(l *ledger.Locks) string {
		if l.Frozen {
			return "frozen: lock bits cannot be changed"
		}
		return "not frozen"
	})
	if st := s.run.Start; st != nil {
		for _, r := range st.Regions {
			if by := s.signedLock(r.Name); by != "" {
				s.row(row{rule: true, cells: []cell{text(0, nameW, label, "Signed commands"), text(valueX, 74, body, "–"), text(104, 76, strong, or(r.Name)+": "+by+", for ever; no lock bit, and so no map, shows it")}})
			}
		}
	}
	compare("Protection register", digest, func(l *ledger.Locks) string { return or(l.SPR) })
	s.head = nil
}

func freeze(lasts string) string {
	switch lasts {
	case "none":
		return "None: the lock bits are not frozen."
	case "until power-off":
		return "Frozen until power-off: without password mode, a reset or power-off of the chip lifts it."
	case "until the password is given":
		return "Frozen until the password is given: it outlasts reset and power-off."
	}
	return or(lasts)
}

func spans(ranges []ledger.Range) string {
	if len(ranges) == 0 {
		return "none"
	}
	var parts []string
	for _, r := range ranges {
		parts = append(parts, span(r.At, r.Size))
	}
	return strings.Join(parts, ", ")
}

func spansOf(l ledger.Locks) string {
	return spans(l.Nonvolatile) + ";" + spans(l.Volatile) + ";" + spans(l.BlockProtect)
}

// lockMap draws the chip as rows of cells, one cell a sector, addresses rising from left to right and downwards.
type lockMap struct {
	*sheet
	size, cell int64 // bytes
	cells      int
	columns    int
	regions    []ledger.Region
}

const (
	mapX     = left + 15.5
	mapW     = full - 31
	strip    = 3.2 // above each row of cells, for the regions
	addressX = 0.8
)

var (
	address    = style{mono, 5.8, muted}
	regionName = style{bold, 5.6, black}
	locked     = ink{122, 141, 168}
)

func (m lockMap) legend() {
	m.space(2)
	m.add(block{h: 5.5, with: true, draw: func(y float64) {
		x := left
		item := func(paint func(x, y, w, h float64), name string) {
			m.fill(white)
			m.pdf.Rect(x, y, 6, 3.2, "F")
			if paint != nil {
				paint(x, y, 6, 3.2)
			}
			m.pen(black, 0.15)
			m.pdf.Rect(x, y, 6, 3.2, "D")
			m.line(label, x+7.2, y+0.2, name)
			x += 7.2 + m.width(label, name) + 5
		}
		item(m.nonvolatile, "nonvolatile locked")
		item(m.volatile, "volatile locked")
		item(m.blockProtected, "block-protected")
		item(nil, "open")
		m.pen(black, 0.35)
		m.pdf.Line(x, y+2.4, x+6, y+2.4)
		m.pdf.Line(x, y+1.6, x, y+3.2)
		m.pdf.Line(x+6, y+1.6, x+6, y+3.2)
		m.line(label, x+7.2, y+0.2, "region, by number")
		what := fmt.Sprintf("one cell = %s", size(m.cell))
		m.line(label, right-m.width(label, what), y+0.2, what)
	}})
}

// Patterns that differ without colour, and show through each other where more than one lock holds.
func (m lockMap) nonvolatile(x, y, w, h float64) {
	m.fill(locked)
	m.pdf.Rect(x, y, w, h, "F")
}

func (m lockMap) volatile(x, y, w, h float64) {
	const step = 1.0
	m.pdf.ClipRect(x, y, w, h, false)
	m.pen(black, 0.22)
	for at := step * float64(int((x-h)/step)); at < x+w; at += step {
		m.pdf.Line(at, y+h, at+h, y)
	}
	m.pdf.ClipEnd()
}

func (m lockMap) blockProtected(x, y, w, h float64) {
	m.pen(black, 0.2)
	for at := y + 0.4; at < y+h; at += 0.75 {
		m.pdf.Line(x, at, x+w, at)
	}
}

// draw adds the picture, low without regions.
func (m lockMap) draw(title string, l ledger.Locks, low bool) {
	high, above := 3.4, strip
	rows := (m.cells + m.columns - 1) / m.columns
	if rows > 16 {
		high = 2.4
	}
	const tight = 0.5 // above a row without a region
	if low {
		high, above = 2.2, tight
	}
	m.add(block{h: 5, with: true, draw: func(y float64) { m.line(strong, left, y, title) }})
	perRow := m.cell * int64(m.columns)
	for i := range rows {
		from := int64(i) * perRow
		to := min(from+perRow, m.size)
		above := above
		if !slices.ContainsFunc(m.regions, func(r ledger.Region) bool { _, _, ok := overlap(r.At, r.Size, from, to); return ok }) {
			above = tight
		}
		m.add(block{h: above + high + 0.3, draw: func(y float64) { m.drawRow(l, from, to, y+above, high, !low) }})
	}
	m.space(3)
}

// mark is a label above the cells: the numbers of the regions it stands for.
type mark struct {
	first, last int
	x, room     float64
	name        string
}

func (k mark) number() string {
	if k.first == k.last {
		return fmt.Sprint(k.first)
	}
	return fmt.Sprintf("%d–%d", k.first, k.last)
}

// drawRow draws the cells of the addresses from..to, to excluded, their upper edge at y.
func (m lockMap) drawRow(l ledger.Locks, from, to int64, y, h float64, regions bool) {
	scale := mapW / float64(m.cell*int64(m.columns))
	x := func(at int64) float64 { return mapX + float64(at-from)*scale }
	edge := x(to)
	m.fill(white)
	m.pdf.Rect(mapX, y, edge-mapX, h, "F")
	paint := func(ranges []ledger.Range, pattern func(x, y, w, h float64)) {
		for _, r := range ranges {
			if a, b, ok := overlap(r.At, r.Size, from, to); ok {
				pattern(x(a), y, max(x(b)-x(a), 0.3), h)
			}
		}
	}
	paint(l.Nonvolatile, m.nonvolatile)
	paint(l.BlockProtect, m.blockProtected)
	paint(l.Volatile, m.volatile)

	for at, n := from, 0; at < to; at, n = at+m.cell, n+1 {
		m.pen(ink{140, 147, 158}, 0.06)
		if n%16 == 0 {
			m.pen(black, 0.15)
		}
		m.pdf.Line(x(at), y, x(at), y+h)
	}
	m.pen(black, 0.15)
	m.pdf.Rect(mapX, y, edge-mapX, h, "D")
	start, end := fmt.Sprintf("0x%08X", from), fmt.Sprintf("0x%08X", to-1)
	at := y + (h-address.size*points)/2 - 0.1
	m.line(address, mapX-addressX-m.width(address, start), at, start)
	m.line(address, edge+addressX, at, end)
	if regions {
		m.brackets(from, to, y, x)
	}
}

// brackets marks the regions above a row. Where one begins, its number and, with room, its name stand; numbers that would
// overlap are drawn as one ("3–6").
func (m lockMap) brackets(from, to int64, y float64, x func(int64) float64) {
	var marks []mark
	m.pen(black, 0.35)
	for i, r := range m.regions {
		a, b, ok := overlap(r.At, r.Size, from, to)
		if !ok {
			continue
		}
		x0, x1 := x(a)+0.2, max(x(b)-0.2, x(a)+0.4)
		m.pdf.Line(x0, y-0.7, x1, y-0.7)
		if a == r.At {
			m.pdf.Line(x0, y-0.7, x0, y-0.1)
		}
		if b-r.At == r.Size {
			m.pdf.Line(x1, y-0.7, x1, y-0.1)
		}
		next := mark{i + 1, i + 1, x0, x1 - x0, r.Name}
		if n := len(marks); n > 0 && x0 < marks[n-1].x+m.width(regionName, marks[n-1].number())+0.5 {
			marks[n-1].last, marks[n-1].room = i+1, 0
			continue
		}
		marks = append(marks, next)
	}
	for _, k := range marks {
		text := k.number()
		if with := text + " " + k.name; k.room > 0 && m.width(regionName, with) <= k.room {
			text = with
		}
		m.line(regionName, k.x, y-3.2, m.fit(regionName, text, mapW))
	}
}

// overlap of a range with from..to, to excluded.
func overlap(at, size, from, to int64) (int64, int64, bool) {
	if at < 0 || size <= 0 || at >= to {
		return 0, 0, false
	}
	end := to
	if size < to-at {
		end = at + size
	}
	a := max(at, from)
	return a, end, a < end
}
