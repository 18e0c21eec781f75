package recipes

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"station/yamltext"
)

// draftImage is an image with its places in the file.
type draftImage struct {
	Image
	key, value   *yaml.Node
	file, sha256 yamltext.Field // keys are nil where they are absent
	ok           bool           // Data is there
	used         bool
}

func (p *parser) readImages(n *yaml.Node) {
	list, _ := p.Fields(n, "images")
	for _, f := range list {
		d := &draftImage{Image: Image{Name: f.Key.Value}, key: f.Key, value: f.Value}
		p.images = append(p.images, d)
		p.name(f.Key, "an image")
		keys, _ := p.Group(f.Value, f.Key, "image "+d.Name, []string{"file"}, []string{"sha256"}, nil)
		d.file, d.sha256 = keys["file"], keys["sha256"]
		if d.file.Value != nil {
			p.readFile(d)
		}
	}
}

// readFile reads an image and compares it with its digest.
func (p *parser) readFile(d *draftImage) {
	file, ok := p.Text(d.file.Value, "file")
	if !ok {
		return
	}
	if filepath.IsAbs(file) || strings.HasPrefix(file, "/") || strings.Contains(file, `\`) || !drawable(file) {
		p.At(d.file.Value, fmt.Sprintf("file %s is not a path relative to the recipe, with / between folders", yamltext.Quote(file)), "")
		return
	}
	data, err := p.readImage(file)
	if errors.Is(err, fs.ErrNotExist) {
		p.At(d.file.Value, fmt.Sprintf("there is no file %s", file), "the path is relative to the recipe's folder")
		return
	}
	if err != nil {
		p.At(d.file.Value, fmt.Sprintf("image %s cannot be read: %v", d.Name, err), "")
		return
	}
	if len(data) == 0 {
		p.At(d.file.Value, fmt.Sprintf("image %s is an empty file", d.Name), "")
		return
	}
	sum := sha256.Sum256(data)
	d.File, d.SHA256, d.Data, d.ok = file, hex.EncodeToString(sum[:]), data, true
	if p.unpinned {
		return
	}
	pin := "run: station recipe pin " + p.File
	n := d.sha256.Value
	switch {
	case n == nil:
		p.At(d.key, fmt.Sprintf("image %s has no sha256, so nobody knows which file is meant", d.Name), pin)
	case n.Kind == yaml.ScalarNode && (n.Tag == "!!null" || n.Value == ""):
		p.At(d.sha256.Key, fmt.Sprintf("image %s has no sha256, so nobody knows which file is meant", d.Name), pin)
	case n.Kind != yaml.ScalarNode || !digestForm.MatchString(n.Value):
		p.At(n, "sha256 has to be 64 digits of 0-9 and a-f", pin)
	case n.Value != d.SHA256:
		p.At(n, fmt.Sprintf("%s is another file: its SHA-256 begins with %s, the recipe says %s", file, d.SHA256[:12], n.Value[:12]),
			"put the right file there, or if this one is meant run: station recipe pin "+p.File)
	}
}
