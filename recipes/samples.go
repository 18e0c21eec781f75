package recipes

import (
	"bytes"
	"embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

//go:embed plain-image.yaml locked-boot.yaml gateway-boot.yaml signed-boot.yaml
var shipped embed.FS

// Sizes of the sample images.
const (
	bootSize     = 4 << 20
	settingsSize = 8 << 10
)

// Unpack writes the shipped recipes and the sample images images/boot.bin and images/settings.bin into a folder, which is made when
// missing. Files that are right already are left alone, others of these names are replaced.
func Unpack(dir string) error {
	files := map[string][]byte{
		"images/boot.bin":     sampleImage("station sample boot image, v1...", bootSize),
		"images/settings.bin": sampleImage("station sample settings, v1.....", settingsSize),
	}
	for _, name := range []string{"plain-image.yaml", "locked-boot.yaml", "gateway-boot.yaml", "signed-boot.yaml"} {
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

// sampleImage is the same incompressible bytes always and everywhere (ChaCha8 is specified by the C2SP chacha8rand document), so that its digest can
// be pinned. seed has 32 bytes.
func sampleImage(seed string, size int) []byte {
	image := make([]byte, size)
	source := rand.NewChaCha8([32]byte([]byte(seed)))
	_, _ = source.Read(image) // never fails
	return image
}
