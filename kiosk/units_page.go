package kiosk

import (
	"errors"
	"net/http"
	"strings"
)

// unitsOnPage is how many units a page of the search shows.
const unitsOnPage = 50

// unitsView is the search for units.
type unitsView struct {
	Text   string
	Rows   []UnitRow
	Cursor string // of this page, "" for the first
	Next   string // of the next one, "" behind the last
}

// units answers GET /units?text&cursor.
func (p *pages) units(w http.ResponseWriter, r *http.Request) {
	text, cursor := strings.TrimSpace(r.FormValue("text")), r.FormValue("cursor")
	rows, next, err := find(p.o.Records, text, cursor, unitsOnPage)
	if err != nil {
		p.fault(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "units", unitsView{text, rows, cursor, next})
}

// find finds units. Where nothing begins as it was typed, what begins so in capital letters is found: most labels have no others.
func find(records Records, text, cursor string, limit int) (rows []UnitRow, next string, err error) {
	rows, next, err = records.Find(text, cursor, limit)
	if upper := strings.ToUpper(text); len(rows) == 0 && upper != text && (err == nil || cursor != "") {
		return records.Find(upper, cursor, limit)
	}
	return rows, next, err
}

// fault says that the ledger could not be read, or refused what it was asked.
func (p *pages) fault(w http.ResponseWriter, r *http.Request, err error) {
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		p.show(w, r, refusal.Status, "refused", problem(refusal.Status, refusal.Word, refusal.Text, refusal.Next))
		return
	}
	p.o.Log.Error("a page could not be made", "path", r.URL.Path, "cause", err)
	p.show(w, r, http.StatusInternalServerError, "fault", err.Error())
}
