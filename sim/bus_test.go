package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures/usb"
	"station/sim/ftdi"
)

// TestLateTimer: what waited for a timer that fired late goes on from when it should have; what comes to an idle bus, or after a stop of the process, from now.
func TestLateTimer(t *testing.T) {
	for _, c := range []struct {
		behind     bool
		late, lost time.Duration
	}{
		{true, time.Millisecond, 0},
		{true, mostBehind, 0},
		{true, mostBehind + 1, mostBehind + 1},
		{false, time.Millisecond, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBus(Options{Pace: ftdi.Real}, usb.Device{Speed: usb.HighSpeed})
			due := time.Now()
			b.busy = due
			time.Sleep(c.late)
			b.behind = c.behind
			b.carry(1)
			if got := b.busy.Sub(due.Add(b.slot)); got != c.lost {
				t.Errorf("%+v: %v lost", c, got)
			}
		})
	}
}
