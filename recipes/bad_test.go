package recipes

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"station/yamltext"
)

var update = flag.Bool("update", false, "write the golden files anew; read them before you commit them")

// TestBadRecipes: what an author sees for each mistake, word for word. Each file in testdata/bad says in its
// first line what is wrong with it.
func TestBadRecipes(t *testing.T) {
	t.Chdir("testdata/bad") // so that messages name the bare file
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d bad recipes, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			_, err := Load(file)
			var problems *yamltext.Errors
			if !errors.As(err, &problems) {
				t.Fatalf("Load: %v, want *yamltext.Errors", err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if !slices.IsSortedFunc(problems.Problems, func(a, b yamltext.Problem) int {
				return (a.Line-b.Line)*10000 + a.Column - b.Column
			}) {
				t.Error("not in the order of the file")
			}
		})
	}
}
