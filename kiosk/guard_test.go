package kiosk

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is for another host, or comes from another site, does not get to any route.
func TestStrangersAreRefused(t *testing.T) {
	for _, c := range []struct {
		hosts string // of the certificate
		host  string
		here  bool
	}{
		{"line-3.example", "LINE-3.example:8443", true},
		{"line-3.example", "localhost:8443", false},
		{"*.plant.example 10.1.2.3", "line-3.plant.example:8443", true},
		{"*.plant.example 10.1.2.3", "10.1.2.3:8443", true},
		{"*.plant.example 10.1.2.3", "plant.example:8443", false},
		{"*.plant.example 10.1.2.3", "a.b.plant.example:8443", false},
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Host = c.host
		if p := New(Options{Hosts: strings.Fields(c.hosts), People: nobodyYet(t, nil), Wall: NewWall(WallOptions{})}).strange(r); (p == nil) != c.here {
			t.Errorf("%s at a station of %s: %v", c.host, c.hosts, p)
		}
	}

	x := newSite(t, Options{})
	for _, c := range []struct {
		name, method, host, origin string
		status                     int
		cause                      string
	}{
		{"a name of this PC", "GET", "localhost:8080", "", 200, ""},
		{"an address of this PC", "GET", "127.0.0.1:8080", "", 200, ""},
		{"one of version 6", "GET", "[::1]:8080", "", 200, ""},
		{"one of version 6 at the usual port", "GET", "[::1]", "", 200, ""},
		{"a name that was made to point here", "GET", "station.example:8080", "", 421, "wrong-host"},
		{"another address of this PC", "GET", "127.0.0.5:8080", "", 200, ""},
		{"one of version 4 in version 6", "GET", "[::ffff:127.0.0.1]:8080", "", 200, ""},
		{"the same as browsers write it", "GET", "[::ffff:7f00:1]:8080", "", 200, ""},
		{"another PC's address", "GET", "192.0.2.1:8080", "", 421, "wrong-host"},
		{"none", "GET", "", "", 421, "wrong-host"},
		{"a page of another site", "POST", "localhost:8080", "http://example.com", 403, "other-site"},
	} {
		r := httptest.NewRequest(c.method, "/api/v1/openapi.json", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := x.send(r)
		lines := x.log.lines()
		if w.Code != c.status || c.cause == "" && len(lines) > 0 || c.cause != "" && (len(lines) != 1 || !strings.Contains(lines[0], "cause="+c.cause)) {
			t.Errorf("%s: %d and the log %q, want %d and %q", c.name, w.Code, lines, c.status, c.cause)
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none';") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.name, w.Header())
		}
	}
}

// A station that had to wait is told when whoever asked is gone meanwhile, or has another role; nothing of the kind is said of who asks at this PC.
func TestStill(t *testing.T) {
	x := newSite(t, Options{})
	operator := Operator
	x.station.answer = func(string) (Answer, error) { // it waits
		_, changed := x.o.People.Change(t.Context(), Who{ID: "adm-1"}, "sup-1", PersonChange{Role: &operator})
		return Answer{Tone: Accept}, changed
	}
	if w := x.send(x.request("sup-1", "POST", "/api/v1/jobs/close", "")); w.Code != 403 || tellOf(t, w).Said.Word != "not-your-role" {
		t.Errorf("a supervisor no more: %d %s", w.Code, w.Body)
	}
	x.station.answer = func(string) (Answer, error) {
		return Answer{Tone: Accept}, x.o.People.Remove(t.Context(), Who{ID: "adm-1"}, "op-1")
	}
	if w := x.send(x.request("op-1", "POST", "/api/v1/scan", scanned("SN-1"))); w.Code != 401 || tellOf(t, w).Said.Word != "sign-in-first" {
		t.Errorf("nobody any more: %d %s", w.Code, w.Body)
	}
	x.station.answer = nil
	if w := x.send(x.request("sup-1", "POST", "/api/v1/jobs/close", "")); w.Code != 200 {
		t.Errorf("who is who they were: %d %s", w.Code, w.Body)
	}
	if lines := x.log.lines(); len(lines) != 2 {
		t.Errorf("the log %q", lines)
	}
}

// Whoever is removed, or has another role, while their request comes in slowly, is not asked for what they were when it began; and of two who change people at once, the one who
// comes second is looked at then.
func TestRightsAreThoseOfTheEnd(t *testing.T) {
	x := newSite(t, Options{})
	slow := func(who, target, body string, meanwhile func()) *httptest.ResponseRecorder {
		begin, rest := io.Pipe()
		r := x.request(who, "POST", target, "")
		r.Body, r.ContentLength = begin, -1
		answer := make(chan *httptest.ResponseRecorder)
		go func() { answer <- x.send(r) }()
		io.WriteString(rest, body[:1]) // which somebody reads
		meanwhile()
		io.WriteString(rest, body[1:])
		rest.Close()
		return <-answer
	}
	operator := Operator
	w := slow("sup-1", "/api/v1/jobs", `{"recipe":"blank.yaml","quantity":8}`, func() {
		if _, err := x.o.People.Change(t.Context(), Who{ID: "adm-1"}, "sup-1", PersonChange{Role: &operator}); err != nil {
			t.Error(err)
		}
	})
	if w.Code != 403 || tellOf(t, w).Said.Word != "not-your-role" {
		t.Errorf("a supervisor no more: %d %s", w.Code, w.Body)
	}
	w = slow("op-1", "/api/v1/scan", scanned("SN-1"), func() {
		if err := x.o.People.Remove(t.Context(), Who{ID: "adm-1"}, "op-1"); err != nil {
			t.Error(err)
		}
	})
	if w.Code != 401 {
		t.Errorf("nobody any more: %d %s", w.Code, w.Body)
	}
	if did := x.station.wanted(); did != nil {
		t.Errorf("the line was asked %q", did)
	}
	was := Who{ID: "sup-1", Authenticated: true}
	_, added := x.o.People.Add(t.Context(), was, Person{ID: "op-9", Name: "Nina", Role: Admin}, "4719", "")
	_, changed := x.o.People.Change(t.Context(), was, "adm-1", PersonChange{Role: &operator})
	for _, err := range []error{added, changed, x.o.People.Remove(t.Context(), was, "aud-1")} {
		if word(err) != "not-your-role" {
			t.Errorf("people are changed by who is no admin: %v", err)
		}
	}
}

// A stranger does not fill the log: it has the first refusals, and says later how many more there were. Others' are there meanwhile.
func TestLogOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSite(t, Options{})
		for range 1000 {
			if w := x.ask("", "GET", "/api/v1/state", ""); w.Code != 401 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		if n := len(x.log.lines()); n != 60 {
			t.Errorf("%d lines of 1000 refusals, want 60", n)
		}
		x.ask("op-1", "GET", "/api/v1/users", "")
		if lines := x.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], "user=op-1") || !strings.HasSuffix(lines[0], " more=940") {
			t.Errorf("somebody else's: %q", lines)
		}
		time.Sleep(10 * time.Second)
		x.ask("", "GET", "/api/v1/state", "")
		if lines := x.log.lines(); len(lines) != 1 || strings.Contains(lines[0], "more=") {
			t.Errorf("10 s later: %q", lines)
		}
	})
}

// Who signed off, or has another role, does not go on to watch.
func TestStreamsEndWithRights(t *testing.T) {
	for _, path := range []string{"/live", "/api/v1/events"} {
		synctest.Test(t, func(t *testing.T) {
			x := newSite(t, Options{})
			supervisor := Supervisor
			for who, end := range map[string]func() error{
				"aud-1": func() error { return x.o.People.SignOut(t.Context(), x.sessions["aud-1"], "button") },
				"op-1": func() error {
					_, err := x.o.People.Change(t.Context(), Who{ID: "adm-1"}, "op-1", PersonChange{Role: &supervisor})
					return err
				},
			} {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan *httptest.ResponseRecorder, 1)
				go func() { ended <- x.send(x.request(who, "GET", path, "").WithContext(ctx)) }()
				synctest.Wait()
				x.o.Wall.Mirror("copied to the mirror")
				synctest.Wait()
				if x.o.Wall.watching() != 1 {
					t.Fatalf("%s: %s does not watch", path, who)
				}
				if err := end(); err != nil {
					t.Error(err)
				}
				x.o.Wall.Mirror("fails for " + who)
				synctest.Wait()
				if x.o.Wall.watching() != 0 {
					t.Errorf("%s: %s goes on to watch", path, who)
				}
				cancel()
				if w := <-ended; w.Code != 200 || strings.Contains(w.Body.String(), "fails for "+who) {
					t.Errorf("%s: %s was told %d %s", path, who, w.Code, w.Body)
				}
			}
		})
	}
}
