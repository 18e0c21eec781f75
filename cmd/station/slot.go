package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) slot() *cobra.Command {
	c := &cobra.Command{Use: "slot", Short: "The station's slots and programmers"}
	c.AddCommand(a.slotList(), a.slotTest())
	return c
}

type slotJSON struct {
	Slot    string `json:"slot"` // "" for a programmer that belongs to no slot
	Port    string `json:"port"`
	Channel string `json:"channel"`
	Volts   string `json:"volts"`
	Power   string `json:"power"`
	Clock   string `json:"clock"` // as the configuration has it
	Family  string `json:"family"`
	Device  string `json:"device"` // what is plugged in, "" for nothing
	Problem string `json:"problem"`
}

func (a *app) slotList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "What is plugged in where, and what is wrong with it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer b.Close()
			status, err := b.rack.Status(c.Context())
			if err != nil {
				return exit(exitError, err)
			}
			list := []slotJSON{}
			rows := [][]string{{"SLOT", "PORT", "CHANNEL", "PROGRAMMER", "DEVICE", "PROBLEM"}}
			for _, s := range status {
				j := slotJSON{Slot: s.Slot.Name, Port: s.Slot.Port, Channel: s.Slot.Channel, Volts: s.Slot.Volts, Power: s.Slot.Power, Clock: s.Slot.Clock, Family: s.Family, Problem: s.Problem}
				if d := s.Device; d != nil {
					j.Port = d.Port
					j.Device = strings.TrimSpace(fmt.Sprintf("%04x:%04x %s", d.Vendor, d.Product, d.Name)) // not every programmer has a name
				}
				list = append(list, j)
				name := j.Slot
				if name == "" {
					name = "-"
				}
				rows = append(rows, []string{name, j.Port, j.Channel, j.Family, j.Device, j.Problem})
			}
			if a.json {
				return a.printJSON(list)
			}
			return a.printTable(rows)
		},
	}
}
