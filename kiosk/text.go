package kiosk

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
)

//go:embed text/*.json
var textFiles embed.FS

// Text is the catalogue of one language: sentences by key, in which {name} stands for a fact. A key that ends in ".one" is its sentence where the fact n, or count, is 1. What stands in [ ] is left out
// where one of its facts is not there.
type Text map[string]string

// Languages are those that there is a catalogue of, by the tag of BCP 47.
var Languages = []string{"en", "zh-CN"}

// readTexts reads the catalogues, which are part of the program, by language.
func readTexts() map[string]Text {
	texts := map[string]Text{}
	for _, lang := range Languages {
		b, err := textFiles.ReadFile(path.Join("text", lang+".json"))
		if err != nil {
			panic(err)
		}
		var t Text
		if err := json.Unmarshal(b, &t); err != nil {
			panic(fmt.Sprintf("text/%s.json: %v", lang, err))
		}
		texts[lang] = t
	}
	return texts
}

// Say returns the sentence of a key with its facts: a name, its value, the next name. A key that is not there is returned itself, so that it is seen.
func (t Text) Say(key string, facts ...any) string {
	named := map[string]string{}
	for i := 0; i+1 < len(facts); i += 2 {
		named[fmt.Sprint(facts[i])] = fmt.Sprint(facts[i+1])
	}
	if one, ok := t[key+".one"]; ok && named["n"] == "1" {
		return fill(one, named)
	}
	s, ok := t[key]
	if !ok {
		return key
	}
	return fill(s, named)
}

// Factual is Say with facts that are named already.
func (t Text) Factual(key string, facts map[string]string) string {
	if s, ok := t[key]; ok {
		return fill(s, facts)
	}
	return key
}

// Has tells whether there is a sentence of a key.
func (t Text) Has(key string) bool { _, ok := t[key]; return ok }

// Said says what a Said says. Words that the catalogue has not are said in English.
func (t Text) Said(s *Said) string {
	return t.saidAs("said.", s, func(s *Said) string { return s.Text })
}

// Next says what a Said wants to be done, "" for nothing.
func (t Text) Next(s *Said) string { return t.saidAs("do.", s, func(s *Said) string { return s.Next }) }

func (t Text) saidAs(prefix string, s *Said, english func(*Said) string) string {
	if s == nil {
		return ""
	}
	if one, ok := t[prefix+s.Word+".one"]; ok && s.Facts["count"] == "1" {
		return fill(one, s.Facts)
	}
	if sentence, ok := t[prefix+s.Word]; ok {
		return fill(sentence, s.Facts)
	}
	return english(s)
}

var (
	ifThere  = regexp.MustCompile(`\[[^]]*\]`)
	factName = regexp.MustCompile(`\{([a-z_]+)\}`)
)

// fill puts facts in the place of their names. A name without a fact stays.
func fill(sentence string, facts map[string]string) string {
	sentence = ifThere.ReplaceAllStringFunc(sentence, func(part string) string {
		for _, name := range factName.FindAllStringSubmatch(part, -1) {
			if _, ok := facts[name[1]]; !ok {
				return ""
			}
		}
		return part[1 : len(part)-1]
	})
	pairs := make([]string, 0, 2*len(facts))
	for name, value := range facts {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(sentence)
}
