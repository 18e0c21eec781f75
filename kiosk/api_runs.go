package kiosk

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// direct carries out units without a job, for who asks over the socket of this PC: POST /api/v1/runs takes a DirectOrder. The answer is a document a line, as they come; where it
// ends early, the last one is {"problem": ...}. Who goes away stops the runs, and so does who takes nothing for takeLimit.
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
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	q := &queue{more: make(chan struct{}, 1), gone: stop}
	var written sync.WaitGroup
	written.Go(func() {
		for document := range q.all {
			c.SetWriteDeadline(time.Now().Add(takeLimit))
			err := json.NewEncoder(w).Encode(document)
			if err == nil {
				err = c.Flush()
			}
			if err != nil {
				s.o.Log.Debug("an answer was not taken", "error", err)
				q.leave()
				return
			}
		}
	})
	if err := s.o.Direct(ctx, visitorOf(ctx).Who, order, q.add); err != nil {
		q.add(map[string]any{"problem": s.problemOf(err)})
	}
	q.end()
	written.Wait()
}

const (
	maxOrder  = 1 << 20 // bytes: a sealed password for each slot is in it
	takeLimit = 30 * time.Second
	maxQueued = 4096 // documents that were not taken; recipes have some ten steps
)

// Passing is a document of which only the newest of its slot counts.
type Passing interface {
	Passing() (slot string) // "" where it has to be told
}

// queue is what was told to who carries out units, and not taken yet. Adding to it never waits: a run is not held up by who looks on.
type queue struct {
	more chan struct{} // has one where something was added, or the queue has ended
	gone func()        // who takes from it has gone away

	mu    sync.Mutex
	left  bool // nobody takes any more
	ended bool // nothing is added any more
	docs  []any
}

func (q *queue) add(document any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if slot := passing(document); slot != "" {
		q.docs = slices.DeleteFunc(q.docs, func(d any) bool { return passing(d) == slot })
	}
	if len(q.docs) >= maxQueued {
		q.left = true
		q.gone()
	}
	if q.left {
		q.docs = nil
		return
	}
	q.docs = append(q.docs, document)
	q.wake()
}

func passing(document any) string {
	if p, is := document.(Passing); is {
		return p.Passing()
	}
	return ""
}

func (q *queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// leave says that nobody takes any more.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left, q.docs = true, nil
	q.gone()
}

// end says that nothing is added any more.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.wake()
}

// all are the documents, in their order, until the end.
func (q *queue) all(yield func(any) bool) {
	for {
		q.mu.Lock()
		docs, ended := q.docs, q.ended
		if len(docs) > 0 {
			q.docs = docs[1:]
		}
		q.mu.Unlock()
		switch {
		case len(docs) > 0:
			if !yield(docs[0]) {
				return
			}
		case ended:
			return
		default:
			<-q.more
		}
	}
}
