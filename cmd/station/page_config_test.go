package main

import (
	"strings"
	"testing"
)

// The form of badges is one that a browser reads as Go does, and that is about the whole of a code.
func TestWrongBadge(t *testing.T) {
	for form, want := range map[string]string{
		pageBadge:                   "",
		`^E\d{7}$`:                  "",
		`^(BADGE:\w+|E-[0-9]{7}|)$`: "",
		`^(?:A|B)\.[^\]x]$`:         "",
		`^[A-Z$^]{8}$`:              "",
		`^BADGE:[$`:                 "no regular expression",
		`^(?i)BADGE:[a-z2-7]{26}$`:  "a browser",
		`^(?P<a>X{8})$`:             "a browser",
		`^\pL{8}$`:                  "a browser",
		`^[[:upper:]]{8}$`:          "a browser",
		`^[]a]{8}$`:                 "a browser",
		`^\Qa.b\E$`:                 "a browser",
		`^员\d{7}$`:                  "a browser",
		`^XX|[A-Z0-9-]+$`:           "the whole",
		`^A$|^B$`:                   "the whole",
		`^^*A{8}$`:                  "the whole",
		`A{8}$`:                     "the whole",
		`^A{8}`:                     "the whole",
		`^A{8}\$`:                   "the whole",
		`^$`:                        "the whole",
	} {
		if got := wrongBadge(form); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", form, got, want)
		}
	}
}
