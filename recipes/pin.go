package recipes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"station/flash"
	"station/yamltext"
)

// Pinned is one digest that Pin wrote.
type Pinned struct {
	Image string `json:"image"`
	File  string `json:"file"`
	Old   string `json:"old"` // as it stood in the recipe, "" where there was none
	New   string `json:"new"` // 64 hex digits
}

// Pin writes the SHA-256 of every image into the recipe file, in place: comments and layout stay. The file is
// replaced atomically, and only when the result is a valid recipe; otherwise it is left alone. It returns what
// changed, nothing when all digests were right. A recipe with other mistakes is an *yamltext.Errors.
func Pin(path string) ([]Pinned, error) {
	path, err := filepath.EvalSymlinks(path) // the rename is to replace the file, not a link to it
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	text, err := readFile(path, yamltext.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	parts, err := Parts(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	pinned, changed, err := pin(path, text, parts, imageReader(path, parts))
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	return changed, replaceFile(path, pinned)
}

// pin returns the text with right digests, proven by parsing it.
func pin(name string, text []byte, parts []*flash.Part, readImage func(string) ([]byte, error)) ([]byte, []Pinned, error) {
	p := &parser{Page: yamltext.New(name, "recipe", text), known: parts, readImage: readImage, unpinned: true}
	if _, err := p.recipe(text); err != nil {
		return nil, nil, err
	}
	var changed []Pinned
	lines := strings.SplitAfter(string(text), "\n")
	// From the last image to the first, so that the places of those still to come stay right.
	for i := len(p.images) - 1; i >= 0; i-- {
		d := p.images[i]
		old := ""
		if n := d.sha256.Value; n != nil && n.Tag != "!!null" {
			old = n.Value
		}
		if old == d.SHA256 {
			continue
		}
		if !d.pin(lines) {
			p.At(d.key, fmt.Sprintf("image %s is written in a way that pin does not edit", d.Name), "write it on one line: "+d.Name+": {file: ..., sha256: ...}")
			continue
		}
		changed = append([]Pinned{{Image: d.Name, File: d.File, Old: old, New: d.SHA256}}, changed...)
	}
	if err := p.Err(); err != nil {
		return nil, nil, err
	}
	pinned := []byte(strings.Join(lines, ""))
	if _, err := Parse(name, pinned, parts, readImage); err != nil {
		return nil, nil, fmt.Errorf("the pinned recipe would not be valid, so nothing was written: %w", err)
	}
	return pinned, changed, nil
}

// pin edits the digest of one image in the lines, which keep their line ends. It tells whether it could.
func (d *draftImage) pin(lines []string) bool {
	digest := `"` + d.SHA256 + `"`
	edit := func(n *yaml.Node, from, to int, text string) {
		line := &lines[n.Line-1]
		*line = (*line)[:from] + text + (*line)[to:]
	}
	switch n := d.sha256.Value; {
	case n != nil && n.Kind != yaml.ScalarNode:
		return false
	case n != nil && !(n.Tag == "!!null" && n.Value == ""):
		from, to, ok := scalar(lines, n)
		if ok {
			edit(n, from, to, digest)
		}
		return ok
	case n != nil: // `sha256:` and nothing after it
		_, to, ok := scalar(lines, d.sha256.Key)
		if !ok || !strings.HasPrefix(lines[d.sha256.Key.Line-1][to:], ":") {
			return false
		}
		edit(d.sha256.Key, to+1, to+1, " "+digest)
		return true
	}
	_, to, ok := scalar(lines, d.file.Value)
	if !ok {
		return false
	}
	if d.value.Style&yaml.FlowStyle != 0 {
		edit(d.file.Value, to, to, ", sha256: "+digest)
		return true
	}
	from, _, ok := scalar(lines, d.file.Key)
	line := lines[d.file.Key.Line-1]
	if !ok || d.file.Key.Line != d.file.Value.Line || strings.Trim(line[:from], " ") != "" {
		return false
	}
	end := "\n"
	if strings.HasSuffix(line, "\r\n") {
		end = "\r\n"
	}
	if !strings.HasSuffix(line, end) {
		line += end
	}
	lines[d.file.Key.Line-1] = line + line[:from] + "sha256: " + digest + end
	return true
}

// scalar finds the bytes of a scalar that stands on one line.
func scalar(lines []string, n *yaml.Node) (from, to int, ok bool) {
	if n.Line < 1 || n.Line > len(lines) {
		return 0, 0, false
	}
	line := lines[n.Line-1]
	column := 1
	from = len(line)
	for offset, c := range line {
		if n.Line == 1 && offset == 0 && c == '\uFEFF' {
			continue // the byte order mark has no column
		}
		if column == n.Column {
			from = offset
			break
		}
		column++
	}
	rest := line[from:]
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			if rest[i] != '\'' {
				continue
			}
			if strings.HasPrefix(rest[i+1:], "'") {
				i++
				continue
			}
			return from, from + i + 1, true
		}
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '"':
				return from, from + i + 1, true
			}
		}
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && strings.HasPrefix(rest, n.Value):
		return from, from + len(n.Value), true
	}
	return 0, 0, false
}

// replaceFile puts text in the place of a file, whole or not at all, and makes it durable.
func replaceFile(path string, text []byte) (err error) {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	folder, err2 := os.Open(filepath.Dir(path))
	if err2 != nil {
		return fmt.Errorf("%s is replaced, but may not outlast a power cut: %w", path, err2)
	}
	if err2 = errors.Join(folder.Sync(), folder.Close()); err2 != nil {
		return fmt.Errorf("%s is replaced, but may not outlast a power cut: %w", path, err2)
	}
	return nil
}
