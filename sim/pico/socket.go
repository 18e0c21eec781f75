package pico

import (
	"sync"
	"time"
)

// socket is what the pins lead to: a target that comes and goes while the firmware clocks. Data in floats high where nobody drives it.
type socket struct {
	mu     sync.Mutex
	target Target // nil: none
	timed  Timed  // target, where it is one
	heard  bool   // the target saw chip select fall
	floats bool   // the device is gone
}

func (s *socket) attach(t Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target, s.heard = t, false
	s.timed, _ = t.(Timed)
}

// float lets go of the pins for good.
func (s *socket) float() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard {
		s.target.Deselect()
	}
	s.heard, s.floats = false, true
}

func (s *socket) At(t time.Time, perByte time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timed != nil {
		s.timed.At(t, perByte)
	}
}

func (s *socket) Select() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard = s.target != nil && !s.floats; s.heard {
		s.target.Select()
	}
}

func (s *socket) Shift(out, in []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard {
		s.target.Shift(out, in)
		return
	}
	for i := range in {
		in[i] = 0xFF
	}
}

func (s *socket) Deselect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard {
		s.target.Deselect()
	}
	s.heard = false
}
