package kiosk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"station/ledger"
)

// The four roles by a letter each, and "*" for who has not signed in.
var letters = map[string]struct {
	id   string
	role Role
}{"o": {"op-1", Operator}, "s": {"sup-1", Supervisor}, "u": {"aud-1", Auditor}, "a": {"adm-1", Admin}, "*": {}}

// permission is what is expected of a route: who may (letters), the action that a refusal names, a request that does it, and its status.
type permission struct {
	who    string
	action string
	target string // "" for the path of the route
	body   string
	status int // 0 for 200
}

// matrix has every route that there is. It is written by hand: whoever adds a route says here who may.
var matrix = map[string]permission{
	"/":                                     {who: "*osua", target: "/nowhere", status: 404},
	"GET /{$}":                              {who: "osua", action: "see", target: "/"},
	"GET /live":                             {who: "osua", action: "see"},
	"GET /signin":                           {who: "*osua"},
	"GET /setup":                            {who: "*osua", status: 303},
	"GET /jobs":                             {who: "osua", action: "see"},
	"GET /shift":                            {who: "osua", action: "see"},
	"GET /units":                            {who: "osua", action: "see-units"},
	"GET /units/{serial}":                   {who: "osua", action: "see-units", target: "/units/SN-1"},
	"GET /cards":                            {who: "osua", action: "see"},
	"GET /users":                            {who: "ua", action: "see-users"},
	"GET /assets/":                          {who: "*osua", target: "/assets/0/none", status: 404},
	"GET /favicon.ico":                      {who: "*osua", status: 204},
	"GET /healthz":                          {who: "*osua"},
	"GET /api/v1/openapi.json":              {who: "*osua"},
	"GET /api/v1/session":                   {who: "*osua"},
	"POST /api/v1/session":                  {who: "*osua", body: `{"name":"Otto","pin":"4711"}`},
	"DELETE /api/v1/session":                {who: "osua"},
	"POST /api/v1/setup":                    {who: "*osua", body: `{"code":"x","id":"me","name":"I","pin":"4711"}`, status: 409},
	"GET /api/v1/state":                     {who: "osua", action: "see"},
	"GET /api/v1/events":                    {who: "osua", action: "see"},
	"GET /api/v1/recipes":                   {who: "osua", action: "see"},
	"POST /api/v1/scan":                     {who: "os", action: "scan", body: `{"code":"SN-1"}`},
	"POST /api/v1/resume":                   {who: "os", action: "resume"},
	"POST /api/v1/cancel":                   {who: "os", action: "cancel"},
	"POST /api/v1/slots/{slot}/acknowledge": {who: "os", action: "acknowledge", target: "/api/v1/slots/1/acknowledge"},
	"POST /api/v1/slots/{slot}/stop":        {who: "os", action: "stop", target: "/api/v1/slots/1/stop"},
	"POST /api/v1/slots/{slot}/release":     {who: "s", action: "release", target: "/api/v1/slots/1/release"},
	"POST /api/v1/jobs":                     {who: "s", action: "begin-job", body: `{"recipe":"blank.yaml","quantity":8}`},
	"POST /api/v1/jobs/close":               {who: "os", action: "close-job"},
	"POST /api/v1/shift/begin":              {who: "os", action: "begin-shift"},
	"POST /api/v1/shift/end":                {who: "os", action: "end-shift"},
	"GET /api/v1/units":                     {who: "osua", action: "see-units"},
	"GET /api/v1/units/{serial}":            {who: "osua", action: "see-units", target: "/api/v1/units/SN-1"},
	"GET /api/v1/units/{serial}/report":     {who: "osua", action: "see-units", target: "/api/v1/units/SN-1/report"},
	"GET /api/v1/units/{serial}/proof":      {who: "osua", action: "see-units", target: "/api/v1/units/SN-1/proof"},
	"POST /api/v1/units/{serial}/close":     {who: "s", action: "close-unit", target: "/api/v1/units/SN-1/close", body: `{"as":"scrapped","reason":"fell"}`},
	"POST /api/v1/units/{serial}/rework":    {who: "s", action: "permit-unit", target: "/api/v1/units/SN-1/rework", body: `{"chip":"same","reason":"again"}`},
	"POST /api/v1/ledger/verify":            {who: "sua", action: "verify"},
	"GET /api/v1/users":                     {who: "ua", action: "see-users"},
	"POST /api/v1/users":                    {who: "a", action: "change-users", body: `{"id":"op-2","name":"Olga","role":"operator","pin":"4715"}`},
	"PATCH /api/v1/users/{id}":              {who: "a", action: "change-users", target: "/api/v1/users/op-1", body: `{"name":"Oskar"}`},
	"DELETE /api/v1/users/{id}":             {who: "a", action: "change-users", target: "/api/v1/users/aud-1"},
}

// codes are what different people may scan: the same route, and another action.
var codes = map[string]permission{
	"SN-1":                {who: "os", action: "scan"},
	"SLOT:1":              {who: "os", action: "scan"},
	"RESUME":              {who: "os", action: "resume"},
	"CANCEL":              {who: "os", action: "cancel"},
	"REJECT":              {who: "os", action: "acknowledge"},
	"CLOSE-JOB":           {who: "os", action: "close-job"},
	"BEGIN-SHIFT":         {who: "os", action: "begin-shift"},
	"END-SHIFT":           {who: "os", action: "end-shift"},
	"RELEASE:1":           {who: "s", action: "release"},
	"JOB:blank.yaml:8":    {who: "s", action: "begin-job"},
	"JOB:blank.yaml":      {who: "os", action: "scan"}, // no card of a job
	"SIGN-OFF":            {who: "osua"},
	badgeOf("sup-1"):      {who: "*osua"},
	"BADGE:":              {who: "*osua", status: 422}, // may be a badge: nobody's to see
	"release:1":           {who: "os", action: "scan"}, // the line's to refuse
	"JOB:a:b.yaml:000012": {who: "s", action: "begin-job"},
}

// permissions are the matrix, and a row for each code.
func permissions() map[string]permission {
	all := map[string]permission{}
	for pattern, p := range matrix {
		all[pattern] = p
	}
	for code, p := range codes {
		body, _ := json.Marshal(map[string]string{"code": code})
		p.body = string(body)
		all[patternScan+" "+code] = p
	}
	return all
}

func (p permission) request(x *site, who, pattern string) *http.Request {
	method, path, _ := strings.Cut(pattern, " ")
	if path == "" {
		method, path = "GET", pattern
	}
	path, _, _ = strings.Cut(path, " ") // a code
	if p.target != "" {
		path = p.target
	}
	return x.request(who, method, path, p.body)
}

// stocked is a site with a unit in its ledger.
func stocked(t *testing.T, o Options) *site {
	x := newSite(t, o)
	x.records.runs["SN-1"] = []ledger.Run{{ID: "0123456789abcdef", Serial: "SN-1", Records: []ledger.Record{{Entry: ledger.Entry{Body: ledger.RunResume{}}}}}}
	x.records.report = []byte("%PDF-")
	return x
}

// intact tells whether the people are who they were at first, and signed in.
func (x *site) intact() bool {
	for id, token := range x.sessions {
		if p, ok := x.o.People.Session(token); !ok || p.ID != id {
			return false
		}
	}
	return slices.Equal(x.o.People.All(), x.people)
}

// untouched tells what a request did besides being answered.
func (x *site) untouched() (what []string) {
	what = append(x.station.wanted(), x.records.decided...)
	x.records.decided = nil
	for _, e := range x.records.written() {
		what = append(what, e.Kind())
	}
	return what
}

// Every route of the mux, and every operation of the document, is in the matrix, and nothing else.
func TestMatrixHasEveryRoute(t *testing.T) {
	x := newSite(t, Options{})
	var have []string
	for _, r := range x.routes {
		have = append(have, r.pattern)
		if p, listed := matrix[r.pattern]; !listed {
			t.Errorf("%s is not in the matrix: say there who may", r.pattern)
		} else if r.pattern != patternScan && string(r.action) != p.action {
			t.Errorf("%s is the action %q, and %q in the matrix", r.pattern, r.action, p.action)
		}
	}
	for pattern := range matrix {
		if !slices.Contains(have, pattern) {
			t.Errorf("%s is in the matrix and nowhere else", pattern)
		}
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Action *string `json:"x-action"`
		}
	}
	w := x.ask("", "GET", documentPath, "")
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("the document is of OpenAPI %q: %v", doc.OpenAPI, err)
	}
	n := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			n++
			pattern := strings.ToUpper(method) + " " + path
			if p, listed := matrix[pattern]; !listed || op.Action == nil || pattern != patternScan && *op.Action != p.action {
				t.Errorf("%s of the document is not in the matrix, or is another action there", pattern)
			}
		}
	}
	for pattern := range matrix {
		_, path, _ := strings.Cut(pattern, " ")
		if strings.HasPrefix(path, "/api/") && path != documentPath && doc.Paths[path] == nil {
			t.Errorf("%s is not in the document", pattern)
		}
	}
	t.Logf("%d routes, %d of them in the document, %d codes", len(have), n, len(codes))
}

// No route gets past the guard, and so past the matrix, which has what the guard knows: a mux is given patterns in three places. They are handle, and what the socket has besides
// (all of handle's, and POST /api/v1/runs, which nobody asks for over the network: TestLocal).
func TestNoRoutePastTheGuard(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	call := regexp.MustCompile(`\.Handle(?:Func)?\(.*,`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range call.FindAllString(string(text), -1) {
			found = append(found, f+" "+c)
		}
	}
	want := []string{"guard.go .HandleFunc(t.pattern, func(w http.ResponseWriter,", `server.go .Handle("/",`, `server.go .HandleFunc("POST /api/v1/runs",`}
	if !slices.Equal(found, want) {
		t.Errorf("routes are added by %q, want %q", found, want)
	}
}

// What is asked for in another way than the matrix has is told which there are, and nothing is done: as a page where a page is.
func TestMatrixHasEveryMethod(t *testing.T) {
	x := stocked(t, Options{})
	ways := map[string][]string{} // by path
	for pattern, p := range matrix {
		if method, path, is := strings.Cut(pattern, " "); is {
			ways[cmp.Or(p.target, path)] = append(ways[cmp.Or(p.target, path)], method)
		}
	}
	ways["/api/v1/users/op-1"] = []string{"DELETE", "PATCH"}
	ways["/api/v1/users/aud-1"] = []string{"DELETE", "PATCH"} // each has one of them
	asked := 0
	for path, methods := range ways {
		if slices.Contains(methods, "GET") {
			methods = append(methods, "HEAD")
		}
		slices.Sort(methods)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
			if slices.Contains(methods, method) {
				continue
			}
			asked++
			r := x.request("", method, path, "")
			r.Header.Set("Station-Operator", "it-1")
			w := httptest.NewRecorder()
			x.Local().ServeHTTP(w, r) // nobody is too fast there
			if got := w.Header().Get("Allow"); w.Code != 405 || got != strings.Join(methods, ", ") {
				t.Errorf("%s %s: %d, allowed %q, want 405 and %q", method, path, w.Code, got, methods)
			}
			if is := strings.HasPrefix(w.Header().Get("Content-Type"), "text/html"); is == strings.HasPrefix(path, "/api/") {
				t.Errorf("%s %s: %s", method, path, w.Header().Get("Content-Type"))
			}
		}
	}
	if did := x.untouched(); did != nil {
		t.Errorf("it did %q", did)
	}
	for _, path := range []string{"/nowhere", "/api/v1/nowhere", "/api/v1/units/SN-1/nowhere"} {
		if w := x.ask("op-1", "PUT", path, ""); w.Code != 404 || w.Header().Get("Allow") != "" {
			t.Errorf("%s: %d %q", path, w.Code, w.Header())
		}
	}
	if asked < 150 {
		t.Errorf("only %d requests", asked)
	}
}

// Who may, may, and everybody else is refused: with the status, a line in the log that names route, action, person and cause, and, of who is signed in, an entry. What
// changes something is refused likewise without the token of the page, and with somebody else's, whoever asks. Nothing is touched then.
func TestMatrix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		x := stocked(t, Options{})
		all := permissions()
		for _, pattern := range slices.Sorted(maps.Keys(all)) {
			p := all[pattern]
			for _, letter := range []string{"*", "o", "u", "s", "a"} { // whoever may change people last
				who := letters[letter]
				name := fmt.Sprintf("%s by %q", pattern, who.id)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for what goes on and on
				send := func(r *http.Request) *httptest.ResponseRecorder {
					time.Sleep(10 * time.Second) // nobody is too fast
					asked++
					return x.send(r.WithContext(ctx))
				}
				r := p.request(x, who.id, pattern)
				if changes(r) {
					other := "op-1"
					if who.id == other {
						other = ""
					}
					for what, token := range map[string]string{"no token": "", "another's token": x.request(other, "GET", "/", "").Header.Get(headerToken)} {
						r := p.request(x, who.id, pattern)
						r.Header.Set(headerToken, token)
						w := send(r)
						asDocumented(t, name, x, pattern, w)
						checkRefused(t, name+", "+what, x, w, 403, who.id, "", "token")
						if did := x.untouched(); did != nil {
							t.Errorf("%s, %s: it did %q", name, what, did)
						}
					}
				}
				w := send(r)
				switch {
				case strings.Contains(p.who, letter):
					if want := max(p.status, 200); w.Code != want {
						t.Errorf("%s: %d, want %d: %s", name, w.Code, want, w.Body)
					}
					asDocumented(t, name, x, pattern, w)
					if lines := x.log.lines(); p.status == 0 && len(lines) > 0 {
						t.Errorf("%s: the log says %q", name, lines)
					}
				case letter == "*":
					asDocumented(t, name, x, pattern, w)
					checkRefused(t, name, x, w, 401, "-", p.action, "sign-in-first")
				default:
					asDocumented(t, name, x, pattern, w)
					checkRefused(t, name, x, w, 403, who.id, p.action, "not-your-role")
					want := []ledger.Body{ledger.AccessRefused{User: who.id, Role: string(who.role), Action: p.action}}
					if wrote := x.records.written(); !slices.Equal(wrote, want) {
						t.Errorf("%s: entries %v, want %v", name, wrote, want)
					}
				}
				if did := x.untouched(); did != nil && !strings.Contains(p.who, letter) {
					t.Errorf("%s: it did %q", name, did)
				}
				cancel()
				if !x.intact() {
					x = stocked(t, Options{})
				}
			}
		}
		t.Logf("%d requests", asked)
	})
}

// checkRefused tells of a request that was not refused as it should be.
func checkRefused(t *testing.T, name string, x *site, w *httptest.ResponseRecorder, status int, user, action, cause string) {
	t.Helper()
	lines := x.log.lines()
	if user == "" {
		user = "-"
	}
	if w.Code != status || len(lines) != 1 || !strings.Contains(lines[0], "level=WARN msg=refused route=") || !strings.Contains(lines[0], "user="+user) || !strings.Contains(lines[0], "cause="+cause) ||
		!strings.Contains(lines[0], "action="+action) {
		t.Errorf("%s: %d and the log %q, want %d and user=%s action=%s cause=%s", name, w.Code, lines, status, user, action, cause)
	}
	if w.Header().Get("Content-Type") == "application/problem+json" {
		var p Problem
		d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil || p.Status != status || p.Type != "urn:station:problem:"+cause || p.Said.Word != cause || p.Said.Text == "" {
			t.Errorf("%s: the problem is %s (%v)", name, w.Body, err)
		}
	} else if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Errorf("%s: the refusal is %s", name, w.Header().Get("Content-Type"))
	}
}

// asDocumented tells of an answer that is not what the document says of it.
func asDocumented(t *testing.T, name string, x *site, pattern string, w *httptest.ResponseRecorder) {
	t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	path, _, _ = strings.Cut(path, " ") // a code
	item := x.document.Paths[path]
	if item == nil {
		return
	}
	op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete}[method]
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	res := op.Responses[fmt.Sprint(w.Code)]
	if res == nil && (w.Code >= 500 || w.Code == 413) {
		res = op.Responses["default"]
	}
	if res == nil || res.Content[media] == nil {
		t.Errorf("%s: %d in %s is not in the document", name, w.Code, media)
		return
	}
	if schema := res.Content[media].Schema; schema != nil {
		body := w.Body.Bytes()
		if media == "text/event-stream" { // of which the document has the data of the changes
			_, after, _ := bytes.Cut(body, []byte("event: change\ndata: "))
			body, _, _ = bytes.Cut(after, []byte("\n\n"))
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		var found huma.ValidateResult
		if huma.Validate(x.document.Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, &found); len(found.Errors) > 0 {
			t.Errorf("%s: the answer is not as in the document: %v: %s", name, found.Errors, w.Body)
		}
	}
}
