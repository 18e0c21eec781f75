package report

import (
	"fmt"
	"slices"
	"strings"

	"station/ledger"
)

// rework says by whose permission a unit was run once more, and why; what became of its earlier runs; and what was permitted after this run.
func (s *sheet) rework() {
	used, later := s.permits()
	if st := s.run.Start; st != nil && st.Permit != 0 {
		paras := []para{{label, "Rework"}}
		if used == nil {
			paras = append(paras, para{strong, fmt.Sprintf("By the permission of ledger entry %d, which is not part of this report.", st.Permit)})
		} else {
			paras = append(paras, para{style{bold, 11.5, black}, or(used.Reason)}, para{body, permitted(*used)})
		}
		if st.Retires != "" {
			paras = append(paras, para{strong, "Chip " + st.Retires + " was retired when this run began: it is refused for every serial."})
		}
		s.row(row{bar: &amber, pad: 1.6, cells: []cell{{5, full - 8, paras}}})
		s.space(2)
		s.before()
	}
	if later != nil && later.Withdrawn != nil {
		s.row(row{bar: &muted, pad: 1.6, cells: []cell{{5, full - 8, []para{
			{label, "After this run"}, {strong, "Permitted to be run once more, and withdrawn: " + or(later.Reason)}, {body, permitted(*later)},
			{body, fmt.Sprintf("Withdrawn by %s (nobody checked that it was this person): %s", or(later.Withdrawn.By), or(later.Withdrawn.Reason))}}}}})
		s.space(2)
	} else if later != nil {
		s.row(row{bar: &amber, pad: 1.6, cells: []cell{{5, full - 8, []para{
			{label, "After this run"}, {style{bold, 11.5, black}, "Permitted to be run once more: " + or(later.Reason)}, {body, permitted(*later)}}}}})
		s.space(2)
	}
}

// permits are the permission that the run used, and the one that came after it.
func (s *sheet) permits() (used, later *ledger.Permission) {
	for _, p := range ledger.Permissions(s.earlier) {
		switch {
		case s.run.Start != nil && p.Index == s.run.Start.Permit:
			used = &p
		case p.Index > s.last.Index:
			later = &p
		}
	}
	return used, later
}

// operator is who ran a unit, and whether nobody checked that it was that person; "" where that is not recorded.
func operator(id string, authenticated bool) string {
	if id != "" && !authenticated {
		id += " (unauthenticated)"
	}
	return id
}

func permitted(p ledger.Permission) string {
	who := or(p.By)
	if !p.Authenticated {
		who += " (nobody checked that it was this person)"
	}
	chip := "on the chip that it has, " + p.UID
	if p.Chip == ledger.NewChip {
		chip = "with a new chip in place of " + p.UID
	}
	return fmt.Sprintf("Permitted by %s, %s, ledger entry %d: one run, %s.", who, moment(p.Time), p.Index, chip)
}

// before is a line for each run that touched the unit before this one.
func (s *sheet) before() {
	runs := slices.DeleteFunc(ledger.Runs(s.earlier), func(r ledger.Run) bool { return r.Start == nil })
	if len(runs) == 0 {
		return
	}
	s.section("Earlier runs of this unit")
	s.titles(text(0, 36, label, "Begun"), text(38, 26, label, "Outcome"), text(66, 36, label, "Recipe"), text(104, 48, label, "Chip"), text(154, 26, label, "Run, ledger entries"))
	for _, r := range runs {
		l := looks(r.Outcome())
		outcome := []para{{style{bold, 8, l.ink}, string(r.Outcome())}}
		why := ""
		switch {
		case r.Close != nil:
			outcome, why = append(outcome, para{body, "closed as " + or(r.Close.As)}), fmt.Sprintf("Closed by %s: %s", or(r.Close.By), or(r.Close.Reason))
		case r.End == nil:
			outcome = append(outcome, para{body, "not settled"})
		case r.End.Outcome != ledger.Pass:
			why = strings.TrimSpace(or(r.End.Message))
		}
		chip := []para{{digest, r.Start.Chip.UID}}
		if retired(runs, s.run, r.Start.Chip.UID) {
			chip = append(chip, para{label, "retired"})
		}
		s.row(row{rule: why == "", with: why != "", cells: []cell{text(0, 36, body, moment(r.Records[0].Entry.Time)), {38, 26, outcome},
			text(66, 36, body, fmt.Sprintf("%s, version %d", or(r.Start.Recipe.ID), r.Start.Recipe.Version)), {104, 48, chip},
			{154, 26, []para{{style{mono, 6.5, black}, r.ID}, {label, indexes(r.Records)}}}}})
		if why != "" {
			s.row(row{rule: true, cells: []cell{text(38, full-38, body, why)}})
		}
	}
	s.head = nil
	s.space(1)
}

func retired(runs []ledger.Run, last ledger.Run, uid string) bool {
	return slices.ContainsFunc(append(slices.Clone(runs), last), func(r ledger.Run) bool { return r.Start != nil && r.Start.Retires == uid })
}
