package provision

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCauseTable: docs/operator.md says what to do for every cause that a run can end with, and for no other.
func TestCauseTable(t *testing.T) {
	text, err := os.ReadFile("../docs/operator.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n| cause | word | what to do |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	told, rows := map[string]bool{}, map[string]bool{}
	for row := range strings.Lines(table) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		word, _, _ := strings.Cut(rest, " |")
		first, _, _ = strings.Cut(first, " (") // which of the same name
		for cause := range strings.SplitSeq(first, ", ") {
			told[cause] = true
			if rows[cause+" "+word] {
				t.Errorf("%s %s stands in two rows", cause, word)
			}
			rows[cause+" "+word] = true
		}
	}
	causes := causesIn(t)
	if len(causes) < 60 {
		t.Fatalf("only %d causes were found: %v", len(causes), causes)
	}
	for _, cause := range causes {
		if !told[cause] {
			t.Errorf("%s is in no row", cause)
		}
		delete(told, cause)
	}
	for cause := range told {
		t.Errorf("%s is in the table, and no run ends with it", cause)
	}
	for _, cause := range slices.Concat(errorsOfSlot, refusalsElsewhere) {
		if !slices.Contains(causes, cause) {
			t.Errorf("%s is one that no run ends with", cause)
		}
	}
}

// causesIn are the causes that the sources of this room spell out: where they make a verdict or a *stationError, and where they call what makes one.
func causesIn(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var causes []string
	keep := func(all []ast.Expr, at int) {
		switch arg := all[at].(type) {
		case *ast.BasicLit:
			cause, err := strconv.Unquote(arg.Value)
			if err != nil {
				t.Fatal(err)
			}
			causes = append(causes, cause)
		case *ast.Ident, *ast.SelectorExpr, *ast.KeyValueExpr: // it came from one of those, or it is that of a PASS
		default:
			t.Errorf("a cause is made of more than one word of the sources: %T", arg)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				switch kind, _ := n.Type.(*ast.Ident); {
				case kind == nil || len(n.Elts) < 2:
				case kind.Name == "verdict":
					keep(n.Elts, 1)
				case kind.Name == "stationError":
					keep(n.Elts, 0)
				}
			case *ast.CallExpr:
				switch f := n.Fun.(type) {
				case *ast.Ident:
					if f.Name == "refuse" || f.Name == "stuck" {
						keep(n.Args, 0)
					}
				case *ast.SelectorExpr:
					if f.Sel.Name == "refuse" { // Line's
						keep(n.Args, 3)
					}
				}
			}
			return true
		})
	}
	slices.Sort(causes)
	return slices.Compact(causes)
}
