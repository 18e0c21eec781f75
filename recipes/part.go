package recipes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"station/flash"
)

// ErrParts: a part profile beside the recipes is wrong.
var ErrParts = errors.New("a part profile cannot be used")

// PartsFolder is where the user's own part profiles lie, beside the recipes.
const PartsFolder = "parts"

// Parts are the profiles that recipes in a folder may name: the shipped ones, and after them those of its parts/*.yaml. Errors wrap ErrParts.
func Parts(dir string) ([]*flash.Part, error) {
	own, err := flash.UserParts(os.DirFS(filepath.Join(dir, PartsFolder)))
	if err != nil {
		return nil, fmt.Errorf("%w: %s/%w", ErrParts, filepath.Join(dir, PartsFolder), err)
	}
	return append(flash.Parts(), own...), nil
}
