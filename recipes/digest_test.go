package recipes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDigestVectors: the canonical JSON and the digest, byte for byte. The vectors were computed by a program
// in another language from the text of the package comment.
func TestDigestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/digest/*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		r, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		base := strings.TrimSuffix(file, ".yaml")
		wantJSON, err := os.ReadFile(base + ".json")
		if err != nil {
			t.Fatal(err)
		}
		wantDigest, err := os.ReadFile(base + ".sha256")
		if err != nil {
			t.Fatal(err)
		}
		var written []Step
		for _, s := range r.Steps() {
			if s.Kind() != "blank" {
				written = append(written, s)
			}
		}
		got, err := canonical(r, written)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(wantJSON), string(got)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
		if r.Digest() != strings.TrimSpace(string(wantDigest)) {
			t.Errorf("%s: digest %s, want %s", file, r.Digest(), wantDigest)
		}
	}
}

// TestDigestMeaning: layout does not change the digest, and everything that a unit could notice does.
func TestDigestMeaning(t *testing.T) {
	base := head + "regions: {boot: {at: 0, size: 64KiB}, more: {at: 128KiB, size: 64KiB}}\nelsewhere: keep\nsteps:\n" +
		"  - write: {region: boot, image: boot}\n  - erase: {regions: [more]}\n  - lock: {regions: [boot, more], bits: nonvolatile}\n"
	want := parse(t, base).Digest()
	same := map[string][2]string{
		"comment":           {"schema: 1", "# hello\nschema: 1  # there"},
		"order of regions":  {"{boot: {at: 0, size: 64KiB}, more: {at: 128KiB, size: 64KiB}}", "{more: {size: 0x10000, at: 131072}, boot: {at: 0x0, size: 65536}}"},
		"quotes":            {"title: A test", `title: "A test"`},
		"nothing permanent": {"elsewhere: keep", "elsewhere: keep\npermanent: []"},
		"order of top keys": {"schema: 1\nrecipe: test\n", "recipe: test\nschema: 1\n"},
		"block for flow":    {"  - write: {region: boot, image: boot}", "  - write:\n      image: boot\n      region: boot"},
	}
	for name, c := range same {
		if text := strings.Replace(base, c[0], c[1], 1); text == base || parse(t, text).Digest() != want {
			t.Errorf("%s changes the digest", name)
		}
	}
	different := map[string][2]string{
		"id":             {"recipe: test", "recipe: test2"},
		"version":        {"version: 3", "version: 4"},
		"title":          {"A test", "B test"},
		"parts":          {"[MT25QL256ABA, MT25QL128ABA]", "[MT25QL128ABA, MT25QL256ABA]"},
		"serial":         {"GW-[0-9]{6}", "^GW-[0-9]{6}$"},
		"image":          {"file: boot.bin, sha256: " + testDigest("boot.bin"), "file: tiny.bin, sha256: " + testDigest("tiny.bin")},
		"image name":     {"images: {boot:", "images: {boot2:"},
		"region address": {"at: 128KiB", "at: 192KiB"},
		"region size":    {"size: 64KiB}}", "size: 128KiB}}"},
		"elsewhere":      {"elsewhere: keep", "elsewhere: blank"},
		"bits":           {"bits: nonvolatile", "bits: volatile"},
		"lock order":     {"[boot, more]", "[more, boot]"},
		"a step more":    {"bits: nonvolatile}\n", "bits: nonvolatile}\n  - freeze\n"},
	}
	seen := map[string]string{want: "the base"}
	for name, c := range different {
		text := strings.Replace(base, c[0], c[1], 1)
		if name == "image name" {
			text = strings.Replace(text, "image: boot}", "image: boot2}", 1)
		}
		d := parse(t, text).Digest()
		if other := seen[d]; other != "" {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}
