package main

import (
	"context"
	"fmt"
	"strings"

	"station/fixtures"
)

// socket is what is plugged in at a place that somebody typed, nil where that is no programmer, or not known.
type socket struct{ *fixtures.Change }

// plugged looks at a place. why says what keeps a programmer there from being looked at, "" for a place on a network, where nothing is to be seen.
func plugged(ctx context.Context, rack *fixtures.Rack, port string) (s socket, why string) {
	if (fixtures.Slot{Port: port}).OnNetwork() {
		return s, ""
	}
	c, ok, err := rack.Plugged(ctx, port)
	switch {
	case err != nil:
		return s, hidden(err)
	case !ok:
		return s, "nothing is plugged in there now, so nobody knows whether a programmer there has channels"
	case c.Family == "":
		return s, deviceText(c.Device) + " is plugged in there now, which is not a programmer that this station can drive"
	}
	return socket{&c}, ""
}

func hidden(err error) string {
	return fmt.Sprintf("what is plugged in there cannot be looked at (%v), so nobody knows whether it has channels", err)
}

// wired tells why no slot can be wired to this channel, "" being none, of what is plugged in.
func (s socket) wired(channel string) error {
	switch {
	case s.Change == nil:
		return nil
	case len(s.Channels) > 0 && channel == "":
		return fmt.Errorf("the %s at USB port %s has the channels %s: say with --channel which one is wired to the slot", s.Family, s.Device.Port, strings.Join(s.Channels, " and "))
	case len(s.Channels) == 0 && channel != "" && channel != "A":
		return fmt.Errorf("the %s at USB port %s has one channel, which needs no name: leave %s out", s.Family, s.Device.Port, channel)
	}
	return nil
}

// checkWired holds a place that was named for a slot against what is plugged in. Where nothing can be seen it warns. A simulated line has the programmers that its
// configuration asks for.
func (a *app) checkWired(ctx context.Context, slot, port, channel string) error {
	b, err := a.glance(true)
	var there socket
	var why string
	switch {
	case err == nil && b.simulated, (fixtures.Slot{Port: port}).OnNetwork():
		return nil
	case err != nil:
		why = hidden(err)
	default:
		there, why = plugged(ctx, b.rack, port)
	}
	if why != "" {
		printf(a.stderr, "warning: slot %s: %s: %s\n", slot, where(port, channel), why)
	}
	return there.wired(channel)
}
