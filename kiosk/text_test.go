package kiosk

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"station/provision"
)

// Every language has the same sentences, and each names the same facts.
func TestCataloguesAgree(t *testing.T) {
	facts := regexp.MustCompile(`\{[a-z_]+\}`)
	texts := readTexts()
	first := texts[Languages[0]]
	for _, lang := range Languages[1:] {
		for _, key := range slices.Sorted(maps.Keys(first)) {
			other, ok := texts[lang][key]
			if !ok && !strings.HasSuffix(key, ".one") { // not every language has a singular
				t.Errorf("%s has no %q", lang, key)
			}
			a, b := facts.FindAllString(first[key], -1), facts.FindAllString(other, -1)
			slices.Sort(a)
			slices.Sort(b)
			if ok && !slices.Equal(slices.Compact(a), slices.Compact(b)) {
				t.Errorf("%s: %q names %v, and %v in %s", lang, key, b, a, Languages[0])
			}
		}
		for key := range texts[lang] {
			if _, ok := first[key]; !ok {
				t.Errorf("%s has %q, which %s has not", lang, key, Languages[0])
			}
		}
	}
}

// What a template asks a catalogue for by its whole name is there.
func TestTemplatesAskForWhatIsThere(t *testing.T) {
	asked := regexp.MustCompile(`\bt "([^"]+)"`)
	text, found := readTexts()[Languages[0]], 0
	files, err := templateFiles.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := templateFiles.ReadFile("templates/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asked.FindAllStringSubmatch(string(b), -1) {
			if found++; !text.Has(m[1]) {
				t.Errorf("%s asks for %q, which no catalogue has", f.Name(), m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d questions found", found)
	}
}

// Every page has its title.
func TestPagesHaveTitles(t *testing.T) {
	for lang, pages := range theLibrary().pages {
		for name := range pages {
			if !readTexts()[lang].Has("page." + name) {
				t.Errorf("%s has no page.%s", lang, name)
			}
		}
	}
}

// Whatever the line, the wall, the station, the pages or the end of a run says has its sentence.
func TestWordsHaveSentences(t *testing.T) {
	text := readTexts()[Languages[0]]
	words := slices.Concat(provision.Words, NextWords, StationWords, RecordsWords, PeopleWords, ServerWords)
	if sorted := slices.Sorted(slices.Values(words)); len(slices.Compact(sorted)) != len(words) {
		t.Error("one word is of two sentences")
	}
	for _, word := range words {
		if !text.Has("said." + word) {
			t.Errorf("no catalogue has said.%s", word)
		}
	}
	b, err := os.ReadFile("../docs/operator.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "\n| cause | word | what to do |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	causes := 0
	for row := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		first, _, _ = strings.Cut(first, " (")
		for cause := range strings.SplitSeq(first, ", ") {
			if causes++; !text.Has("cause." + cause) {
				t.Errorf("no catalogue has cause.%s", cause)
			}
		}
	}
	if len(words) < 40 || causes < 60 {
		t.Errorf("only %d words and %d causes were found", len(words), causes)
	}
}

// Who may not do what is to be done next is told whom to call, in every language; who may is told to do it.
func TestNextIsForWhoLooks(t *testing.T) {
	text := readTexts()["en"]
	for _, c := range []struct {
		word string
		role Role
		want string
	}{
		{NextTakeOut, Operator, "Take GW-1 out of slot 1"},
		{NextTakeOut, Auditor, "Call an operator: Take GW-1 out of slot 1"},
		{NextJobFull, Admin, "Call an operator: All 5 are made: close the job"},
		{NextNoJob, Operator, "No job is open: call a supervisor, who begins one"},
		{NextLeft, Operator, "Take the board out of slot 1, then call a supervisor, who begins a job"},
		{NextNoJob, Supervisor, "Choose what is made: scan a job's card, or begin one on the page Job"},
		{NextStopped, Operator, "Slot 1 is stopped: call a supervisor, who scans RELEASE:1 when it is right again"},
		{NextStopped, Anyone, "Slot 1 is stopped: when it is right again, scan RELEASE:1"},
		{NextWait, Auditor, "Wait: 5 under way"},
	} {
		next := Said{Word: c.word, Facts: map[string]string{"slot": "1", "serial": "GW-1", "card": "RELEASE:1", "count": "5"}}
		if got := text.due(part{State{Next: next}, c.role}); got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.word, c.role, got, c.want)
		}
	}
	for lang, text := range readTexts() {
		for _, word := range NextWords {
			for _, role := range Roles {
				got := text.due(part{State{Next: Said{Word: word}}, role})
				own := text.Said(&Said{Word: word})
				if needs := nextNeeds[word]; (got == own) != (needs == "" || role.May(needs)) || strings.HasPrefix(got, "next.") {
					t.Errorf("%s: %s to %s: %q", lang, word, role, got)
				}
			}
		}
	}
}

// Every kind of step has its word: the kinds are those of package recipes.
func TestStepKindsHaveWords(t *testing.T) {
	files, err := filepath.Glob("../recipes/*.go")
	if err != nil {
		t.Fatal(err)
	}
	kind, found := regexp.MustCompile(`\) Kind\(\) string +\{ return "([a-z_]+)" \}`), 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range kind.FindAllStringSubmatch(string(b), -1) {
			if found++; !readTexts()["zh-CN"].Has("step." + m[1]) {
				t.Errorf("no catalogue has step.%s", m[1])
			}
		}
	}
	if found < 17 {
		t.Errorf("only %d kinds found", found)
	}
}

// One thing has one name in Chinese: these are the names that it has not.
func TestChineseTerms(t *testing.T) {
	for key, sentence := range readTexts()["zh-CN"] {
		for other, term := range map[string]string{"不合格箱": "不良品箱", "板卡": "电路板", "口令": "密码", "关闭任务": "结束任务", "任务已关闭": "任务已结束", "恢复槽位": "放行槽位", "恢复该槽位": "放行该槽位", "不可撤销": "永久", "密封": "封存", "存管": "封存", "托管": "封存"} {
			if strings.Contains(sentence, other) {
				t.Errorf("%s: %s is %s: %s", key, other, term, sentence)
			}
		}
	}
}

// What is left at the end of a shift is named, and nothing that is not.
func TestShiftLeft(t *testing.T) {
	said := &Said{Word: WordShiftAgain, Facts: map[string]string{"slots": "1", "card": CardEndShift}}
	for lang, want := range map[string]string{"en": "A board is in slot 1. Scan END-SHIFT again within 10 s to end the shift", "zh-CN": "槽位 1 中有电路板。10 秒内再扫一次 END-SHIFT 即交班"} {
		if got := readTexts()[lang].Said(said); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSay(t *testing.T) {
	text := Text{"units": "{n} units in slot {slot}", "units.one": "one unit in slot {slot}", "said.armed": "put {serial} in", "said.full": "all {count}", "said.full.one": "the one", "said.left": "[{serials} are left. ][slot {slots}, {recipe}. ]go"}
	for want, got := range map[string]string{
		"3 units in slot {x}":     text.Say("units", "n", 3, "slot", "{x}"),
		"one unit in slot 2":      text.Say("units", "n", 1, "slot", "2"),
		"nowhere":                 text.Say("nowhere"),
		"put GW-1 in":             text.Said(&Said{Word: "armed", Facts: map[string]string{"serial": "GW-1"}, Text: "x"}),
		"what a terminal says":    text.Said(&Said{Word: "unheard", Text: "what a terminal says"}),
		"all 2":                   text.Said(&Said{Word: "full", Facts: map[string]string{"count": "2"}}),
		"the one":                 text.Said(&Said{Word: "full", Facts: map[string]string{"count": "1"}}),
		"go":                      text.Said(&Said{Word: "left", Facts: map[string]string{"slots": "2"}}),
		"[{recipe}] are left. go": text.Said(&Said{Word: "left", Facts: map[string]string{"serials": "[{recipe}]", "recipe": "r"}}),
		"slot 2, r. go":           text.Said(&Said{Word: "left", Facts: map[string]string{"slots": "2", "recipe": "r"}}),
		"":                        text.Next(nil),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
