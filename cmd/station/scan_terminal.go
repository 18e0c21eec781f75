package main

import (
	"station/kiosk"
	"station/provision"
)

// terminal is the voice of a line on standard error.
type terminal struct {
	app     *app
	results []outcome
}

func (t *terminal) say(d provision.Decision, _ kiosk.Who) {
	if d.Do == provision.Ask {
		printf(t.app.stderr, "slot %s is free: scan the %s\n", d.Slot, d.Message)
		return
	}
	at := ""
	if d.Slot != "" {
		at = "slot " + d.Slot + ": "
	}
	printf(t.app.stderr, "%s%s\n", at, d.Message)
	if d.Next != "" {
		printf(t.app.stderr, "  %s\n", d.Next)
	}
}

// result keeps an outcome, and says at once what to do about it: the table comes at the end.
func (t *terminal) result(o outcome) {
	t.results = append(t.results, o)
	t.next(o)
}

func (t *terminal) next(o outcome) {
	if exitCode(o.Outcome) != exitDone && o.Next != "" {
		printf(t.app.stderr, "  %s\n", o.Next)
	}
}

func (t *terminal) sees(slot string, err error) {
	if err != nil {
		printf(t.app.stderr, "slot %s cannot be looked at: %s\n", slot, err)
	}
}

func (t *terminal) warn(text string) { printf(t.app.stderr, "%s\n", text) }

func (t *terminal) stands(*provision.Line) {}
