package recipes

import (
	"bytes"
	"embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

//go:embed plain-image.yaml locked-boot.yaml gateway-boot.yaml
var shipped embed.FS

// bootSize is the size of the sample image.
const bootSize = 4 << 20

// Unpack writes the shipped recipes and the sample image images/boot.bin into a folder, which is made when
// missing. Files that are right already are left alone, others of these names are replaced.
func Unpack(dir string) error {
	files := map[string][]byte{"images/boot.bin": bootImage()}
	for _, name := range []string{"plain-image.yaml", "locked-boot.yaml", "gateway-boot.yaml"} {
		text, err := shipped.ReadFile(name)
		if err != nil {
			return fmt.Errorf("sample recipes: %w", err)
		}
		files[name] = text
	}
	if err := os.MkdirAll(filepath.Join(dir, "images"), 0o755); err != nil {
		return fmt.Errorf("sample recipes: %w", err)
	}
	for name, want := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if have, err := readFile(path, int64(len(want))); err == nil && bytes.Equal(have, want) {
			continue
		}
		if err := replaceFile(path, want); err != nil {
			return fmt.Errorf("sample recipes: %w", err)
		}
	}
	return nil
}

// bootImage is the sample image: the same incompressible bytes always and everywhere (ChaCha8 is specified by
// the C2SP chacha8rand document), so that its digest can be pinned.
func bootImage() []byte {
	image := make([]byte, bootSize)
	source := rand.NewChaCha8([32]byte([]byte("station sample boot image, v1...")))
	_, _ = source.Read(image) // never fails
	return image
}
