package provision

// SlotStatus is what a line knows of a slot.
type SlotStatus struct {
	Slot    string
	State   SlotState
	Serial  string // of the unit that it is scanned, armed or running for, or was at last
	UID     string // of the chip that is in it, "" where it is not known
	There   bool   // a board is in it, or may be
	Stopped bool   // after three in a row
	Held    bool   // its FAIL waits to be acknowledged
}
