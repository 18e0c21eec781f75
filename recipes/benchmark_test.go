package recipes

import (
	"os"
	"testing"

	"station/flash"
)

// BenchmarkParse reads and checks the largest of the shipped recipes, its image aside.
func BenchmarkParse(b *testing.B) {
	const name = "gateway-boot.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	image, err := os.ReadFile("images/boot.bin")
	if err != nil {
		b.Skip("make images makes the image: ", err)
	}
	parts := flash.Parts()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(name, text, parts, func(string) ([]byte, error) { return image, nil }); err != nil {
			b.Fatal(err)
		}
	}
}
