package kiosk

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// direct carries out units without a job, for who asks over the socket of this PC: POST /api/v1/runs takes a DirectOrder. The answer is a document a line, as they come; where it
// ends early, the last one is {"problem": ...}. Who goes away stops the runs.
func (s *Server) direct(w http.ResponseWriter, r *http.Request) {
	var order DirectOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil {
		s.answer(w, r, problem(http.StatusUnprocessableEntity, "invalid", "the order is none: "+err.Error(), ""), false)
		return
	}
	c := http.NewResponseController(w)
	c.SetReadDeadline(time.Time{}) // an error says that there is none
	c.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	var mu sync.Mutex
	tell := func(document any) {
		mu.Lock()
		defer mu.Unlock()
		if err := json.NewEncoder(w).Encode(document); err != nil {
			s.o.Log.Debug("an answer was not taken", "error", err)
		}
		c.Flush()
	}
	if err := s.o.Direct(r.Context(), visitorOf(r.Context()).Who, order, tell); err != nil {
		tell(map[string]any{"problem": s.problemOf(err)})
	}
}

const maxOrder = 1 << 20 // bytes: a sealed password for each slot is in it
