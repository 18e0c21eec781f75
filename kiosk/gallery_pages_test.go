package kiosk

import (
	"fmt"
	"time"

	"station/ledger"
)

// besideGallery are the pages beside the wall as they are drawn.
func besideGallery() []picture {
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.Local)
	state := State{Station: "line-3", Simulated: true, Started: noon, Mirror: ledger.MirrorSecondDisk, Rows: [][]Tile{{{Slot: "1"}, {Slot: "2", Held: true, Serial: "GW-000118"}}, {{Slot: "3", Run: &Running{}, Serial: "GW-000123"}, {Slot: "4"}}}}
	checked := func(changes ...ledger.Check) *Shift {
		checks := []ledger.Check{
			{Name: "slot 1", OK: true, Text: "FT2232H channel A at 1-2.3 answers"}, {Name: "slot 2", OK: true, Text: "FT2232H channel B at 1-2.3 answers"}, {Name: "slot 3", OK: true, Text: "FT232H at 1-2.4 answers"},
			{Name: "slot 4", OK: true, Text: "SF600 at 1-3 answers"}, {Name: "mirror", OK: true, Text: "on a second disk, whole"}, {Name: "checkpoint", OK: true, Text: "over 11 873 entries, 4 minutes old"}, {Name: "disk", OK: true, Text: "212 GiB free"}}
		for _, c := range changes {
			for i := range checks {
				if checks[i].Name == c.Name {
					checks[i] = c
				}
			}
		}
		return &Shift{By: "op-7", Begun: at, Checks: checks}
	}
	begun, wrong := state, state
	begun.Shift, begun.Rows = checked(), nil
	wrong.Shift = checked(ledger.Check{Name: "slot 3", Text: "no programmer is at USB port 1-2.4"}, ledger.Check{Name: "mirror", Text: "it cannot be reached: permanent steps wait for it"})
	wrong.Rows = [][]Tile{state.Rows[0], {state.Rows[1][0], {Slot: "4", State: Unwatched, There: true}}}
	wrong.Open = []Open{{Serial: "GW-000115", Slot: "1", Here: "1", Since: at}, {Serial: "GW-000098", Slot: "4", Since: at.Add(-26 * time.Hour)}}
	job := &Job{Recipe: bootRecipe, File: "gateway-boot.yaml", Quantity: 250, By: "sv-2", Begun: at, Passed: 87, Failed: 2, Other: 1}
	files := []RecipeFile{
		{File: "gateway-boot.yaml", Recipe: bootRecipe, Parts: []string{"MT25QL256ABA", "MT25QL128ABA"}, Steps: 9, Oneway: []string{"password"}},
		{File: "locked-boot.yaml", Recipe: ledger.Recipe{ID: "locked-boot", Version: 1, Title: "Locked boot flash"}, Parts: []string{"MT25QL128ABA"}, Steps: 4},
		{File: "signed-boot.yaml", Recipe: ledger.Recipe{ID: "signed-boot", Version: 2, Title: "Signed boot flash", Released: true}, Parts: []string{"MT25QL256ABA"}, Steps: 12, Oneway: []string{"root_key", "relay"}},
		{File: "gateway-old.yaml", Problem: "gateway-old.yaml:7:10: region boot: images/boot.bin: no such file\n  7 |   image: images/boot.bin\n    |          ^"},
	}
	var rows []UnitRow
	for i, o := range []ledger.Outcome{ledger.Pass, ledger.Pass, ledger.Fail, ledger.Pass, ledger.Interrupted, ledger.Error, ledger.Refused, ledger.Pass, ledger.Aborted, ledger.Trial, ledger.Pass, ledger.Pass, ledger.Pass} {
		run := fmt.Sprintf("%08x%08x", uint32(2654435761*(i+11)), i)
		rows = append(rows, UnitRow{Serial: fmt.Sprintf("GW-%06d", 131-i), Outcome: o, Recipe: bootRecipe, UID: fmt.Sprintf("8C1F00A7B3D24E5566F0911A%04X", 40503*(i+3)&0xFFFF), Slot: fmt.Sprint(i%4 + 1), Operator: "op-7", Run: run, Code: CodeOf(run),
			Rework: i == 2, Time: at.Add(-time.Duration(i*47) * time.Second)})
	}
	rows[4].Closed = ledger.Scrapped
	rows[2].Cause, rows[4].Cause, rows[5].Cause, rows[6].Cause, rows[8].Cause = "verify-mismatch", "password-torn", "contact-absent", "values-differ", "aborted"
	proof := func(n int) Proof {
		return Proof{Entries: n, Proven: n, Size: 11873, Root: "uB4qVb1kAAYg1eF0Q9yqk3gC6oS0d3m4T6C2ZbN0y2E=", Signer: "station/line-3+8f2a11c0+AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcdefg="}
	}
	unit := func(a *account, p Proof) unitView {
		return newUnitView("GW-004711", ledger.Runs(a.records), a.permits, p, everything)
	}
	stuck := interruptedUnit()
	stuck.add(ledger.RunStuck{Run: runOne, Serial: "GW-004711", Cause: "password-torn", Message: "The chip holds a password that was only half written.", Next: "Put the board aside: a person has to decide."})
	altered := proof(10)
	altered.Proven, altered.Problem = 0, "entry 104 is not the one that was signed"
	people := []Person{{ID: "ad-1", Name: "Grace Lindqvist", Role: Admin, PIN: true}, {ID: "op-7", Name: "王小明", Role: Operator, Badge: true}, {ID: "op-9", Name: "Ada Okafor", Role: Operator, PIN: true, Badge: true, Locked: time.Now().Add(time.Hour)},
		{ID: "qa-4", Name: "Ravi Menon", Role: Auditor, PIN: true}, {ID: "sv-2", Name: "Katarina Novak", Role: Supervisor, PIN: true, Badge: true}}
	users := func(chosen string) usersView { return newUsersView(people, "ad-1", chosen, time.Now(), everything) }
	slots := [][]Tile{{{Slot: "1"}, {Slot: "2"}}, {{Slot: "3"}, {Slot: "4"}}}

	return []picture{
		{name: "units", page: "units", state: state, data: unitsView{"", rows, "", "x"}},
		{name: "units-none", page: "units", state: state, data: unitsView{"GW-9", nil, "", ""}},
		{name: "unit-pass", page: "unit", state: state, data: unit(passedUnit(), proof(10))},
		{name: "unit-fail", page: "unit", state: state, data: unit(reworkedUnit(), proof(6))},
		{name: "unit-interrupted", page: "unit", state: state, data: unit(stuck, proof(3))},
		{name: "unit-altered", page: "unit", state: state, data: unit(passedUnit(), altered)},
		{name: "unit-unknown", page: "unit", state: state, data: unitView{Serial: "GW-009999"}},
		{name: "jobs", page: "jobs", state: state, data: newJobsView(files, nil, everything)},
		{name: "jobs-open", page: "jobs", state: state, data: newJobsView(files, job, everything)},
		{name: "cards", page: "cards", state: state, data: newCardsView(slots, files, "gateway-boot.yaml", 250)},
		{name: "shift-none", page: "shift", state: state, data: newShiftView(State{}, everything)},
		{name: "shift-begun", page: "shift", state: state, data: newShiftView(begun, everything)},
		{name: "shift-end", page: "shift", state: state, data: newShiftView(wrong, everything)},
		{name: "users", page: "users", state: state, role: Admin, data: users("")},
		{name: "users-change", page: "users", state: state, role: Admin, data: users("op-9")},
	}
}
