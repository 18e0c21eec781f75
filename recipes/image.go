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
)

// draftImage is an image with its places in the file.
type draftImage struct {
	Image
	key, value   *yaml.Node
	file, sha256 field // keys are nil where they are absent
	ok           bool  // Data is there
	used         bool
}

func (p *parser) readImages(n *yaml.Node) {
	list, _ := p.fields(n, "images")
	for _, f := range list {
		d := &draftImage{Image: Image{Name: f.key.Value}, key: f.key, value: f.value}
		p.images = append(p.images, d)
		p.name(f.key, "an image")
		keys, _ := p.group(f.value, f.key, "image "+d.Name, []string{"file"}, []string{"sha256"}, nil)
		d.file, d.sha256 = keys["file"], keys["sha256"]
		if d.file.value != nil {
			p.readFile(d)
		}
	}
}

// readFile reads an image and compares it with its digest.
func (p *parser) readFile(d *draftImage) {
	file, ok := p.text(d.file.value, "file")
	if !ok {
		return
	}
	if filepath.IsAbs(file) || strings.HasPrefix(file, "/") || strings.Contains(file, `\`) || !drawable(file) {
		p.at(d.file.value, fmt.Sprintf("file %s is not a path relative to the recipe, with / between folders", quote(file)), "")
		return
	}
	data, err := p.readImage(file)
	if errors.Is(err, fs.ErrNotExist) {
		p.at(d.file.value, fmt.Sprintf("there is no file %s", file), "the path is relative to the recipe's folder")
		return
	}
	if err != nil {
		p.at(d.file.value, fmt.Sprintf("image %s cannot be read: %v", d.Name, err), "")
		return
	}
	if len(data) == 0 {
		p.at(d.file.value, fmt.Sprintf("image %s is an empty file", d.Name), "")
		return
	}
	sum := sha256.Sum256(data)
	d.File, d.SHA256, d.Data, d.ok = file, hex.EncodeToString(sum[:]), data, true
	if p.unpinned {
		return
	}
	pin := "run: station recipe pin " + p.page.file
	n := d.sha256.value
	switch {
	case n == nil:
		p.at(d.key, fmt.Sprintf("image %s has no sha256, so nobody knows which file is meant", d.Name), pin)
	case n.Kind == yaml.ScalarNode && (n.Tag == "!!null" || n.Value == ""):
		p.at(d.sha256.key, fmt.Sprintf("image %s has no sha256, so nobody knows which file is meant", d.Name), pin)
	case n.Kind != yaml.ScalarNode || !digestForm.MatchString(n.Value):
		p.at(n, "sha256 has to be 64 digits of 0-9 and a-f", pin)
	case n.Value != d.SHA256:
		p.at(n, fmt.Sprintf("%s is another file: its SHA-256 begins with %s, the recipe says %s", file, d.SHA256[:12], n.Value[:12]),
			"put the right file there, or if this one is meant run: station recipe pin "+p.page.file)
	}
}
