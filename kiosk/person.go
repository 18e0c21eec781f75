package kiosk

import "time"

// Person is somebody who may sign in. The name is in the file of people alone, and gone with it.
type Person struct {
	ID     string    `json:"id"` // pseudonymous: letters, digits and dashes; what the ledger says
	Name   string    `json:"name"`
	Role   Role      `json:"role"`
	PIN    bool      `json:"pin"`   // may sign in by name and PIN
	Badge  bool      `json:"badge"` // may sign in by badge
	Locked time.Time `json:"locked,omitzero"`
}

// People are those who may sign in, and who is.
type People struct{}
