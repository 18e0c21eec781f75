package kiosk

import (
	"regexp"
	"strings"
	"testing"
)

// A badge that was not read as it is signs nobody in, and is nobody's to see: it gets neither to the line nor to the log, nor back. What is no badge gets to the line.
func TestMisreadBadges(t *testing.T) {
	x := newSite(t, Options{})
	b := badgeOf("op-1")
	for _, code := range []string{strings.ToLower(b), b[1:], b[6:], b[10:], "X" + b, b + "X", b + b, b + "\n", "\x1d" + b, b[:20], "badge:x"} {
		for _, who := range []string{"", "op-1", "aud-1"} {
			w := x.ask(who, "POST", "/api/v1/scan", scanned(code))
			if w.Code != 422 || tellOf(t, w).Said.Word != "badge-misread" {
				t.Errorf("%q by %q: %d %s", code, who, w.Code, w.Body)
			}
			if told := w.Body.String() + strings.Join(x.log.lines(), ""); strings.Contains(strings.ToUpper(told), b[12:18]) {
				t.Errorf("%q is told: %s", code, told)
			}
		}
	}
	if asked := x.station.wanted(); asked != nil {
		t.Errorf("the line was asked %q", asked)
	}
	for _, code := range []string{"GW-000001", "SLOT:ABCDEFGHIJKLMNOPQRSTUVWX", "3F9A12C4B8E07D513F9A12C4B8E07D51", "CAFEBABECAFEBABECAFEBABE", "ABCDEFGHIJKLMNOPQRS", "RUECKWAERTS-GANG-NUMMER-7", "A", "😀😀"} {
		if w := x.ask("op-1", "POST", "/api/v1/scan", scanned(code)); w.Code != 200 {
			t.Errorf("%q: %d %s", code, w.Code, w.Body)
		}
	}
	x = newSite(t, Options{Badge: regexp.MustCompile(`^BADGE:[A-Z2-7]{26}$|^E[0-9]{7}$`)})
	for code, want := range map[string]bool{"e1234567": true, "E1234567E1234567": true, "E1234567\nE1234567": true, " E1234567": true, "E12345678": false, "GW E1234567": false, "E1234567E1234568": false, "\n": false} {
		if got := x.readCode(code); got.misread != want || got.badge {
			t.Errorf("%q may be a badge: %v", code, got)
		}
	}
}
