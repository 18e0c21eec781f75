package kiosk

import (
	"sync"
	"time"
)

// rate lets so much through a second, and more at once after a quiet time: a bucket for each key, which drips. Safe for concurrent use.
type rate struct {
	drip, size float64 // a second; at once
	mu         sync.Mutex
	buckets    map[string]bucket
}

type bucket struct {
	level float64
	at    time.Time
}

// maxBuckets is how many keys are kept. Past that, those that have run dry are forgotten, and where none has, everybody waits: memory is not for strangers to fill.
const maxBuckets = 4096

func newRate(drip, size float64) *rate {
	return &rate{drip: drip, size: size, buckets: map[string]bucket{}}
}

// take counts one, and returns 0; or it counts nothing, and returns how long to wait.
func (r *rate) take(key string) time.Duration { return r.takeAt(key, time.Now()) }

func (r *rate) takeAt(key string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	level, wait := r.look(key, now)
	if wait == 0 {
		r.buckets[key] = bucket{level + 1, now}
	}
	return wait
}

// look returns what is in a key's bucket, and how long to wait until one more goes in. The caller holds mu.
func (r *rate) look(key string, now time.Time) (level float64, wait time.Duration) {
	b, known := r.buckets[key]
	if !known && len(r.buckets) >= maxBuckets {
		for k, b := range r.buckets {
			if r.left(b, now) == 0 {
				delete(r.buckets, k)
			}
		}
		if len(r.buckets) >= maxBuckets {
			return r.size, time.Duration(float64(time.Second) / r.drip)
		}
	}
	level = r.left(b, now)
	if over := level + 1 - r.size; over > 0 {
		wait = time.Duration(over / r.drip * float64(time.Second))
	}
	return level, wait
}

func (r *rate) left(b bucket, now time.Time) float64 {
	return max(0, b.level-now.Sub(b.at).Seconds()*r.drip)
}
