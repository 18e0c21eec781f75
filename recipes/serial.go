package recipes

import (
	"regexp/syntax"
	"unicode/utf8"
)

// longestMatch is how many bytes a serial of the pattern can have at most. Serials are no longer than longestSerial characters, of up
// to three bytes each, since none is above U+FFFF.
func longestMatch(pattern string) int {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0 // reported where the pattern stands
	}
	return matchBytes(re)
}

const widest = 3 // bytes of a character of a serial in UTF-8

func matchBytes(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				n += widest // the other case may be longer
			} else {
				n += utf8.RuneLen(c)
			}
		}
	case syntax.OpCharClass: // pairs of first and last character, ascending
		if len(re.Rune) > 0 {
			n = min(utf8.RuneLen(re.Rune[len(re.Rune)-1]), widest)
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = widest
	case syntax.OpCapture, syntax.OpQuest:
		n = matchBytes(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus:
		n = matchBytes(re.Sub[0]) * longestSerial
	case syntax.OpRepeat:
		times := re.Max
		if times < 0 {
			times = longestSerial
		}
		n = matchBytes(re.Sub[0]) * max(times, re.Min)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n += matchBytes(sub)
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			n = max(n, matchBytes(sub))
		}
	}
	return min(n, longestSerial*widest)
}
