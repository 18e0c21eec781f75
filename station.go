// Package station holds what ships inside the program from the top of the tree: the default configuration.
// It also is where the house rules are tests (house_test.go). Code belongs in the rooms below.
package station

import _ "embed"

// DefaultConfig is config.yaml as it was when the program was built.
//
//go:embed config.yaml
var DefaultConfig []byte
