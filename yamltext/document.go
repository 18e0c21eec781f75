package yamltext

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// MaxFile is the largest file, in bytes. People do not write longer ones.
const MaxFile = 1 << 20

// Document reads the text as one YAML document whose root is a mapping and reports why it is none.
// It returns nil when there is nothing to go on with.
func (pg *Page) Document() *yaml.Node {
	text := pg.raw
	if len(text) > MaxFile {
		pg.Report(1, 1, fmt.Sprintf("the file has %d bytes; a %s has at most 1 MiB", len(text), pg.noun), "")
		return nil
	}
	if !pg.plainText() {
		return nil
	}
	var documents []yaml.Node
	if err := yaml.Load(text, &documents, yaml.WithAllDocuments()); err != nil {
		pg.syntax(err)
		return nil
	}
	switch {
	case len(documents) == 0 || len(documents[0].Content) == 0:
		pg.Report(1, 1, "the file holds no "+pg.noun, "")
		return nil
	case len(documents) > 1:
		second := documents[1]
		pg.Report(second.Line, second.Column, "a second YAML document begins here; a file holds one "+pg.noun, "put every "+pg.noun+" into a file of its own")
		return nil
	}
	root := documents[0].Content[0]
	if !pg.plainYAML(root) {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		pg.At(root, "a "+pg.noun+" is a group of keys and values, not "+kindOf(root), "")
		return nil
	}
	return root
}

// plainText refuses what would make our count of lines and characters differ from an editor's.
func (pg *Page) plainText() bool {
	for i, line := range pg.lines {
		line = strings.TrimSuffix(line, "\r")
		column := 0
		for offset, c := range line {
			column++
			switch {
			case c == utf8.RuneError && !strings.HasPrefix(line[offset:], "\uFFFD"):
				pg.Report(i+1, column, "the file is not UTF-8 text", "")
				return false
			case c != '\t' && (c < 0x20 || c == 0x7F || c >= 0x80 && c < 0xA0) || c == '\u2028' || c == '\u2029' || c == '\uFEFF':
				pg.Report(i+1, column, fmt.Sprintf("control character U+%04X", c), "")
				return false
			}
		}
	}
	return true
}

// plainYAML refuses anchors, aliases, tags and merge keys: an alias hides what a line means and can grow without limit.
func (pg *Page) plainYAML(root *yaml.Node) bool {
	told := map[string]bool{}
	stack := []*yaml.Node{root}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for i := len(n.Content) - 1; i >= 0; i-- { // so that the first of each is met first
			stack = append(stack, n.Content[i])
		}
		feature := ""
		switch {
		case n.Kind == yaml.AliasNode:
			feature = "aliases (*name)"
		case n.Anchor != "":
			feature = "anchors (&name)"
		case n.Style&yaml.TaggedStyle != 0:
			feature = "tags (!name)"
		case n.Tag == "!!merge":
			feature = "merge keys (<<)"
		}
		if feature != "" && !told[feature] {
			told[feature] = true
			pg.At(n, "YAML "+feature+" are not allowed in a "+pg.noun, "write everything out in full")
		}
	}
	return len(told) == 0
}

// syntax reports the YAML parser's error in words for people who do not know the parser.
func (pg *Page) syntax(err error) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		pg.Report(1, 1, "not valid YAML: "+err.Error(), "")
		return
	}
	line, column := e.Mark.Line, e.Mark.Column
	begin := e.ContextMark
	noticed := fmt.Sprintf("YAML noticed it at line %d", min(line, len(pg.lines)))
	openLine, openColumn := pg.openQuote(line)
	switch {
	case line >= 1 && line <= len(pg.lines) && strings.HasPrefix(strings.TrimLeft(pg.lines[line-1], " "), "\t"):
		pg.Report(line, column, "a tab cannot indent YAML", "use spaces")
	case openLine != 0:
		pg.Report(openLine, openColumn, "the quoted text that begins here is not closed in its line", noticed)
	case strings.Contains(e.Message, "',' or ']'"):
		pg.Report(begin.Line, begin.Column, "the list that begins here lacks a comma or its closing ]", noticed)
	case strings.Contains(e.Message, "',' or '}'"):
		pg.Report(begin.Line, begin.Column, "the group that begins here lacks a comma or its closing }", noticed)
	case strings.Contains(e.Message, "unexpected end of stream") && strings.Contains(e.ContextMsg, "quoted"):
		pg.Report(begin.Line, begin.Column, "the quoted text that begins here is never closed", "")
	case strings.Contains(e.Message, "mapping values are not allowed"):
		pg.Report(line, column, "a key cannot begin here, so this colon is out of place", "indent all keys of a group alike, and put text that contains a colon into quotes")
	case strings.Contains(e.Message, "did not find expected key"), strings.Contains(e.Message, "could not find expected ':'"),
		strings.Contains(e.Message, "did not find expected '-' indicator"):
		pg.Report(line, column, "this line does not fit the lines above it", "indent all keys and all dashes of a group alike, and put a colon and a space after a key")
	default:
		pg.Report(line, column, "not valid YAML: "+e.Message, "")
	}
}

// openQuote finds the first line up to the given one whose double quotes do not pair up, and the last of them;
// 0 when there is none. Text over several lines is legal, but behind a syntax error such a line is the likely cause.
func (pg *Page) openQuote(last int) (line, column int) {
	for i := range min(last, len(pg.lines)) {
		open, n := 0, 0
		before := ' '
		for _, c := range pg.lines[i] {
			n++
			if c == '#' && open == 0 && before == ' ' {
				break // a comment
			}
			if c == '"' && before != '\\' {
				if open == 0 {
					open = n
				} else {
					open = 0
				}
			}
			before = c
		}
		if open != 0 {
			return i + 1, open
		}
	}
	return 0, 0
}

// At reports a problem at a node.
func (pg *Page) At(n *yaml.Node, message, suggestion string) {
	pg.Report(n.Line, n.Column, message, suggestion)
}

// Field is one key of a mapping and its value.
type Field struct{ Key, Value *yaml.Node }

// Fields reads a mapping in the order of the file; repeated keys and keys that are not text are reported and left out.
// what names it in messages: "region boot".
func (pg *Page) Fields(n *yaml.Node, what string) (list []Field, ok bool) {
	if n.Kind != yaml.MappingNode {
		pg.At(n, fmt.Sprintf("%s has to be a group of keys and values, not %s", what, kindOf(n)), "")
		return nil, false
	}
	ok = true
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := Field{n.Content[i], n.Content[i+1]}
		if f.Key.Kind != yaml.ScalarNode || f.Key.Tag == "!!null" {
			pg.At(f.Key, "a key has to be a single word", "")
			ok = false
			continue
		}
		if first := seen[f.Key.Value]; first != nil {
			pg.At(f.Key, fmt.Sprintf("%s is given twice; the first is in line %d", Quote(f.Key.Value), first.Line), "")
			ok = false
			continue
		}
		seen[f.Key.Value] = f.Key
		list = append(list, f)
	}
	return list, ok
}

// Group reads a mapping with fixed keys. Unknown keys are reported; so are missing ones, at the node place.
// unsupported maps keys that other versions may know to a sentence.
func (pg *Page) Group(n, place *yaml.Node, what string, required, optional []string, unsupported map[string]string) (map[string]Field, bool) {
	list, ok := pg.Fields(n, what)
	if list == nil && !ok {
		return nil, false
	}
	known := slices.Concat(required, optional)
	found := map[string]Field{}
	misspelt := map[string]bool{}
	other := false
	for _, f := range list {
		name := f.Key.Value
		if slices.Contains(known, name) {
			found[name] = f
			continue
		}
		ok = false
		if sentence := unsupported[name]; sentence != "" {
			pg.At(f.Key, sentence, "")
			other = true // it may well stand in for what is missing
			continue
		}
		suggestion := "its keys are " + strings.Join(known, ", ")
		if meant := Nearest(name, known); meant != "" {
			suggestion = fmt.Sprintf("did you mean %q?", meant)
			misspelt[meant] = true
		}
		pg.At(f.Key, fmt.Sprintf("%s has no key %s", what, Quote(name)), suggestion)
	}
	var missing []string
	for _, name := range required {
		if _, is := found[name]; !is && !misspelt[name] && !other {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		ok = false
		pg.At(place, fmt.Sprintf("%s lacks %s", what, strings.Join(missing, ", ")), "")
	}
	return found, ok
}

// Text reads a scalar as it is written.
func (pg *Page) Text(n *yaml.Node, what string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		pg.At(n, fmt.Sprintf("%s has to be a single value, not %s", what, kindOf(n)), "")
	case n.Tag == "!!null", n.Value == "":
		pg.At(n, what+" has no value", "")
	default:
		return n.Value, true
	}
	return "", false
}

// List reads a sequence. A missing value and a single value are no lists.
func (pg *Page) List(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	if n.Kind == yaml.SequenceNode {
		return n.Content, true
	}
	suggestion := ""
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		suggestion = fmt.Sprintf("like this: [%s]", n.Value)
	}
	pg.At(n, fmt.Sprintf("%s has to be a list, not %s", what, kindOf(n)), suggestion)
	return nil, false
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a group of keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return "a single value"
}

// Quote puts a name from the file into a message, cut where it is very long.
func Quote(name string) string {
	if r := []rune(name); len(r) > 48 {
		name = string(r[:48]) + "…"
	}
	return fmt.Sprintf("%q", name)
}
