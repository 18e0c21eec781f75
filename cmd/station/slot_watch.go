package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"station/fixtures"
)

// plugJSON is one line of `slot watch --json`.
type plugJSON struct {
	Time    string   `json:"time"`   // RFC 3339, UTC
	Change  string   `json:"change"` // "there" when the watching began, "in", "out"
	Port    string   `json:"port"`
	Slots   []string `json:"slots"` // that are bound to the port
	Family  string   `json:"family"`
	Device  string   `json:"device"`
	Serial  string   `json:"serial"` // as the device says it; no slot goes by it
	Problem string   `json:"problem"`
}

func (a *app) slotWatch() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Tell what is plugged in and taken out, until stopped",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := a.glance(true)
			if err != nil {
				return err
			}
			if err := b.rack.Watch(c.Context(), a.printPlug); err != nil {
				return exit(exitError, err)
			}
			return nil // stopping it is how it ends
		},
	}
}

func (a *app) printPlug(ch fixtures.Change) error {
	j := plugJSON{Time: time.Now().UTC().Format(time.RFC3339), Change: "out", Port: ch.Device.Port, Slots: []string{}, Family: ch.Family,
		Device: deviceText(ch.Device), Serial: ch.Device.Serial, Problem: ch.Problem}
	switch {
	case ch.First:
		j.Change = "there"
	case ch.In:
		j.Change = "in"
	}
	for _, s := range ch.Slots {
		j.Slots = append(j.Slots, s.Name)
	}
	if a.json {
		return a.printLine(j)
	}
	slots := "no slot"
	if len(j.Slots) > 0 {
		slots = "slot " + strings.Join(j.Slots, ", ")
	}
	line := []string{j.Time, j.Change, j.Port, slots, orDash(j.Family), j.Device}
	if j.Problem != "" {
		line = append(line, j.Problem)
	}
	_, err := printf(a.stdout, "%s\n", strings.Join(line, "  "))
	return err
}
