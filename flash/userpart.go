package flash

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// UserParts are the profiles in the *.yaml files of fsys, by ascending file name, validated and marked User. A name of a shipped part, and the same name twice,
// are errors. Every error names its file.
func UserParts(fsys fs.FS) ([]*Part, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, err
	}
	shipped, err := shipped()
	if err != nil {
		return nil, err
	}
	var parts []*Part
	for _, file := range files {
		p, err := userPart(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		named := func(q *Part) bool { return q.Name == p.Name }
		if slices.ContainsFunc(shipped, named) {
			return nil, fmt.Errorf("%s: a part %q is shipped with the station: give yours another name", file, p.Name)
		}
		if slices.ContainsFunc(parts, named) {
			return nil, fmt.Errorf("%s: another file has a part %q, too", file, p.Name)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func userPart(fsys fs.FS, file string) (*Part, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, err
	}
	p, err := ParsePart(text)
	if err != nil {
		return nil, err
	}
	p.User = true
	return p, nil
}
