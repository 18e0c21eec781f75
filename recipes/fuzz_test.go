package recipes

import (
	"errors"
	"os"
	"path/filepath"
	"station/flash"
	"strings"
	"testing"

	"station/yamltext"
)

// FuzzParse: any text is either an *yamltext.Errors with at least one problem, whose text can be printed, or a recipe that has a stable
// digest, wants bytes inside each of its parts only, and can be bound and planned.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "testdata/bad/*.yaml", "testdata/digest/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add(head + planText)
	f.Add(head + unitText)
	f.Add(permanentText)
	f.Add(signedText)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("fuzz.yaml", []byte(text), flash.Parts(), testRead)
		if err != nil {
			var problems *yamltext.Errors
			if r != nil || !errors.As(err, &problems) || len(problems.Problems) == 0 || err.Error() == "" {
				t.Fatalf("%v, %T %v", r, err, err)
			}
			for _, p := range problems.Problems {
				if p.Line < 1 || p.Column < 1 || p.Message == "" || len(p.Source) == 0 {
					t.Fatalf("%+v", p)
				}
			}
		} else {
			again, err := Parse("another name", []byte(text), flash.Parts(), testRead)
			if err != nil || again.Digest() != r.Digest() {
				t.Fatalf("second parse: %v", err)
			}
			values := map[string]string{}
			for _, v := range r.Values() {
				if v.Hex == "" {
					values[v.Name] = strings.Repeat("5a", int(v.Bytes))
				}
			}
			unit, bindErr := r.Bind("GW-000001", values)
			for _, part := range r.Parts() {
				for _, step := range r.Steps() {
					want := r.wanted(part, step, unknownUnit)
					if bindErr == nil {
						want = append(want, unit.Wanted(part, step)...)
					}
					for _, e := range want {
						if e.Addr < 0 || e.Size <= 0 || e.Addr+e.Size > part.Size || int64(len(e.Data)) > e.Size {
							t.Fatalf("%s wants 0x%X bytes at 0x%X", step.Title(), e.Size, e.Addr)
						}
					}
				}
			}
		}
		// Pin keeps a valid recipe as it is and makes one valid that lacks digests only.
		if pinned, changed, err := pin("fuzz.yaml", []byte(text), flash.Parts(), testRead); err == nil {
			if r != nil && (len(changed) > 0 || string(pinned) != text) {
				t.Fatalf("pin changed a valid recipe: %v", changed)
			}
			if _, err := Parse("fuzz.yaml", pinned, flash.Parts(), testRead); err != nil {
				t.Fatal(err)
			}
		}
	})
}
