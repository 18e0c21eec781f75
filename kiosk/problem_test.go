package kiosk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The words that this room says of requests are those of ServerWords, no more and no fewer, and every catalogue has them.
func TestServerWords(t *testing.T) {
	at := map[string]int{"problem": 1, "accepted": 0, "userAnswer": 1, "reload": 1} // the argument that is a word
	said := map[string]bool{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, is := n.(*ast.CallExpr)
			if !is {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			if i, is := at[name]; is && i < len(call.Args) {
				if word, is := call.Args[i].(*ast.BasicLit); is && word.Kind == token.STRING {
					w, _ := strconv.Unquote(word.Value)
					said[w] = true
				}
			}
			return true
		})
	}
	for word := range said {
		if !slices.Contains(ServerWords, word) {
			t.Errorf("%q is said, and not in ServerWords", word)
		}
	}
	for lang, text := range readTexts() {
		for _, word := range ServerWords {
			if !said[word] {
				t.Errorf("%q is in ServerWords, and nobody says it", word)
			}
			if !text.Has("said." + word) {
				t.Errorf("%s has no said.%s", lang, word)
			}
		}
	}
}
