package flash

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// ParseUserPart is ParsePart for a profile that is not shipped: it is marked User, and the name of a shipped part is an error.
func ParseUserPart(text []byte) (*Part, error) {
	p, err := ParsePart(text)
	if err != nil {
		return nil, err
	}
	parts, err := shipped()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(parts, func(q *Part) bool { return q.Name == p.Name }) {
		return nil, fmt.Errorf("a part %q is shipped with the station: give yours another name", p.Name)
	}
	p.User = true
	return p, nil
}

// UserParts are the profiles in the *.yaml files of fsys, by ascending file name, as ParseUserPart reads them. The same name twice
// is an error. Every error names its file.
func UserParts(fsys fs.FS) ([]*Part, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, err
	}
	var parts []*Part
	for _, file := range files {
		p, err := userPart(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if slices.ContainsFunc(parts, func(q *Part) bool { return q.Name == p.Name }) {
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
	return ParseUserPart(text)
}
