package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"station/sim/nor"
)

// openSimBoard opens the board file that a simulated programmer offers, or makes a factory-blank one of a part where there is none, and powers it
// anew. Errors are exits.
func openSimBoard(file, part string, o nor.Options) (*nor.Chip, error) {
	chip, err := nor.Open(file, o)
	switch {
	case errors.Is(err, fs.ErrNotExist) && part == "":
		return nil, exit(exitRefused, fmt.Errorf("%s does not exist; name a --part to make a factory-blank board (%s)", file, strings.Join(nor.Parts(), ", ")))
	case errors.Is(err, fs.ErrNotExist):
		sum := sha256.Sum256([]byte(filepath.Base(file)))
		chip, err = nor.Create(file, part, [14]byte(sum[:14]), o)
	case err == nil && part != "" && part != chip.Part():
		chip.Close()
		return nil, exit(exitRefused, fmt.Errorf("the chip in %s is %s, not %s", file, chip.Part(), part))
	}
	switch {
	case errors.Is(err, nor.ErrPart), errors.Is(err, nor.ErrCorrupt):
		return nil, exit(exitRefused, err)
	case err != nil:
		return nil, exit(exitError, err)
	}
	// Another fixture took the board: it loses its power on the way.
	chip.Power(false)
	chip.Power(true)
	return chip, nil
}
