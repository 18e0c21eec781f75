package main

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"station/ledger"
	"station/provision"
)

// Bars never hold the engine up: thousands of events from four slots at once come through, and the showing ends.
func TestBarsDoNotBlock(t *testing.T) {
	w := newBars(mpb.New(mpb.WithOutput(io.Discard), mpb.WithAutoRefresh(), mpb.WithRefreshRate(time.Millisecond)))
	over := make(chan struct{})
	go func() {
		defer close(over)
		var wg sync.WaitGroup
		for slot := range 4 {
			wg.Go(func() {
				for unit := range 3 {
					ev := provision.Event{Slot: fmt.Sprint(slot), Serial: fmt.Sprint(unit), Step: 1, Of: 2, Title: "write"}
					for done := range int64(1000) {
						ev.Kind, ev.Done, ev.Total = provision.Progress, done, 999
						w.event(ev)
					}
					ev.Kind, ev.Result = provision.Ended, &provision.Result{Outcome: ledger.Pass}
					w.event(ev)
				}
			})
		}
		wg.Wait()
		w.done()
	}()
	select {
	case <-over:
	case <-time.After(30 * time.Second):
		t.Fatal("the bars block")
	}
}
