package kiosk

import (
	"strings"
	"time"

	"station/ledger"
	"station/provision"
)

// Unwatched is the state of a slot that nobody looks at, since no job is open. The result that its tile showed before stays, until the next look.
const Unwatched provision.SlotState = "unwatched"

// Tile is one place of the wall.
type Tile struct {
	Slot     string              `json:"slot"`              // "" for a place without one
	Excluded bool                `json:"excluded"`          // the configuration says that it is not used
	Problem  *Said               `json:"problem,omitempty"` // why it cannot be looked at: no programmer, wrong voltage
	State    provision.SlotState `json:"state"`
	Stopped  bool                `json:"stopped"` // three in a row
	Held     bool                `json:"held"`    // its FAIL waits to be acknowledged
	There    bool                `json:"there"`   // a board is in it
	Serial   string              `json:"serial"`  // of the unit that it is for, or whose result shows; "" for none
	UID      string              `json:"uid"`
	Said     *Said               `json:"said,omitempty"` // what was said of it last, until its state is another one
	Run      *Running            `json:"run,omitempty"`
	Result   *Result             `json:"result,omitempty"` // stays until the board is out, or the next one is scanned for it
}

// Result is how a run ended.
type Result struct {
	Outcome  ledger.Outcome `json:"outcome"`
	Already  bool           `json:"already"` // it had passed before
	Cause    string         `json:"cause"`
	Message  string         `json:"message"` // the engine's sentences, in English
	Next     string         `json:"next"`
	Run      string         `json:"run"`
	Code     string         `json:"code"` // CodeOf run, "" where there is none
	Duration int64          `json:"ms"`
	Report   bool           `json:"report"` // there is a PDF
	UID      string         `json:"-"`      // of the chip that it was made with, "" where it is not known
}

// ResultOf is a result of the engine as the wall shows it.
func ResultOf(r provision.Result) Result {
	return Result{Outcome: r.Outcome, Already: r.Already, Cause: r.Cause, Message: r.Message, Next: r.Next, Run: r.Run, Code: CodeOf(r.Run), Duration: r.Duration.Milliseconds(), UID: r.UID}
}

// tile is a Tile, and what it comes from. Its Run is nil: run has it.
type tile struct {
	Tile
	run    *running // under way
	ahead  bool     // the engine told of the run, and the line has not yet
	other  bool     // another board is in the slot than the one whose result shows
	had    bool     // since the result shows its board was in the slot, or its FAIL waited
	warned string   // of the run: what may be left on in the slot
	heard  ended    // the end of a run, or refusal, that was heard last; of none since the slot is for another

	told  time.Time // when a change was told last
	waits bool      // progress waits to be told
}

// ended names the end of a run.
type ended struct {
	serial, run string
	outcome     ledger.Outcome
}

// seen is what of a tile can be compared, to see whether it changed.
func (t *tile) seen() any {
	return struct {
		Tile
		run *running
	}{t.Tile, t.run}
}

// at is the tile as it shows at a time. times are how long steps take.
func (t *tile) at(now time.Time, times []time.Duration) Tile {
	out := t.Tile
	if t.run != nil {
		r := t.run.at(now, times)
		out.Run = &r
	}
	return out
}

// status takes what the line knows of the slot.
func (t *tile) status(s provision.SlotStatus, now time.Time) []Tone {
	var tones []Tone
	if s.Stopped && !t.Stopped {
		tones = append(tones, Attention)
	}
	was := t.State
	if s.State != was {
		t.Said = nil
	}
	t.State, t.Stopped, t.Held = s.State, s.Stopped, s.Held
	if s.State == Unwatched || s.State == provision.Unseen && !s.Held {
		t.run, t.ahead, t.had = nil, false, t.Result != nil // and where it is found empty, the result goes
		if t.State == Unwatched {
			t.There = s.There // as it was seen last, where somebody saw it
		}
		if t.Result == nil {
			t.Serial, t.heard = "", ended{}
		}
		return tones
	}
	if was == provision.Unseen && s.UID != t.UID && !s.Held {
		t.Result, t.heard = nil, ended{} // of another chip
	}
	t.There, t.UID = s.There, s.UID
	switch s.State {
	case provision.Scanned, provision.Armed:
		t.clear()
		t.Serial = s.Serial
	case provision.Running:
		if was != provision.Running && !t.ahead {
			t.begin(s.Serial, now)
		}
		t.ahead = false
		t.Serial = s.Serial
	default:
		t.run, t.ahead = nil, false
		t.had = t.had || s.There || s.Held
		t.other = t.exchanged(s)
		if t.other && s.Held {
			t.There = false // that of the FAIL is out
		} else if t.other {
			t.Result = nil
		}
		if t.Result != nil && t.had && !s.There && !s.Held && !unsure(t.Result) {
			t.Result = nil
		}
		switch {
		case t.Result != nil:
		case s.Held:
			t.Serial = s.Serial
		default:
			t.Serial = ""
		}
	}
	return tones
}

// exchanged tells whether another board is in the slot than the one whose result shows.
func (t *tile) exchanged(s provision.SlotStatus) bool {
	switch {
	case t.Result == nil || !s.There || s.UID == t.Result.UID:
		return false
	case s.UID == "" || t.Result.UID == "":
		return t.other // as when its chip was seen last
	}
	return true
}

// unsure tells whether a board whose chip is not seen any more may be in the slot all the same.
func unsure(r *Result) bool { return strings.HasPrefix(r.Cause, "contact-") || r.Cause == "fixture" }

// clear makes room for the next unit.
func (t *tile) clear() {
	t.run, t.ahead, t.Result, t.other, t.had, t.warned, t.heard = nil, false, nil, false, false, "", ended{}
}

// begin is the start of a run.
func (t *tile) begin(serial string, now time.Time) {
	t.clear()
	t.Serial, t.Said, t.run = serial, nil, newRunning(now)
}

// event takes what the engine tells of the slot.
func (t *tile) event(ev provision.Event, now time.Time) []Tone {
	if ev.Kind == provision.Ended {
		if t.run == nil || t.Serial != ev.Serial || ev.Result == nil {
			return nil // refused before the slot was looked at: whoever runs the line knows what to show
		}
		t.UID = ev.Result.UID
		return t.result(ev.Serial, ResultOf(*ev.Result), t.There)
	}
	if t.run == nil || t.Serial != ev.Serial {
		t.begin(ev.Serial, now)
		t.ahead = t.State != provision.Running
	}
	t.run.event(ev, now)
	switch ev.Kind {
	case provision.Warned:
		t.warned = ev.Title
		return []Tone{Attention}
	case provision.Reseat:
		return []Tone{Attention}
	}
	return nil
}

// result takes how a run ended. What comes late, when the slot is for another unit, is heard and not shown.
func (t *tile) result(serial string, r Result, there bool) []Tone {
	end := ended{serial, r.Run, r.Outcome}
	again := end == t.heard
	switch waits := t.State == provision.Scanned || t.State == provision.Armed; {
	case again && t.Result == nil:
		return nil // it was gone already
	case (waits || t.run != nil) && serial != t.Serial:
	default:
		if t.warned != "" {
			r.Message = strings.TrimSpace(r.Message + " " + t.warned)
		}
		t.run, t.Serial, t.Result, t.had = nil, serial, &r, there || again && t.had
		t.heard, t.other = end, again && t.other
	}
	if again {
		return nil
	}
	return []Tone{toneOfUnit[r.Outcome]}
}
