package flash

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
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

// UserParts are the profiles in the *.yaml files of fsys, by ascending file name, as ParseUserPart reads them. One bad file keeps no other from being
// read: the profiles that are right come with the error, every line of which begins with the name of its file. A name that several files have is
// none of them.
func UserParts(fsys fs.FS) ([]*Part, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, err
	}
	var parts []*Part
	var errs []error
	first := map[string]string{} // name -> the file that has it
	for _, file := range files {
		p, err := userPart(fsys, file)
		switch {
		case err != nil:
			for line := range strings.Lines(err.Error()) {
				if line = strings.TrimSpace(line); line != "" {
					errs = append(errs, fmt.Errorf("%s: %s", file, line))
				}
			}
		case first[p.Name] != "":
			errs = append(errs, fmt.Errorf("%s: %s has a part %q, too", file, first[p.Name], p.Name))
			parts = slices.DeleteFunc(parts, func(q *Part) bool { return q.Name == p.Name })
		default:
			first[p.Name] = file
			parts = append(parts, p)
		}
	}
	return parts, errors.Join(errs...)
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
