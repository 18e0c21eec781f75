package main

import (
	"strings"
	"testing"
)

// A serial of signs alone is refused where it is scanned: it would be in the ledger for ever, and have no page.
func TestReadable(t *testing.T) {
	for serial, want := range map[string]bool{"": false, "/": false, ".": false, "..": false, "-_-": false, "。": false, "a\n": false, strings.Repeat("a", 65): false,
		"a/../b": true, "7": true, "..a": true, "工位": true, "٣": true, strings.Repeat("a", 64): true} {
		if err := readable("serial", serial, longestName); (err == nil) != want {
			t.Errorf("%q: %v", serial, err)
		}
	}
}
