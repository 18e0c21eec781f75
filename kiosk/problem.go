package kiosk

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"station/ledger"
)

// Problem is why a request was not answered: RFC 9457.
type Problem struct {
	Type   string              `json:"type" doc:"urn:station:problem: and the word of said"`
	Title  string              `json:"title"`
	Status int                 `json:"status"`
	Detail string              `json:"detail"`
	Said   Said                `json:"said"`
	Errors []*huma.ErrorDetail `json:"errors,omitempty" doc:"what is wrong with which field"`

	wait time.Duration // until it may be asked again, 0 for nothing to wait for
}

func (p *Problem) Error() string             { return p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return "application/problem+json" }
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.wait.Seconds()))))
	}
	return h
}

// ServerWords are those of what this room itself tells of a request.
var ServerWords = []string{
	"badge-misread", "broken", "invalid", "ledger-holds", "ledger-wrong", "no-such-unit", "not-your-role", "nothing-here", "other-site", "set-up-code", "set-up-done", "set-up-first",
	"sign-in-first", "signed-in", "signed-off", "slow",
	"token", "too-large", "too-many", "unit-closed", "unit-rework", "user-added", "user-changed", "user-removed", "verifying", "wrong-host", "wrong-method",
}

// problem is one that this room sees by itself. facts are names and values in turn.
func problem(status int, word, text, next string, facts ...string) *Problem {
	s := Said{Word: word, Text: text, Next: next}
	for i := 0; i < len(facts); i += 2 {
		if s.Facts == nil {
			s.Facts = map[string]string{}
		}
		s.Facts[facts[i]] = facts[i+1]
	}
	return &Problem{Type: "urn:station:problem:" + word, Title: http.StatusText(status), Status: status, Detail: text, Said: s}
}

func tooMany(wait time.Duration) *Problem {
	return problem(http.StatusTooManyRequests, "too-many", "that was asked too often", "Wait a moment.").after(wait)
}

// after says when it may be asked again.
func (p *Problem) after(wait time.Duration) *Problem {
	p.wait = wait
	return p
}

func signInFirst() *Problem {
	return problem(http.StatusUnauthorized, "sign-in-first", "nobody is signed in", "Scan your badge, or sign in with name and PIN.")
}

func setUpFirst() *Problem {
	return problem(http.StatusUnauthorized, "set-up-first", "nobody is known here yet", "Make the first user: the code for it stands where the station was started.")
}

// problemOf is what whoever asked is told of an error. What they cannot mend goes to the log with its chain.
func (s *Server) problemOf(err error) *Problem {
	var p *Problem
	var refusal *Refusal
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refusal):
		p = problem(refusal.Status, refusal.Word, refusal.Text, refusal.Next)
		p.Said = refusal.Said
		if locked := (*LockedError)(nil); errors.As(err, &locked) {
			p.wait = time.Until(locked.Until)
		}
		return p
	case errors.Is(err, ledger.ErrMissing):
		return problem(http.StatusNotFound, "no-such-unit", "the ledger has no such unit or run", "")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = problem(http.StatusGatewayTimeout, "slow", "the station did not get it done in time", "Look at the wall whether it was done, and try again.")
	default:
		p = problem(http.StatusInternalServerError, "broken", "the station could not do it", "Its log says why: `station status`, and call whoever looks after it.")
	}
	s.o.Log.Error("a request failed", "cause", p.Said.Word, "error", err)
	return p
}

// The words of what huma finds by itself.
func init() {
	huma.ValidateStrictCasing = true // what was looked at under one spelling of a name is not taken from another
	huma.NewError = func(status int, text string, errs ...error) huma.StatusError {
		p := problem(status, "invalid", text, "")
		for _, err := range errs {
			d := &huma.ErrorDetail{Message: err.Error()}
			if detailed, ok := err.(huma.ErrorDetailer); ok {
				d = detailed.ErrorDetail()
				d.Value = nil // it could be a PIN
			}
			p.Errors = append(p.Errors, d)
		}
		return p
	}
}

// answer writes a problem: as a page where one was asked for.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, p *Problem, page bool) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	if page {
		s.refused(w, r, p)
		return
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		s.o.Log.Debug("an answer was not taken", "error", err)
	}
}
