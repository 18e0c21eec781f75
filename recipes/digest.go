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
			body["region"] = s.Region.Name
			if s.Image != nil {
				body["image"] = s.Image.Name
			} else {
				body["fields"] = canonicalFields(s.Fields)
			}
			if s.Verify != Readback {
				body["verify"] = s.Verify
			}
		case Erase:
			body["regions"] = regionNames(s.Regions)
		case Lock:
			body["regions"], body["bits"] = regionNames(s.Regions), s.Bits
			if s.Down {
				body["lock_down"] = true
			}
		case Check:
			if s.Locked != nil {
				body["locked"] = regionNames(s.Locked)
			}
			if s.Frozen != nil {
				body["frozen"] = *s.Frozen
			}
		case Measure:
			body["region"] = s.Region.Name
		case Relay:
			body["job"], body["access"], body["commands"] = s.Job, s.Access, s.Commands
			if s.Region.Name != "" {
				body["region"] = s.Region.Name
			}
			if s.Image != nil {
				body["image"] = s.Image.Name
			}
		case Password:
			body["generate"], body["escrow"] = "per-unit", s.Escrow
			if s.Exercise != NoExercise {
				body["exercise"] = s.Exercise
			}
		case RootKey:
			body["index"], body["escrow"] = s.Index, s.Escrow
			if s.Derive != "" {
				body["key"] = object{"derive": s.Derive}
			} else {
				body["key"] = object{"random": "per-unit"}
			}
		case Counter:
			body["index"], body["to"] = s.Index, s.To
		case OTP:
			body["fields"], body["lock"] = canonicalFields(s.Fields), s.Lock
		case Config:
			body["nvcr"] = s.NVCR
		case Raw:
			body["send"] = hex.EncodeToString(s.Send)
			if s.WriteEnable {
				body["write_enable"] = true
			}
			if s.Expect != nil {
				body["expect"] = hex.EncodeToString(s.Expect)
			} else if s.Read > 0 {
				body["read"] = s.Read
			}
		}
		list = append(list, object{step.Kind(): body})
	}
	whole := object{
		"schema": 1, "recipe": r.id, "version": r.version, "title": r.title, "parts": parts, "serial": r.serial.String(),
		"images": images, "regions": regions, "elsewhere": r.elsewhere, "steps": list, "permanent": append([]string{}, permanentOf(steps)...),
	}
	if len(r.values) > 0 {
		values := object{}
		for _, v := range r.values {
			if v.Hex != "" {
				values[v.Name] = object{"hex": v.Hex}
			} else {
				values[v.Name] = object{"scan": true, "bytes": v.Bytes}
			}
		}
		whole["values"] = values
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("recipe digest: %w", err)
	}
	text, err = jcs.Transform(text)
	if err != nil {
		return nil, fmt.Errorf("recipe digest: %w", err)
	}
	return text, nil
}

func canonicalFields(fields []Field) []map[string]any {
	list := []map[string]any{}
	for _, f := range fields {
		switch f.Kind {
		case TextField:
			list = append(list, map[string]any{"text": f.Value, "size": f.Size, "pad": f.Pad})
		case BytesField:
			list = append(list, map[string]any{"bytes": f.Value, "size": f.Size})
		case CRC32Field:
			list = append(list, map[string]any{"crc32": f.Over, "endian": f.Endian})
		}
	}
	return list
}
