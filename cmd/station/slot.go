package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"station/fixtures"
	"station/fixtures/libusb"
	"station/fixtures/usb"
	"station/kiosk"
	"station/sim"
	"station/sim/ftdi"
	"station/store"
)

func (a *app) slot() *cobra.Command {
	c := &cobra.Command{Use: "slot", Short: "The station's slots and programmers"}
	c.AddCommand(a.slotList(), a.slotWatch(), a.slotBind(), a.slotTest())
	return c
}

// glance opens the slots for whoever only looks at what is plugged in: the ledger is not held, and a run may be under way. allUSB asks for the USB
// even where no slot is at a port of it.
func (a *app) glance(allUSB bool) (*bench, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	b := &bench{stderr: a.stderr, data: cfg.Data, config: cfg, places: map[string]sim.Place{}}
	b.simulated, err = isSimulated(b.data)
	if errors.Is(err, store.ErrInUse) {
		// Its writer knows, and where boards are simulated it has made their folder.
		_, err = os.Stat(boardsDir(b.data))
		b.simulated, err = err == nil, nil
	}
	if err != nil {
		return nil, ledgerErr(b.data, err)
	}
	if err := b.checkSlots(); err != nil {
		return nil, err
	}
	var bus usb.Bus
	switch {
	case b.simulated:
		line := sim.NewLine(sim.Options{})
		bus, err = line, b.plug(line, ftdi.None)
	case allUSB || b.onUSB():
		bus, err = libusb.New()
	}
	if err != nil {
		return nil, exit(exitError, err)
	}
	if b.rack, err = fixtures.NewRack(bus, cfg.rackSlots()); err != nil {
		return nil, exit(exitRefused, err)
	}
	return b, nil
}

type slotJSON struct {
	Slot     string   `json:"slot"` // "" for what belongs to no slot
	Port     string   `json:"port"`
	Channel  string   `json:"channel"`
	Volts    string   `json:"volts"`
	Power    string   `json:"power"`
	Clock    string   `json:"clock"`      // as the configuration has it
	Hold     bool     `json:"hold_reset"` // likewise
	Excluded bool     `json:"excluded"`   // likewise: nothing opens it
	Family   string   `json:"family"`
	Device   string   `json:"device"`  // what is plugged in, "" for nothing
	Driver   string   `json:"driver"`  // the kernel's, that owns the interface now; "usbfs" is a program
	Holders  []string `json:"holders"` // programs that hold the programmer, as far as they can be seen
	Problem  string   `json:"problem"`
	State    string   `json:"state"`  // where a station is at work: what the slot does there, "" otherwise
	Serial   string   `json:"serial"` // of the unit that it does it for
}

func (a *app) slotList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "What is plugged in where, which kernel driver owns it, and what is wrong with it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := a.glance(false)
			if err != nil {
				return err
			}
			status, err := b.rack.Status(c.Context())
			if err != nil {
				return exit(exitError, err)
			}
			list := []slotJSON{}
			rows := [][]string{{"SLOT", "PORT", "CHANNEL", "PROGRAMMER", "DEVICE", "DRIVER", "FIXTURE", "PROBLEM"}}
			var now kiosk.State
			if there, ok := stationAt(c.Context(), b.data); ok {
				if now, err = there.state(c.Context()); err != nil {
					printf(a.stderr, "what the slots do cannot be told: %v\n", err)
				} else {
					rows[0] = append(rows[0], "STATE", "SERIAL", "DOES")
				}
			}
			for _, s := range status {
				j := slotJSON{Slot: s.Slot.Name, Port: s.Slot.Port, Channel: s.Slot.Channel, Volts: s.Slot.Volts, Power: s.Slot.Power, Clock: s.Slot.Clock, Hold: s.Slot.HoldReset, Excluded: s.Slot.Excluded,
					Family: s.Family, Driver: s.Driver, Holders: []string{}, Problem: s.Problem}
				if d := s.Device; d != nil {
					j.Device = deviceText(*d)
					j.Holders = append(j.Holders, d.Holders...)
				}
				row := []string{orDash(j.Slot), j.Port, j.Channel, j.Family, j.Device, j.Driver, fixtureText(s.Slot), j.Problem}
				if t, ok := now.Tile(j.Slot); ok && j.Slot != "" {
					j.State, j.Serial = string(t.State), t.Serial
					row = append(row, tileRow(t)[1:]...)
				}
				list = append(list, j)
				rows = append(rows, row)
			}
			if a.json {
				return a.printJSON(list)
			}
			return a.printTable(rows)
		},
	}
}

// deviceText is what a device says it is; not every programmer has a name.
func deviceText(d usb.Device) string {
	return strings.TrimSpace(fmt.Sprintf("%04x:%04x %s", d.Vendor, d.Product, d.Name))
}

// fixtureText is what the configuration says of a slot's fixture, "" for what belongs to no slot.
func fixtureText(s fixtures.Slot) string {
	if s.Name == "" {
		return ""
	}
	text := orDash(s.Volts)
	if s.Volts != "" {
		text += " V"
	}
	if s.Power == fixtures.PowerSwitched {
		text += ", switched"
	}
	if s.HoldReset {
		text += ", holds reset"
	}
	return text
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
