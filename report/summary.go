package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"station/ledger"
)

// summary is the top of the first page: outcome, serial, what to do, and who, what, when and where.
func (s *sheet) summary() {
	s.hero()
	s.message()
	s.rework()
	for _, r := range s.resumes {
		s.interruption(r)
	}
	s.details()
}

// hero shows outcome and serial so large that they are read at arm's length.
func (s *sheet) hero() {
	const h, split, inner = 37.0, 84.0, 6.0
	l := looks(s.run.Outcome())
	if e := s.run.End; e != nil && e.Outcome == ledger.Refused && e.Touched {
		l.says = "refused; see what happened" // the entry contradicts what the word stands for
	}
	if s.run.End == nil {
		switch {
		case s.run.Close != nil:
			l.says = "closed by a person as " + or(s.run.Close.As)
		case s.run.Stuck != nil:
			l.says = "only a person can decide"
		}
	}
	word := style{bold, 50, white}
	text := string(s.run.Outcome())
	room := split - 36
	if w := s.width(word, text); w > room {
		word.size = max(12, 0.995*word.size*room/w)
	}
	text = s.fit(word, text, room)
	says := style{sans, 8.5, white}
	saysLines := s.lines(says, l.says, room)

	serial := style{bold, 24, black}
	area := full - split - 2*inner
	if w := s.width(serial, s.run.Serial); w > area {
		serial.size = max(10, 0.995*serial.size*area/w)
	}
	serialText := s.lines(serial, s.run.Serial, area)
	if len(serialText) > 4 {
		serialText = []string{s.fit(serial, s.run.Serial, area)}
	}
	bars, why := barcode(s.run.Serial)
	inHero := len(bars) > 0 && area/float64(len(bars)) >= narrowest
	if len(bars) > 0 && !inHero {
		why = "Bar code below."
	}

	s.add(block{h: h + 2, draw: func(y float64) {
		s.fill(l.ink)
		s.pdf.Rect(left, y, split, h, "F")
		s.pen(l.ink, 0.6)
		s.pdf.Rect(left+0.3, y+0.3, full-0.6, h-0.6, "D")
		s.shape(l, left+17, y+h/2, 11.5, white, l.ink)
		cap := word.size * points
		textY := y + (h-cap*1.16-float64(len(saysLines))*says.height())/2
		s.line(word, left+33, textY, text)
		for i, line := range saysLines {
			s.line(says, left+33, textY+cap*1.2+float64(i)*says.height(), line)
		}
		x := left + split + inner
		s.line(label, x, y+3, "Serial of the unit")
		serialY := y + 6.4 + (24-serial.size)*points/3
		for i, line := range serialText {
			s.line(serial, x, serialY+float64(i)*serial.height(), line)
		}
		if inHero {
			// The first bar stands under the first letter.
			s.bars(bars, x-quiet*moduleWidth(bars, area), y+18.2, area, 15)
		} else {
			s.line(label, x, y+31.5, why)
		}
	}})
	if len(bars) > 0 && !inHero {
		s.add(block{h: 15, draw: func(y float64) { s.bars(bars, left, y+1, full, 12) }})
	}
}

// message says what happened and what to do, for everything but a plain PASS.
func (s *sheet) message() {
	l := looks(s.run.Outcome())
	end := s.run.End
	switch {
	case end != nil:
	case s.run.Stuck != nil:
		end = &ledger.RunEnd{Cause: s.run.Stuck.Cause, Message: s.run.Stuck.Message, Next: s.run.Stuck.Next}
	case s.run.Close != nil:
		end = &ledger.RunEnd{Message: "The run was begun and came to no end. What state the unit is in is not known."}
	default:
		end = &ledger.RunEnd{Message: "The run was begun and has not been settled. What state the unit is in is not known.",
			Next: "Put the unit back into the station so that the run can go on, or settle it with “station unit close”."}
	}
	if s.run.Outcome() == ledger.Pass && end.Message == "" && end.Next == "" {
		return
	}
	first := []para{{label, "What happened"}, {style{bold, 11.5, black}, or(end.Message)}}
	if end.Cause != "" {
		first = append(first, para{style{mono, 6.8, muted}, "cause " + end.Cause})
	}
	s.row(row{bar: &l.ink, pad: 1.6, with: end.Next != "" || s.run.Close != nil, cells: []cell{{5, full - 8, first}}})
	if closed := s.run.Close; closed != nil {
		s.closed(l, closed)
	} else if end.Next != "" {
		s.row(row{bar: &l.ink, pad: 1.6, cells: []cell{{5, full - 8, []para{{label, "What to do"}, {style{bold, 11.5, black}, end.Next}}}}})
	}
	s.space(2)
}

// closed says who settled the run in place of its end, and why. What was to be done before that is done with.
func (s *sheet) closed(l look, c *ledger.UnitClose) {
	at := s.last
	for _, rec := range s.run.Records {
		if rec.Entry.Body.Kind() == ledger.KindUnitClose {
			at = rec
		}
	}
	s.row(row{bar: &l.ink, pad: 1.6, cells: []cell{{5, full - 8, []para{
		{label, "Closed by a person"}, {style{bold, 11.5, black}, "Closed as " + or(c.As) + ": " + or(c.Reason)},
		{body, fmt.Sprintf("By %s, %s, ledger entry %d. The unit did not pass in this run.", or(c.By), moment(at.Entry.Time), at.Index)}}}}})
}

// interruption says that the run stopped without being settled, and went on.
func (s *sheet) interruption(r resume) {
	what := "Interrupted and resumed"
	when := "Resumed " + moment(r.rec.Entry.Time) + ", ledger entry " + strconv.FormatInt(r.rec.Index, 10)
	if !r.before.IsZero() {
		when = "Last record before it " + moment(r.before) + ". " + when
	}
	paras := []para{{strong, what}, {body, when + fmt.Sprintf(
		", slot %s, operator %s, %s, %s.", or(r.body.Slot), or(operator(r.body.Operator, r.body.Authenticated)), or(r.body.Fixture), or(r.body.Software))}}
	if r.stuck != nil {
		paras = append(paras, para{body, "A person had to decide before that: " + or(r.stuck.Message)})
	}
	s.row(row{bar: &amber, pad: 1.4, cells: []cell{{5, full - 8, paras}}})
	s.space(1)
}

// details is the grid of who, what, when and where.
func (s *sheet) details() {
	s.section("Run")
	r := s.run.Recipe()
	title := []para{{style{bold, 9.5, black}, or(r.Title)}, {body, fmt.Sprintf("%s, version %d", or(r.ID), r.Version)}}
	if r.Released {
		title = append(title, para{label, "Released: approved by two people"})
	} else {
		title = append(title, para{style{bold, 8, amber}, "▲ UNRELEASED RECIPE"})
	}
	if slices.ContainsFunc(s.run.Steps, isRaw) {
		title = append(title, para{style{bold, 8, amber}, "▲ RAW COMMANDS: what they did to the chip was neither checked nor proven"})
	}
	s.row(row{rule: true, cells: []cell{text(0, nameW, label, "Recipe"), {valueX, full - valueX, title}}})
	s.wide("Recipe digest", digest, r.Digest)
	s.wide("Serial", body, s.run.Serial)
	// A resumed run may have gone on elsewhere and under someone else: all of them, in their order.
	var operators, software, fixtures, slots, mirrors, servers []string
	note := func(list *[]string, value string) {
		if n := len(*list); value != "" && (n == 0 || (*list)[n-1] != value) {
			*list = append(*list, value)
		}
	}
	for _, rec := range s.run.Records {
		switch b := rec.Entry.Body.(type) {
		case ledger.RunStart:
			note(&operators, operator(b.Operator, b.Authenticated))
			note(&software, b.Software)
			note(&fixtures, b.Fixture)
			note(&slots, b.Slot)
			note(&mirrors, mirrorText(b.Mirror))
			note(&servers, b.KeyServer)
		case ledger.RunResume:
			note(&operators, operator(b.Operator, b.Authenticated))
			note(&software, b.Software)
			note(&fixtures, b.Fixture)
			note(&slots, b.Slot)
			note(&mirrors, mirrorText(b.Mirror))
			note(&servers, b.KeyServer)
		case ledger.RunEnd:
			note(&operators, operator(b.Operator, b.Authenticated))
			note(&software, b.Software)
			note(&slots, b.Slot)
		}
	}
	if len(fixtures) == 0 {
		fixtures = []string{"not recorded"}
	}
	const then = ", then "
	var started, ended, took string
	startTime, endTime := s.times()
	if !startTime.IsZero() {
		started = moment(startTime)
	}
	if e := s.run.End; e != nil {
		ended = moment(endTime)
		took = elapsed(e.Duration)
		if len(s.resumes) > 0 {
			took = elapsed(endTime.Sub(startTime).Milliseconds()) + " in all, " + elapsed(e.Duration) + " since the last resumption"
		}
	} else if s.run.Close != nil {
		ended = "closed by a person " + moment(endTime)
	} else {
		ended = "not settled, last record " + moment(endTime)
	}
	s.pair("Operator", strings.Join(operators, then), "Station", s.station)
	s.pair("Started", started, "Slot", strings.Join(slots, then))
	s.pair("Ended", ended, "Fixture", strings.Join(fixtures, then))
	s.pair("Duration", took, "Software", strings.Join(software, then))
	s.pair("Run", s.run.ID, "Chip touched", s.touched())
	if len(mirrors) > 0 {
		s.wide("Mirror", body, strings.Join(mirrors, then))
	}
	if len(servers) > 0 {
		s.wide("Key server", body, strings.Join(servers, then))
	}
	if st := s.run.Start; st != nil {
		for _, v := range st.Values {
			s.row(row{rule: true, cells: []cell{text(0, nameW, label, "Value, hex"), text(valueX, 34, body, or(v.Name)), text(valueX+36, full-valueX-36, digest, or(v.Value))}})
		}
	}
	s.note(label, "All times are UTC, by the clock of the station's PC. People appear by their pseudonymous id.")
}

// mirrorText says what a mirror of the ledger there was, "" where it was not recorded.
func mirrorText(word string) string {
	switch word {
	case ledger.MirrorNone:
		return "none: ledger and escrow were on one disk"
	case ledger.MirrorSecondDisk:
		return "a second disk held ledger and escrow before each permanent step"
	case ledger.MirrorSameDisk:
		return "a second copy of ledger and escrow, on the same disk"
	case ledger.MirrorAway:
		return "away, and nothing permanent is done before it is back"
	}
	return word
}

// touched says whether the run changed the chip.
func (s *sheet) touched() string {
	ways, commands := oneWays(s.run.Records)
	var changed, forEver, perhaps bool
	for _, t := range turns(s.run.Records) {
		for i, b := range t.blocks {
			took, may := t.took(i)
			changed, forEver, perhaps = changed || took, forEver || took && b.OneWay, perhaps || may && b.OneWay
		}
	}
	if forEver || slices.ContainsFunc(ways, func(w *oneWay) bool { return w.state == proven && !w.before }) ||
		slices.ContainsFunc(s.run.Steps, func(st ledger.RunStep) bool { return st.Permanent && st.Result == ledger.Done }) {
		return "yes, and for ever"
	}
	if perhaps || len(commands) > 0 || slices.ContainsFunc(ways, func(w *oneWay) bool { return w.state == intended }) {
		return "yes, perhaps for ever"
	}
	if changed || slices.ContainsFunc(s.run.Steps, func(st ledger.RunStep) bool { return st.Result == ledger.Done }) ||
		slices.ContainsFunc(s.run.Records, func(rec ledger.Record) bool { return rec.Entry.Body.Kind() == ledger.KindLocksErased }) {
		return "yes"
	}
	if s.run.Start == nil && (s.run.End == nil || !s.run.End.Touched) {
		return "no command that changes it was sent"
	}
	return "a command that changes it may have been sent"
}

// times of the first and the last record. A run without a start began its duration before its end.
func (s *sheet) times() (start, end time.Time) {
	end = s.last.Entry.Time
	for _, rec := range s.run.Records {
		switch b := rec.Entry.Body.(type) {
		case ledger.RunStart:
			start = rec.Entry.Time
		case ledger.RunEnd:
			end = rec.Entry.Time
			const year = 366 * 24 * 3600 * 1000
			if start.IsZero() && b.Duration >= 0 && b.Duration < year {
				start = end.Add(-time.Duration(b.Duration) * time.Millisecond)
			}
		}
	}
	return start, end
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// chip is the part, the chip on the board and what is not yet known about its kind.
func (s *sheet) chip() {
	s.section("Chip")
	if st := s.run.Start; st != nil {
		p := st.Part
		geometry := size(p.Size)
		if p.Sector > 0 && p.Size > 0 {
			geometry += fmt.Sprintf(", %d sectors of %s", p.Size/p.Sector, size(p.Sector))
		}
		s.pair("Part", p.Name, "Size", geometry)
		if p.User {
			s.wide("Profile", style{bold, 8, amber}, "▲ USER PROFILE: what is said of this part is the user's own, and not shipped with the program")
		}
		s.wide("Profile digest", digest, p.Digest)
	} else {
		s.wide("Part", body, "Not recorded: the run ended before it was started on the chip.")
	}
	// The chip is the same at every point of a run that PASSed; where it is not, each one is shown.
	type seen struct {
		when string
		chip ledger.Chip
	}
	var chips []seen
	see := func(when string, c ledger.Chip) {
		if len(chips) == 0 || chips[len(chips)-1].chip != c {
			chips = append(chips, seen{when, c})
		}
	}
	if st := s.run.Start; st != nil {
		see("", st.Chip)
	}
	for _, r := range s.resumes {
		see("when resumed", r.body.Chip)
	}
	if e := s.run.End; e != nil && e.Chip != nil {
		see("at the end", *e.Chip)
	}
	if len(chips) == 0 {
		s.wide("Chip", body, "None was identified.")
	}
	for i, c := range chips {
		if i > 0 {
			s.row(row{rule: true, cells: []cell{text(0, full, style{bold, 8, amber}, "▲ Another chip "+c.when)}})
		}
		s.row(row{rule: true, cells: []cell{
			text(0, nameW, label, "ID, six bytes"), text(valueX, halfW, digest, or(c.chip.ID)),
			text(halfX, nameW-4, label, "Unique ID"), text(half2X, half2W, digest, or(c.chip.UID)),
		}})
		s.wide("SFDP digest", digest, c.chip.SFDP)
	}
	if st := s.run.Start; st != nil && len(st.Part.Assumed) > 0 {
		facts := []para{{strong, "Facts of the profile not yet confirmed on silicon"}, {body, strings.Join(st.Part.Assumed, "  ·  ")}}
		s.row(row{rule: true, cells: []cell{text(0, nameW, label, "Assumed"), {valueX, full - valueX, facts}}})
	}
}
