package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible returns text with everything that has does not draw, or that would draw wrongly or invisibly, replaced by an
// escape: \u{HEX} for a character, \x{HEX} for a byte that is not UTF-8. A backslash that would begin such an escape is itself
// escaped, so that the text can be told from the print.
func visible(text string, has func(rune) bool) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		rest := text[i+n:]
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x{%02X}`, text[i])
		case r == '\\' && (strings.HasPrefix(rest, "u{") || strings.HasPrefix(rest, "x{")):
			b.WriteString(`\u{5C}`)
		case faithful(r) && has(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%X}`, r)
		}
		i += n
	}
	return b.String()
}

// faithful says that a character alone, set left to right with the advance of its glyph, shows what it is.
func faithful(r rune) bool {
	switch {
	case !unicode.IsPrint(r) || unicode.Is(unicode.M, r):
		return false // controls, invisible and look-alike spaces, combining marks
	case r >= 0x0590 && r <= 0x08FF, r >= 0xFB1D && r <= 0xFDFF, r >= 0xFE70 && r <= 0xFEFE:
		return false // right to left
	}
	return true
}

// wrap cuts text into lines of at most w by the widths of its characters, after a space or a joint where there is one, anywhere
// else otherwise. One space at the end of a line may hang over. It returns at least one line, and loses nothing.
func wrap(text string, w float64, width func(rune) float64) []string {
	var lines []string
	start, joint := 0, 0 // byte offsets of the line and of the last place where it may be cut
	used, atJoint := 0.0, 0.0
	for i, r := range text {
		rw := width(r)
		for used+rw > w && i > start && (r != ' ' || used > w) {
			cut := i
			if joint > start {
				cut = joint
			} else {
				atJoint = used
			}
			lines = append(lines, text[start:cut])
			start, used = cut, used-atJoint
			joint, atJoint = start, 0
		}
		used += rw
		if strings.ContainsRune(" -/,;:_", r) {
			joint, atJoint = i+utf8.RuneLen(r), used
		}
	}
	return append(lines, text[start:])
}

// size in words: "64 KiB", "4 MiB", "100 bytes".
func size(n int64) string {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return number(n>>20) + " MiB"
	case n > 0 && n%(1<<10) == 0:
		return number(n>>10) + " KiB"
	case n == 1:
		return "1 byte"
	}
	return number(n) + " bytes"
}

// number with its digits in groups of three.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

// span of addresses, both ends included, in hex.
func span(at, n int64) string {
	if at < 0 {
		return fmt.Sprintf("-0x%08X and %s", uint64(-at), size(n)) // no chip has it, but a record may say it
	}
	if n <= 0 {
		return fmt.Sprintf("0x%08X, empty", at)
	}
	return fmt.Sprintf("0x%08X–0x%08X", at, uint64(at)+uint64(n)-1)
}

// elapsed is a duration given in milliseconds, in words.
func elapsed(ms int64) string {
	s := ms / 1000
	switch {
	case ms < 1000:
		return fmt.Sprintf("%d ms", ms)
	case s < 60:
		return fmt.Sprintf("%d.%d s", s, ms%1000/100)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %02d min %02d s", s/3600, s/60%60, s%60)
}

// or returns a dash for nothing.
func or(text string) string {
	if text == "" {
		return "–"
	}
	return text
}
