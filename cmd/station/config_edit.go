package main

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// slotKeys may be edited, in the order in which they stand.
var slotKeys = []string{"port", "channel", "volts", "clock"}

// slotEdit is what becomes of some keys of one slot in a configuration: "" takes a key away, and a key that is not named is left alone.
type slotEdit struct {
	slot string
	set  map[string]string
}

// keyChange is one key of one slot that an edit changes. "" is none.
type keyChange struct {
	Slot string `json:"slot"`
	Key  string `json:"key"`
	From string `json:"from"`
	To   string `json:"to"`
}

// errByHand: the file has a form that is not edited.
var errByHand = errors.New("the configuration is written in a way that this program does not edit: change it by hand")

// editSlots returns a configuration with these edits, and what they change: nothing but the values themselves is written anew, everything else,
// comments and line ends too, is what it was to the byte. Errors are errByHand, and what is wrong with the configuration that would come out.
func editSlots(name string, text []byte, edits []slotEdit) ([]byte, []keyChange, error) {
	var changes []keyChange
	out := text
	for _, e := range edits {
		for _, key := range slotKeys {
			to, named := e.set[key]
			if !named {
				continue
			}
			m, err := slotNode(out, e.slot)
			if err != nil {
				return nil, nil, err
			}
			if from := m.value(key); from != to {
				changes = append(changes, keyChange{e.slot, key, from, to})
				if out, err = m.set(key, to); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	if err := onlyThese(text, out, changes); err != nil {
		return nil, nil, err
	}
	return out, changes, checkConfig(name, out)
}

// onlyThese reads both texts as YAML and makes sure that they differ in the changes and in nothing else.
func onlyThese(before, after []byte, changes []keyChange) error {
	var a, b map[string]any
	if err := errors.Join(yaml.Load(before, &a), yaml.Load(after, &b)); err != nil {
		return fmt.Errorf("%w (%w)", errByHand, err)
	}
	slots, _ := a["slots"].([]any)
	for _, c := range changes {
		for _, s := range slots {
			if m, ok := s.(map[string]any); ok && fmt.Sprint(m["name"]) == c.Slot { // a name may look like a number
				m[c.Key] = c.To
				if c.To == "" {
					delete(m, c.Key)
				}
			}
		}
	}
	if !reflect.DeepEqual(a, b) {
		return errByHand
	}
	return nil
}

// slotText is a slot in the text of a configuration.
type slotText struct {
	text []byte
	node *yaml.Node // the mapping
}

func slotNode(text []byte, slot string) (*slotText, error) {
	var doc yaml.Node
	if err := yaml.Load(text, &doc); err != nil {
		return nil, fmt.Errorf("%w (%w)", errByHand, err)
	}
	if len(doc.Content) == 1 {
		for _, item := range (&slotText{text, doc.Content[0]}).list("slots") {
			if m := (&slotText{text, item}); m.value("name") == slot {
				return m, nil
			}
		}
	}
	return nil, fmt.Errorf("there is no slot %q in the configuration: `station slot list` shows them", slot)
}

// find returns the place of a key among the nodes of the mapping, -1 for none.
func (m *slotText) find(key string) int {
	for i := 0; i+1 < len(m.node.Content); i += 2 {
		if m.node.Content[i].Value == key {
			return i
		}
	}
	return -1
}

func (m *slotText) value(key string) string {
	if i := m.find(key); i >= 0 {
		return m.node.Content[i+1].Value
	}
	return ""
}

func (m *slotText) list(key string) []*yaml.Node {
	if i := m.find(key); i >= 0 {
		return m.node.Content[i+1].Content
	}
	return nil
}

// set returns the text with another value of key.
func (m *slotText) set(key, to string) ([]byte, error) {
	at := m.find(key)
	switch {
	case to == "":
		return m.remove(at)
	case at < 0:
		return m.insert(key, to)
	}
	old := m.node.Content[at+1]
	begin, end, err := m.span(old)
	if err != nil {
		return nil, err
	}
	return m.splice(begin, end, scalar(to, old.Style)), nil
}

// insert puts a new key behind those that stand before it in slotKeys; a slot always has a port.
func (m *slotText) insert(key, to string) ([]byte, error) {
	after := -1
	for _, k := range slotKeys[:slices.Index(slotKeys, key)] {
		after = max(after, m.find(k))
	}
	if after < 0 {
		return nil, errByHand
	}
	_, end, err := m.span(m.node.Content[after+1])
	if err != nil {
		return nil, err
	}
	pair := key + ": " + scalar(to, 0)
	if m.node.Style&yaml.FlowStyle != 0 {
		return m.splice(end, end, ", "+pair), nil
	}
	line := "\n"
	end = m.lineEnd(end)
	if end > 0 && m.text[end-1] == '\r' {
		end, line = end-1, "\r\n"
	}
	return m.splice(end, end, line+strings.Repeat(" ", m.node.Content[after].Column-1)+pair), nil
}

// remove takes away the key at this place of the mapping, with its value, and in a block its line.
func (m *slotText) remove(at int) ([]byte, error) {
	key := m.offset(m.node.Content[at])
	begin, end, err := m.span(m.node.Content[at+1])
	switch {
	case err != nil:
		return nil, err
	case bytes.IndexByte(m.text[key:begin], '#') >= 0, m.node.Style&yaml.FlowStyle == 0 && bytes.IndexByte(m.text[end:m.lineEnd(end)], '#') >= 0:
		return nil, errByHand // what somebody noted there would go with the key
	case at == 0: // what follows takes its place; a slot has a name
		next := m.offset(m.node.Content[2])
		if bytes.IndexByte(m.text[end:next], '#') >= 0 {
			return nil, errByHand
		}
		return m.splice(key, next, ""), nil
	case m.node.Style&yaml.FlowStyle == 0:
		start := bytes.LastIndexByte(m.text[:begin], '\n') + 1
		return m.splice(start, min(m.lineEnd(end)+1, len(m.text)), ""), nil
	}
	_, before, err := m.span(m.node.Content[at-1])
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(m.text[before:key], '#') >= 0 {
		return nil, errByHand
	}
	return m.splice(before, end, ""), nil
}

func (m *slotText) splice(begin, end int, text string) []byte {
	return slices.Concat(m.text[:begin], []byte(text), m.text[end:])
}

// lineEnd is where the line of an offset ends, at its line feed or the end of the text.
func (m *slotText) lineEnd(at int) int {
	if i := bytes.IndexByte(m.text[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(m.text)
}

// offset is where a node begins, in bytes.
func (m *slotText) offset(n *yaml.Node) int {
	at := 0
	for range n.Line - 1 {
		at = min(m.lineEnd(at)+1, len(m.text))
	}
	for range n.Column - 1 { // in characters
		_, size := utf8.DecodeRune(m.text[at:])
		at += size
	}
	return at
}

var quoted = map[yaml.Style]*regexp.Regexp{
	yaml.DoubleQuotedStyle: regexp.MustCompile(`^"(\\.|[^"\\\n])*"`),
	yaml.SingleQuotedStyle: regexp.MustCompile(`^'(''|[^'\n])*'`),
}

// span is where the text of a scalar begins and ends.
func (m *slotText) span(n *yaml.Node) (begin, end int, err error) {
	begin = m.offset(n)
	length := len(n.Value)
	if form := quoted[n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle)]; form != nil {
		length = len(form.Find(m.text[begin:]))
	} else if !bytes.HasPrefix(m.text[begin:], []byte(n.Value)) {
		length = 0
	}
	if n.Kind != yaml.ScalarNode || length == 0 {
		return 0, 0, errByHand
	}
	return begin, begin + length, nil
}

var plain = regexp.MustCompile(`^[0-9]+-[0-9.]+$|^[A-Z]$|^[0-9.]+[kM]?Hz$`)

// scalar is a value as YAML has it, in the quotes that the value before it had.
func scalar(value string, before yaml.Style) string {
	switch {
	case before&yaml.SingleQuotedStyle != 0:
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	case before&yaml.DoubleQuotedStyle != 0 || !plain.MatchString(value):
		return strconv.Quote(value)
	}
	return value
}
