package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// directOrder is what the flags of run say, for a station at work: it has another working directory.
func directOrder(recipe string, scans, boards []pair, values map[string]map[string]string, unlocks map[string][]byte, trial bool) kiosk.DirectOrder {
	o := kiosk.DirectOrder{Recipe: absolute(recipe), Values: values, Unlock: unlocks, Trial: trial}
	for _, p := range scans {
		o.Slots = append(o.Slots, kiosk.DirectSlot{Slot: p.slot, Serial: p.value})
	}
	for _, p := range boards {
		o.Boards = append(o.Boards, kiosk.DirectSlot{Slot: p.slot, Serial: absolute(p.value)})
	}
	return o
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// runThere has a station at work carry out units, and shows what it does as run shows what itself does.
func (a *app) runThere(ctx context.Context, s *stationClient, order kiosk.DirectOrder, operator string) error {
	answer, err := s.send(ctx, operator, http.MethodPost, "runs", order)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	watch, done := a.watch(ctx)
	results, err := readRuns(json.NewDecoder(answer.Body), watch, func(text string) { printf(a.stderr, "%s\n", text) })
	done()
	switch {
	case ctx.Err() != nil: // whoever goes away stops the runs
		return exit(exitAborted, errors.New("ABORTED: the station at work was told to stop the runs; `station unit list` shows how they ended"))
	case err != nil:
		return err
	}
	return a.conclude(results)
}

// readRuns reads what a station tells of runs, to the results.
func readRuns(lines *json.Decoder, watch func(provision.Event), warn func(string)) (results []outcome, err error) {
	for {
		var line struct {
			directLine
			Problem *kiosk.Problem `json:"problem"`
		}
		err := lines.Decode(&line)
		switch {
		case err != nil:
			return nil, exit(exitError, fmt.Errorf("the station at work broke off; `station unit list` shows how the runs ended: %w", err))
		case line.Problem != nil:
			return nil, problemErr(*line.Problem)
		case line.Event != nil:
			watch(line.Event.event())
		case line.Warning != "":
			warn(line.Warning)
		case line.Results != nil:
			for _, r := range line.Results {
				results = append(results, r.outcome())
			}
			return results, nil
		}
	}
}

// event is what the engine told.
func (d *directEvent) event() provision.Event {
	ev := provision.Event{Kind: d.Kind, Slot: d.Slot, Serial: d.Serial, Time: d.Time, Step: d.Step, Of: d.Of, Title: d.Title, Permanent: d.Permanent, Done: d.Done, Total: d.Total, Move: d.Move}
	if d.Kind == provision.Ended {
		ev.Result = &provision.Result{Slot: d.Slot, Serial: d.Serial, Outcome: ledger.Outcome(d.Outcome)}
	}
	return ev
}

// outcome is what it was made of (resultJSON).
func (j runJSON) outcome() outcome {
	o := outcome{report: j.Report, Result: provision.Result{Slot: j.Slot, Serial: j.Serial, Outcome: j.Outcome, Already: j.Already, Run: j.Run, UID: j.UID, Index: j.Index, Cause: j.Cause,
		Message: j.Message, Next: j.Next, Started: j.Started, Duration: time.Duration(j.Duration) * time.Millisecond}}
	if j.Error != "" {
		o.Err = errors.New(j.Error)
	}
	if j.Report == "" && j.Index >= 0 && j.Outcome != ledger.Refused {
		o.reportErr = fmt.Errorf("the station at work could not: %s", j.Error)
	}
	return o
}
