package kiosk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"station/ledger"
)

type findInput struct {
	Text   string `query:"text" maxLength:"200" doc:"what the serial begins with, or the id of a run, the code of a fail card or the UID of a chip"`
	Cursor string `query:"cursor" maxLength:"400" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type findOutput struct {
	Body struct {
		Units []UnitRow `json:"units" doc:"newest first"`
		Next  string    `json:"next" doc:"\"\" behind the last page"`
	}
}

type serialInput struct {
	Serial string `path:"serial" maxLength:"200"`
}

type reportInput struct {
	Serial string `path:"serial" maxLength:"200"`
	Run    string `query:"run" maxLength:"64" doc:"\"\" for the run that a report is about"`
}

// unitOutput is all that the ledger has of a unit. Entries are the ledger's own, in their canonical form.
type unitOutput struct {
	Body struct {
		Serial  string      `json:"serial"`
		Runs    []unitRun   `json:"runs" doc:"oldest first"`
		Permits []unitEntry `json:"permits" doc:"of rework"`
		Problem string      `json:"problem" doc:"why the ledger does not prove this, \"\" for nothing: see its proof"`
	}
}

type unitRun struct {
	Run     string      `json:"run"`
	Slot    string      `json:"slot"`
	Open    bool        `json:"open"`
	Entries []unitEntry `json:"entries"`
}

type unitEntry struct {
	Index int64 `json:"index"`
	Entry any   `json:"entry"`
}

type proofOutput struct{ Body Proof }

type closeInput struct {
	Serial string `path:"serial" maxLength:"200"`
	Body   struct {
		As     string `json:"as" enum:"scrapped,lost"`
		Reason string `json:"reason" minLength:"1" maxLength:"500" pattern:"^\\P{C}+$" patternDescription:"printable characters"`
	}
}

type reworkInput struct {
	Serial string `path:"serial" maxLength:"200"`
	Body   struct {
		Chip   string `json:"chip" enum:"same,new" doc:"the one that it has, or one that the ledger does not know"`
		Reason string `json:"reason" minLength:"1" maxLength:"500" pattern:"^\\P{C}+$" patternDescription:"printable characters"`
	}
}

type verifyOutput struct {
	Body struct {
		Answer
		OK       bool `json:"ok"`
		Document any  `json:"document" doc:"as of station audit verify --json"`
	}
}

type reportOutput struct {
	Type        string `header:"Content-Type"`
	Policy      string `header:"Content-Security-Policy"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

// reportPolicy is the policy for a report: a browser shows it with styles of its own.
const reportPolicy = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// addUnits adds the routes about units and the ledger.
func (s *Server) addUnits(api huma.API) {
	records := s.o.Records
	add(s, api, "GET /api/v1/units", SeeUnits, "Find units", func(_ context.Context, in *findInput) (out *findOutput, err error) {
		out = &findOutput{}
		out.Body.Units, out.Body.Next, err = find(records, in.Text, in.Cursor, in.Limit)
		if out.Body.Units == nil {
			out.Body.Units = []UnitRow{}
		}
		return out, err
	})
	add(s, api, "GET /api/v1/units/{serial}", SeeUnits, "What was done to a unit", func(ctx context.Context, in *serialInput) (*unitOutput, error) {
		runs, permits, err := records.Unit(in.Serial)
		if err != nil {
			return nil, err
		}
		out := &unitOutput{}
		out.Body.Problem = proofOf(ctx, records, in.Serial).Problem
		out.Body.Serial, out.Body.Runs, out.Body.Permits = in.Serial, []unitRun{}, entriesOf(permits)
		for _, r := range runs {
			out.Body.Runs = append(out.Body.Runs, unitRun{r.ID, r.Slot, r.Open(), entriesOf(r.Records)})
		}
		return out, nil
	})
	add(s, api, "GET /api/v1/units/{serial}/report", SeeUnits, "Its report, a PDF", func(ctx context.Context, in *reportInput) (*reportOutput, error) {
		ctx, cancel := context.WithTimeout(ctx, deedLimit)
		defer cancel()
		select {
		case s.reporting <- struct{}{}:
			defer func() { <-s.reporting }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		b, err := records.Report(ctx, in.Serial, in.Run)
		return &reportOutput{"application/pdf", reportPolicy, "inline", b}, err
	}, "application/pdf")
	add(s, api, "GET /api/v1/units/{serial}/proof", SeeUnits, "Hold its entries against the newest checkpoint", func(ctx context.Context, in *serialInput) (*proofOutput, error) {
		p, err := records.Prove(ctx, in.Serial)
		return &proofOutput{p}, err
	})
	add(s, api, "POST /api/v1/units/{serial}/close", CloseUnit, "Settle an open run by a person's decision; the unit has not passed", func(ctx context.Context, in *closeInput) (*answered, error) {
		return answerOf(accepted("unit-closed", in.Serial+" is closed as "+in.Body.As, "", "serial", in.Serial, "as", in.Body.As),
			records.CloseUnit(ctx, visitorOf(ctx).Who, in.Serial, in.Body.As, in.Body.Reason))
	})
	add(s, api, "POST /api/v1/units/{serial}/rework", PermitUnit, "Let a unit be run once more", func(ctx context.Context, in *reworkInput) (*answered, error) {
		return answerOf(accepted("unit-rework", in.Serial+" may be run once more", "", "serial", in.Serial), records.Permit(ctx, visitorOf(ctx).Who, in.Serial, in.Body.Chip, in.Body.Reason))
	})
	add(s, api, "POST /api/v1/ledger/verify", VerifyAll, "Recompute the whole ledger", s.verify)
}

func entriesOf(records []ledger.Record) []unitEntry {
	out := []unitEntry{}
	for _, r := range records {
		out = append(out, unitEntry{r.Index, json.RawMessage(r.Bytes)})
	}
	return out
}

// verify recomputes the ledger, which takes its time: for one at a time, and no longer than whoever asked waits for it.
func (s *Server) verify(ctx context.Context, _ *none) (out *verifyOutput, err error) {
	if !s.verifying.TryLock() {
		return nil, problem(http.StatusTooManyRequests, "verifying", "the ledger is being checked for somebody else", "Wait until that is done.").after(10 * time.Second)
	}
	defer s.verifying.Unlock()
	out = &verifyOutput{}
	out.Body.Document, out.Body.OK, err = s.o.Records.Verify(ctx)
	if err != nil {
		return nil, err
	}
	out.Body.Answer, err = verified(out.Body.Document, out.Body.OK)
	return out, err
}

// verified says in a sentence what the document says.
func verified(document any, ok bool) (Answer, error) {
	var d struct {
		Entries, Signed int64
		Findings        []struct{ What string }
		Store           string
	}
	b, err := json.Marshal(document)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		return Answer{}, err
	}
	if ok {
		entries, signed := fmt.Sprint(d.Entries), fmt.Sprint(d.Signed)
		return accepted("ledger-holds", "the ledger holds: "+entries+" entries recomputed, "+signed+" of them signed", "", "entries", entries, "signed", signed), nil
	}
	why := ""
	for _, f := range d.Findings {
		why = cmp.Or(why, f.What)
	}
	why = cmp.Or(why, d.Store)
	a := accepted("ledger-wrong", "the ledger does not hold: "+why, "Stop the line, and call the person who looks after the station.", "why", why)
	a.Tone = Attention
	return a, nil
}
