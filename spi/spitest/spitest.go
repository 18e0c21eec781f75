// Package spitest is the contract suite of spi.Conn: what every driver must do, judged by what arrives at the
// pins. A driver's tests call Run with a way to open it over a Chip.
//
// What is particular to one programmer or to one flash does not belong here.
package spitest

import (
	"testing"

	"station/spi"
)

// Rig is one freshly opened driver whose pins lead to Chip.
type Rig struct {
	Conn spi.Conn
	Chip *Chip
	// Unplug takes the programmer off the bus. It may be called from any goroutine, also while a Do is under way.
	Unplug func()
	// Mute lets the programmer swallow everything and answer nothing from now on.
	Mute func()
	// Close gives the programmer back.
	Close func() error
}

// Run runs the suite. open is called inside a testing/synctest bubble, so that time costs nothing; everything it
// starts must end with t's cleanup.
func Run(t *testing.T, open func(t *testing.T) Rig) {}
