package kiosk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"station/ledger"
)

// fakeStation writes down what is wanted of it, and answers what it is told to.
type fakeStation struct {
	mu      sync.Mutex
	asked   []string                       // "scan CODE by ID", "stop 1 by ID", in order
	answer  func(a string) (Answer, error) // of one of these; nil: accepted
	recipes []RecipeFile
	health  error
}

func (f *fakeStation) Scan(ctx context.Context, who Who, code string) (Answer, error) {
	return f.ask(ctx, "scan "+code, who)
}

func (f *fakeStation) Do(ctx context.Context, who Who, d Deed) (Answer, error) {
	what := []string{string(d.Action)}
	switch d.Action {
	case BeginJob:
		what = append(what, d.Recipe, fmt.Sprint(d.Quantity))
		if d.Trial {
			what = append(what, "trial")
		}
	case Acknowledge, Release, Stop:
		what = append(what, d.Slot)
	}
	if d.Card {
		what = append(what, "card")
	}
	return f.ask(ctx, strings.Join(what, " "), who)
}

func (f *fakeStation) ask(ctx context.Context, what string, who Who) (Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what+" by "+who.ID)
	a, err := Answer{Tone: Accept, Said: Said{Word: "done", Text: what}}, error(nil)
	if f.answer != nil {
		a, err = f.answer(what)
	}
	if err == nil { // it waited
		err = Still(ctx)
	}
	return a, err
}

func (f *fakeStation) Recipes() []RecipeFile { return f.recipes }
func (f *fakeStation) Health() error         { return f.health }

// wanted returns what was wanted since the last call.
func (f *fakeStation) wanted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// fakeRecords are a ledger in memory.
type fakeRecords struct {
	mu      sync.Mutex
	units   []UnitRow // newest first
	runs    map[string][]ledger.Run
	permits map[string][]ledger.Record
	proof   Proof
	report  []byte
	bad     bool // the ledger does not hold
	err     error
	entries []ledger.Body // that were appended
	decided []string      // "close SERIAL as VERDICT: REASON by ID", "permit SERIAL CHIP: REASON by ID"
	verify  func()        // while Verify is at work, where not nil
	making  func()        // likewise Report
}

func (f *fakeRecords) Find(text, cursor string, limit int) (found []UnitRow, next string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.units {
		if cursor != "" { // the serial of the last unit of the page before
			if u.Serial == cursor {
				cursor = ""
			}
			continue
		}
		if !slices.ContainsFunc([]string{u.Serial, u.Run, u.UID}, func(s string) bool { return strings.HasPrefix(s, text) }) {
			continue
		}
		if len(found) == limit {
			return found, found[limit-1].Serial, f.err
		}
		found = append(found, u)
	}
	return found, "", f.err
}

// fail has what is read end with an error from now on, nil for none.
func (f *fakeRecords) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeRecords) Unit(serial string) ([]ledger.Run, []ledger.Record, error) {
	if _, known := f.runs[serial]; !known {
		return nil, nil, fmt.Errorf("unit %s: %w", serial, ledger.ErrMissing)
	}
	return f.runs[serial], f.permits[serial], f.err
}

func (f *fakeRecords) Prove(_ context.Context, serial string) (Proof, error) {
	_, _, err := f.Unit(serial)
	return f.proof, err
}

func (f *fakeRecords) Report(_ context.Context, serial, run string) ([]byte, error) {
	if f.making != nil {
		f.making()
	}
	_, _, err := f.Unit(serial)
	return f.report, err
}

func (f *fakeRecords) Verify(ctx context.Context) (any, bool, error) {
	if f.verify != nil {
		f.verify()
	}
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	return map[string]any{"ok": !f.bad}, !f.bad, f.err
}

func (f *fakeRecords) CloseUnit(_ context.Context, who Who, serial, as, reason string) error {
	return f.decide(serial, fmt.Sprintf("close %s as %s: %s by %s", serial, as, reason, who.ID))
}

func (f *fakeRecords) Permit(_ context.Context, who Who, serial, chip, reason string) error {
	return f.decide(serial, fmt.Sprintf("permit %s %s: %s by %s", serial, chip, reason, who.ID))
}

func (f *fakeRecords) decide(serial, what string) error {
	if _, _, err := f.Unit(serial); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decided = append(f.decided, what)
	return nil
}

func (f *fakeRecords) Append(_ context.Context, body ledger.Body) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, is := body.(ledger.FloorEntry); is && e.Check() != nil {
		return e.Check()
	}
	f.entries = append(f.entries, body)
	return f.err
}

// written returns what was appended since the last call.
func (f *fakeRecords) written() []ledger.Body {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := f.entries
	f.entries = nil
	return entries
}

// fakeLog keeps what is logged, a line each. Safe for concurrent use.
type fakeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *fakeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// lines returns what was logged since the last call.
func (l *fakeLog) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return slices.DeleteFunc(strings.Split(l.text.String(), "\n"), func(s string) bool { return s == "" })
}

// pins are of the people of fakePeople, by id.
var pins = map[string]string{"op-1": "4711", "sup-1": "4712", "aud-1": "4713", "adm-1": "4714"}

// fakePeople are one of each role, whose secrets are not stretched.
func fakePeople(t testing.TB, note func(context.Context, ledger.Body) error) *People {
	p := nobodyYet(t, note)
	for _, who := range []Person{{ID: "adm-1", Name: "Ada", Role: Admin}, {ID: "op-1", Name: "Otto", Role: Operator}, {ID: "sup-1", Name: "Sue", Role: Supervisor}, {ID: "aud-1", Name: "Aude", Role: Auditor}} {
		if _, err := p.Add(t.Context(), Who{ID: "setup"}, who, pins[who.ID], badgeOf(who.ID)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// badgeOf is the code of somebody's badge.
func badgeOf(id string) string {
	h := sha256.Sum256([]byte(id))
	return "BADGE:" + base32.StdEncoding.EncodeToString(h[:])[:26]
}

func nobodyYet(t testing.TB, note func(context.Context, ledger.Body) error) *People {
	p, err := OpenPeople(filepath.Join(t.TempDir(), "people.json"), note)
	if err != nil {
		t.Fatal(err)
	}
	p.stretch = func(secret, salt []byte) []byte {
		h := sha256.Sum256(append(slices.Clip(salt), secret...))
		return h[:]
	}
	return p
}

// site is a Server with nothing real behind it.
type site struct {
	*Server
	station  *fakeStation
	records  *fakeRecords
	log      *fakeLog
	handler  http.Handler
	sessions map[string]string // by id of a person
	people   []Person          // at first
}

// newSite makes one; where o has no people, with one of each role, who are all signed in.
func newSite(t testing.TB, o Options) *site {
	x := &site{station: &fakeStation{}, records: &fakeRecords{runs: map[string][]ledger.Run{}}, log: &fakeLog{}, sessions: map[string]string{}}
	if o.People == nil {
		o.People = fakePeople(t, x.records.Append)
		for id, pin := range pins {
			token, _, err := o.People.SignInPIN(t.Context(), id, pin)
			if err != nil {
				t.Fatal(err)
			}
			x.sessions[id] = token
		}
		x.records.written()
	}
	o.Station, o.Records, o.Wall = x.station, x.records, cmp.Or(o.Wall, NewWall(WallOptions{Station: "line-1", Simulated: true, Now: time.Now}))
	o.Language = cmp.Or(o.Language, "en")
	o.Scanner.Suffix, o.Scanner.Gap = cmp.Or(o.Scanner.Suffix, "Enter"), cmp.Or(o.Scanner.Gap, 35*time.Millisecond)
	o.Badge = cmp.Or(o.Badge, regexp.MustCompile(`^BADGE:[A-Z2-7]{26}$`))
	o.Log = slog.New(slog.NewTextHandler(x.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	x.Server = New(o)
	x.handler, x.people = x.Handler(), o.People.All()
	return x
}

// request is one of a browser in which somebody is signed in, "" for nobody, on a page of this station: with cookie, and token.
func (x *site) request(who, method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:8080"
	r.AddCookie(&http.Cookie{Name: cookieVisit, Value: "a stranger's"})
	if who != "" {
		r.AddCookie(&http.Cookie{Name: cookieSession, Value: x.sessions[who]})
	}
	r.Header.Set(headerToken, x.visit(httptest.NewRecorder(), r).Token)
	return r
}

func (x *site) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	x.handler.ServeHTTP(w, r)
	return w
}

// ask is send of request.
func (x *site) ask(who, method, target, body string) *httptest.ResponseRecorder {
	return x.send(x.request(who, method, target, body))
}
