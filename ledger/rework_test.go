package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// reworkBodies go on behind secretBodies: the unit is reworked on its own chip, then on a new one.
func reworkBodies() []Body {
	const first, second, serial, uid = "00112233445566bb", "00112233445566cc", "GW-000002", "1102030405060708090a0b0c0d0e"
	again := secretBodies()[0].(RunStart)
	again.Run, again.Permit = first, 22
	swapped := again
	swapped.Run, swapped.Permit, swapped.Chip.UID, swapped.Retires = second, 27, "2102030405060708090a0b0c0d0e", uid
	return []Body{
		ReworkPermit{serial, "closed by mistake", "op-80", false, SameChip, uid, "age1qqqq"},
		again,
		PasswordOpened{first, serial, uid, "000000000000000d"},
		LocksErased{first, serial, uid, []Range{{0, 4 << 20}}, []Range{}},
		RunEnd{Run: first, Serial: serial, Slot: "1", Operator: "op-7f", Software: "station 1.0", Recipe: again.Recipe, Chip: &again.Chip, Outcome: Fail,
			Cause: "verify-mismatch", Message: "Verify failed at 0x000000.", Next: "Put the board into the reject bin.", Touched: true, Duration: 9, Proven: []RegionProof{}, Freeze: "none"},
		ReworkPermit{serial, "chip replaced", "op-80", false, NewChip, uid, ""},
		swapped,
		UnitClose{second, serial, Lost, "given up", "op-80", false},
		ReworkPermit{serial, "found again", "op-80", false, SameChip, swapped.Chip.UID, ""},
		ReworkWithdrawn{serial, 30, "its chip is dead", "op-80", false},
	}
}

// What holds across the runs of one serial or chip: in each row the entry numbered bad may not stand there; -1 where all may.
func TestReworkGrammar(t *testing.T) {
	const at = 10 // index of the first entry of each row
	permit := func(serial, chip, uid string) ReworkPermit {
		return ReworkPermit{serial, "r", "p", false, chip, uid, ""}
	}
	start := func(serial, uid string, permit int64, retires string) RunStart {
		return RunStart{Run: secretRun, Serial: serial, Chip: Chip{UID: uid}, Permit: permit, Retires: retires}
	}
	withdraw := func(serial string, permit int64) ReworkWithdrawn {
		return ReworkWithdrawn{serial, permit, "r", "p", false}
	}
	for name, c := range map[string]struct {
		bodies []Body
		bad    int
	}{
		"same chip":               {[]Body{permit("S", SameChip, "u"), start("S", "u", at, "")}, -1},
		"new chip":                {[]Body{permit("S", NewChip, "u"), start("S", "v", at, "u")}, -1},
		"one after the other":     {[]Body{permit("S", SameChip, "u"), start("S", "u", at, ""), permit("S", NewChip, "u"), start("S", "v", at+2, "u")}, -1},
		"of two units":            {[]Body{permit("S", SameChip, "u"), permit("T", SameChip, "v"), start("T", "v", at+1, ""), start("S", "u", at, "")}, -1},
		"two at once":             {[]Body{permit("S", SameChip, "u"), permit("S", NewChip, "u")}, 1},
		"used twice":              {[]Body{permit("S", SameChip, "u"), start("S", "u", at, ""), start("S", "u", at, "")}, 2},
		"of another unit":         {[]Body{permit("S", SameChip, "u"), start("T", "u", at, "")}, 1},
		"not quoted":              {[]Body{permit("S", SameChip, "u"), start("S", "u", 0, "")}, 1},
		"another index":           {[]Body{permit("S", SameChip, "u"), start("S", "u", at+1, "")}, 1},
		"without a permission":    {[]Body{start("S", "u", at, "")}, 0},
		"another chip":            {[]Body{permit("S", SameChip, "u"), start("S", "v", at, "")}, 1},
		"same chip and retired":   {[]Body{permit("S", SameChip, "u"), start("S", "u", at, "u")}, 1},
		"new chip is the old":     {[]Body{permit("S", NewChip, "u"), start("S", "u", at, "u")}, 1},
		"nothing retired":         {[]Body{permit("S", NewChip, "u"), start("S", "v", at, "")}, 1},
		"another one retired":     {[]Body{permit("S", NewChip, "u"), start("S", "v", at, "w")}, 1},
		"retired without a leave": {[]Body{start("S", "v", 0, "u")}, 0},
		"the retired one again":   {[]Body{permit("S", NewChip, "u"), start("S", "v", at, "u"), start("S", "u", 0, "")}, 2},
		"retired, another serial": {[]Body{permit("S", NewChip, "u"), start("S", "v", at, "u"), start("T", "u", 0, "")}, 2},
		"withdrawn":               {[]Body{permit("S", SameChip, "u"), withdraw("S", at), permit("S", NewChip, "u"), start("S", "v", at+2, "u")}, -1},
		"withdrawn, then used":    {[]Body{permit("S", SameChip, "u"), withdraw("S", at), start("S", "u", at, "")}, 2},
		"withdrawn twice":         {[]Body{permit("S", SameChip, "u"), withdraw("S", at), withdraw("S", at)}, 2},
		"used, then withdrawn":    {[]Body{permit("S", SameChip, "u"), start("S", "u", at, ""), withdraw("S", at)}, 2},
		"another one withdrawn":   {[]Body{permit("S", SameChip, "u"), withdraw("S", at+1)}, 1},
		"of another unit, gone":   {[]Body{permit("S", SameChip, "u"), withdraw("T", at)}, 1},
		"withdrawn for nothing":   {[]Body{permit("S", SameChip, "u"), ReworkWithdrawn{"S", at, "", "p", false}}, 1},
		"withdrawn by nobody":     {[]Body{permit("S", SameChip, "u"), ReworkWithdrawn{"S", at, "r", "", false}}, 1},
		"some other kind of chip": {[]Body{permit("S", "spare", "u")}, 0},
		"no reason":               {[]Body{ReworkPermit{"S", "", "p", false, SameChip, "u", ""}}, 0},
		"no person":               {[]Body{ReworkPermit{"S", "r", "", false, SameChip, "u", ""}}, 0},
		"no chip":                 {[]Body{permit("S", SameChip, "")}, 0},
		"no unit":                 {[]Body{permit("", SameChip, "u")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var r Reworks
			for i, b := range c.bodies {
				err := r.After(Record{Index: int64(at + i), Entry: Entry{Body: b}})
				if (i == c.bad) != errors.Is(err, ErrGrammar) || i != c.bad && err != nil {
					t.Fatalf("entry %d: %v", i, err)
				}
				if i == c.bad {
					return
				}
			}
		})
	}
	// Within a run.
	again := RunStart{Run: secretRun, Serial: "S", Chip: Chip{UID: "u"}, Permit: 3}
	opened, erased := PasswordOpened{secretRun, "S", "u", sealedAs("000000000000000c").ID}, LocksErased{Run: secretRun, Serial: "S", UID: "u"}
	walkRun(t, []Body{again, opened, erased, opened}, -1)
	plain := again
	plain.Permit = 0
	walkRun(t, []Body{plain, opened}, 1)
	walkRun(t, []Body{plain, erased}, 1)
	walkRun(t, []Body{again, PasswordOpened{secretRun, "S", "v", opened.Escrow}}, 1)
	walkRun(t, []Body{again, PasswordOpened{secretRun, "S", "u", ""}}, 1)
	walkRun(t, []Body{again, LocksErased{Run: secretRun, Serial: "S", UID: "v"}}, 1)
}

// A whole ledger in which a permission, or what uses it, is missing or another one is found at its place.
func TestVerifyFindsBadRework(t *testing.T) {
	const from = 22
	for name, change := range map[string]func(bodies []Body) []Body{
		"the permission is gone": func(b []Body) []Body { return slices.Delete(b, from, from+1) },
		"it was used before": func(b []Body) []Body {
			again := b[from+1].(RunStart)
			again.Run = "00112233445566dd"
			return append(b[:from+5], again)
		},
		"the retired chip is back": func(b []Body) []Body {
			back := b[from+1].(RunStart)
			back.Run, back.Serial, back.Permit = "00112233445566dd", "GW-000003", 0
			return append(b, back)
		},
	} {
		bodies := change(allBodies())
		r := verify(t, newBook(t, bodies, int64(len(bodies))))
		if len(r.Findings) != 1 || r.Findings[0].From < from || !strings.Contains(r.Findings[0].What, ErrGrammar.Error()) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	var records []Record
	for i, b := range reworkBodies() {
		records = append(records, Record{Index: int64(22 + i), Entry: Entry{Body: b}})
	}
	if p := Permissions(records); len(p) != 3 || p[2].Withdrawn == nil || p[1].Withdrawn != nil || Unused(Runs(records), p) != nil || Unused(Runs(records), p[:2]) != nil || Unused(nil, p[:1]) != &p[0] {
		t.Errorf("%+v", p)
	}
	if p := Permissions([]Record{{Index: 22, Entry: Entry{Body: reworkBodies()[0]}}, {Index: 23, Entry: Entry{Body: reworkBodies()[1]}}}); len(p) != 1 || p[0].Index != 22 || fmt.Sprint(p[0].ReworkPermit) != fmt.Sprint(reworkBodies()[0]) {
		t.Errorf("%+v", p)
	}
}
