package kiosk

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// However a key asks, in any time it gets no more than its size and what dripped since; it is told how long to wait, and that is enough and no more than needed.
func TestRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drip := rapid.SampledFrom([]float64{0.1, 1, 20}).Draw(t, "drip")
		size := rapid.IntRange(1, 60).Draw(t, "size")
		r, now := newRate(drip, float64(size)), time.Unix(0, 0)
		var taken []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(float64(time.Second)/drip)).Draw(t, "pause")))
			wait := r.takeAt("a", now)
			if wait > 0 {
				if wait > time.Millisecond && r.takeAt("a", now.Add(wait-time.Millisecond)) == 0 {
					t.Fatalf("it was told to wait %v, and less was enough", wait)
				}
				now = now.Add(wait + time.Microsecond)
				if again := r.takeAt("a", now); again > 0 {
					t.Fatalf("it waited %v as it was told, and was told to wait %v more", wait, again)
				}
			}
			taken = append(taken, now)
			for i, first := range taken {
				if n, most := len(taken)-i, float64(size)+now.Sub(first).Seconds()*drip+0.001; float64(n) > most {
					t.Fatalf("%d in %v, and at most %v", n, now.Sub(first), most)
				}
			}
		}
	})
}

// Keys do not wait for each other, until there are more than are kept: then those that ran dry are forgotten, and while none has, a new one waits.
func TestRateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRate(1, 1)
		for i := range maxBuckets {
			if wait := r.take(fmt.Sprint(i)); wait > 0 {
				t.Fatalf("key %d waits %v", i, wait)
			}
		}
		if r.take("0") == 0 || r.take("new") == 0 || len(r.buckets) != maxBuckets {
			t.Errorf("%d keys are kept, and more are taken", len(r.buckets))
		}
		time.Sleep(time.Second)
		if r.take("new") > 0 || len(r.buckets) != 1 {
			t.Errorf("%d keys are kept a second later, want only the new one", len(r.buckets))
		}
	})
}
