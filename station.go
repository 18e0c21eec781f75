// Package station holds what ships inside the program from the top of the tree: the default configuration, and the udev rules.
// It also is where the house rules are tests (house_test.go). Code belongs in the rooms below.
package station

import _ "embed"

// DefaultConfig is config.yaml as it was when the program was built.
//
//go:embed config.yaml
var DefaultConfig []byte

// UdevRules is packaging/60-station.rules, which gives a user the right to the programmers.
//
//go:embed packaging/60-station.rules
var UdevRules []byte
