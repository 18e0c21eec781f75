//go:build race

package campaign

// raced: the race detector watches, and a story takes ten times as long.
const raced = true
