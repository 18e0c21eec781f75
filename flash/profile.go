package flash

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// YAML is the profile in the format that ParsePart reads: bytes and masks in hexadecimal, and "# assumed" behind every field that no source confirms.
func (p *Part) YAML() ([]byte, error) {
	var doc yaml.Node
	if err := doc.Encode(p); err != nil {
		return nil, fmt.Errorf("part %q: %w", p.Name, err)
	}
	tidy(&doc)
	for _, path := range p.Assumed {
		mark(&doc, strings.Split(path, "."))
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("part %q: %w", p.Name, err)
	}
	return out.Bytes(), enc.Close()
}

// hexadecimal are the fields of one or two bytes whose bits or opcodes tell, with their digits.
var hexadecimal = map[string]int{"opcode": 2, "opcode4": 2, "op1": 2, "op2": 2, "nvlb_mask": 2, "blank_password": 2, "program_refused": 2,
	"erase_refused": 2, "lock_refused": 2, "lock_erase_refused": 2, "volatile_refused": 2, "change": 4, "busy": 2, "ok": 2, "value": 2}

// tidy leaves out what the part does not have, and writes numbers as a data sheet does.
func tidy(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		var kept []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if value.Tag == "!!null" || key.Value == "opcode4" && value.Value == "0" {
				continue
			}
			if digits := hexadecimal[key.Value]; digits > 0 {
				if v, err := strconv.ParseUint(value.Value, 10, 16); err == nil {
					value.Value = fmt.Sprintf("0x%0*X", digits, v)
				}
			}
			if key.Value == "id" || key.Value == "block" {
				value.Style = yaml.DoubleQuotedStyle // digits alone would be a number
			}
			if key.Value == "map" && value.Value == Invented {
				value.LineComment = "INVENTED: no real chip knows these commands"
			}
			if value.Tag == "!!str" && key.Value != "name" {
				value.Value = strings.Replace(value.Value, "µs", "us", 1)
			}
			kept = append(kept, key, value)
		}
		n.Content = kept
	}
	for _, c := range n.Content {
		tidy(c)
	}
}

// mark comments the field at path. A path that was tidied away has none.
func mark(n *yaml.Node, path []string) {
	for len(path) > 0 {
		switch n.Kind {
		case yaml.MappingNode:
			i := 0
			for i+1 < len(n.Content) && n.Content[i].Value != path[0] {
				i += 2
			}
			if i+1 >= len(n.Content) {
				return
			}
			if len(path) == 1 {
				if at := n.Content[i+1]; at.Kind == yaml.ScalarNode {
					at.LineComment = "assumed"
				} else {
					n.Content[i].HeadComment = "assumed"
				}
				return
			}
			n = n.Content[i+1]
		case yaml.SequenceNode:
			i, err := strconv.Atoi(path[0])
			if err != nil || i < 0 || i >= len(n.Content) {
				return
			}
			if len(path) == 1 {
				n.Content[i].HeadComment = "assumed"
				return
			}
			n = n.Content[i]
		default:
			return
		}
		path = path[1:]
	}
}
