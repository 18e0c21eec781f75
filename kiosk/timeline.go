package kiosk

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"station/ledger"
)

// chapter of a unit's timeline is a run, or a permission to run it once more.
type chapter struct {
	first   int64 // index of its first entry
	Run     *ledger.Run
	Code    string // CodeOf the run
	Outcome ledger.Outcome
	Cause   string
	Closed  string // what a person closed it as
	Begun   time.Time
	Moments []moment
	From    int64 // first and last entry in the ledger
	To      int64
}

// Entries is how many places of the ledger that is, of which entries of other units may have some.
func (c chapter) Entries() int64 { return c.To - c.From + 1 }

// moment is one entry: what stands in a catalogue under units.entry.WORD, with its facts, or what the engine said.
type moment struct {
	Time      time.Time
	Index     int64
	Word      string
	Facts     map[string]string
	Outcome   ledger.Outcome // of the end of a run
	Step      string         // "3/9", "" for what is no step
	StepKind  string         // of a step, as its recipe names it
	Title     string         // of a step, as its recipe says it
	Tone      string         // how it stands there: "", "good", "bad" or "open"
	Permanent bool
	Unchecked bool          // nobody checked that it was the person whom it names
	Result    ledger.Result // of a step
	Proof     string        // of a step
	Took      time.Duration // of a step or a whole run, 0 where nobody measured it
	Details   []ledger.Fact
	Ended     *Result // how a run ended, or why it needs a person, where something is to be said of that
	Text      string  // the engine's sentences, in English, or a person's reason
	Next      string
}

// timeline is all that happened to a unit, the newest run or permission first; the entries of a run stand as they came.
func timeline(runs []ledger.Run, permits []ledger.Record) []chapter {
	var out []chapter
	for i := range runs {
		r := &runs[i]
		c := chapter{first: r.Records[0].Index, Run: r, Code: CodeOf(r.ID), Outcome: r.Outcome(), Begun: r.Records[0].Entry.Time,
			From: r.Records[0].Index, To: r.Records[len(r.Records)-1].Index}
		switch {
		case r.End != nil:
			c.Cause = r.End.Cause
		case r.Stuck != nil:
			c.Cause = r.Stuck.Cause
		}
		if r.Close != nil {
			c.Closed = r.Close.As
		}
		for _, rec := range r.Records {
			c.Moments = append(c.Moments, momentOf(rec))
		}
		out = append(out, c)
	}
	for _, rec := range permits {
		out = append(out, chapter{first: rec.Index, Begun: rec.Entry.Time, From: rec.Index, To: rec.Index, Moments: []moment{momentOf(rec)}})
	}
	slices.SortStableFunc(out, func(a, b chapter) int { return cmp.Compare(b.first, a.first) })
	return out
}

// momentOf is what an entry says to people. Digests of what is sealed are left to the report.
func momentOf(rec ledger.Record) moment {
	m := moment{Time: rec.Entry.Time, Index: rec.Index, Word: rec.Entry.Body.Kind(), Permanent: ledger.Permanent(rec.Entry.Body), Facts: map[string]string{}}
	detail := func(name, value string) {
		if value != "" {
			m.Details = append(m.Details, ledger.Fact{Name: name, Value: value})
		}
	}
	switch b := rec.Entry.Body.(type) {
	case ledger.RunStart:
		m.Facts, m.Unchecked = map[string]string{"slot": b.Slot, "who": b.Operator}, !b.Authenticated
		detail("recipe", recipeText(b.Recipe))
		detail("part", b.Part.Name)
		detail("chip", b.Chip.UID)
		detail("fixture", b.Fixture)
		detail("mirror", b.Mirror)
		detail("key-server", b.KeyServer)
		detail("retires", b.Retires)
		if b.Permit != 0 {
			detail("permit", "#"+strconv.FormatInt(b.Permit, 10))
		}
		for _, v := range b.Values {
			detail(v.Name, v.Value)
		}
	case ledger.RunResume:
		m.Facts, m.Unchecked = map[string]string{"slot": b.Slot, "who": b.Operator}, !b.Authenticated
		detail("chip", b.Chip.UID)
		detail("fixture", b.Fixture)
	case ledger.RunStop:
		m.Facts["who"], m.Unchecked = b.By, !b.Authenticated
	case ledger.RunStep:
		m.Step, m.StepKind, m.Title, m.Result, m.Proof = fmt.Sprintf("%d/%d", b.N, b.Of), b.Step, b.Title, b.Result, b.Proof
		m.Permanent, m.Took, m.Details = b.Permanent, time.Duration(b.Duration)*time.Millisecond, b.Facts
		m.Tone = "good"
		if b.Result == ledger.Failed {
			m.Tone = "bad"
		}
	case ledger.RunStuck:
		m.Tone, m.Text, m.Next = "open", b.Message, b.Next
		m.Ended = &Result{Outcome: ledger.Interrupted, Cause: b.Cause, Message: b.Message, Next: b.Next}
		detail("cause", b.Cause)
	case ledger.RunEnd:
		m.Outcome, m.Tone, m.Text, m.Next, m.Took = b.Outcome, toneOf(b.Outcome), b.Message, b.Next, time.Duration(b.Duration)*time.Millisecond
		if b.Cause != "" {
			m.Ended = &Result{Outcome: b.Outcome, Cause: b.Cause, Message: b.Message, Next: b.Next}
		}
		detail("cause", b.Cause)
		for _, p := range b.Proven {
			detail(p.Region, p.Proof+", "+p.Lock)
		}
	case ledger.UnitClose:
		m.Facts["who"], m.Word = b.By, m.Word+"."+b.As
		m.Tone, m.Text, m.Unchecked = "open", b.Reason, !b.Authenticated
	case ledger.ReworkPermit:
		m.Facts["who"], m.Word = b.By, m.Word+"."+b.Chip
		m.Text, m.Unchecked = b.Reason, !b.Authenticated
		detail("chip", b.UID)
	case ledger.ReworkWithdrawn:
		m.Facts = map[string]string{"permit": strconv.FormatInt(b.Permit, 10), "who": b.By}
		m.Text, m.Unchecked = b.Reason, !b.Authenticated
	case ledger.PasswordIntent:
		sealed(&m, b.Escrow)
	case ledger.PasswordVoid:
		detail("escrow", b.Escrow)
	case ledger.PasswordProven:
		m.Tone = "good"
		detail("escrow", b.Escrow)
	case ledger.PasswordOpened:
		detail("escrow", b.Escrow)
	case ledger.ModeIntent:
		m.Word += "." + b.Mode
	case ledger.ModeProven:
		m.Word, m.Tone, m.Proof = m.Word+"."+b.Mode, "good", b.Grade
	case ledger.RootKeyIntent:
		m.Facts["index"] = strconv.Itoa(b.Index)
		sealed(&m, b.Escrow)
	case ledger.RootKeyVoid:
		m.Facts["index"] = strconv.Itoa(b.Index)
		detail("escrow", b.Escrow)
	case ledger.RootKeyProven:
		m.Facts["index"], m.Tone = strconv.Itoa(b.Index), "good"
		detail("escrow", b.Escrow)
	case ledger.PermanentIntent:
		m.Text = b.What
	case ledger.RelayIntent:
		m.Facts["turn"], m.Text = strconv.Itoa(b.Turn), commands(b.Blocks)
	case ledger.RelayAnswer:
		m.Facts["turn"], m.Text = strconv.Itoa(b.Turn), commands(b.Blocks)
		for _, a := range b.Answers {
			detail("#"+strconv.Itoa(a.Seq), cmp.Or(a.Status, a.Counter, "?"))
		}
	case ledger.Other:
		m.Facts["kind"], m.Word = b.Name, "other"
	}
	return m
}

// sealed tells to whom a secret of an intent is sealed.
func sealed(m *moment, e ledger.Sealed) {
	groups := map[string]bool{}
	for _, r := range e.Recipients {
		groups[r.Group] = true
	}
	m.Facts["groups"] = strings.Join(slices.Sorted(maps.Keys(groups)), ", ")
	m.Details = append(m.Details, ledger.Fact{Name: "escrow", Value: e.ID})
}

func commands(blocks []ledger.RelayBlock) string {
	var names []string
	for _, b := range blocks {
		names = append(names, b.Command)
	}
	return strings.Join(names, ", ")
}

func recipeText(r ledger.Recipe) string {
	if r.ID == "" {
		return ""
	}
	return fmt.Sprintf("%s %d", r.ID, r.Version)
}

// toneOf is how a run that ended so stands in a timeline.
func toneOf(o ledger.Outcome) string {
	switch o {
	case ledger.Pass:
		return "good"
	case ledger.Fail:
		return "bad"
	case ledger.Interrupted:
		return "open"
	}
	return ""
}

// besideWords are the functions of the templates of the pages beside the wall.
func besideWords(text Text) template.FuncMap {
	return template.FuncMap{
		"factual": text.Factual,
		"second":  func(t time.Time) string { return t.Local().Format("15:04:05") },
		"took":    took,
		"tail":    tail,
		"cards":   cardPattern,
		"how":     text.how,
		"fact":    text.fact,
		"value":   text.value,
	}
}

// key is how words of the engine stand in a key of a catalogue.
func key(words string) string { return strings.NewReplacer(":", "", " ", "-").Replace(words) }

// how is how a step was proven: by the engine's words, of which there are few, with ", " between them. What no catalogue has stays.
func (t Text) how(proof string) string {
	words := strings.Split(proof, ", ")
	for i, w := range words {
		words[i] = t.first(w, "units.how."+key(w))
	}
	return strings.Join(words, ", ")
}

// fact is the name of a detail. That of a unit's value is its own.
func (t Text) fact(name string) string { return t.first(name, "units.fact."+key(name)) }

// value is what a detail says, where the catalogue has it.
func (t Text) value(f ledger.Fact) string {
	if word, is := foundWords[f.Value]; is && f.Name == "mirror" {
		return t["shift.found."+word]
	}
	return f.Value
}

// took is how long a step took, as people say it; "" where nobody measured it.
func took(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return clockOf(d)
}

// tail is the end of a chip's UID, in which chips of one lot differ.
func tail(uid string) string {
	const digits = 8
	if len(uid) <= digits {
		return uid
	}
	return "…" + uid[len(uid)-digits:]
}
