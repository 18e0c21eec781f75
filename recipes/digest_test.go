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
	if err != nil || len(files) != 6 {
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

// TestPermanentDigestMeaning: the same for values, fields and permanent steps.
func TestPermanentDigestMeaning(t *testing.T) {
	want := parse(t, permanentText).Digest()
	same := map[string][2]string{
		"order of permanent": {"[password, counter, root_key]", "[root_key, password, counter]"},
		"size of bytes":      {"{bytes: mac}", "{bytes: mac, size: 6}"},
		"separators":         {`hex: "02AB"`, "hex: 02:ab"},
		"order of values":    {"  mac: {scan: true, bytes: 6}\n  board: {hex: \"02AB\"}", "  board: {hex: \"02AB\"}\n  mac: {bytes: 6, scan: true}"},
		"other numerals":     {"size: 32, pad: 0x20}", "size: 0x20, pad: 32}"},
	}
	for name, c := range same {
		if text := strings.Replace(permanentText, c[0], c[1], 1); text == permanentText || parse(t, text).Digest() != want {
			t.Errorf("%s changes the digest", name)
		}
	}
	seen := map[string]string{want: "the base"}
	for name, c := range map[string][2]string{
		"length of a value":  {"bytes: 6}", "bytes: 8}"},
		"a fixed value":      {"02AB", "02AC"},
		"fixed, not scanned": {"mac: {scan: true, bytes: 6}", "mac: {hex: 000000000000}"},
		"size of text":       {"size: 32", "size: 31"},
		"pad":                {"pad: 0x20", "pad: 0x21"},
		"no pad":             {", pad: 0x20", ""},
		"order of fields":    {"        - {bytes: mac}\n        - {bytes: board}", "        - {bytes: board}\n        - {bytes: mac}"},
		"endian":             {"endian: little", "endian: big"},
		"order of crc32":     {"[serial, mac, board]", "[serial, board, mac]"},
		"crc32 over less":    {"[serial, mac, board]", "[serial, mac]"},
		"index":              {"index: 3", "index: 2"},
		"random or derived":  {"random: per-unit", "derive: per-unit"},
		"master":             {"root-2026", "root-2027"},
		"escrow":             {"[owner, audit]", "[owner]"},
		"order of escrow":    {"[owner, audit]", "[audit, owner]"},
		"escrow of password": {"auditors-2", "auditors-3"},
		"to":                 {"to: 5", "to: 6"},
		"exercise":           {"exercise: reset", "exercise: power_cycle"},
	} {
		text := strings.Replace(permanentText, c[0], c[1], 1)
		d := parse(t, text).Digest()
		if other := seen[d]; other != "" {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}
