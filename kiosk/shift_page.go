package kiosk

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"station/ledger"
	"station/provision"
)

// shiftView is the beginning and the end of a shift.
type shiftView struct {
	Shift    *Shift
	Checks   []checkLine
	Wrong    int        // checks that failed
	Sure     bool       // who ends it is asked before: something is left
	Left     []leftUnit // what is not done with: FAILs that nobody acknowledged, what is open, boards in slots, what is under way
	CanBegin bool
	CanEnd   bool
}

// leftUnit is one of them.
type leftUnit struct {
	Word           string         // under shift.left in the catalogue: "held", "here", "since", "board", "running"
	Outcome        ledger.Outcome // "" where it is under way, or nobody knows the board
	Serial         string         // "" likewise
	Slot           string
	Since          time.Time
	Person         *Said // what a person has to decide
	CanAcknowledge bool
}

// checkLine is a check as the page has it: its name is in the catalogue under shift.check.WORD where Word is not "".
type checkLine struct {
	ledger.Check
	Word  string
	Slot  string
	Found string // likewise what was found, under shift.found.WORD
}

// checkWords are the names of checks that the catalogue has, besides those of slots.
var checkWords = map[string]string{"mirror": "mirror", "checkpoint": "checkpoint", "disk": "disk", "key server": "key-server", "ledger": "ledger"}

// foundWords are what was found that the catalogue has. The rest has numbers and names in it, and stands in English.
var foundWords = map[string]string{
	"empty": "empty", "a board is in it": "board", "nobody has looked yet": "unseen", "it does not say which voltage its fixture gives": "volts", "its FAIL is not acknowledged": "held", "stopped after three in a row": "stopped", ledger.MirrorNone: "none", ledger.MirrorSecondDisk: "second-disk", ledger.MirrorSameDisk: "same-disk", ledger.MirrorAway: "away",
}

func newShiftView(s State, may func(Action) bool) shiftView {
	v := shiftView{Shift: s.Shift, CanBegin: may(BeginShift), CanEnd: s.Shift != nil && may(EndShift)}
	if s.Shift != nil {
		for _, c := range s.Shift.Checks {
			line := checkLine{Check: c, Word: checkWords[c.Name], Found: foundWords[c.Text]}
			if slot, ok := strings.CutPrefix(c.Name, "slot "); ok {
				line.Word, line.Slot = "slot", slot
			}
			v.Checks = append(v.Checks, line)
			if !c.OK {
				v.Wrong++
			}
		}
	}
	here := map[string]bool{}
	for _, o := range s.Open {
		here[o.Here] = true
	}
	var boards, running []leftUnit
	for _, row := range s.Rows {
		for _, t := range row {
			switch {
			case t.Held:
				v.Left = append(v.Left, leftUnit{Word: "held", Outcome: ledger.Fail, Serial: t.Serial, Slot: t.Slot, CanAcknowledge: may(Acknowledge)})
			case t.Run != nil, t.State == provision.Running:
				running = append(running, leftUnit{Word: "running", Serial: t.Serial, Slot: t.Slot})
			case t.There && !here[t.Slot]:
				u := leftUnit{Word: "board", Serial: t.Serial, Slot: t.Slot}
				if t.Result != nil {
					u.Outcome = t.Result.Outcome
				}
				boards = append(boards, u)
			}
		}
	}
	for _, o := range s.Open {
		u := leftUnit{Word: "since", Outcome: ledger.Interrupted, Serial: o.Serial, Slot: o.Slot, Since: o.Since, Person: o.Person}
		if o.Here != "" {
			u.Word, u.Slot = "here", o.Here
		}
		v.Left = append(v.Left, u)
	}
	v.Left = slices.Concat(v.Left, boards, running)
	v.Sure = len(v.Left) > 0 || s.Job != nil
	return v
}

// shift answers GET /shift.
func (p *pages) shift(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "shift", newShiftView(p.state(), visitorOf(r.Context()).Role.May))
}
