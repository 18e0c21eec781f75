package recipes

import (
	"regexp/syntax"
	"slices"
)

// SerialExample is a serial that the pattern matches, to show people what a label looks like: GW-123456 of GW-[0-9]{6}. It is "" where the pattern leaves more open than which
// digits or letters stand in a place, since one of its serials would tell little of the others then.
func (r *Recipe) SerialExample() string {
	parsed, err := syntax.Parse(r.serial.String(), syntax.Perl)
	if err != nil {
		return ""
	}
	var e example
	if !e.add(parsed) || !r.MatchSerial(string(e.text)) {
		return ""
	}
	return string(e.text)
}

// example is made from left to right, of digits and letters in their order.
type example struct {
	text            []rune
	digits, letters int
}

// add adds what stands for a part of a pattern, and tells whether something does.
func (e *example) add(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpEmptyMatch:
		return true
	case syntax.OpLiteral:
		e.text = append(e.text, re.Rune...)
		return len(e.text) <= longestSerial && re.Flags&syntax.FoldCase == 0
	case syntax.OpCapture, syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !e.add(sub) })
	case syntax.OpRepeat:
		for range re.Min {
			if re.Min != re.Max || len(e.text) > longestSerial || !e.add(re.Sub[0]) {
				return false
			}
		}
		return re.Min == re.Max
	case syntax.OpCharClass:
		return e.class(re.Rune)
	}
	return false
}

// class adds a rune of a class, which is one range of digits or of letters.
func (e *example) class(ranges []rune) bool {
	if len(ranges) != 2 {
		return false
	}
	from, to := ranges[0], ranges[1]
	size := int(to-from) + 1
	switch {
	case from >= '0' && to <= '9':
		e.digits++
		e.text = append(e.text, from+rune(e.digits%size))
	case from >= 'A' && to <= 'Z', from >= 'a' && to <= 'z':
		e.text = append(e.text, from+rune(e.letters%size))
		e.letters++
	default:
		return false
	}
	return true
}
