package kiosk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
)

// toldBody is the body of an answer, or of a problem.
type toldBody struct {
	Word   string
	Facts  map[string]string
	Text   string
	Reload bool
	Said   Said
	Errors []struct{ Message, Location string }
}

func tellOf(t *testing.T, w *httptest.ResponseRecorder) (a toldBody) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return a
}

// sessionOf is the cookie of a session that an answer sets.
func sessionOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieSession {
			return c
		}
	}
	t.Fatalf("no session is set: %d %v", w.Code, w.Header())
	return nil
}

func scanned(code string) string {
	b, _ := json.Marshal(map[string]string{"code": code})
	return string(b)
}

// A badge that is scanned signs in on the page, whoever was there before off; SIGN-OFF ends it. Neither gets to the line, and no code, PIN or token to the log.
func TestSignInByScan(t *testing.T) {
	x := newSite(t, Options{TLS: true})
	w := x.ask("", "POST", "/api/v1/scan", scanned(badgeOf("op-1")))
	a, c := tellOf(t, w), sessionOf(t, w)
	if w.Code != 200 || a.Word != "signed-in" || a.Facts["id"] != "op-1" || !a.Reload {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != 0 || c.Domain != "" {
		t.Errorf("the cookie is %q", c.Raw)
	}
	x.sessions["first"] = c.Value
	if w := x.ask("first", "POST", "/api/v1/scan", scanned("SN-1")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = x.ask("first", "POST", "/api/v1/session", fmt.Sprintf(`{"badge":%q}`, badgeOf("sup-1")))
	x.sessions["second"] = sessionOf(t, w).Value
	other := sessionOf(t, x.ask("op-1", "POST", "/api/v1/session", `{"name":"Aude","pin":"4713"}`)) // on another page, which op-1 had
	if other.Value == "" || other.Value == c.Value {
		t.Errorf("the cookie is %q", other.Raw)
	}
	for who, want := range map[string]string{"first": "", "second": "sup-1"} {
		var now struct{ Person *Person }
		json.Unmarshal(x.ask(who, "GET", "/api/v1/session", "").Body.Bytes(), &now)
		if got := now.Person; got == nil && want != "" || got != nil && got.ID != want {
			t.Errorf("the %s session is of %v, want %q", who, got, want)
		}
	}
	if w := x.ask("first", "POST", "/api/v1/scan", scanned("SN-1")); w.Code != 401 { // and not that its token is too old
		t.Errorf("a session that was replaced: %d %s", w.Code, w.Body)
	}
	w = x.ask("second", "POST", "/api/v1/scan", scanned(CardSignOff))
	if a, c := tellOf(t, w), sessionOf(t, w); a.Word != "signed-off" || !a.Reload || c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("signed off: %s, cookie %q", w.Body, c.Raw)
	}
	for _, body := range []string{scanned("BADGE:AAAAAAAAAAAAAAAAAAAAAAAAAA"), `{"name":"Otto","pin":"90817263"}`} {
		path := "/api/v1/scan"
		if strings.Contains(body, "pin") {
			path = "/api/v1/session"
		}
		if w := x.ask("second", "POST", path, body); w.Code != 401 || tellOf(t, w).Said.Word != WordSignIn {
			t.Errorf("a wrong one: %d %s", w.Code, w.Body)
		}
	}
	if got := x.station.wanted(); !slices.Equal(got, []string{"scan SN-1 by op-1"}) {
		t.Errorf("the line was asked %q", got)
	}
	var entries []string
	for _, e := range x.records.written() {
		if e, is := e.(ledger.UserSession); is {
			entries = append(entries, fmt.Sprint(e.User, " ", e.In, " ", e.How))
		}
	}
	want := []string{"op-1 true badge", "sup-1 true badge", "op-1 false badge", "aud-1 true pin", "op-1 false pin", "sup-1 false card"}
	slices.Sort(entries)
	slices.Sort(want)
	if !slices.Equal(entries, want) {
		t.Errorf("entries %q, want %q", entries, want)
	}
	log := strings.Join(x.log.lines(), "\n")
	for _, secret := range []string{"90817263", "BADGE", badgeOf("op-1")[6:], x.sessions["first"], x.sessions["second"]} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q: %s", secret, log)
		}
	}
	if n := strings.Count(log, "cause="+WordSignIn); n != 2 {
		t.Errorf("%d lines about wrong ones, want 2: %s", n, log)
	}
}

// Without people nothing is answered before the first user is made, with the code of the terminal and once. That one is an admin, and signed in.
func TestSetUp(t *testing.T) {
	x := newSite(t, Options{People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), SetUp: "7K3M"})
	me := func(code string) string { return fmt.Sprintf(`{"code":%q,"id":"me","name":"I","pin":"4711"}`, code) }
	for path, want := range map[string]int{"GET /api/v1/state": 401, "POST /api/v1/resume": 401, "GET /api/v1/users": 401, "GET /healthz": 200} {
		method, path, _ := strings.Cut(path, " ")
		if w := x.ask("", method, path, ""); w.Code != want || want == 401 && tellOf(t, w).Said.Word != "set-up-first" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, code := range []string{"", "7K3", "7K3N"} {
		if w := x.ask("", "POST", "/api/v1/setup", me(code)); w.Code != 403 || tellOf(t, w).Said.Word != "set-up-code" {
			t.Errorf("code %q: %d %s", code, w.Code, w.Body)
		}
	}
	if w := x.ask("", "POST", "/api/v1/session", `{"name":"I","pin":"4711"}`); w.Code != 401 || !x.o.People.None() {
		t.Errorf("signed in as nobody: %d %s", w.Code, w.Body)
	}
	w := x.ask("", "POST", "/api/v1/setup", me(" 7k3m")) // people type what they read in small letters
	x.sessions["me"] = sessionOf(t, w).Value
	if w := x.ask("me", "GET", "/api/v1/users", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"me","name":"I","role":"admin"`) {
		t.Errorf("the first user sees %d %s", w.Code, w.Body)
	}
	if w := x.ask("", "POST", "/api/v1/setup", me("7K3M")); w.Code != 409 {
		t.Errorf("a second first user: %d %s", w.Code, w.Body)
	}
	none := newSite(t, Options{People: nobodyYet(t, nil)}) // no code: nobody
	if w := none.ask("", "POST", "/api/v1/setup", me("")); w.Code != 403 {
		t.Errorf("without a code there: %d %s", w.Code, w.Body)
	}
}

// An open station lets everybody do everything, but not without the token, until there is a first user.
func TestOpen(t *testing.T) {
	x := newSite(t, Options{People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), Open: true})
	if w := x.ask("", "POST", "/api/v1/slots/1/release", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r := x.request("", "POST", "/api/v1/resume", "")
	r.Header.Del(headerToken)
	if w := x.send(r); w.Code != 403 {
		t.Errorf("without a token: %d", w.Code)
	}
	if got := x.station.wanted(); !slices.Equal(got, []string{"release 1 by unnamed"}) {
		t.Errorf("the line was asked %q", got)
	}
	if w := x.ask("", "POST", "/api/v1/setup", `{"id":"me","name":"I","pin":"4711"}`); w.Code != 200 {
		t.Errorf("the first user: %d %s", w.Code, w.Body)
	}
	if w := x.ask("", "GET", "/api/v1/state", ""); w.Code != 401 {
		t.Errorf("with a user: %d", w.Code)
	}
}

// Over the socket of the PC people are who they say, need no token, may do everything, and run units without a job. Nobody does that over the network.
func TestLocal(t *testing.T) {
	var got DirectOrder
	order := `{"recipe":"/r.yaml","slots":[{"slot":"1","serial":"SN-1"}],"trial":true}`
	x := newSite(t, Options{Direct: func(ctx context.Context, who Who, o DirectOrder, tell func(any)) error {
		tell(map[string]string{"event": who.ID})
		if got = o; !o.Trial {
			return &Refusal{Status: 409, Said: Said{Word: "job-open", Text: "a job is open"}}
		}
		tell(map[string]string{"results": "all"})
		return nil
	}})
	ask := func(who, method, path, body string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(method, path, strings.NewReader(body)), httptest.NewRecorder()
		r.Host = "station" // it has no name there
		if who != "" {
			r.Header.Set(headerWho, who)
		}
		x.Local().ServeHTTP(w, r)
		return w
	}
	if w := ask("op-7", "POST", "/api/v1/units/SN-1/close", `{"as":"lost","reason":"gone"}`); w.Code != 404 {
		t.Errorf("a unit that is not there: %d %s", w.Code, w.Body)
	}
	ask("op-7", "POST", "/api/v1/slots/1/release", "")
	ask("", "POST", "/api/v1/slots/2/release", "")
	if got := x.station.wanted(); !slices.Equal(got, []string{"release 1 by op-7", "release 2 by unnamed"}) {
		t.Errorf("the line was asked %q", got)
	}
	if w := ask("a\tb", "GET", "/api/v1/state", ""); w.Code != 422 {
		t.Errorf("nobody's name: %d", w.Code)
	}
	for _, who := range []string{"setup", "Station"} {
		if w := ask(who, "POST", "/api/v1/slots/1/release", ""); w.Code != 422 || x.station.wanted() != nil {
			t.Errorf("%s is no person: %d", who, w.Code)
		}
	}
	if w := ask("op-7", "POST", "/api/v1/runs", order); w.Code != 200 || w.Body.String() != "{\"event\":\"op-7\"}\n{\"results\":\"all\"}\n" || got.Slots[0] != (DirectSlot{"1", "SN-1"}) {
		t.Errorf("runs: %d %s, ordered %+v", w.Code, w.Body, got)
	}
	if w := ask("op-7", "POST", "/api/v1/runs", `{"recipe":"/r.yaml","slots":[],"trial":false}`); !strings.HasSuffix(w.Body.String(), `"said":{"word":"job-open","text":"a job is open"}}}`+"\n") {
		t.Errorf("runs that are refused: %s", w.Body)
	}
	if w := ask("op-7", "POST", "/api/v1/runs", `{"recipes":"/r.yaml"}`); w.Code != 422 {
		t.Errorf("an order that is none: %d %s", w.Code, w.Body)
	}
	for who := range x.sessions {
		if w := x.ask(who, "POST", "/api/v1/runs", order); w.Code != 404 {
			t.Errorf("runs by %s over the network: %d", who, w.Code)
		}
	}
}

// What goes wrong is told to whoever can mend it, and to the log; what somebody typed is not told back.
func TestProblems(t *testing.T) {
	x := newSite(t, Options{})
	x.station.answer = func(what string) (Answer, error) {
		switch what {
		case "resume":
			return Answer{}, &Refusal{Status: 409, Said: Said{Word: "no-job", Facts: map[string]string{"slot": "1"}, Text: "there is no job", Next: "Begin one."}}
		case "cancel":
			return Answer{}, fmt.Errorf("writing: %w", errors.New("/data/station.db: disk full"))
		}
		return Answer{}, context.DeadlineExceeded
	}
	for _, c := range []struct {
		who, route, body string
		status           int
		word             string
		log              string // a part of the line
	}{
		{"op-1", "POST /api/v1/resume", "", 409, "no-job", ""},
		{"op-1", "POST /api/v1/cancel", "", 500, "broken", "writing: /data/station.db: disk full"},
		{"op-1", "POST /api/v1/jobs/close", "", 504, "slow", "cause=slow"},
		{"op-1", "GET /api/v1/units/SN-9", "", 404, "no-such-unit", ""},
		{"op-1", "GET /api/v1/units?limit=1000", "", 422, "invalid", ""},
		{"sup-1", "POST /api/v1/jobs", `{"recipe":"a.yaml","quantity":-1}`, 422, "invalid", ""},
		{"sup-1", "POST /api/v1/jobs", `{"recipe":"a.yaml","quantity":1,"more":2}`, 422, "invalid", ""},
		{"sup-1", "POST /api/v1/units/SN-9/close", `{"as":"lost","reason":"two\nlines"}`, 422, "invalid", ""},
		{"sup-1", "POST /api/v1/units/SN-9/close", `{"as":"lost","reason":"fell","REASON":"two\nlines"}`, 422, "invalid", ""},
		{"sup-1", "POST /api/v1/jobs", `{`, 400, "invalid", ""},
		{"adm-1", "POST /api/v1/users", `{"id":"x","name":"X","role":"operator","pin":"1928374650192837"}`, 422, "invalid", ""},
		{"adm-1", "POST /api/v1/users", `{"id":"x","name":"X","role":"anyone","pin":"4711"}`, 422, "invalid", ""},
		{"op-1", "POST /api/v1/scan", `{"code":"` + strings.Repeat("A", maxBody) + `"}`, 413, "too-large", ""},
	} {
		method, path, _ := strings.Cut(c.route, " ")
		w := x.ask(c.who, method, path, c.body)
		a, lines := tellOf(t, w), strings.Join(x.log.lines(), "\n")
		pattern := strings.Replace(c.route, "/SN-9", "/{serial}", 1)
		pattern, _, _ = strings.Cut(pattern, "?")
		asDocumented(t, c.route, x, pattern, w)
		if w.Code != c.status || a.Said.Word != c.word || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", c.route, c.body, w.Code, w.Body)
		}
		if c.log == "" && lines != "" || !strings.Contains(lines, c.log) || strings.Contains(w.Body.String(), "disk full") || strings.Contains(w.Body.String(), "192837") {
			t.Errorf("%s: told %s and logged %q", c.route, w.Body, lines)
		}
		if c.word == "invalid" && c.status == 422 && len(a.Errors) == 0 {
			t.Errorf("%s: it does not say where: %s", c.route, w.Body)
		}
	}
	if w := x.ask("op-1", "POST", "/api/v1/resume", ""); tellOf(t, w).Said.Facts["slot"] != "1" {
		t.Errorf("a refusal's facts: %s", w.Body)
	}
}

// Whoever asks faster than people and scanners do waits; others do not, and a hundred scans a minute are no haste.
func TestHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSite(t, Options{})
		for i := range 200 {
			if w := x.ask("op-1", "POST", "/api/v1/scan", scanned("SN-1")); w.Code != 200 {
				t.Fatalf("scan %d: %d", i, w.Code)
			}
			time.Sleep(600 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for i := range 61 {
			w := x.ask("op-1", "POST", "/api/v1/cancel", "")
			asDocumented(t, "haste", x, "POST /api/v1/cancel", w)
			if late := i == 60; (w.Code == 429) != late || late && w.Header().Get("Retry-After") != "1" {
				t.Fatalf("request %d at once: %d, Retry-After %q", i, w.Code, w.Header().Get("Retry-After"))
			}
		}
		if w := x.ask("sup-1", "POST", "/api/v1/cancel", ""); w.Code != 200 {
			t.Errorf("somebody else: %d", w.Code)
		}
		for i := range 7 {
			if i == 6 {
				time.Sleep(10 * time.Second)
			}
			w := x.ask("sup-1", "POST", "/api/v1/shift/begin", "")
			if late := i == 5; (w.Code == 429) != late || late && w.Header().Get("Retry-After") != "10" {
				t.Fatalf("shift %d: %d, Retry-After %q", i, w.Code, w.Header().Get("Retry-After"))
			}
		}
		if n := strings.Count(strings.Join(x.station.wanted(), "\n"), "begin-shift by sup-1"); n != 6 {
			t.Errorf("%d shifts were begun, want 6", n)
		}
		for i := range 11 {
			w := x.ask("", "POST", "/api/v1/session", fmt.Sprintf(`{"name":"nobody %d","pin":"4711"}`, i))
			if late := i == 10; (w.Code == 429) != late || !late && w.Code != 401 {
				t.Fatalf("sign-in %d: %d", i, w.Code)
			}
		}
		for range 5 {
			time.Sleep(10 * time.Second)
			x.ask("", "POST", "/api/v1/session", `{"name":"Aude","pin":"90817263"}`)
		}
		time.Sleep(time.Minute)
		if w := x.ask("", "POST", "/api/v1/session", `{"name":"Aude","pin":"4713"}`); w.Code != 429 || w.Header().Get("Retry-After") != "240" {
			t.Errorf("a minute after five wrong PINs: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		time.Sleep(time.Minute)
		for i := range 70 { // from everywhere
			r := x.request("", "POST", "/api/v1/session", `{"name":"Otto","pin":"4711"}`)
			r.RemoteAddr = fmt.Sprintf("198.51.100.%d:1000", i+1)
			w := x.send(r)
			if late := i >= 60; (w.Code == 429) != late {
				t.Fatalf("sign-in from address %d: %d", i, w.Code)
			}
		}
		for i := range 12 { // badges that nobody guesses are not kept out, but from where too many come
			r := x.request("", "POST", "/api/v1/scan", scanned(badgeOf("op-1")))
			if r.RemoteAddr = fmt.Sprintf("[2001:db8::%d]:1000", i+1); i == 11 {
				r.RemoteAddr = "[2001:db8:0:1::1]:1000"
			}
			w := x.send(r)
			if late := i == 10; (w.Code == 429) != late || !late && w.Code != 200 {
				t.Fatalf("badge %d: %d", i, w.Code)
			}
		}
	})
}

// Reports are made for two at a time. Others wait for their turn, but not for ever, and who is gone does not.
func TestReportsTwoAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := stocked(t, Options{})
		var now, most atomic.Int64
		pace := 10 * time.Second
		x.records.making = func() {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(pace)
			now.Add(-1)
		}
		answers := make(chan int)
		ask := func(ctx context.Context) {
			answers <- x.send(x.request("op-1", "GET", "/api/v1/units/SN-1/report", "").WithContext(ctx)).Code
		}
		gone, leave := context.WithCancel(t.Context())
		for range 8 {
			go ask(t.Context())
		}
		synctest.Wait()
		go ask(gone)
		synctest.Wait()
		leave()
		if status := <-answers; status != 504 || now.Load() != 2 {
			t.Errorf("who is gone is answered by %d, and %d are made", status, now.Load())
		}
		got := map[int]int{}
		for range 8 {
			got[<-answers]++
		}
		if most.Load() != 2 || got[200] != 6 || got[504] != 2 {
			t.Errorf("%d at once, answers %v: want two, and who had no turn within 25 s refused", most.Load(), got)
		}
	})
}

// The ledger is checked for one at a time.
func TestVerifyOneAtATime(t *testing.T) {
	x := newSite(t, Options{})
	x.records.verify = func() {
		x.records.verify = nil
		w := x.ask("adm-1", "POST", "/api/v1/ledger/verify", "")
		if w.Code != 429 || w.Header().Get("Retry-After") != "10" || tellOf(t, w).Said.Word != "verifying" {
			t.Errorf("a second one: %d %s", w.Code, w.Body)
		}
	}
	x.records.bad = true
	w := x.ask("sup-1", "POST", "/api/v1/ledger/verify", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"ok":false,"document":{"ok":false}`) {
		t.Errorf("the first one: %d %s", w.Code, w.Body)
	}
	if w := x.ask("adm-1", "POST", "/api/v1/ledger/verify", ""); w.Code != 200 {
		t.Errorf("one behind it: %d %s", w.Code, w.Body)
	}
}

// What a check of the ledger found is said in a sentence: that it holds and how much of it there is, or the first thing that is wrong.
func TestVerifySays(t *testing.T) {
	type finding struct {
		What string `json:"what"`
	}
	type document struct { // the part of `station audit verify --json` that is said
		Entries  int       `json:"entries"`
		Signed   int       `json:"signed"`
		Findings []finding `json:"findings"`
		Store    string    `json:"store"`
	}
	for _, c := range []struct {
		d    document
		ok   bool
		want string
	}{
		{document{Entries: 12, Signed: 11}, true, "accept The ledger holds: 12 entries recomputed, 11 of them signed"},
		{document{Findings: []finding{{"entry 4 is altered"}, {"entry 5 too"}}, Store: "rows"}, false, "attention The ledger does not hold: entry 4 is altered"},
		{document{Store: "a row of unit GW-1 is another one"}, false, "attention The ledger does not hold: a row of unit GW-1 is another one"},
	} {
		a, err := verified(c.d, c.ok)
		if got := string(a.Tone) + " " + readTexts()["en"].Said(&a.Said); err != nil || got != c.want {
			t.Errorf("%q, want %q (%v)", got, c.want, err)
		}
	}
}

// Whoever asks for a unit is told with its entries where the ledger does not prove them.
func TestUnprovenIsTold(t *testing.T) {
	x := stocked(t, Options{})
	for _, problem := range []string{"", "entry 7 is altered"} {
		x.records.proof.Problem = problem
		var unit struct {
			Runs    []any
			Problem *string
		}
		w := x.ask("aud-1", "GET", "/api/v1/units/SN-1", "")
		if err := json.Unmarshal(w.Body.Bytes(), &unit); err != nil || w.Code != 200 || len(unit.Runs) == 0 || unit.Problem == nil || *unit.Problem != problem {
			t.Errorf("%d %s (%v), want %q", w.Code, w.Body, err, problem)
		}
	}
}

// A report may be shown by a browser and run nothing; a station that is not well says so, and why only to its log.
func TestReportAndHealth(t *testing.T) {
	x := stocked(t, Options{})
	w := x.ask("aud-1", "GET", "/api/v1/units/SN-1/report", "")
	if h := w.Header(); w.Body.String() != "%PDF-" || h.Get("Content-Type") != "application/pdf" || len(h["Content-Security-Policy"]) != 1 || strings.Contains(h.Get("Content-Security-Policy"), "script-src") ||
		!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %q", w.Code, h, w.Body)
	}
	x.station.health = errors.New("/data is full")
	if w := x.ask("", "GET", "/healthz", ""); w.Code != 503 || strings.TrimSpace(w.Body.String()) != `{"ok":false}` || !strings.Contains(strings.Join(x.log.lines(), ""), "/data is full") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// slowStation takes its time for a scan.
type slowStation struct {
	*fakeStation
	time time.Duration
	done chan error // what the context said behind it
}

func (s *slowStation) Scan(ctx context.Context, who Who, code string) (Answer, error) {
	time.Sleep(s.time)
	s.done <- ctx.Err()
	return s.fakeStation.Scan(ctx, who, code)
}

// Who is slow is cut off; who waits for the ledger's check, or watches the wall, is not; and what was asked to be done is done though whoever asked is gone.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSite(t, Options{})
		slow := &slowStation{x.station, 20 * time.Second, make(chan error, 1)}
		x.o.Station = slow
		x.records.verify = func() { time.Sleep(5 * time.Minute) }
		l := make(pipes)
		server := x.HTTP(x.handler)
		go server.Serve(l)
		dial := func() net.Conn {
			here, there := net.Pipe()
			l <- there
			return here
		}
		send := func(c net.Conn, who, method, path, body string) {
			r := x.request(who, method, "http://localhost"+path, body)
			r.Host = "localhost"
			go r.Write(c)
		}
		start := time.Now()
		after := func() time.Duration { return time.Since(start).Round(time.Second) }

		c := dial()
		go fmt.Fprintf(c, "POST /api/v1/scan HTTP/1.1\r\nHost: localhost\r\n")
		if _, err := bufio.NewReader(c).ReadByte(); err == nil || after() != bodyLimit {
			t.Errorf("a request that never ended was cut off after %v with %v, want %v", after(), err, bodyLimit)
		}

		c, start = dial(), time.Now()
		send(c, "adm-1", "POST", "/api/v1/ledger/verify", "{}")
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 || after() != 5*time.Minute {
			t.Errorf("the ledger's check: %v %v after %v", res, err, after())
		}
		c.Close()

		c, start = dial(), time.Now()
		send(c, "op-1", "POST", "/api/v1/scan", scanned("SN-1"))
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 || after() != slow.time {
			t.Errorf("a slow scan: %v %v after %v", res, err, after())
		}
		<-slow.done
		send(c, "op-1", "POST", "/api/v1/scan", scanned("SN-2"))
		time.Sleep(time.Second)
		c.Close()
		if err := <-slow.done; err != nil {
			t.Errorf("who asked is gone, and the scan was told: %v", err)
		}

		c, start = dial(), time.Now()
		send(c, "op-1", "GET", "/api/v1/events", "")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		lines, beats := bufio.NewScanner(res.Body), 0
		for beats < 361 && lines.Scan() {
			if lines.Text() == "event: heartbeat" {
				beats++
			}
		}
		if beats != 361 || after() != time.Hour {
			t.Errorf("%d heartbeats in %v, want 361 in an hour: one at first", beats, after())
		}
		go x.ask("op-1", "DELETE", "/api/v1/session", "")
		time.Sleep(time.Second)
		x.o.Wall.Mirror("other")
		for lines.Scan() {
			if strings.Contains(lines.Text(), "other") {
				t.Error("who signed off goes on to watch")
			}
		}
		if after() > time.Hour+time.Minute {
			t.Errorf("the stream of who signed off ended after %v", after())
		}
		server.Close()
	})
}
