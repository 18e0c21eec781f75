package kiosk

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"station/ledger"
)

// A badge that the station made signs its bearer in, over restarts, until another one takes its place.
func TestBadge(t *testing.T) {
	c := staffed(t)
	seen := map[string]bool{}
	before := ""
	for range 5 {
		badge := NewBadge
		code, err := c.Change(t.Context(), boss, "op-7", PersonChange{Badge: &badge})
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^BADGE:[A-Z2-7]{26}$`).MatchString(code) || seen[code] {
			t.Errorf("%q, after %v", code, seen)
		}
		seen[code] = true
		if strings.Contains(c.text(), code) || strings.Contains(c.text(), strings.TrimPrefix(code, badgePrefix)) {
			t.Error("the file has the code")
		}
		c.open()
		c.noted, c.stretched = nil, 0
		if _, who, err := c.SignInBadge(t.Context(), code); err != nil || who.ID != "op-7" || !who.Badge {
			t.Errorf("%+v, %v", who, err)
		}
		c.want(ledger.UserSession{User: "op-7", In: true, How: "badge"})
		for _, other := range []string{before, "", "BADGE:", code + "A", strings.ToLower(code), "op-7", "0815"} {
			if token, who, err := c.SignInBadge(t.Context(), other); !errors.Is(err, ErrSignIn) || token != "" || who != (Person{}) {
				t.Errorf("%q: %+v, %v", other, who, err)
			}
		}
		if c.stretched != 8 {
			t.Errorf("8 badges cost %d hashes", c.stretched)
		}
		before = code
	}
}

// A code that the pages would not take for a badge is none: not one of the company, and not one that the station would make.
func TestBadgeHasForm(t *testing.T) {
	c := staffed(t)
	before := c.text()
	company, made := "EMP-0042", NewBadge
	for _, r := range []struct{ form, good, bad string }{{`^BADGE:[A-Z2-7]{26}$`, made, company}, {`^EMP-[0-9]{4}$`, company, made}} {
		c.Form = regexp.MustCompile(r.form)
		if err := change(c, "op-7", PersonChange{Badge: &r.bad}); word(err) != WordBadgeForm || c.text() != before {
			t.Errorf("%s as %s: %v", r.bad, r.form, err)
		}
		if err := change(c, "op-7", PersonChange{Badge: &r.good}); err != nil {
			t.Errorf("%s as %s: %v", r.good, r.form, err)
		}
		before = c.text()
	}
}

func TestBadgeMadeElsewhere(t *testing.T) {
	c := staffed(t)
	for _, code := range []string{"1234567", "with space", "tab\tbed0", "控制台控制台", strings.Repeat("x", 129), "\x1b[31m1234"} {
		if err := change(c, "op-7", PersonChange{Badge: &code}); word(err) != WordBadgeWeak || strings.Contains(err.Error(), code) {
			t.Errorf("%q: %v", code, err)
		}
	}
	company := "EMP-0042/7"
	if err := change(c, "op-7", PersonChange{Badge: &company}); err != nil {
		t.Fatal(err)
	}
	if err := change(c, "op-7", PersonChange{Badge: &company}); err != nil {
		t.Errorf("their own again: %v", err)
	}
	if err := change(c, "boss", PersonChange{Badge: &company}); word(err) != WordBadgeTaken {
		t.Errorf("somebody else's: %v", err)
	}
	if _, who, err := c.SignInBadge(t.Context(), company); err != nil || who.ID != "op-7" {
		t.Errorf("%+v, %v", who, err)
	}
}
