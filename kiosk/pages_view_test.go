package kiosk

import (
	"errors"
	"fmt"
	"html"
	"html/template"
	"image"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"station/ledger"
	"station/provision"
)

// may lets whoever looks do these, and nothing else.
func mayOnly(actions ...Action) func(Action) bool {
	return func(a Action) bool { return slices.Contains(actions, a) }
}

func TestJobsView(t *testing.T) {
	t.Parallel()
	recipe := func(id string, version int) ledger.Recipe { return ledger.Recipe{ID: id, Version: version} }
	files := []RecipeFile{
		{File: "z.yaml", Problem: "z.yaml:3:1: no steps"}, {File: "b1.yaml", Recipe: recipe("b", 1)}, {File: "b2.yaml", Recipe: recipe("b", 2)},
		{File: "a.yaml", Recipe: recipe("a", 7)}, {File: "c.yaml", Problem: "c.yaml: no such part"},
	}
	names := func(files []RecipeFile) (out []string) {
		for _, f := range files {
			out = append(out, f.File)
		}
		return out
	}
	v := newJobsView(files, nil, everything)
	if got, want := names(v.Good), []string{"a.yaml", "b2.yaml", "b1.yaml"}; !slices.Equal(got, want) {
		t.Errorf("good %q, want %q", got, want)
	}
	if got, want := names(v.Bad), []string{"c.yaml", "z.yaml"}; !slices.Equal(got, want) {
		t.Errorf("bad %q, want %q", got, want)
	}
	job := &Job{File: "a.yaml"}
	for i, c := range []struct {
		job          *Job
		may          func(Action) bool
		begin, close bool
	}{
		{nil, everything, true, false}, {job, everything, false, true}, {nil, mayOnly(CloseJob), false, false}, {job, mayOnly(BeginJob), false, false}, {job, nothing, false, false},
	} {
		if v := newJobsView(files, c.job, c.may); v.CanBegin != c.begin || v.CanClose != c.close {
			t.Errorf("case %d: begin %v, close %v", i, v.CanBegin, v.CanClose)
		}
	}
}

func TestShiftView(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	s := State{
		Shift: &Shift{By: "op-17", Begun: since, Checks: []ledger.Check{{Name: "slot left", OK: true, Text: "empty"}, {Name: "mirror", OK: false, Text: ledger.MirrorAway}, {Name: "weather", OK: false}}},
		Rows: [][]Tile{{{Slot: "1", Serial: "GW-1", Run: &Running{}}, {Slot: "2", Serial: "GW-2", Held: true, Result: &Result{Outcome: ledger.Fail}}},
			{{}, {Slot: "3", Serial: "GW-3", Result: &Result{Outcome: ledger.Pass}}},
			{{Slot: "4", Serial: "GW-6", There: true, Result: &Result{Outcome: ledger.Pass}}, {Slot: "5", State: Unwatched, There: true}, {Slot: "6", There: true}}},
		Open: []Open{{Serial: "GW-4", Slot: "3", Since: since}, {Serial: "GW-5", Slot: "1", Here: "2", Person: &Said{Word: "foreign"}}, {Serial: "GW-7", Slot: "6", Here: "6"}},
	}
	v := newShiftView(s, everything)
	var checks, left []string
	for _, c := range v.Checks {
		checks = append(checks, c.Word+"/"+c.Slot+"/"+c.Found)
	}
	for _, u := range v.Left {
		left = append(left, fmt.Sprintf("%s %s %s %s %v %v", u.Word, u.Outcome, u.Serial, u.Slot, u.Person != nil, u.CanAcknowledge))
	}
	if want := []string{"slot/left/empty", "mirror//away", "//"}; !slices.Equal(checks, want) || v.Wrong != 2 {
		t.Errorf("%q, %d wrong, want %q", checks, v.Wrong, want)
	}
	if want := []string{"held FAIL GW-2 2 false true", "since INTERRUPTED GW-4 3 false false", "here INTERRUPTED GW-5 2 true false", "here INTERRUPTED GW-7 6 false false", "board PASS GW-6 4 false false", "board   5 false false", "running  GW-1 1 false false"}; !slices.Equal(left, want) {
		t.Errorf("%q, want %q", left, want)
	}
	if !v.CanBegin || !v.CanEnd {
		t.Errorf("begin %v, end %v", v.CanBegin, v.CanEnd)
	}
	if v := newShiftView(s, nothing); v.CanBegin || v.CanEnd || v.Left[0].CanAcknowledge {
		t.Errorf("offered to who may not: %+v", v)
	}
	if v := newShiftView(State{}, everything); v.CanEnd || !v.CanBegin || v.Left != nil {
		t.Errorf("of nothing: %+v", v)
	}
}

// What a check is called and what it found has its words, where it is one of those that the catalogues have.
func TestCheckWords(t *testing.T) {
	t.Parallel()
	for lang, text := range readTexts() {
		for _, word := range checkWords {
			if !text.Has("shift.check." + word) {
				t.Errorf("%s has no shift.check.%s", lang, word)
			}
		}
		for _, word := range foundWords {
			if !text.Has("shift.found." + word) {
				t.Errorf("%s has no shift.found.%s", lang, word)
			}
		}
	}
}

func TestUsersView(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	all := []Person{{ID: "ad-1", Role: Admin}, {ID: "op-2", Role: Operator, Locked: now.Add(time.Minute)}, {ID: "op-1", Role: Operator, Locked: now.Add(-time.Minute)}, {ID: "sv-1", Role: Supervisor}}
	show := func(v usersView) (out []string) {
		for _, p := range v.People {
			out = append(out, fmt.Sprintf("%s %v %v %v", p.ID, p.Self, p.IsLocked, p.LastAdmin))
		}
		return out
	}
	v := newUsersView(all, "sv-1", "op-2", now, everything)
	if got, want := show(v), []string{"op-1 false false false", "op-2 false true false", "sv-1 true false false", "ad-1 false false true"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if v.Chosen == nil || v.Chosen.ID != "op-2" || !v.CanChange {
		t.Errorf("%+v", v.Chosen)
	}
	if v := newUsersView(all, "qa", "op-2", now, mayOnly(SeeUsers)); v.Chosen != nil || v.CanChange {
		t.Errorf("an auditor changes: %+v", v)
	}
	if v := newUsersView(append(all, Person{ID: "ad-2", Role: Admin}), "", "nobody", now, everything); v.Chosen != nil || v.People[3].LastAdmin || v.People[4].LastAdmin {
		t.Errorf("%+v", v)
	}
}

// Who only looks at what is made, at the shift and at the cards has nothing there that would be refused.
func TestLookersHaveNoButtons(t *testing.T) {
	t.Parallel()
	p := newPages(Options{Log: slog.New(slog.DiscardHandler)})
	rows := [][]Tile{{{Slot: "1", Serial: "GW-1", Held: true}}}
	files := []RecipeFile{{File: "gateway-boot.yaml", Recipe: bootRecipe, Steps: 9}}
	seen := func(role Role) (bodies string) {
		for name, data := range map[string][]any{
			"jobs":  {newJobsView(files, nil, role.May), newJobsView(files, &Job{Recipe: bootRecipe}, role.May)},
			"shift": {newShiftView(State{Rows: rows, Shift: &Shift{By: "op-1"}}, role.May), newShiftView(State{}, role.May)},
			"cards": {newCardsView(rows, files, "gateway-boot.yaml", 9)},
		} {
			for _, d := range data {
				bodies += p.seen(t, "en", name, role, d)
			}
		}
		return bodies
	}
	for role, want := range map[Role]int{Auditor: 0, Admin: 0, Operator: 5, Supervisor: 6} {
		if n := strings.Count(seen(role), "data-api="); n != want {
			t.Errorf("%s has %d buttons, want %d", role, n, want)
		}
	}
}

// cardsOf are all the cards of a page.
func cardsOf(v cardsView) []card {
	all := slices.Concat(v.Commands, v.Labels, v.Releases)
	if v.Job != nil {
		all = append(all, *v.Job)
	}
	return all
}

// Every card of a station is read back as the code that it is for, whatever its slots are called.
func TestCardsAreRead(t *testing.T) {
	t.Parallel()
	rows := [][]Tile{{{Slot: "1"}, {Slot: "2", Excluded: true}, {}}, {{Slot: "left bench"}}}
	v := newCardsView(rows, []RecipeFile{{File: "gateway-boot.yaml", Recipe: bootRecipe}, {File: "bad.yaml", Problem: "no"}}, "gateway-boot.yaml", 250)
	want := []string{"REJECT", "RESUME", "CANCEL", "CLOSE-JOB", "BEGIN-SHIFT", "END-SHIFT", "SIGN-OFF", "SLOT:1", "SLOT:left bench", "RELEASE:1", "RELEASE:left bench", "JOB:gateway-boot.yaml:250"}
	var codes []string
	var pictures []image.Image
	for _, c := range cardsOf(v) {
		codes, pictures = append(codes, c.Code), append(pictures, cardPicture(t, string(c.Bars)))
	}
	if !slices.Equal(codes, want) {
		t.Errorf("%q, want %q", codes, want)
	}
	isCard := regexp.MustCompile(cardPattern())
	for _, code := range codes {
		if !isCard.MatchString(code) {
			t.Errorf("%q goes into the search", code)
		}
	}
	for _, code := range []string{"GW-000101", "RESUMED", "xSLOT:1", "5d0c8a1b"} {
		if isCard.MatchString(code) {
			t.Errorf("%q is not searched for", code)
		}
	}
	if got := readCodes(t, pictures...); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if len(v.Recipes) != 1 {
		t.Errorf("a job card of %+v", v.Recipes)
	}
	if v := newCardsView(rows, []RecipeFile{{File: "bad.yaml", Problem: "no"}}, "bad.yaml", 1); v.Job != nil {
		t.Errorf("a card for a recipe that cannot be run: %+v", v.Job)
	}
}

// A card whose code no scanner would read says why in place of the bars.
func TestCardTooLong(t *testing.T) {
	t.Parallel()
	if c := newCard("job", "JOB:"+strings.Repeat("x", 200), wideWidth, nil); c.Bars != "" || c.Alien {
		t.Errorf("%d bytes of bars, alien %v", len(c.Bars), c.Alien)
	}
	if c := newCard("job", "JOB:prüfung.yaml:0", wideWidth, nil); c.Bars != "" || !c.Alien {
		t.Errorf("%d bytes of bars for what has none, alien %v", len(c.Bars), c.Alien)
	}
}

// seen renders a page as whoever has a role sees it.
func (p *pages) seen(t *testing.T, lang, name string, role Role, data any) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", languageCookie+"="+lang)
	w := httptest.NewRecorder()
	p.show(w, r.WithContext(withVisitor(r.Context(), visitor{Role: role})), http.StatusOK, name, data)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", name, w.Code, w.Body)
	}
	return w.Body.String()
}

// What an auditor needs of a list and of a unit: the zone of its times, why each that did not pass did not, and the report of each run.
func TestForTheAuditor(t *testing.T) {
	t.Parallel()
	p := newPages(Options{})
	at := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	list := html.UnescapeString(p.seen(t, "en", "units", Auditor, unitsView{Rows: []UnitRow{{Serial: "GW-1", Outcome: ledger.Refused, Cause: "values-differ", Time: at}, {Serial: "GW-2", Outcome: ledger.Trial, Cause: "trial", Time: at}}}))
	for _, want := range []string{"The unit was begun with other values", at.Local().Format("2006-01-02 15:04:05 -07:00")} {
		if !strings.Contains(list, want) {
			t.Errorf("the list has no %q", want)
		}
	}
	if strings.Contains(list, "Stopped before the first permanent step") {
		t.Error("a cause stands where nothing went wrong")
	}
	unit := p.seen(t, "en", "unit", Auditor, reworkedUnit().view(nothing))
	for _, want := range []string{"report?run=" + runOne + `"`, "report?run=" + runTwo + `"`, "entries 100–103", "entry 104<"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit has no %q", want)
		}
	}
}

// A step is said by its kind where the page is not in English, and its title in English stands beside it; a kind that no catalogue has leaves the title.
func TestStepInThePagesLanguage(t *testing.T) {
	t.Parallel()
	p := newPages(Options{})
	for _, c := range []struct{ lang, kind, want string }{
		{"en", "write", "<strong class=\"run-title\">write boot</strong>"},
		{"zh-CN", "write", "<strong class=\"run-title\">写入 <small class=\"english\" lang=\"en\">write boot</small></strong>"},
		{"zh-CN", "of a later version", "<strong class=\"run-title\">write boot</strong>"},
	} {
		wall := NewWall(WallOptions{Rows: [][]string{{"1"}}})
		wall.Slots([]provision.SlotStatus{{Slot: "1", State: provision.Running, Serial: "GW-1", There: true}})
		wall.Event(provision.Event{Kind: provision.StepBegan, Slot: "1", Serial: "GW-1", Step: 1, Of: 2, StepKind: c.kind, Title: "write boot"})
		if got := string(p.change(c.lang, Operator, Change{State: wall.State(), Tiles: []string{"1"}})); !strings.Contains(got, c.want) {
			t.Errorf("%s: no %q in %s", c.lang, c.want, got)
		}
	}
	if unit := p.seen(t, "zh-CN", "unit", Auditor, passedUnit().view(nothing)); !strings.Contains(unit, "写入 <small class=\"english\" lang=\"en\">write boot (4 MiB)</small>") {
		t.Error("the timeline has the step's title alone")
	}
}

// On a page that is not in English the engine's few words are said in its language; a sentence that the engine makes stands small beside such words.
func TestEngineWordsInThePagesLanguage(t *testing.T) {
	t.Parallel()
	p := newPages(Options{})
	for _, c := range []struct {
		page string
		data any
		want []string
	}{
		{"unit", reworkedUnit().view(nothing), []string{"<span>已回读</span>", "<b>镜像</b> 在第二块磁盘上", "芯片内容与写入不符", `lang="en">The chip does not hold what was written: 1 byte differs at 0x0040F3A0, and still did when read again. Put the board into the reject bin.</p>`}},
		{"shift", newShiftView(State{Shift: &Shift{Checks: []ledger.Check{{Name: "disk", OK: true, Text: "33194 MiB are free"}, {Name: "slot 1", Text: "nobody has looked yet"}, {Name: "key server", Text: "refused"}}}}, nothing),
			[]string{`正常 <span class="english" lang="en">33194 MiB are free</span>`, "尚未检测", `异常 <span class="english" lang="en">refused</span>`}},
	} {
		body := p.seen(t, "zh-CN", c.page, Auditor, c.data)
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q", c.page, want)
			}
		}
	}
	text := p.texts["zh-CN"]
	for got, want := range map[string]string{
		text.how("readback, measurement, signed by the chip and verified by the key server"): "已回读校验, 已测量, 由芯片签名并经密钥服务器核实",
		text.how("of a later version"): "of a later version", text.fact("mac"): "mac", text.fact("refused writes"): "被拒写入",
		text.exactly("zh-CN", &Result{Cause: "program", Next: "Give --mac."}): "Give --mac.", text.exactly("zh-CN", &Result{Cause: "fixture", Next: "x"}): "", text.exactly("en", &Result{Cause: "program", Next: "x"}): "",
		text.remedy("zh-CN", &Result{Outcome: ledger.Refused, Cause: "values-differ", Next: "x"}): "请核对标签：数值须与开始时相同。",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// oneSpelling are records that refuse a cursor of another text's pages, as a store does.
type oneSpelling struct{ *fakeRecords }

func (r oneSpelling) Find(text, cursor string, limit int) ([]UnitRow, string, error) {
	if !strings.HasPrefix(cursor, text) && cursor != "" {
		return nil, "", errors.New("no such cursor")
	}
	return r.fakeRecords.Find(text, cursor, limit)
}

// A serial is found in small letters too, page by page; what is there as it was typed comes first, and what is nowhere stays nowhere.
func TestFindInSmallLetters(t *testing.T) {
	t.Parallel()
	records := oneSpelling{&fakeRecords{units: []UnitRow{{Serial: "GW-3"}, {Serial: "GW-2"}, {Serial: "gw-1"}, {Serial: "AB-1"}, {Serial: "AB-0"}}}}
	for text, want := range map[string]string{"gw-": "gw-1", "GW-": "GW-3 GW-2", "ab-": "AB-1 AB-0", "gw-2": "GW-2", "zz": ""} {
		var got []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			rows, next, err := find(records, text, cursor, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				got = append(got, row.Serial)
			}
			cursor = next
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if _, _, err := find(records, "gw-", "elsewhere", 1); err == nil {
		t.Error("a cursor of no page was taken")
	}
}

// Each page is rendered whole in each language, with everything that it can show: nothing is inline, and no text is missing.
func TestPagesBesideTheWall(t *testing.T) {
	t.Parallel()
	p := newPages(Options{Log: slog.New(slog.DiscardHandler)})
	rows := [][]Tile{{{Slot: "1", Serial: "GW-1", Held: true}, {Slot: "2", Serial: "GW-2", Run: &Running{}}}}
	state := State{Rows: rows, Shift: &Shift{By: "op-1", Checks: []ledger.Check{{Name: "slot 1", OK: true}, {Name: "key server"}, {Name: "disk", OK: true}}}, Open: []Open{{Serial: "GW-3"}, {Serial: "GW-4", Here: "2"}}}
	files := []RecipeFile{{File: "gateway-boot.yaml", Recipe: bootRecipe, Oneway: []string{"password"}, Steps: 9}, {File: "old.yaml", Problem: "old.yaml:1: what?"}}
	users := newUsersView([]Person{{ID: "op-1", Role: Operator, PIN: true, Badge: true, Locked: time.Now().Add(time.Hour)}}, "op-1", "op-1", time.Now(), everything)
	many := passedUnit()
	many.add(ledger.ReworkPermit{Serial: "GW-004711", Chip: ledger.NewChip, By: "sv-2", Reason: "r", UID: "x"})
	for name, data := range map[string][]any{
		"units": {unitsView{"", []UnitRow{{Serial: "GW 1/2", Outcome: ledger.Pass, UID: bootChip.UID, Rework: true}, {Serial: "<b>", Outcome: ledger.Interrupted, Closed: ledger.Lost}}, "", "next"}, unitsView{"x", nil, "", ""}},
		"unit": {many.view(everything), interruptedUnit().view(everything), reworkedUnit().view(nothing), passedUnit().view(everything), unitView{Serial: "GW-9"},
			newUnitView("GW-004711", ledger.Runs(passedUnit().records), nil, Proof{Entries: 1, Problem: "entry 100 is altered"}, everything)},
		"jobs":  {newJobsView(files, nil, everything), newJobsView(files, &Job{Recipe: bootRecipe, Trial: true, Passed: 3, Quantity: 9}, everything), newJobsView(nil, nil, nothing)},
		"cards": {newCardsView(rows, files, "gateway-boot.yaml", 9), newCardsView(rows, files, "gateway-boot.yaml", 0), newCardsView(nil, nil, "", 0)},
		"shift": {newShiftView(state, everything), newShiftView(State{}, everything)},
		"users": {users, newUsersView(nil, "", "", time.Now(), nothing)},
		"fault": {"no such disk"},
	} {
		for _, lang := range Languages {
			for i, d := range data {
				body := p.seen(t, lang, name, Anyone, d)
				for _, never := range []string{"http:", "https:", "<style", " style=", " onclick=", "ZgotmplZ", "{who}", "{slot}", "{n}", "{title}", "&lt;nil&gt;"} {
					if strings.Contains(body, never) {
						t.Errorf("%s %s %d: %q stands in the page", lang, name, i, never)
					}
				}
				for _, prefix := range []string{"units.", "jobs.", "cards.", "shift.", "users.", "outcome.", "role."} {
					if strings.Contains(body, ">"+prefix) {
						at := strings.Index(body, ">"+prefix)
						t.Errorf("%s %s %d: a text is missing: %.60s", lang, name, i, body[at:])
					}
				}
			}
		}
	}
	for problem, class := range map[string]string{"": "pass", "entry 100 is altered": "unproven"} {
		v := newUnitView("GW-004711", ledger.Runs(passedUnit().records), nil, Proof{Entries: 1, Problem: problem}, everything)
		body := p.seen(t, "en", "unit", Auditor, v)
		if !strings.Contains(body, `class="card unit-head `+class+`"`) {
			t.Errorf("a PASS with %q is not shown as %s", problem, class)
		}
		if strings.Contains(body, "/report") != (problem == "") {
			t.Errorf("a PASS with %q leads to its report, or does not", problem)
		}
	}
	if body := p.seen(t, "en", "units", Auditor, unitsView{"", []UnitRow{{Serial: "<i>GW/1?", Outcome: ledger.Pass}}, "", ""}); strings.Contains(body, "<i>GW") || !strings.Contains(body, template.HTMLEscapeString("<i>GW/1?")) || !strings.Contains(body, `href="/units/%3Ci%3EGW%2F1%3F"`) {
		t.Errorf("a serial is not escaped: %s", body)
	}
}

// What the ledger refuses is not called a fault of the station, on a page or in the API.
func TestCursorOfNoPage(t *testing.T) {
	x := newSite(t, Options{})
	x.records.fail(&Refusal{Status: 422, Said: Said{Word: WordCursor, Text: "cursor \"zzz\" is not one that a page returned"}})
	for path, want := range map[string]string{"/units": "That page of the search is not there", "/api/v1/units": `"word":"cursor-wrong"`} {
		if w := x.ask("op-1", "GET", path+"?cursor=zzz", ""); w.Code != 422 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if lines := x.log.lines(); len(lines) > 0 {
		t.Errorf("the log says %q", lines)
	}
}
