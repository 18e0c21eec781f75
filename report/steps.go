package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"station/ledger"
)

// steps is what was done, in the order of the ledger.
func (s *sheet) steps() {
	if s.run.Start == nil && len(s.run.Steps) == 0 {
		return
	}
	s.section("Steps")
	reached, of := 0, 0
	for _, st := range s.run.Steps {
		reached, of = max(reached, st.N), max(of, st.Of)
	}
	if len(s.run.Steps) == 0 {
		s.note(body, "No step was finished.")
	} else {
		s.titles(text(2.2, 5, label, "#"), text(8, 53, label, "Step"), text(63, 19, label, "Result"), text(84, 27, label, "Proof"),
			text(113, 43, label, "Facts"), text(158, 22, label, "Started, took"))
	}
	event := func(bar ink, what, why string) {
		s.row(row{rule: true, bar: &bar, cells: []cell{{8, full - 11, []para{{strong, what}, {body, why}}}}})
	}
	for _, rec := range s.run.Records {
		when := moment(rec.Entry.Time) + ", entry " + strconv.FormatInt(rec.Index, 10)
		switch b := rec.Entry.Body.(type) {
		case ledger.RunResume:
			event(amber, "Interrupted; resumed "+when, "Operator "+or(operator(b.Operator, b.Authenticated))+", slot "+or(b.Slot))
		case ledger.RunStop:
			event(amber, "Stopped by a person "+when, "By "+or(operator(b.By, b.Authenticated)))
		case ledger.RunStuck:
			event(amber, "▲ Stopped: only a person can decide. "+when, or(b.Message))
		case ledger.UnitClose:
			event(muted, "Closed by a person as "+or(b.As)+". "+when, "By "+or(b.By)+": "+or(b.Reason))
		case ledger.PasswordOpened:
			event(black, "Opened with its password "+when, "The chip was frozen, and took the password of escrow "+or(b.Escrow))
		case ledger.LocksErased:
			event(black, "Locks of before erased, and read back open "+when, "Nonvolatile: "+rangeWords(b.Nonvolatile)+". By the status register: "+rangeWords(b.BlockProtect))
		case ledger.RunStep:
			s.step(b)
		}
	}
	s.head = nil
	if reached < of {
		s.note(strong, fmt.Sprintf("Steps %d to %d of %d have no record in this run.", reached+1, of, of))
	}
}

func rangeWords(ranges []ledger.Range) string {
	var out []string
	for _, r := range ranges {
		out = append(out, fmt.Sprintf("0x%06X to 0x%06X", r.At, r.At+r.Size-1))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// isRaw tells whether a step sent a command that only the recipe's author knows.
func isRaw(b ledger.RunStep) bool { return b.Step == "raw" }

// isSigned tells whether a key server judged a step. What it says is in a section of its own.
func isSigned(b ledger.RunStep) bool { return b.Step == "measure" || b.Step == "relay" }

func (s *sheet) step(b ledger.RunStep) {
	what := []para{{strong, or(b.Title)}, {label, b.Step}}
	var bar *ink
	if b.Permanent {
		what, bar = append(what, para{style{bold, 7.5, black}, "◆ PERMANENT: cannot be undone"}), &black
	}
	if isRaw(b) {
		what, bar = append(what, para{style{bold, 7.5, amber}, "▲ RAW COMMAND"}), &amber
	}
	result := style{sans, 8, black}
	word := string(b.Result)
	switch b.Result {
	case ledger.Done, ledger.Confirmed:
		word = "✔ " + word
	case ledger.Already:
		word = "= " + word
	case ledger.Failed:
		result, word = style{bold, 8, looks(ledger.Fail).ink}, "✘ "+word
	}
	facts := []para{}
	for _, f := range b.Facts {
		facts = append(facts, para{style{sans, 7.5, black}, f.Name + ": " + f.Value})
	}
	if isSigned(b) {
		facts = []para{{label, "see signed commands"}}
	}
	when := []para{{body, or(b.Started)}}
	if t, err := time.Parse(ledger.TimeFormat, b.Started); err == nil {
		when[0].text = t.Format("15:04:05.000")
		if start, _ := s.times(); start.UTC().Format(time.DateOnly) != t.Format(time.DateOnly) {
			when = append([]para{{body, t.Format(time.DateOnly)}}, when...)
		}
	}
	when = append(when, para{label, elapsed(b.Duration)})
	s.row(row{rule: true, bar: bar, cells: []cell{
		text(2.2, 5, strong, fmt.Sprint(b.N)), {8, 53, what}, text(63, 19, result, or(word)), text(84, 27, body, or(b.Proof)),
		{113, 43, facts}, {158, 22, when},
	}})
}
