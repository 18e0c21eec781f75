package kiosk

import (
	"net/http/httptest"
	"strings"
	"testing"
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
