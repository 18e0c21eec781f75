package recipes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"station/flash"
)

// ErrParts: a part profile beside the recipes is wrong.
var ErrParts = errors.New("a part profile cannot be used")

// PartsFolder is where the user's own part profiles lie, beside the recipes.
const PartsFolder = "parts"

// Parts are the profiles that recipes in a folder may name: the shipped ones, and after them those of its parts/*.yaml. An error wraps ErrParts and
// has a line for each mistake, which names its file; the profiles that are right come with it.
func Parts(dir string) ([]*flash.Part, error) {
	folder := filepath.Join(dir, PartsFolder)
	own, err := flash.UserParts(os.DirFS(folder))
	parts := append(flash.Parts(), own...)
	if err != nil {
		return parts, fmt.Errorf("%w: %s", ErrParts, folder+"/"+strings.ReplaceAll(err.Error(), "\n", "\n"+folder+"/"))
	}
	return parts, nil
}
