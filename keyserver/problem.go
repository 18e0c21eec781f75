package keyserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Cause is a stable word for what is wrong with a request.
type Cause string

const (
	CauseCertificate  Cause = "certificate"     // none, an expired one, one of another role, or one that is revoked
	CauseForeign      Cause = "foreign-station" // it is about another station than the certificate names
	CauseContent      Cause = "content"
	CauseKeyMissing   Cause = "key-missing"
	CauseKeyExists    Cause = "key-exists"
	CauseKeyOther     Cause = "key-other" // another key than the ledger has under that name
	CauseKeyRetired   Cause = "key-retired"
	CauseNoAllowance  Cause = "no-allowance" // of this recipe, as it is, for this station
	CauseUsedUp       Cause = "allowance-used"
	CauseNotInRecipe  Cause = "not-in-recipe" // the recipe has no such step, key, or chip
	CauseRollback     Cause = "rollback"      // the checkpoint is smaller than one before, or has another root
	CauseOutOfTurn    Cause = "out-of-turn"
	CauseUnclear      Cause = "outcome-unclear" // nobody can tell whether a command took effect
	CauseUnknownRoute Cause = "unknown-route"
	CauseRefused      Cause = "refused" // for the reason that is told
	CauseServer       Cause = "server"  // the key server itself: its disk or its keys
)

const problemPrefix = "urn:station:problem:"

var statusOf = map[Cause]int{
	CauseCertificate: http.StatusForbidden, CauseForeign: http.StatusForbidden, CauseContent: http.StatusBadRequest, CauseKeyMissing: http.StatusNotFound,
	CauseKeyExists: http.StatusConflict, CauseKeyOther: http.StatusConflict, CauseKeyRetired: http.StatusForbidden, CauseNoAllowance: http.StatusForbidden, CauseUsedUp: http.StatusForbidden,
	CauseNotInRecipe: http.StatusForbidden, CauseRollback: http.StatusConflict, CauseOutOfTurn: http.StatusConflict, CauseUnclear: http.StatusConflict, CauseUnknownRoute: http.StatusNotFound,
	CauseRefused: http.StatusConflict, CauseServer: http.StatusInternalServerError,
}

var titleOf = map[Cause]string{
	CauseCertificate: "The certificate does not let this request in", CauseForeign: "Another station's", CauseContent: "The request is not understood",
	CauseKeyMissing: "There is no such key", CauseKeyExists: "There are keys already", CauseKeyOther: "It is another key", CauseKeyRetired: "The key is retired", CauseNoAllowance: "Not allowed for this station",
	CauseUsedUp: "The allowance is used up", CauseNotInRecipe: "The recipe does not say so", CauseRollback: "The checkpoint goes back",
	CauseOutOfTurn: "Not the turn that is next", CauseUnclear: "What took effect cannot be told", CauseUnknownRoute: "There is no such route", CauseRefused: "It cannot be done", CauseServer: "The key server failed",
}

// refusal is an error that the asker is told. what names what it was about, for the entry.
type refusal struct {
	cause  Cause
	detail string
	what   about
}

type about struct{ digest, uid, master string }

func (r *refusal) Error() string { return r.detail }

func refuse(cause Cause, what about, format string, args ...any) error {
	return &refusal{cause, fmt.Sprintf(format, args...), what}
}

// problem is RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// problemOf says what the asker may know of an error: of a failure of the server, that it failed.
func problemOf(err error) problem {
	r := &refusal{cause: CauseServer, detail: "its ledger or its keys do not answer as they should: its own log says more"}
	if !errors.As(err, &r) && errors.Is(err, errContent) {
		r = &refusal{cause: CauseContent, detail: err.Error()}
	}
	return problem{problemPrefix + string(r.cause), titleOf[r.cause], statusOf[r.cause], r.detail}
}

func (p problem) write(w http.ResponseWriter) {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(text)
}

// causeOf reads the type of a problem; "" where it is none of ours.
func (p problem) causeOf() Cause {
	c := Cause(strings.TrimPrefix(p.Type, problemPrefix))
	if _, ok := statusOf[c]; !ok {
		return ""
	}
	return c
}
