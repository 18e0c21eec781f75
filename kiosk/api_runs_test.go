package kiosk

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// line is a document of runs: progress where its slot is named.
type line struct {
	Slot string `json:"slot,omitempty"`
	Text string `json:"text"`
}

func (l line) Passing() string { return l.Slot }

// lateReader is a client that takes nothing before it is let to.
type lateReader struct {
	*httptest.ResponseRecorder
	takes    chan struct{} // closed when it reads
	deadline time.Time
}

func (r *lateReader) SetWriteDeadline(t time.Time) error { r.deadline = t; return nil }

func (r *lateReader) Write(p []byte) (int, error) {
	select {
	case <-r.takes:
		return r.ResponseRecorder.Write(p)
	case <-time.After(time.Until(r.deadline)):
		return 0, os.ErrDeadlineExceeded
	}
}

// TestRunsNotRead: who does not read holds up no run. Progress that was not taken is dropped for the newest, and nothing else is; who takes nothing for 30 s is as one who went
// away.
func TestRunsNotRead(t *testing.T) {
	for _, reads := range []time.Duration{29 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := &lateReader{ResponseRecorder: httptest.NewRecorder(), takes: make(chan struct{})}
			start := time.Now()
			time.AfterFunc(reads, func() { close(w.takes) })
			var ended time.Duration
			s := &Server{o: Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Direct: func(ctx context.Context, _ Who, _ DirectOrder, tell func(any)) error {
				tell(line{"", "begun"})
				synctest.Wait() // it is being written
				for i := range 10_000 {
					tell(line{"1", fmt.Sprint(i)})
					tell(line{"2", fmt.Sprint(i)})
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("telling took %v", took)
				}
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Minute):
				}
				ended = time.Since(start)
				tell(line{"", "results"})
				return nil
			}}}
			s.direct(w, httptest.NewRequest("POST", "/api/v1/runs", strings.NewReader(`{"recipe":"/r.yaml","slots":[]}`)))
			want, after := `{"text":"begun"}`+"\n"+`{"slot":"1","text":"9999"}`+"\n"+`{"slot":"2","text":"9999"}`+"\n"+`{"text":"results"}`+"\n", 10*time.Minute
			if reads > takeLimit {
				want, after = "", takeLimit
			}
			if got := w.Body.String(); got != want || ended != after {
				t.Errorf("who reads after %v got %q, want %q, and the runs ended after %v, want %v", reads, got, want, ended, after)
			}
			time.Sleep(2 * time.Hour)
		})
	}
	q := &queue{more: make(chan struct{}, 1), gone: func() {}}
	for range 2 * maxQueued {
		q.add(line{"", "step"})
	}
	if len(q.docs) != 0 || !q.left {
		t.Errorf("%d documents wait", len(q.docs))
	}
}
