package recipes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/gowebpki/jcs"
)

// digestOf computes the digest that the package comment specifies; steps are those of the file.
func digestOf(r *Recipe, steps []Step) (string, error) {
	text, err := canonical(r, steps)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// canonical is the RFC 8785 form of the recipe.
func canonical(r *Recipe, steps []Step) ([]byte, error) {
	type object = map[string]any
	parts := []string{}
	for _, part := range r.parts {
		parts = append(parts, part.Name)
	}
	images := object{}
	for _, m := range r.images {
		images[m.Name] = object{"sha256": m.SHA256, "size": len(m.Data)}
	}
	regions := object{}
	for _, region := range r.regions {
		regions[region.Name] = object{"at": region.At, "size": region.Size}
	}
	list := []object{}
	for _, step := range steps {
		body := object{}
		switch s := step.(type) {
		case Write:
			body["region"], body["image"] = s.Region.Name, s.Image.Name
		case Erase:
			body["regions"] = regionNames(s.Regions)
		case Lock:
			body["regions"], body["bits"] = regionNames(s.Regions), s.Bits
		case Check:
			if s.Locked != nil {
				body["locked"] = regionNames(s.Locked)
			}
			if s.Frozen != nil {
				body["frozen"] = *s.Frozen
			}
		}
		list = append(list, object{step.Kind(): body})
	}
	text, err := json.Marshal(object{
		"schema": 1, "recipe": r.id, "version": r.version, "title": r.title, "parts": parts, "serial": r.serial.String(),
		"images": images, "regions": regions, "elsewhere": r.elsewhere, "steps": list, "permanent": []string{},
	})
	if err != nil {
		return nil, fmt.Errorf("recipe digest: %w", err)
	}
	text, err = jcs.Transform(text)
	if err != nil {
		return nil, fmt.Errorf("recipe digest: %w", err)
	}
	return text, nil
}
