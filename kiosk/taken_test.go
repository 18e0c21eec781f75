package kiosk

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A scan that is sent again is not done again, also while the first is under way, and its answer is the first one's: for a minute, and in its session alone.
func TestScanSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSite(t, Options{})
		scan := func(who, id, code string) string {
			w := x.ask(who, "POST", "/api/v1/scan", fmt.Sprintf(`{"code":%q,"id":%q}`, code, id))
			return fmt.Sprint(w.Code, " ", tellOf(t, w).Said.Word, tellOf(t, w).Text)
		}
		n := 0
		x.station.answer = func(what string) (Answer, error) {
			if n++; n%2 == 0 {
				return Answer{}, &Refusal{Status: 409, Said: Said{Word: "twice", Text: "twice"}}
			}
			return Answer{Tone: Accept, Said: Said{Word: "done", Text: fmt.Sprint(what, " ", n)}}, nil
		}
		for _, step := range []struct{ who, id, code, want string }{
			{"op-1", "a", "GW-1", "200 scan GW-1 1"},
			{"op-1", "a", "GW-1", "200 scan GW-1 1"},
			{"op-1", "b", "GW-1", "409 twice"},
			{"op-1", "b", "GW-1", "409 twice"},
			{"sup-1", "a", "GW-1", "200 scan GW-1 3"},
			{"op-1", "a", "RESUME", "409 twice"},
			{"op-1", "a", "GW-1", "200 scan GW-1 1"},
			{"op-1", "", "GW-1", "200 scan GW-1 5"},
			{"op-1", "", "GW-1", "409 twice"},
		} {
			if got := scan(step.who, step.id, step.code); got != step.want {
				t.Errorf("%v: %s", step, got)
			}
		}
		time.Sleep(takenFor)
		if got := scan("op-1", "a", "GW-1"); got != "200 scan GW-1 7" {
			t.Errorf("a minute later: %s", got)
		}

		x.station.wanted()
		x.station.answer = func(string) (Answer, error) {
			time.Sleep(time.Second)
			return Answer{Tone: Accept, Said: Said{Word: "done", Text: "slowly"}}, nil
		}
		answers := make(chan string, 2)
		for range cap(answers) {
			go func() { answers <- scan("op-1", "c", "GW-2") }()
		}
		if a, b := <-answers, <-answers; a != "200 slowly" || b != a {
			t.Errorf("%s, %s", a, b)
		}
		if got := x.station.wanted(); !slices.Equal(got, []string{"scan GW-2 by op-1"}) {
			t.Errorf("the station was asked for %q", got)
		}
	})
}

// What is kept is bounded, and nothing that was done is done again because of that.
func TestScansTakenAreBounded(t *testing.T) {
	all, now := &takenScans{scans: map[scanID]*takenScan{}}, time.Now()
	for i := range maxTaken {
		if s, first := all.take(scanID{id: fmt.Sprint(i)}, now.Add(time.Duration(i))); s == nil || !first {
			t.Fatalf("scan %d: %v, %v", i, s, first)
		}
	}
	if s, _ := all.take(scanID{id: "more"}, now.Add(takenFor-1)); s != nil {
		t.Error("one more is kept")
	}
	if s, first := all.take(scanID{id: "0"}, now.Add(takenFor-1)); s == nil || first {
		t.Error("the first is forgotten")
	}
	if s, first := all.take(scanID{id: "more"}, now.Add(2*takenFor)); s == nil || !first || len(all.scans) != 1 {
		t.Errorf("a minute later: %v, %v, %d kept", s, first, len(all.scans))
	}
}
