package yamltext

import (
	"strings"
	"testing"
)

func TestProblemIsShownAtItsPlace(t *testing.T) {
	text := "a: 1\nbcd: {e: 2}\nf: 3\n"
	pg := New("x.yaml", "recipe", []byte(text))
	root := pg.Document()
	if root == nil {
		t.Fatal(pg.Err())
	}
	keys, ok := pg.Group(root, root, "the file", []string{"a", "bce", "g"}, []string{"f"}, map[string]string{"h": "no h"})
	if ok || len(keys) != 2 {
		t.Errorf("keys %v, %t", keys, ok)
	}
	want := `x.yaml:1:1: the file lacks g
    1 | a: 1
      | ^

x.yaml:2:1: the file has no key "bcd"
    1 | a: 1
    2 | bcd: {e: 2}
      | ^
        did you mean "bce"?`
	if got := pg.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLongLinesKeepTheirCaret(t *testing.T) {
	line := strings.Repeat("x", 500) + "! rest"
	pg := New("x.yaml", "recipe", []byte(line))
	pg.Report(1, 501, "here", "")
	lines := strings.Split(pg.Err().Error(), "\n")
	if at := strings.Index(lines[2], "^"); at < 0 || []rune(lines[1])[at] != '!' {
		t.Errorf("the caret is off:\n%s", strings.Join(lines, "\n"))
	}
}

// TestSecretsAreNotQuoted: what somebody wrote into a file where it does not belong is in no message about it, and the caret stays where it was.
func TestSecretsAreNotQuoted(t *testing.T) {
	for line, want := range map[string]string{
		"  - password: correct horse, battery":              "  - password: **********************",
		`  - {"Root_Key" : "00ü1", x: 1}`:                   `  - {"Root_Key" : *************`,
		"api-token: x\r":                                    "api-token: *",
		"  - raw: {send: 2811223344556677, x: 1}":           "  - raw: {send: ****************, x: 1}",
		"a: 28 11 22:33-44 55 66 77, b: 281122334455667":    "a: ***********************, b: 281122334455667",
		"a: AGE-SECRET-KEY-1QQ, b":                          "a: ******************* b",
		`a: {sha256: "0011223344556677", b: 00112233445566`: `a: {sha256: "0011223344556677", b: 00112233445566`,
		"  - password: {escrow: [audit], exercise: true}":   "  - password: {escrow: [audit], exercise: true}",
		"    key: {derive: line/root-2026}":                 "    key: {derive: line/root-2026}",
		"root_key:":                                         "root_key:",
		"keys: {provider: x, pin: 1234}":                    "keys: {provider: x, pin: *****",
		"mapping: 12, pinned: 34":                           "mapping: 12, pinned: 34",
	} {
		pg := New("x.yaml", "recipe", []byte(line+"\nb: 1\nc: 2\n"))
		pg.Report(1, 3, "here", "")
		pg.Report(3, 1, "and below", "")
		list := pg.Err().(*Errors).Problems
		if got := list[0].Source[0]; got != want || list[1].Source[0] != want || list[0].caret != 2 {
			t.Errorf("%q is quoted as\n%q, want\n%q; below as %q", line, got, want, list[1].Source[0])
		}
	}
}

func TestProblemsAreLimited(t *testing.T) {
	pg := New("x.yaml", "recipe", []byte("a: 1\n"))
	for range 10 * MaxProblems {
		pg.Report(1, 1, "wrong", "")
	}
	list := pg.Err().(*Errors).Problems
	if len(list) != MaxProblems+1 || !strings.Contains(list[MaxProblems].Message, "more mistakes") {
		t.Errorf("%d problems, the last says %q", len(list), list[len(list)-1].Message)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"region", "image", "lock"}
	for got, want := range map[string]string{"regoin": "region", "IMAGE": "image", "lokc": "lock", "freeze": "", "": ""} {
		if n := Nearest(got, names); n != want {
			t.Errorf("nearest to %q is %q, want %q", got, n, want)
		}
	}
}

// FuzzDocument: whatever the text, there is a document or a reason, never a panic.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{"a: 1", "", "- a", "a: &x 1\nb: *x", "a: \"", "\t", "a: 1\n---\nb: 2", "\xff", "{", "? [a]\n: b", "a: !!binary x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pg := New("f", "recipe", text)
		root := pg.Document()
		if (root == nil) != (pg.Err() != nil) {
			t.Errorf("document %v with error %v", root, pg.Err())
		}
		if root != nil {
			pg.Fields(root, "it")
		}
	})
}
