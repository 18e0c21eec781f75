package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// longestUnlock is in bytes; one that `escrow reseal` writes has less than 2000.
const longestUnlock = 64 << 10

// readUnlocks reads the sealed passwords, by slot.
func readUnlocks(files, scans []pair) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, p := range files {
		if !slices.ContainsFunc(scans, func(s pair) bool { return s.slot == p.slot }) {
			return nil, exit(exitRefused, fmt.Errorf("--unlock %s=%s: no --slot %s=SERIAL goes with it", p.slot, p.value, p.slot))
		}
		f, err := os.Open(p.value)
		if err != nil {
			return nil, exit(exitRefused, err)
		}
		out[p.slot], err = io.ReadAll(io.LimitReader(f, longestUnlock))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, exit(exitRefused, err)
		}
	}
	return out, nil
}
