package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"station/ledger"
)

// How much of the signed commands is printed. All of it is in the entries that the document carries.
const (
	shownBlocks = 8  // of one turn; of a longer one the first and the last
	shownTurns  = 12 // of a run; of a longer one those at both ends
)

// turn is one turn of signed commands: what was about to be sent, and what the chip answered.
type turn struct {
	n, number int // of the step, and of the turn in it
	blocks    []ledger.RelayBlock
	answer    *ledger.RelayAnswer // nil: none in the ledger
	told      []ledger.Record
}

// turns gathers what the entries say of signed commands, in their order.
func turns(records []ledger.Record) (out []*turn) {
	for _, rec := range records {
		switch b := rec.Entry.Body.(type) {
		case ledger.RelayIntent:
			out = append(out, &turn{n: b.N, number: b.Turn, blocks: b.Blocks, told: []ledger.Record{rec}})
		case ledger.RelayAnswer:
			i := slices.IndexFunc(out, func(t *turn) bool { return t.n == b.N && t.number == b.Turn && t.answer == nil })
			if i < 0 {
				i = len(out)
				out = append(out, &turn{n: b.N, number: b.Turn, blocks: b.Blocks})
			}
			out[i].answer, out[i].told = &b, append(out[i].told, rec)
		}
	}
	return out
}

// of is the answer to the block at i, nil where there is none.
func (t *turn) of(i int) *ledger.RelayResult {
	if t.answer == nil || i >= len(t.answer.Answers) {
		return nil
	}
	return &t.answer.Answers[i]
}

// became says what became of the block at i.
func (t *turn) became(i int) string {
	a := t.of(i)
	switch {
	case t.answer == nil:
		return "▲ no answer is recorded"
	case a == nil:
		return "not sent"
	case a.Status != "":
		return "status " + a.Status
	case a.Counter != "":
		return "answer lost; " + a.Counter + ", says the chip's counter"
	}
	return "answer lost"
}

// took tells whether the block at i changed the chip, and whether it may have. What a status means is not written here: the command counter tells, where it is known.
func (t *turn) took(i int) (took, perhaps bool) {
	a, b := t.of(i), t.blocks[i]
	switch {
	case b.Class != ledger.StateChanging, t.answer != nil && a == nil, a != nil && a.Counter == ledger.NotExecuted:
		return false, false
	case a != nil && a.Counter == ledger.Executed:
		return true, true
	case a == nil || a.Status == "":
		return false, true
	}
	before, err := strconv.ParseUint(b.Counter, 10, 64)
	after, err2 := strconv.ParseUint(t.answer.Counter, 10, 64)
	if err != nil || err2 != nil {
		return false, true
	}
	return after > before, after > before
}

// invented tells whether the run relays commands of a map that no real part has.
func (u *unit) invented() bool {
	return u.run.Start != nil && u.run.Start.Part.Map == ledger.InventedMap
}

// signed is what a key server had the chip do, and what it says of it.
func (s *sheet) signed() {
	all := turns(s.run.Records)
	judged := slices.DeleteFunc(slices.Clone(s.run.Steps), func(b ledger.RunStep) bool { return !isSigned(b) })
	if len(all)+len(judged) == 0 {
		return
	}
	s.section("Signed commands")
	s.row(row{with: true, cells: []cell{text(0, full, strong, "A key server made and signed these commands for this chip alone; the station checked them against the part's table and passed them on. It has no key to them.")}})
	if st := s.run.Start; st != nil && st.Part.Map != "" {
		if s.invented() {
			s.wide("Command map", style{bold, 8, amber}, "▲ "+st.Part.Map+": no real part has these commands")
		} else {
			s.wide("Command map", body, st.Part.Map)
		}
	}
	for _, b := range judged {
		s.judged(b)
	}
	for i, t := range all {
		switch hidden := len(all) - shownTurns; {
		case hidden < 1 || i < shownTurns-2 || i >= len(all)-2:
			s.turn(t)
		case i == shownTurns-2:
			s.row(row{rule: true, cells: []cell{{57, full - 57, []para{{body, fmt.Sprintf("%d turns more: %s", hidden, sums(all[i:i+hidden]))}, {label, "They stand in the attached entries.jsonl."}}}}})
		}
	}
	s.head = nil
	s.note(label, "Class, status and counters are as the station had them; of block and reply the SHA-256 is kept. Statuses have the meaning that the part's table gives them.")
}

// judged is what the key server says of one step.
func (s *sheet) judged(b ledger.RunStep) {
	what := []para{{strong, fmt.Sprintf("Step %d: %s", b.N, or(b.Title))}}
	if b.Result == ledger.Failed {
		what = append(what, para{style{bold, 8, looks(ledger.Fail).ink}, "✘ not accepted"})
	} else {
		what = append(what, para{strong, "✔ accepted"})
	}
	var said []para
	for _, f := range b.Facts {
		st := body
		if strings.HasPrefix(f.Name, "SHA-256") {
			said = append(said, para{body, f.Name + ":"})
			st, f.Name = digest, ""
		} else {
			f.Name += ": "
		}
		said = append(said, para{st, f.Name + f.Value})
	}
	s.row(row{rule: true, cells: []cell{{0, 53, what}, {57, full - 57, said}}})
}

func (s *sheet) turn(t *turn) {
	what := []para{{strong, fmt.Sprintf("Step %d, turn %d", t.n, t.number)}}
	if slices.ContainsFunc(t.blocks, func(b ledger.RelayBlock) bool { return b.OneWay }) {
		what = append(what, para{style{bold, 7.5, black}, "◆ PERMANENT: cannot be undone"})
	}
	if t.answer == nil {
		what = append(what, para{style{bold, 8, amber}, "▲ NOT KNOWN"}, para{body, "The chip may have done it."})
	} else if t.answer.Counter != "" {
		what = append(what, para{body, "Command counter afterwards: " + t.answer.Counter})
	}
	what = append(what, para{label, indexes(t.told)}, para{label, moment(t.told[len(t.told)-1].Entry.Time)})
	var said []para
	shown := func(i int) {
		b := t.blocks[i]
		line := fmt.Sprintf("%d  %s, %s: %s", b.Seq, or(b.Command), or(b.Class), t.became(i))
		if b.Counter != "" {
			line += ", counter before " + b.Counter
		}
		said = append(said, para{body, line}, para{digest, or(b.SHA256)})
		if a := t.of(i); a != nil && a.SHA256 != "" {
			said = append(said, para{digest, "reply " + a.SHA256})
		}
	}
	if len(t.blocks) <= shownBlocks {
		for i := range t.blocks {
			shown(i)
		}
	} else {
		shown(0)
		said = append(said, para{body, fmt.Sprintf("%d blocks in all: %s", len(t.blocks), sums([]*turn{t}))}, para{label, "Those between stand in the attached entries.jsonl."})
		shown(len(t.blocks) - 1)
	}
	s.row(row{rule: true, cells: []cell{{0, 53, what}, {57, full - 57, said}}})
}

// sums counts commands and what became of them.
func sums(all []*turn) string {
	commands, ends := map[string]int{}, map[string]int{}
	for _, t := range all {
		for i, b := range t.blocks {
			commands[or(b.Command)]++
			ends[t.became(i)]++
		}
	}
	count := func(m map[string]int) string {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, fmt.Sprintf("%d x %s", m[k], k))
		}
		return strings.Join(parts, ", ")
	}
	return count(commands) + "; " + count(ends)
}
