package kiosk

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

const (
	takenFor = time.Minute
	// maxTaken is more than three sessions can scan in takenFor as fast as they may. Past that scans with an id are refused: one that was forgotten could be done twice.
	maxTaken = 4096
)

// takenScans are the scans of the last minute that had an id, with what was answered: a page that does not hear the answer sends its scan again. Safe for concurrent use.
type takenScans struct {
	mu    sync.Mutex
	scans map[scanID]*takenScan
}

// scanID is what makes two scans the same: a page gives each an id of its own.
type scanID struct{ session, id, code string }

type takenScan struct {
	at     time.Time
	done   chan struct{} // closed once the others are final
	answer *answered
	err    error
}

// once does a scan, or answers what it answered the first time, for which it waits. One without an id is always done.
func (t *takenScans) once(ctx context.Context, id scanID, do func() (*answered, error)) (*answered, error) {
	if id.id == "" {
		return do()
	}
	s, first := t.take(id, time.Now())
	if s == nil {
		return nil, tooMany(takenFor)
	}
	if first {
		defer close(s.done)
		s.answer, s.err = do()
		return s.answer, s.err
	}
	select {
	case <-s.done:
		return s.answer, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take finds a scan, or keeps a new one: nil where there are too many.
func (t *takenScans) take(id scanID, now time.Time) (s *takenScan, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	past := func(_ scanID, s *takenScan) bool { return now.Sub(s.at) >= takenFor }
	if s := t.scans[id]; s != nil && !past(id, s) {
		return s, false
	}
	if len(t.scans) >= maxTaken {
		maps.DeleteFunc(t.scans, past)
		if len(t.scans) >= maxTaken {
			return nil, false
		}
	}
	s = &takenScan{at: now, done: make(chan struct{}), err: errors.New("nobody knows what became of the scan")}
	t.scans[id] = s
	return s, true
}
