package main

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"station/kiosk"
	"station/yamltext"
)

// pageConfig is how the operator's page looks, and how people and boards get to it. Paths are absolute or relative to the working directory.
type pageConfig struct {
	Language string
	Rows     [][]string // slots as they stand at the line; "" is a place without one
	Scanner  scannerConfig
	Badge    string // a regular expression of the whole code
	Recipes  string // folder of those that a job may have
	TLS      struct{ Cert, Key string }
}

// scannerConfig is how the scanner types.
type scannerConfig struct {
	Prefix, Suffix string
	Gap            int // ms between two keys at most, while a field has the focus
}

func (s scannerConfig) kiosk() kiosk.Scanner {
	return kiosk.Scanner{Prefix: s.Prefix, Suffix: scannerSuffixes[s.Suffix], Gap: time.Duration(s.Gap) * time.Millisecond}
}

// What a page has that the configuration does not say.
const (
	pageLanguage = "en"
	pageBadge    = `^BADGE:[A-Z2-7]{26}$`
	pageRecipes  = "recipes"
	pageGap      = 35 // of which fingers need twice as much
)

var pageLanguages = []string{pageLanguage, "zh-CN"}

// scannerSuffixes are the keys that scanners end a code with, and what a browser calls them.
var scannerSuffixes = map[string]string{"enter": "Enter", "tab": "Tab"}

// resolve fills in what the configuration in dir does not say.
func (p *pageConfig) resolve(dir string, slots []slot) {
	p.Language = cmp.Or(p.Language, pageLanguage)
	p.Badge = cmp.Or(p.Badge, pageBadge)
	p.Scanner.Suffix = cmp.Or(p.Scanner.Suffix, "enter")
	p.Scanner.Gap = cmp.Or(p.Scanner.Gap, pageGap)
	for _, path := range []*string{&p.TLS.Cert, &p.TLS.Key} {
		*path = beside(dir, *path)
	}
	p.Recipes = beside(dir, cmp.Or(p.Recipes, pageRecipes))
	if len(p.Rows) == 0 {
		// A layout wider than high.
		rows := int(math.Sqrt(float64(len(slots))))
		for all := range slices.Chunk(slots, (len(slots)+rows-1)/rows) {
			var row []string
			for _, s := range all {
				row = append(row, s.Name)
			}
			p.Rows = append(p.Rows, row)
		}
	}
}

// Of a scanner: the longest prefix in characters, and the gaps in ms. Fingers come within a longer one too.
const (
	longestPrefix           = 8
	shortestGap, longestGap = 5, 100
)

// checkPage finds every mistake in the section page. slots are the names of all slots, nil where they are wrong themselves.
func checkPage(pg *yamltext.Page, n *yaml.Node, slots []string) {
	if n.Kind != yaml.MappingNode {
		pg.At(n, "page is a group such as {language: en}", "")
		return
	}
	found, _ := pg.Group(n, n, "the page", nil, []string{"language", "rows", "scanner", "badge", "recipes", "tls"}, nil)
	checkText(pg, found, "language", func(s string) string {
		if !slices.Contains(pageLanguages, s) {
			return fmt.Sprintf("the page has no language %s: it has %s", yamltext.Quote(s), strings.Join(pageLanguages, " and "))
		}
		return ""
	})
	checkText(pg, found, "badge", wrongBadge)
	checkText(pg, found, "recipes", func(string) string { return "" })
	if f, ok := found["scanner"]; ok {
		checkScanner(pg, f.Value)
	}
	if f, ok := found["tls"]; ok {
		files, _ := pg.Group(f.Value, f.Value, "tls", []string{"cert", "key"}, nil, nil)
		for _, key := range []string{"cert", "key"} {
			checkText(pg, files, key, func(string) string { return "" })
		}
	}
	if f, ok := found["rows"]; ok {
		checkRows(pg, f.Value, slots)
	}
}

// strangeInBadge is what a browser reads differently in a regular expression, or not at all: groups but (?:, escapes but \d, \w and those of signs, classes by name, "]" as the first of
// a class, and what is not ASCII.
var strangeInBadge = regexp.MustCompile(`\(\?[^:]|\\[^dw[:punct:]]|\[:|\[\^?\]|[^ -~]`)

// wrongBadge tells what is wrong with the form of badges, "" for nothing: Go and the page have to read the same in it, and in that the whole of a code.
func wrongBadge(s string) string {
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return fmt.Sprintf("badge %s is no regular expression: %v", yamltext.Quote(s), err)
	}
	if found := strangeInBadge.FindString(s); found != "" {
		return fmt.Sprintf("badge %s has %s, which a browser does not read as this program does: use [ ], ( ), |, { }, ?, *, +, ., \\d and \\w", yamltext.Quote(s), yamltext.Quote(found))
	}
	if n := len(re.Sub); re.Op != syntax.OpConcat || n < 3 || re.Sub[0].Op != syntax.OpBeginText || re.Sub[n-1].Op != syntax.OpEndText || slices.ContainsFunc(re.Sub[1:n-1], hasEnd) {
		return fmt.Sprintf("badge %s has to be the whole of a code, from ^ to $, with ( ) around what | is between: another code that looks like a badge would sign somebody in", yamltext.Quote(s))
	}
	return ""
}

// hasEnd tells whether ^ or $ is anywhere in a part of a regular expression.
func hasEnd(re *syntax.Regexp) bool {
	return re.Op == syntax.OpBeginText || re.Op == syntax.OpEndText || slices.ContainsFunc(re.Sub, hasEnd)
}

// checkText reads one value of a group, where it is there.
func checkText(pg *yamltext.Page, found map[string]yamltext.Field, key string, wrong func(string) string) {
	f, ok := found[key]
	if !ok {
		return
	}
	if text, ok := pg.Text(f.Value, key); ok {
		if message := wrong(text); message != "" {
			pg.At(f.Value, message, "")
		}
	}
}

func checkScanner(pg *yamltext.Page, n *yaml.Node) {
	found, _ := pg.Group(n, n, "the scanner", nil, []string{"prefix", "suffix", "gap"}, nil)
	if f, ok := found["prefix"]; ok && f.Value.Value != "" { // "" is none
		checkText(pg, found, "prefix", func(s string) string {
			if utf8.RuneCountInString(s) > longestPrefix || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				return fmt.Sprintf("prefix %s: want at most %d printable characters", yamltext.Quote(s), longestPrefix)
			}
			return ""
		})
	}
	checkText(pg, found, "suffix", func(s string) string {
		if scannerSuffixes[s] == "" {
			return fmt.Sprintf("suffix %s is neither enter nor tab", yamltext.Quote(s))
		}
		return ""
	})
	checkText(pg, found, "gap", func(s string) string {
		if ms, err := strconv.Atoi(s); err != nil || ms < shortestGap || ms > longestGap {
			return fmt.Sprintf("gap %s: want %d to %d, in ms", yamltext.Quote(s), shortestGap, longestGap)
		}
		return ""
	})
}

// checkRows wants each slot in one place: one that is in none could not be seen.
func checkRows(pg *yamltext.Page, n *yaml.Node, slots []string) {
	rows, ok := pg.List(n, "rows")
	if !ok {
		return
	}
	seen := map[string]bool{}
	for _, row := range rows {
		places, ok := pg.List(row, "a row")
		if !ok {
			return
		}
		for _, place := range places {
			name := place.Value
			switch {
			case place.Kind != yaml.ScalarNode:
				pg.At(place, "a place of a row is the name of a slot, or \"\"", "")
			case name == "" || slots == nil:
			case !slices.Contains(slots, name):
				pg.At(place, fmt.Sprintf("there is no slot %s", yamltext.Quote(name)), yamltext.DidYouMean(name, slots))
			case seen[name]:
				pg.At(place, fmt.Sprintf("slot %s has a place already", yamltext.Quote(name)), "")
			}
			seen[name] = true
		}
	}
	for _, name := range slots {
		if !seen[name] {
			pg.At(n, fmt.Sprintf("slot %s stands in no row, and nobody could see it", yamltext.Quote(name)), "")
		}
	}
}
