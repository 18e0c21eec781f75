package ch341a

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestLateAlarm: the engine goes on from when its timer should have fired, and forgets it with the next one that is in time.
func TestLateAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{Pace: Real})
		for _, c := range []struct{ late, from time.Duration }{{time.Millisecond, 4 * time.Millisecond}, {0, 10 * time.Millisecond}, {time.Second, 5 * time.Millisecond}} {
			time.Sleep(5 * time.Millisecond)
			d.engine.alarmAt = time.Since(d.epoch) - c.late
			d.engine.until = 0
			d.alarm()
			if d.engine.until != c.from {
				t.Errorf("%v late: the engine goes on from %v, want %v", c.late, d.engine.until, c.from)
			}
		}
	})
}
