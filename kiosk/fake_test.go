package kiosk

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

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

func (f *fakeStation) Scan(_ context.Context, who Who, code string) (Answer, error) {
	return f.ask("scan "+code, who)
}

func (f *fakeStation) Do(_ context.Context, who Who, d Deed) (Answer, error) {
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
	return f.ask(strings.Join(what, " "), who)
}

func (f *fakeStation) ask(what string, who Who) (Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what+" by "+who.ID)
	if f.answer != nil {
		return f.answer(what)
	}
	return Answer{Tone: Accept, Said: Said{Word: "done", Text: what}}, nil
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
}

func (f *fakeRecords) Find(text, cursor string, limit int) (found []UnitRow, next string, err error) {
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
	_, _, err := f.Unit(serial)
	return f.report, err
}

func (f *fakeRecords) Verify(context.Context) (any, bool, error) {
	if f.verify != nil {
		f.verify()
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

// fakes are options of a Server with nothing real behind it, and nothing in it. Fields of o that are set stay.
func fakes(o Options) (Options, *fakeStation, *fakeRecords, *fakeLog) {
	station, records, log := &fakeStation{}, &fakeRecords{runs: map[string][]ledger.Run{}}, &fakeLog{}
	o.Station, o.Records = station, records
	o.Wall, o.People = cmp.Or(o.Wall, &Wall{}), cmp.Or(o.People, &People{})
	o.Language = cmp.Or(o.Language, "en")
	o.Scanner.Suffix = cmp.Or(o.Scanner.Suffix, "Enter")
	o.Badge = cmp.Or(o.Badge, regexp.MustCompile(`^BADGE:[A-Z2-7]{26}$`))
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return o, station, records, log
}
