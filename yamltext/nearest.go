package yamltext

import (
	"fmt"
	"strings"
)

// DidYouMean suggests the name which the author most likely meant, "" when none is close.
func DidYouMean(got string, names []string) string {
	if name := Nearest(got, names); name != "" {
		return fmt.Sprintf("did you mean %q?", name)
	}
	return ""
}

// Nearest is the name that differs from got by the fewest letters, "" when all differ by many.
func Nearest(got string, names []string) string {
	const manyNames = 500 // nobody reads a suggestion from a list this long
	if len(got) > 64 || len(names) > manyNames {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(got)/3)
	for _, name := range names {
		if d := editDistance(strings.ToLower(got), strings.ToLower(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete, replace or swap with their neighbour
// (optimal string alignment) to turn a into b.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
