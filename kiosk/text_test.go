package kiosk

import (
	"maps"
	"os"
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

// Whatever the line, the wall, the station, the pages or the end of a run says has its sentence.
func TestWordsHaveSentences(t *testing.T) {
	text := readTexts()[Languages[0]]
	words := slices.Concat(provision.Words, NextWords, StationWords, RecordsWords, PeopleWords, ServerWords)
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

func TestSay(t *testing.T) {
	text := Text{"units": "{n} units in slot {slot}", "units.one": "one unit in slot {slot}", "said.armed": "put {serial} in"}
	for want, got := range map[string]string{
		"3 units in slot {x}":  text.Say("units", "n", 3, "slot", "{x}"),
		"one unit in slot 2":   text.Say("units", "n", 1, "slot", "2"),
		"nowhere":              text.Say("nowhere"),
		"put GW-1 in":          text.Said(&Said{Word: "armed", Facts: map[string]string{"serial": "GW-1"}, Text: "x"}),
		"what a terminal says": text.Said(&Said{Word: "unheard", Text: "what a terminal says"}),
		"":                     text.Next(nil),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
