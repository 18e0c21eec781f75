package kiosk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

// account makes the records of one unit.
type account struct {
	records []ledger.Record
	permits []ledger.Record
	at      time.Time
}

func newAccount() *account { return &account{at: time.Date(2026, 11, 26, 9, 30, 0, 0, time.UTC)} }

// add takes bodies in, as a store hands them out; an entry comes when what it tells of is over.
func (a *account) add(bodies ...ledger.Body) {
	for _, b := range bodies {
		a.at = a.at.Add(20 * time.Millisecond)
		if step, ok := b.(ledger.RunStep); ok {
			a.at = a.at.Add(time.Duration(step.Duration) * time.Millisecond)
		}
		rec := ledger.Record{Index: int64(100 + len(a.records) + len(a.permits)), Entry: ledger.Entry{Station: "line-3", Time: a.at, Body: b}}
		switch b.(type) {
		case ledger.ReworkPermit, ledger.ReworkWithdrawn:
			a.permits = append(a.permits, rec)
		default:
			a.records = append(a.records, rec)
		}
	}
}

func (a *account) view(may func(Action) bool) unitView {
	return newUnitView("GW-004711", ledger.Runs(a.records), a.permits, Proof{}, may)
}

const runOne, runTwo = "5d0c8a1be2f94763", "77aa01020304aabb"

var (
	bootRecipe = ledger.Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash", Digest: "sha256:" + strings.Repeat("ab", 32), Released: true}
	bootChip   = ledger.Chip{ID: "20ba20104400", UID: "8c1f00a7b3d24e5566f0911a2b3c"}
)

func startOf(run string) ledger.RunStart {
	return ledger.RunStart{Run: run, Serial: "GW-004711", Slot: "3", Operator: "op-17", Authenticated: true, Fixture: "FT2232H channel A at 1-2.3", Software: "station 1.0.0",
		Recipe: bootRecipe, Part: ledger.Part{Name: "MT25QL256ABA"}, Chip: bootChip, Mirror: ledger.MirrorSecondDisk,
		Values: []ledger.Fact{{Name: "mac", Value: "020000000401"}}}
}

func stepOf(run string, n int, title string, result ledger.Result, ms int64, permanent bool) ledger.RunStep {
	proof := "read back"
	if result == ledger.Failed {
		proof = ""
	}
	return ledger.RunStep{Run: run, Serial: "GW-004711", N: n, Of: 4, Step: "write", Title: title, Result: result, Proof: proof, Duration: ms, Permanent: permanent,
		Facts: []ledger.Fact{{Name: "erased", Value: "64 sectors"}}}
}

func endOf(run string, o ledger.Outcome, cause string) ledger.RunEnd {
	e := ledger.RunEnd{Run: run, Serial: "GW-004711", Slot: "3", Operator: "op-17", Authenticated: true, Recipe: bootRecipe, Chip: &bootChip, Outcome: o, Cause: cause, Touched: true, Duration: 40930}
	if o != ledger.Pass {
		e.Message, e.Next = "The chip does not hold what was written: 1 byte differs at 0x0040F3A0, and still did when read again.", "Put the board into the reject bin."
	}
	return e
}

// passedUnit passes in its first run, permanent step and all.
func passedUnit() *account {
	a := newAccount()
	a.add(startOf(runOne), stepOf(runOne, 1, "write boot (4 MiB)", ledger.Done, 9412, false), stepOf(runOne, 2, "write app (12 MiB)", ledger.Already, 3012, false),
		ledger.PasswordIntent{Run: runOne, Serial: "GW-004711", Escrow: ledger.Sealed{ID: "00112233aabbccdd", Recipients: []ledger.Recipient{{Group: "audit"}, {Group: "audit"}, {Group: "backup"}}}},
		ledger.PasswordProven{Run: runOne, Serial: "GW-004711", Escrow: "00112233aabbccdd"},
		ledger.ModeIntent{Run: runOne, Serial: "GW-004711", Mode: ledger.PasswordMode}, ledger.ModeProven{Run: runOne, Serial: "GW-004711", Mode: ledger.PasswordMode, Grade: "unlock exercised"},
		stepOf(runOne, 3, "set the password and switch password mode on", ledger.Done, 55, true), stepOf(runOne, 4, "check locks", ledger.Confirmed, 44, false), endOf(runOne, ledger.Pass, ""))
	return a
}

// interruptedUnit broke off behind its first step.
func interruptedUnit() *account {
	a := newAccount()
	a.add(startOf(runOne), stepOf(runOne, 1, "write boot (4 MiB)", ledger.Done, 9412, false))
	return a
}

// reworkedUnit failed, may be run once more, and is refused when it is scanned with another recipe.
func reworkedUnit() *account {
	a := newAccount()
	refused := endOf(runTwo, ledger.Refused, "failed-before")
	refused.Touched = false
	a.add(startOf(runOne), stepOf(runOne, 1, "write boot (4 MiB)", ledger.Done, 9412, false), stepOf(runOne, 2, "write app (12 MiB)", ledger.Failed, 30120, false),
		endOf(runOne, ledger.Fail, "verify-mismatch"), refused,
		ledger.ReworkPermit{Serial: "GW-004711", Reason: "socket was dirty", By: "sv-2", Authenticated: true, Chip: ledger.SameChip, UID: bootChip.UID})
	return a
}

func everything(Action) bool { return true }
func nothing(Action) bool    { return false }

func TestUnitView(t *testing.T) {
	t.Parallel()
	closed := interruptedUnit()
	closed.add(ledger.UnitClose{Run: runOne, Serial: "GW-004711", As: ledger.Scrapped, Reason: "foreign password", By: "sv-2"})
	stuck := interruptedUnit()
	stuck.add(ledger.RunStuck{Run: runOne, Serial: "GW-004711", Cause: "password-foreign", Message: "The chip has a password.", Next: "Call a supervisor."})
	resumed := interruptedUnit()
	resumed.add(ledger.RunStuck{Run: runOne, Serial: "GW-004711", Cause: "password-foreign"}, ledger.RunResume{Run: runOne, Serial: "GW-004711", Slot: "1", Operator: "op-9", Authenticated: true})
	withdrawn := reworkedUnit()
	withdrawn.add(ledger.ReworkWithdrawn{Serial: "GW-004711", Permit: withdrawn.permits[0].Index, Reason: "no", By: "sv-2"})
	for name, c := range map[string]struct {
		unit                   *account
		outcome                ledger.Outcome
		cause, closed, slot    string
		steps                  int
		close, permit, allowed bool
	}{
		"passed":      {passedUnit(), ledger.Pass, "", "", "3", 4, false, true, false},
		"interrupted": {interruptedUnit(), ledger.Interrupted, "", "", "3", 1, true, false, false},
		"stuck":       {stuck, ledger.Interrupted, "password-foreign", "", "3", 1, true, false, false},
		"resumed":     {resumed, ledger.Interrupted, "", "", "1", 1, true, false, false},
		"closed":      {closed, ledger.Interrupted, "", "scrapped", "3", 1, false, true, false},
		"to rework":   {reworkedUnit(), ledger.Fail, "verify-mismatch", "", "3", 1, false, false, true},
		"withdrawn":   {withdrawn, ledger.Fail, "verify-mismatch", "", "3", 1, false, true, false},
	} {
		v, cause := c.unit.view(everything), ""
		if v.Result != nil {
			cause = v.Result.Cause
		}
		if v.Outcome != c.outcome || cause != c.cause || v.Closed != c.closed || v.Slot != c.slot || v.Steps != c.steps || v.CanClose != c.close || v.CanPermit != c.permit || (v.Permit != nil) != c.allowed {
			t.Errorf("%s: %+v", name, v)
		}
		if v.Ended.IsZero() != c.close {
			t.Errorf("%s: ended %s", name, v.Ended)
		}
		if v.Run != runOne || v.Code != "5d0c8a1b" || v.UID != bootChip.UID || v.Operator != "op-17" || v.Part != "MT25QL256ABA" {
			t.Errorf("%s: %+v", name, v)
		}
		if v := c.unit.view(nothing); v.CanClose || v.CanPermit {
			t.Errorf("%s: offered to who may not", name)
		}
	}
}

// A unit that was only refused has no report of a run that touched it, and needs no rework.
func TestUnitViewOfRefused(t *testing.T) {
	t.Parallel()
	a := newAccount()
	e := endOf(runOne, ledger.Refused, "wrong-part")
	e.Chip = nil
	a.add(e)
	if v := a.view(everything); v.Outcome != ledger.Refused || v.UID != "" || v.CanPermit || v.CanClose || v.Run != runOne || v.Operator != "op-17" {
		t.Errorf("%+v", v)
	}
	if v := newAccount().view(everything); v.Outcome != "" || v.CanPermit || v.Chapters != nil {
		t.Errorf("of nothing: %+v", v)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	a := reworkedUnit()
	chapters := timeline(ledger.Runs(a.records), a.permits)
	var got []string
	for _, c := range chapters {
		got = append(got, fmt.Sprintf("%s %s %d..%d", c.Code, c.Outcome, c.From, c.To))
	}
	if want := []string{"  105..105", "77aa0102 REFUSED 104..104", "5d0c8a1b FAIL 100..103"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if chapters[0].Run != nil || chapters[0].Moments[0].Facts["who"] != "sv-2" || chapters[0].Moments[0].Text != "socket was dirty" {
		t.Errorf("permission: %+v", chapters[0])
	}

	got = nil
	for _, m := range timeline(ledger.Runs(passedUnit().records), nil)[0].Moments {
		got = append(got, fmt.Sprintf("%s|%s|%s|%v|%s", m.Word, m.Step, m.Tone, m.Permanent, m.Facts["groups"]))
	}
	want := []string{"run.start|||false|", "run.step|1/4|good|false|", "run.step|2/4|good|false|", "password.intent|||true|audit, backup", "password.proven||good|false|",
		"mode.intent.password|||true|", "mode.proven.password||good|false|", "run.step|3/4|good|true|", "run.step|4/4|good|false|", "run.end||good|false|"}
	if !slices.Equal(got, want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	start := timeline(ledger.Runs(passedUnit().records), nil)[0].Moments[0]
	if !slices.Contains(start.Details, ledger.Fact{Name: "mac", Value: "020000000401"}) || !slices.Contains(start.Details, ledger.Fact{Name: "recipe", Value: "gateway-boot 3"}) || start.Facts["slot"] != "3" {
		t.Errorf("%+v", start)
	}
	failed := chapters[2].Moments
	if m := failed[2]; m.Tone != "bad" || m.Proof != "" || m.Result != ledger.Failed || m.Took != 30120*time.Millisecond {
		t.Errorf("%+v", m)
	}
	if m := failed[3]; m.Tone != "bad" || m.Outcome != ledger.Fail || !slices.Contains(m.Details, ledger.Fact{Name: "cause", Value: "verify-mismatch"}) || m.Next == "" {
		t.Errorf("%+v", m)
	}
}

// entryWords are the words of moments, which the catalogues have under units.entry, but for steps, which have titles.
var entryWords = []string{
	ledger.KindRunStart, ledger.KindRunResume, ledger.KindRunStop, ledger.KindRunStuck, ledger.KindRunEnd,
	ledger.KindUnitClose + "." + ledger.Scrapped, ledger.KindUnitClose + "." + ledger.Lost,
	ledger.KindReworkPermit + "." + ledger.SameChip, ledger.KindReworkPermit + "." + ledger.NewChip, ledger.KindReworkWithdrawn,
	ledger.KindPasswordIntent, ledger.KindPasswordVoid, ledger.KindPasswordProven, ledger.KindPasswordOpened,
	ledger.KindModeIntent + "." + ledger.PasswordMode, ledger.KindModeIntent + "." + ledger.PersistentMode,
	ledger.KindModeProven + "." + ledger.PasswordMode, ledger.KindModeProven + "." + ledger.PersistentMode, ledger.KindLocksErased,
	ledger.KindRootKeyIntent, ledger.KindRootKeyVoid, ledger.KindRootKeyProven, ledger.KindPermanentIntent, ledger.KindRelayIntent, ledger.KindRelayAnswer, "other",
}

// What an entry of a unit may be has words of its own in the timeline. An entry that this version does not know is named by its kind.
func TestEveryEntryHasAMoment(t *testing.T) {
	t.Parallel()
	had := map[string]bool{}
	for _, b := range []ledger.Body{
		ledger.RunStart{}, ledger.RunResume{}, ledger.RunStop{}, ledger.RunStuck{}, ledger.RunEnd{}, ledger.UnitClose{As: ledger.Scrapped}, ledger.UnitClose{As: ledger.Lost},
		ledger.ReworkPermit{Chip: ledger.SameChip}, ledger.ReworkPermit{Chip: ledger.NewChip}, ledger.ReworkWithdrawn{},
		ledger.PasswordIntent{}, ledger.PasswordVoid{}, ledger.PasswordProven{}, ledger.PasswordOpened{}, ledger.LocksErased{},
		ledger.ModeIntent{Mode: ledger.PasswordMode}, ledger.ModeIntent{Mode: ledger.PersistentMode}, ledger.ModeProven{Mode: ledger.PasswordMode}, ledger.ModeProven{Mode: ledger.PersistentMode},
		ledger.RootKeyIntent{}, ledger.RootKeyVoid{}, ledger.RootKeyProven{}, ledger.PermanentIntent{}, ledger.RelayIntent{}, ledger.RelayAnswer{}, ledger.Other{Name: "run.polished"},
	} {
		m := momentOf(ledger.Record{Entry: ledger.Entry{Body: b}})
		if had[m.Word] = true; !slices.Contains(entryWords, m.Word) {
			t.Errorf("%T: word %q", b, m.Word)
		}
	}
	for _, word := range entryWords {
		if !had[word] {
			t.Errorf("%q is no entry's", word)
		}
		for lang, text := range readTexts() {
			if !text.Has("units.entry." + word) {
				t.Errorf("%s has no words for %q", lang, word)
			}
		}
	}
	if m := momentOf(ledger.Record{Entry: ledger.Entry{Body: ledger.Other{Name: "run.polished"}}}); m.Word != "other" || m.Facts["kind"] != "run.polished" {
		t.Errorf("%+v", m)
	}
}

// Where nobody checked who decided or ran the unit, the page says so, in its timeline, beside the operator and beside the permission; where somebody did, it does not.
func TestUncheckedPeople(t *testing.T) {
	t.Parallel()
	for _, checked := range []bool{true, false} {
		a := newAccount()
		start := startOf(runOne)
		start.Authenticated = checked
		a.add(start, ledger.RunResume{Run: runOne, Serial: "GW-004711", Slot: "3", Operator: "op-17", Authenticated: checked},
			ledger.UnitClose{Run: runOne, Serial: "GW-004711", As: ledger.Scrapped, By: "sv-2", Authenticated: checked},
			ledger.ReworkPermit{Serial: "GW-004711", By: "sv-2", Chip: ledger.SameChip, Authenticated: checked})
		a.add(ledger.ReworkWithdrawn{Serial: "GW-004711", By: "sv-2", Permit: a.permits[0].Index, Authenticated: checked},
			ledger.ReworkPermit{Serial: "GW-004711", By: "sv-2", Chip: ledger.SameChip, Authenticated: checked})
		end := endOf(runTwo, ledger.Fail, "verify-mismatch")
		end.Authenticated = checked
		a.add(end)
		want := 8 // two operators and the one of the run that is told of, four decisions, and the permission that is unused
		if checked {
			want = 0
		}
		if html := newPages(Options{}).seen(t, "en", "unit", Auditor, a.view(everything)); strings.Count(html, "not checked") != want {
			t.Errorf("checked %v: said %d times, want %d", checked, strings.Count(html, "not checked"), want)
		}
	}
}
