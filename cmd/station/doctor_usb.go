package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"station/fixtures"
	"station/fixtures/libusb"
	"station/fixtures/usb"
)

// examineUSB looks at what the slots need: for a simulated station no USB, and still what the configuration says of them.
func (a *app) examineUSB(ctx context.Context, m machine, cfg *config) []finding {
	b, err := a.glance(false)
	onUSB := 0
	for _, s := range cfg.rackSlots() {
		if !s.OnNetwork() {
			onUSB++
		}
	}
	var slot *fixtures.SlotError
	switch {
	case err == nil && b.simulated:
		return append([]finding{{"USB", true, "not needed: this station is simulated, and so are its programmers", ""}}, slotFindings(ctx, b.rack)...)
	case errors.As(err, &slot):
		return []finding{{"slots", false, err.Error(), "correct the configuration"}}
	case onUSB == 0:
		rack, err := fixtures.NewRack(nil, cfg.rackSlots())
		if err != nil {
			return []finding{{"slots", false, err.Error(), "correct the configuration"}}
		}
		return append([]finding{{"USB", true, "not needed: no slot is at a USB port", ""}}, slotFindings(ctx, rack)...)
	}
	bus, err := libusb.New()
	if err != nil {
		return []finding{{"libusb", false, err.Error(), "apt install libusb-1.0-0; a build without cgo has no USB"}}
	}
	return m.examineBus(ctx, bus, cfg.rackSlots(), onUSB)
}

// examineBus looks at the USB, of which onUSB slots are.
func (m machine) examineBus(ctx context.Context, bus usb.Bus, slots []fixtures.Slot, onUSB int) []finding {
	devices, err := bus.List(ctx)
	if err != nil {
		return []finding{{"libusb", false, err.Error(), "look at `dmesg`: a host controller or a hub may be broken"}}
	}
	all := []finding{{"libusb", true, fmt.Sprintf("%d devices", len(devices)), ""}, m.usbfs(onUSB), m.rules(), m.permissions(devices), drivers(slots, devices)}
	rack, err := fixtures.NewRack(bus, slots)
	if err != nil {
		return append(all, finding{"slots", false, err.Error(), "correct the configuration"})
	}
	return append(all, slotFindings(ctx, rack)...)
}

// permissions looks whether this user may open the programmers that are plugged in.
func (m machine) permissions(devices []usb.Device) finding {
	var locked []string
	for _, d := range devices {
		if d.Locked && fixtures.Known(d) {
			locked = append(locked, d.Port)
		}
	}
	switch {
	case len(locked) == 0:
		return finding{"permissions", true, "this user may open every programmer that is plugged in", ""}
	case !m.rules().OK:
		return finding{"permissions", false, "this user may not open " + strings.Join(locked, ", "), "install the udev rules, above"}
	}
	return finding{"permissions", false, "this user may not open " + strings.Join(locked, ", "), "sudo usermod -aG plugdev $USER, log in again, and plug the programmers in again"}
}

// drivers looks at who owns the interfaces of the slots' programmers. Kernel drivers give way, other programs do not.
func drivers(slots []fixtures.Slot, devices []usb.Device) finding {
	var away, busy []string
	for _, d := range devices {
		if !slices.ContainsFunc(slots, func(s fixtures.Slot) bool { return s.Port == d.Port }) || !fixtures.Known(d) {
			continue
		}
		for _, i := range d.Interfaces {
			at := fmt.Sprintf("%s interface %d", d.Port, i.Number)
			switch i.Driver {
			case "":
			case usb.UserSpace:
				busy = append(busy, strings.TrimSpace(at+" "+strings.Join(d.Holders, ", ")))
			default:
				away = append(away, i.Driver+" has "+at)
			}
		}
	}
	switch {
	case len(busy) > 0:
		return finding{"drivers", false, "programs hold " + strings.Join(busy, "; "), "close them, unless it is the station itself that runs"}
	case len(away) > 0:
		return finding{"drivers", true, strings.Join(away, "; ") + ": they give way while a slot is in use", ""}
	}
	return finding{"drivers", true, "none is in the way", ""}
}

// slotFindings is a line for each slot that could not be used.
func slotFindings(ctx context.Context, rack *fixtures.Rack) (all []finding) {
	status, err := rack.Status(ctx)
	if err != nil {
		return []finding{{"slots", false, err.Error(), "look at `dmesg`"}}
	}
	ready, slots := 0, len(rack.Slots())
	for _, s := range status {
		switch {
		case s.Slot.Name == "":
		case s.Slot.Excluded:
			slots--
		case s.Problem == "":
			ready++
		default: // a sentence with the next action
			what, cure, _ := strings.Cut(s.Problem, ": ")
			all = append(all, finding{"slot " + s.Slot.Name, false, what, cure})
		}
	}
	sum := finding{"slots", ready > 0, fmt.Sprintf("%d of %d could be used", ready, slots), ""}
	if !sum.OK {
		sum.Cure = "cure one of them, above"
	}
	return append(all, sum)
}
