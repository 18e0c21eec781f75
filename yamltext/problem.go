package yamltext

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one mistake in a file, at its place.
type Problem struct {
	File       string   `json:"file"`
	Line       int      `json:"line"`       // from 1
	Column     int      `json:"column"`     // from 1, in characters
	Message    string   `json:"message"`    // what is wrong, one sentence without a full stop
	Suggestion string   `json:"suggestion"` // what to do, "" when there is nothing to add
	Source     []string `json:"source"`     // up to three lines of the file, the last one is Line
	caret      int      // where the caret stands below the last line of Source, in characters from 0
}

// Errors is every mistake of one file, sorted by position.
type Errors struct {
	Problems []Problem
}

// Error prints all problems: "file:line:col: message", the lines around it, a caret and the suggestion.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// String prints the problem with its lines and caret, without a newline at the end.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	first := p.Line - len(p.Source) + 1
	for i, line := range p.Source {
		b.WriteString(strings.TrimRight(fmt.Sprintf("\n%5d | %s", first+i, line), " "))
	}
	if len(p.Source) > 0 {
		fmt.Fprintf(&b, "\n      | %s^", strings.Repeat(" ", p.caret))
	}
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "\n        %s", p.Suggestion)
	}
	return b.String()
}

const (
	MaxProblems = 200 // a file with more is something else; the list says that it was cut
	contextWide = 120 // characters of a source line that are shown
)

// Page is the text of a file with the problems found in it.
type Page struct {
	File     string // its name in messages
	noun     string // what the file is: "recipe"
	raw      []byte
	lines    []string
	problems []Problem
}

// New returns the page of a file; file and noun ("recipe") stand in messages.
func New(file, noun string, text []byte) *Page {
	return &Page{File: file, noun: noun, raw: text, lines: strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")}
}

// Report notes a problem at a line and column, both from 1.
func (pg *Page) Report(line, column int, message, suggestion string) {
	switch {
	case len(pg.problems) > MaxProblems:
		return
	case len(pg.problems) == MaxProblems:
		message, suggestion = "there are more mistakes; they are shown when these are gone", ""
	}
	// The YAML parser puts the end of input one line below the last.
	line = min(max(line, 1), len(pg.lines))
	p := Problem{File: pg.File, Line: line, Column: max(column, 1), Message: message, Suggestion: suggestion}
	shift := max(0, p.Column-contextWide*3/4)
	for n := max(1, line-2); n <= line; n++ {
		p.Source = append(p.Source, shown(starred(pg.lines[n-1]), shift))
	}
	p.caret = p.Column - 1 - shift
	if shift > 0 {
		p.caret++ // the ellipsis stands for what is cut off
	}
	pg.problems = append(pg.problems, p)
}

// inline finds secrets in a line: what follows a key that is named like one, age identities, and eight bytes in hexadecimal or more that are no digest.
var inline = regexp.MustCompile(`(?i)sha256["']?\s*:\s*["']?[0-9a-f]+|(?:[\w-]*(?:password|passphrase|secret|token|key)[\w-]*|\bpin)["']?\s*:\s+([^\s{\[].*)|(AGE-SECRET-KEY-\S*)|((?:[0-9a-f]{2}[ :-]?){7,}[0-9a-f]{2,})`)

// starred is a source line without the secrets that somebody may have written into it, where none belongs: messages go to logs and to other people. Every
// character has its star, so that carets point to the same place. A word that stands in the line below its key is not seen.
func starred(line string) string {
	line = strings.TrimRight(line, "\r")
	var out strings.Builder
	end := 0
	for _, at := range inline.FindAllStringSubmatchIndex(line, -1) {
		for i := 2; i < len(at); i += 2 {
			if at[i] >= 0 {
				out.WriteString(line[end:at[i]] + strings.Repeat("*", utf8.RuneCountInString(line[at[i]:at[i+1]])))
				end = at[i+1]
			}
		}
	}
	return out.String() + line[end:]
}

// shown is a source line as a terminal may see it, from the character after shift on.
func shown(line string, shift int) string {
	var out []rune
	n := 0
	for _, r := range line {
		n++
		if n <= shift {
			continue
		}
		if len(out) == contextWide {
			out = append(out, '…')
			break
		}
		switch {
		case r == '\t':
			r = ' '
		case !unicode.IsPrint(r):
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	if shift > 0 && len(out) > 0 {
		out = append([]rune{'…'}, out...)
	}
	return string(out)
}

// Err is nil without problems, else all of them in the order of the file.
func (pg *Page) Err() error {
	if len(pg.problems) == 0 {
		return nil
	}
	sorted := slices.Clone(pg.problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Errors{Problems: sorted}
}
