package kiosk

import (
	"cmp"
	"fmt"
	"strings"

	"station/ledger"
	"station/provision"
)

// part is what the moving parts of the wall are rendered from: templates "now", "open" and "tile".
type part struct {
	State State
	Role  Role // of whoever looks: what they may not do has no button
}

// look is a tile as it is drawn. It comes of the tile alone: it is sent again when that changes, and not when others do.
type look struct {
	Tile
	ID   string // of its element
	Face string // which of the faces in tile.html it has
	Role Role
}

// May tells whether whoever looks may do something.
func (p part) May(a Action) bool { return p.Role.May(a) }
func (l look) May(a Action) bool { return l.Role.May(a) }

// Looks are the tiles of the wall, the shorter rows filled up so that the slots stand below each other.
func (p part) Looks() [][]look {
	width := 0
	for _, row := range p.State.Rows {
		width = max(width, len(row))
	}
	looks := make([][]look, len(p.State.Rows))
	for y, row := range p.State.Rows {
		for x := range width {
			var t Tile
			if x < len(row) {
				t = row[x]
			}
			l := look{Tile: t, ID: fmt.Sprintf("tile-%d-%d", y, x), Face: faceOf(t), Role: p.Role}
			if l.Face == "open" {
				l.Serial = cmp.Or(l.Serial, t.Said.Facts["serial"])
			}
			looks[y] = append(looks[y], l)
		}
	}
	return looks
}

// Changed are the looks of these slots.
func (p part) Changed(slots map[string]bool) (changed []look) {
	for _, row := range p.Looks() {
		for _, l := range row {
			if slots[l.Slot] {
				changed = append(changed, l)
			}
		}
	}
	return changed
}

// Dense says how small the tiles get: "few", "some" or "many" of them in a row or in a column.
func (p part) Dense() string {
	width := 0
	for _, row := range p.State.Rows {
		width = max(width, len(row))
	}
	switch n := max(width, 2*len(p.State.Rows)); {
	case n <= 4:
		return "few"
	case n <= 6:
		return "some"
	}
	return "many"
}

func faceOf(t Tile) string {
	busy := t.State == provision.Scanned || t.State == provision.Armed || t.State == provision.Running && t.Run != nil // a run's end is heard of before the line knows it
	switch {
	case t.Slot == "":
		return "place"
	case t.Excluded:
		return "excluded"
	case t.Result != nil && !busy:
		return "result"
	case t.Problem != nil:
		return "problem"
	case t.State == provision.Running && t.Run != nil && t.Run.Phase == string(provision.Reseat):
		return "reseat"
	case t.State == provision.Occupied && t.Said != nil && t.Said.Word == provision.WordOpenHere:
		return "open"
	case t.State == provision.Free && t.Stopped:
		return "stopped"
	case leftIn(t):
		return "left"
	}
	return string(cmp.Or(t.State, Unwatched))
}

// longest is how many letters of a serial a tile shows at most.
const longest = 32

// lettersOf is the class of a serial's element, by how many letters it has.
func lettersOf(serial string) string {
	for _, n := range []int{10, 16, 22} {
		if len(serial) <= n {
			return fmt.Sprintf("n%d", n)
		}
	}
	return fmt.Sprintf("n%d", longest)
}

// ending is a serial as a tile shows it: where it is longer than fits, its end, which is where serials differ.
func ending(serial string) string {
	r := []rune(serial)
	if len(r) <= longest {
		return serial
	}
	return "…" + string(r[len(r)-longest+1:])
}

// short is the word of a result's cause, for tiles too small for its sentence. It is English; other catalogues have short sentences.
func short(lang string, r *Result) string {
	if lang != Languages[0] {
		return ""
	}
	return r.Cause
}

// what of a result: its cause in one sentence. English is what the catalogue says too; the engine's own sentence stands beside it, with its numbers.
func (t Text) what(r *Result) string {
	return t.first(r.Message, "cause."+r.Cause)
}

// detail is the engine's own sentence about a result, "" where it says no more than what does.
func (t Text) detail(r *Result) string {
	if strings.HasPrefix(r.Message, strings.TrimSuffix(t.what(r), ".")) {
		return ""
	}
	return r.Message
}

// why it is likely so, "" where nobody can say.
func (t Text) why(r *Result) string { return t.first("", "cause."+r.Cause+".why") }

// remedy is what to do about it. The engine's sentence is in English, and may name what the catalogues cannot.
func (t Text) remedy(lang string, r *Result) string {
	if lang == Languages[0] && r.Next != "" {
		return r.Next
	}
	return t.first(r.Next, "cause."+r.Cause+".do", "outcome."+string(r.Outcome)+".do")
}

// exactly is what the engine says is to be done, in English, where the page's language has but a general sentence.
func (t Text) exactly(lang string, r *Result) string {
	if lang == Languages[0] || t.Has("cause."+r.Cause+".do") {
		return ""
	}
	return r.Next
}

// nextNeeds is what whoever does a State.Next must be allowed. Who may not is told whom to call. What is not in it is for everybody.
var nextNeeds = map[string]Action{
	NextReseat: Scan, NextDecide: Scan, NextResume: Resume, NextResumeAll: Resume, NextBin: Acknowledge, NextTakeFail: Acknowledge, NextPutIn: Scan, NextValue: Scan,
	NextTakeOut: Scan, NextEmpty: Scan, NextScan: Scan, NextStopped: Release, NextJobFull: CloseJob, NextTakeBin: Scan, NextJobWaits: CloseJob, NextLeft: BeginJob, NextNoJob: BeginJob, NextOther: Scan, NextBroken: BeginJob, NextNoShift: BeginShift,
}

// due is the next thing to do, as it is said to whoever looks.
func (t Text) due(p part) string {
	s, needs := p.State.Next, nextNeeds[p.State.Next.Word]
	if needs == "" || p.May(needs) {
		return t.Said(&s)
	}
	if call := "said." + s.Word + ".call"; t.Has(call) {
		return fill(t[call], s.Facts)
	}
	return t.Say("next."+string(may[needs][0]), "next", t.Said(&s))
}

// other is what was said of a slot that is free, "" where that is but that it is.
func (t Text) other(s *Said) string {
	if s != nil && s.Word == provision.WordScanSerial {
		return ""
	}
	return t.Said(s)
}

// first is the sentence of the first of these keys that there is.
func (t Text) first(otherwise string, keys ...string) string {
	for _, key := range keys {
		if t.Has(key) {
			return t[key]
		}
	}
	return otherwise
}

// calls tells whether an outcome needs a person beyond taking the board out.
func calls(o ledger.Outcome) bool { return o != ledger.Pass && o != ledger.Trial }

// faceClass are the classes of a tile's element.
func faceClass(l look) string {
	class := []string{"tile", "face-" + l.Face}
	if l.Face == "result" {
		class = append(class, "is-"+strings.ToLower(string(l.Result.Outcome)))
	}
	return strings.Join(class, " ")
}
