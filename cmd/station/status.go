package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"station/kiosk"
	"station/provision"
)

func (a *app) status() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "What the station at work makes, and what its slots do",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			data, err := a.data()
			if err != nil {
				return err
			}
			s, ok := stationAt(c.Context(), data)
			if !ok {
				return exit(exitNo, fmt.Errorf("no station is at work in %s: `station serve` is one", data))
			}
			if watch {
				return a.watchStatus(c.Context(), s)
			}
			answer, err := s.send(c.Context(), "", http.MethodGet, "state", nil)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if a.json {
				var document any
				if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
					return exit(exitError, err)
				}
				return a.printJSON(document)
			}
			var state kiosk.State
			if err := json.NewDecoder(answer.Body).Decode(&state); err != nil {
				return exit(exitError, err)
			}
			return a.printStatus(state)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on telling what changes, until stopped; with --json one object a line, the first with the whole state")
	return c
}

func (a *app) printStatus(s kiosk.State) error {
	name := s.Station
	if s.Simulated {
		name += " (SIMULATED)"
	}
	printf(a.stdout, "station %s, since %s\n", name, s.Started.UTC().Format(time.RFC3339))
	if s.Shift != nil {
		printf(a.stdout, "shift of %s, since %s\n", s.Shift.By, s.Shift.Begun.UTC().Format(time.RFC3339))
	}
	if j := s.Job; j != nil {
		printf(a.stdout, "job %s\n", jobText(j))
	}
	for _, o := range s.Open {
		printf(a.stdout, "INTERRUPTED: %s, last in slot %s\n", o.Serial, o.Slot)
	}
	printf(a.stdout, "%s\n", s.Next.Text)
	if s.Next.Next != "" {
		printf(a.stdout, "  %s\n", s.Next.Next)
	}
	rows := [][]string{{"SLOT", "STATE", "SERIAL", "DOES"}}
	for _, t := range tilesOf(s) {
		rows = append(rows, tileRow(t))
	}
	return a.printTable(rows)
}

func jobText(j *kiosk.Job) string {
	text := fmt.Sprintf("%s version %d (%s)", j.Recipe.ID, j.Recipe.Version, j.File)
	if j.Trial {
		text += ", TRIAL"
	}
	if j.Quantity > 0 {
		text += fmt.Sprintf(": %d of %d passed", j.Passed, j.Quantity)
	} else {
		text += fmt.Sprintf(": %d passed", j.Passed)
	}
	return text + fmt.Sprintf(", %d failed, %d otherwise", j.Failed, j.Other)
}

// tilesOf are the slots, in the order of the rows.
func tilesOf(s kiosk.State) (all []kiosk.Tile) {
	for _, row := range s.Rows {
		for _, t := range row {
			if t.Slot != "" {
				all = append(all, t)
			}
		}
	}
	return all
}

// tileRow is a slot in words: its name, its state, its serial, and what it does.
func tileRow(t kiosk.Tile) []string {
	state := string(t.State)
	if t.Excluded {
		state = "excluded"
	}
	return []string{t.Slot, state, orDash(t.Serial), strings.Join(tileWords(t), "; ")}
}

func tileWords(t kiosk.Tile) (all []string) {
	if t.Stopped {
		all = append(all, "stopped after three in a row")
	}
	if t.Problem != nil {
		all = append(all, t.Problem.Text)
	}
	switch r := t.Run; {
	case r != nil:
		text := cmp.Or(r.Phase, "begins")
		if r.Step > 0 {
			text = fmt.Sprintf("%d/%d %s", r.Step, r.Of, r.Title)
		}
		if r.Permanent {
			text = "PERMANENT " + text
		}
		all = append(all, fmt.Sprintf("%s, %d %% of all", text, r.Overall))
	case t.Result != nil:
		text := string(t.Result.Outcome)
		if t.Result.Message != "" {
			text += ": " + t.Result.Message
		}
		all = append(all, text)
		if t.Held {
			all = append(all, "waits to be acknowledged")
		}
	case t.Said != nil && t.State != provision.Free:
		all = append(all, t.Said.Text)
	}
	return all
}

// changed is what of a state is another (GET /api/v1/events).
type changed struct {
	State *kiosk.State `json:"state"` // all of it, at first
	Tiles []kiosk.Tile `json:"tiles"`
	Job   *kiosk.Job   `json:"job"`
	Next  *kiosk.Said  `json:"next"`
}

// watchStatus tells what changes until ctx is over or the station ends.
func (a *app) watchStatus(ctx context.Context, s *stationClient) error {
	answer, err := s.send(ctx, "", http.MethodGet, "events", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	told := map[string]string{} // by slot, and the next action by ""
	err = eachChange(answer.Body, func(document []byte) error {
		if a.json {
			_, err := fmt.Fprintf(a.stdout, "%s\n", document)
			return err
		}
		var c changed
		if err := json.Unmarshal(document, &c); err != nil {
			return err
		}
		if c.State != nil {
			for _, t := range tilesOf(*c.State) {
				told[t.Slot] = strings.Join(tileRow(t), "  ")
			}
			told[""] = c.State.Next.Text
			return a.printStatus(*c.State)
		}
		tell := func(slot, text string) {
			if told[slot] != text {
				told[slot] = text
				printf(a.stdout, "%s\n", text)
			}
		}
		for _, t := range c.Tiles {
			tell(t.Slot, "slot "+strings.Join(tileRow(t), "  "))
		}
		if c.Next != nil {
			tell("", c.Next.Text)
		}
		return nil
	})
	switch {
	case ctx.Err() != nil: // stopping it is how it ends
		return nil
	case err != nil:
		return exit(exitError, err)
	}
	return exit(exitNo, errors.New("the station has ended"))
}

// eachChange hands over the document of each change in a stream of server-sent events, to its end.
func eachChange(stream io.Reader, do func(document []byte) error) error {
	const longest = 4 << 20
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, longest)
	event := ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "event":
			event = value
		case name == "data" && event == "change":
			if err := do([]byte(value)); err != nil {
				return err
			}
		}
	}
	return nil // that the connection is gone is how it ends
}
