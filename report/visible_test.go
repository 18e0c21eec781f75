package report

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jung-kurt/gofpdf"
	"pgregory.net/rapid"
)

func ascii(r rune) bool { return r < 0x80 }

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 100 %":  "plain, 100 %",
		"a\x00b\n\t":    `a\u{0}b\u{A}\u{9}`,
		"😀":             `\u{1F600}`,
		"固件":            `\u{56FA}\u{4EF6}`,
		"\u202eevil":    `\u{202E}evil`,
		"non\u00a0b":    `non\u{A0}b`,
		"e\u0301":       `e\u{301}`,
		"bad \xff byte": `bad \x{FF} byte`,
		`\u{41} \x{41}`: `\u{5C}u{41} \u{5C}x{41}`,
		`C:\users`:      `C:\users`,
		"א":             `\u{5D0}`,
	} {
		if got := visible(in, ascii); got != want {
			t.Errorf("visible(%q) = %s, want %s", in, got, want)
		}
	}
	var fontsHave, err = addFonts(gofpdf.New("P", "mm", "A4", ""))
	if err != nil {
		t.Fatal(err)
	}
	for f, g := range fontsHave {
		// What a report says in its own words, and the scripts promised, must not need an escape.
		for _, plain := range []string{"Прошивка шлюза Ёё", "Φόρτωση μνήμης", "žluťoučký kůň ÄÖÜß çñ €", "–…·•✔✘◆▲="} {
			if got := visible(plain, g.has); got != plain && !(font(f) == mono && strings.Contains(plain, "✔")) {
				t.Errorf("font %d shows %q as %q", f, plain, got)
			}
		}
		for _, r := range "固א😀\ufffe" {
			if g.has(r) && r != 'א' {
				t.Errorf("font %d claims a glyph for %U", f, r)
			}
		}
	}
}

var escape = regexp.MustCompile(`\\([ux])\{([0-9A-F]+)\}`)

// Nothing is lost: the text can be had back from the print.
func TestVisibleIsInvertible(t *testing.T) {
	many(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(`\ux{}41`))),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		out := visible(in, ascii)
		for _, r := range out {
			if r < ' ' || r > '~' {
				t.Fatalf("%q leaves %U", out, r)
			}
		}
		back := escape.ReplaceAllStringFunc(out, func(e string) string {
			m := escape.FindStringSubmatch(e)
			n, err := strconv.ParseInt(m[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			if m[1] == "x" {
				return string([]byte{byte(n)})
			}
			return string(rune(n))
		})
		if back != in {
			t.Fatalf("%q printed as %q reads back as %q", in, out, back)
		}
	})
}

// many checks a cheap property on fifty texts a check.
func many(t *testing.T, property func(t *rapid.T)) {
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			property(t)
		}
	})
}

// Wrapping loses nothing, and no line is wider than the room but for one character or one hanging space.
func TestWrap(t *testing.T) {
	width := func(r rune) float64 { return 1 + float64(r%3) }
	// A long word right behind a joint once ran over the edge.
	if got := wrap("-aa", 3, width); strings.Join(got, "|") != "-|a|a" {
		t.Errorf("wrapped to %q", got)
	}
	many(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("ab -,  ")))).Draw(t, "text")
		in = visible(in, func(rune) bool { return true })
		w := rapid.Float64Range(0.5, 40).Draw(t, "width")
		lines := wrap(in, w, width)
		if strings.Join(lines, "") != in {
			t.Fatalf("%q became %q", in, lines)
		}
		for _, l := range lines {
			used := 0.0
			for _, r := range strings.TrimSuffix(l, " ") {
				used += width(r)
			}
			if used > w && utf8.RuneCountInString(strings.TrimSuffix(l, " ")) > 1 {
				t.Fatalf("line %q is %.1f wide, room %.1f", l, used, w)
			}
		}
	})
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{size(0), "0 bytes"}, {size(1), "1 byte"}, {size(3_984_588), "3 984 588 bytes"}, {size(64 << 10), "64 KiB"}, {size(32 << 20), "32 MiB"}, {size(-1234), "-1 234 bytes"},
		{span(0, 4<<20), "0x00000000–0x003FFFFF"}, {span(16, 0), "0x00000010, empty"},
		{elapsed(842), "842 ms"}, {elapsed(12_345), "12.3 s"}, {elapsed(65_000), "1 min 05 s"}, {elapsed(3_725_000), "1 h 02 min 05 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		at, size, from, to int64
		want               string
	}{
		{0, 10, 0, 10, "0 10 true"}, {5, 100, 0, 10, "5 10 true"}, {0, 100, 50, 60, "50 60 true"}, {60, 1, 50, 60, "0 0 false"},
		{0, 50, 50, 60, "50 50 false"}, {-1, 5, 0, 10, "0 0 false"}, {1 << 62, 1 << 62, 0, 10, "0 0 false"}, {5, 1<<63 - 1, 0, 10, "5 10 true"},
	} {
		a, b, ok := overlap(c.at, c.size, c.from, c.to)
		if got := fmt.Sprint(a, b, ok); got != c.want {
			t.Errorf("overlap(%d, %d, %d, %d) = %s, want %s", c.at, c.size, c.from, c.to, got, c.want)
		}
	}
}

func FuzzGlyphs(f *testing.F) {
	// The head of a real font holds its table directory; the character map lies further behind than is worth fuzzing,
	// so a small font of one segment is the other seed.
	f.Add([]byte(monoTTF[:2048]))
	f.Add([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00cmap\x00\x00\x00\x00\x00\x00\x00\x1c\x00\x00\x00\x2c" +
		"\x00\x00\x00\x01\x00\x03\x00\x01\x00\x00\x00\x0c\x00\x04\x00\x20\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x5a\x00\x00\x00\x41\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readGlyphs(b)
		if err != nil && g != (glyphs{}) {
			t.Fatal("an unreadable font has glyphs")
		}
	})
}

// Leaf hashes of RFC 6962, section 2.1, as its test vectors have them.
func TestLeafHash(t *testing.T) {
	for leaf, want := range map[string]string{
		"":     "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"\x00": "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
	} {
		if got := leafHash([]byte(leaf)); got != want {
			t.Errorf("leafHash(%q) = %s, want %s", leaf, got, want)
		}
	}
}
