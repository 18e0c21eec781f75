package spitest

// Chip is the far side of the pins: it answers by a rule and records what it sees.
type Chip struct{}
