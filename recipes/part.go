package recipes

import (
	"fmt"
	"os"
	"path/filepath"

	"station/flash"
)

// PartsFolder is where the user's own part profiles lie, beside the recipes.
const PartsFolder = "parts"

// Parts are the profiles that recipes in a folder may name: the shipped ones, and after them those of its parts/*.yaml.
func Parts(dir string) ([]*flash.Part, error) {
	own, err := flash.UserParts(os.DirFS(filepath.Join(dir, PartsFolder)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, PartsFolder), err)
	}
	return append(flash.Parts(), own...), nil
}
