package recipes

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"station/flash"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"station/yamltext"
)

// testImages stand in for files.
var testImages = map[string][]byte{
	"boot.bin": []byte(strings.Repeat("station test image\n", 500)),
	"tiny.bin": {0x00},
}

func testRead(file string) ([]byte, error) {
	if data, is := testImages[file]; is {
		return data, nil
	}
	return nil, fmt.Errorf("open %s: %w", file, fs.ErrNotExist)
}

func testDigest(file string) string {
	sum := sha256.Sum256(testImages[file])
	return hex.EncodeToString(sum[:])
}

// head is what most recipes of these tests begin with.
var head = `schema: 1
recipe: test
version: 3
title: A test
parts: [MT25QL256ABA, MT25QL128ABA]
serial: 'GW-[0-9]{6}'
images: {boot: {file: boot.bin, sha256: ` + testDigest("boot.bin") + `}}
`

func parse(t *testing.T, text string) *Recipe {
	t.Helper()
	r, err := Parse("test.yaml", []byte(text), flash.Parts(), testRead)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return r
}

func kinds(r *Recipe) string {
	var list []string
	for _, s := range r.Steps() {
		list = append(list, s.Kind())
	}
	return strings.Join(list, " ")
}

// TestRecipe: everything that a valid recipe tells.
func TestRecipe(t *testing.T) {
	r := parse(t, head+`
regions:
  spare: {at: 0xFF0000, size: 64KiB}
  boot: {at: 0, size: 1MiB}
elsewhere: blank
steps:
  - erase: {regions: [spare]}
  - write: {region: boot, image: boot}
  - lock: {regions: [spare, boot], bits: nonvolatile}
  - freeze
  - check: {locked: [boot], frozen: true}
  - power_cycle
  - check: {frozen: false}
permanent: []
`)
	if r.ID() != "test" || r.Version() != 3 || r.Title() != "A test" || r.SerialPattern() != "GW-[0-9]{6}" || r.Elsewhere() != ElsewhereBlank || len(r.Permanent()) != 0 {
		t.Errorf("%+v", r)
	}
	if p := r.Parts(); len(p) != 2 || p[0].Name != "MT25QL256ABA" || p[1].Name != "MT25QL128ABA" {
		t.Errorf("parts %v", p)
	}
	boot, spare := Region{"boot", 0, 1 << 20}, Region{"spare", 0xFF0000, 64 << 10}
	if diff := cmp.Diff([]Region{boot, spare}, r.Regions()); diff != "" {
		t.Error(diff)
	}
	image := &Image{Name: "boot", File: "boot.bin", SHA256: testDigest("boot.bin"), Data: testImages["boot.bin"]}
	if diff := cmp.Diff([]*Image{image}, r.Images()); diff != "" {
		t.Error(diff)
	}
	yes, no := true, false
	want := []Step{
		Erase{[]Region{spare}}, Write{Region: boot, Image: image, Verify: Readback}, Blank{}, Lock{Regions: []Region{spare, boot}, Bits: Nonvolatile}, Freeze{},
		Check{[]Region{boot}, &yes}, PowerCycle{}, Check{nil, &no},
	}
	if diff := cmp.Diff(want, r.Steps()); diff != "" {
		t.Error(diff)
	}
	var titles []string
	for _, s := range r.Steps() {
		titles = append(titles, s.Title())
		if s.Permanent() {
			t.Errorf("%s is permanent", s.Title())
		}
	}
	if diff := cmp.Diff([]string{"erase spare", "write boot to boot", "blank elsewhere", "lock spare, boot (nonvolatile)",
		"freeze lock bits", "check boot locked, frozen", "power cycle", "check not frozen"}, titles); diff != "" {
		t.Error(diff)
	}
	if w := r.Warnings(); len(w) != 1 || !strings.Contains(w[0], "lasts until power-off") {
		t.Errorf("warnings %q", w)
	}
}

// TestImmutable: nothing that a caller does to what it was given reaches the recipe.
func TestImmutable(t *testing.T) {
	text := head + `
regions: {boot: {at: 0, size: 64KiB}}
elsewhere: keep
steps:
  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: volatile}
  - freeze
  - check: {locked: [boot], frozen: true}
  - reset
  - write: {region: id, fields: [{text: serial, size: 20}, {bytes: tag}, {crc32: [serial], endian: big}]}
  - root_key: {index: 1, key: {derive: master}, escrow: [audit]}
  - password: {generate: per-unit, escrow: [audit]}
permanent: [root_key, password]
`
	text = strings.NewReplacer("boot: {at: 0, size: 64KiB}}", "boot: {at: 0, size: 64KiB}, id: {at: 64KiB, size: 4KiB}}\nvalues: {tag: {hex: 00}}",
		"MT25QL256ABA, MT25QL128ABA", "MT25QL128ABB").Replace(text)
	r, untouched := parse(t, text), parse(t, text)
	r.Regions()[0].Name = "x"
	r.Images()[0].SHA256 = "x"
	r.Parts()[0] = nil
	r.Warnings()[0] = "x"
	steps := r.Steps()
	steps[0].(Write).Image.Name = "x"
	steps[1].(Lock).Regions[0].At = 1
	*steps[3].(Check).Frozen = false
	steps[3].(Check).Locked[0].At = 1
	steps[5].(Write).Fields[2].Over[0] = "x"
	steps[5].(Write).Fields[0].Size = 1
	steps[6].(RootKey).Escrow[0] = "x"
	steps[7].(Password).Escrow[0] = "x"
	r.Values()[0].Hex = "x"
	r.EscrowGroups()[0] = "x"
	r.Permanent()[0] = "x"
	steps[0] = Reset{}
	if !reflect.DeepEqual(r.Steps(), untouched.Steps()) || !reflect.DeepEqual(r.Regions(), untouched.Regions()) ||
		!reflect.DeepEqual(r.Images(), untouched.Images()) || !reflect.DeepEqual(r.Parts(), untouched.Parts()) ||
		!reflect.DeepEqual(r.Warnings(), untouched.Warnings()) || !reflect.DeepEqual(r.Values(), untouched.Values()) ||
		!reflect.DeepEqual(r.EscrowGroups(), untouched.EscrowGroups()) || !reflect.DeepEqual(r.Permanent(), untouched.Permanent()) {
		t.Error("the recipe changed")
	}
}

// TestMatchSerial: a scan has to match from its first to its last character, anchored or not.
func TestMatchSerial(t *testing.T) {
	for _, c := range []struct {
		pattern, serial string
		want            bool
	}{
		{`GW-[0-9]{6}`, "GW-000001", true},
		{`GW-[0-9]{6}`, "GW-0000012", false},
		{`GW-[0-9]{6}`, "xGW-000001", false},
		{`GW-[0-9]{6}`, "GW-000001\n", false},
		{`^GW-[0-9]{6}$`, "GW-000001", true},
		{`^GW-[0-9]{6}$`, "", false},
		{`A|AB`, "AB", true}, // the leftmost alternative alone would match only A
		{`A+?`, "AAA", true},
		{`(?m)^A$`, "A", true},
		{`(?m)^A$`, "A\nA", false},
		{`A\QB)`, "AB)", true}, // a quote without an end would swallow a bracket put around it
		{`.+`, "A\x00", false},
		{`.+`, "A\U0001F680", false},
		{`.+`, "A\xff", false},
		{`.+`, "Ä-1", true},
		{`.+`, strings.Repeat("9", 64), true},
		{`.+`, strings.Repeat("9", 65), false},
	} {
		text := strings.Replace(head, "'GW-[0-9]{6}'", "'"+c.pattern+"'", 1) +
			"regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}]\n"
		if got := parse(t, text).MatchSerial(c.serial); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.serial, got)
		}
	}
}

// TestBlankStep: where `elsewhere: blank` is carried out.
func TestBlankStep(t *testing.T) {
	for _, c := range []struct{ elsewhere, steps, want string }{
		{"blank", "[{write: {region: boot, image: boot}}]", "write blank"},
		{"keep", "[{write: {region: boot, image: boot}}]", "write"},
		{"blank", "[{write: {region: boot, image: boot}}, {lock: {regions: [boot], bits: volatile}}, reset]", "write blank lock reset"},
		{"blank", "[{write: {region: boot, image: boot}}, freeze, {lock: {regions: [boot], bits: volatile}}, {lock: {regions: [boot], bits: nonvolatile}}]", ""},
	} {
		r, err := Parse("t", []byte(head+"regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: "+c.elsewhere+"\nsteps: "+c.steps+"\n"), flash.Parts(), testRead)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s is accepted", c.steps)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := kinds(r); got != c.want {
			t.Errorf("%s, elsewhere %s: %s, want %s", c.steps, c.elsewhere, got, c.want)
		}
	}
}

// TestOrderAccepted: what the order rules must not refuse.
func TestOrderAccepted(t *testing.T) {
	for name, text := range map[string]string{
		"4 KiB cells of the first sector":   "regions: {boot: {at: 0x1000, size: 0x3000}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}, {lock: {regions: [boot], bits: volatile}}, {check: {locked: [boot]}}]",
		"cells and sectors together":        "regions: {boot: {at: 0xF000, size: 0x21000}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}, {lock: {regions: [boot], bits: volatile}}]",
		"both kinds of lock":                "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}, {lock: {regions: [boot], bits: volatile}}, {lock: {regions: [boot], bits: nonvolatile}}, reset, {check: {locked: [boot]}}]",
		"nonvolatile outlasts power":        "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: blank\nsteps: [{write: {region: boot, image: boot}}, {lock: {regions: [boot], bits: nonvolatile}}, power_cycle, {check: {locked: [boot]}}]",
		"lock after a freeze that ended":    "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: blank\nsteps: [{write: {region: boot, image: boot}}, freeze, reset, {lock: {regions: [boot], bits: nonvolatile}}, freeze, {check: {frozen: true}}]",
		"volatile lock under a freeze":      "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}, freeze, {lock: {regions: [boot], bits: volatile}}]",
		"write after another region's lock": "regions: {boot: {at: 0, size: 64KiB}, more: {at: 64KiB, size: 1}}\nelsewhere: blank\nsteps: [{write: {region: boot, image: boot}}, {lock: {regions: [boot], bits: nonvolatile}}, {erase: {regions: [more]}}]",
		"block form, nothing permanent":     "regions:\n  boot:\n    at: 0\n    size: 1048576\nelsewhere: blank\nsteps:\n  - write:\n      region: boot\n      image: boot\n  - freeze:\npermanent:",
		"carriage returns":                  "regions: {boot: {at: 0, size: 64KiB}}\r\nelsewhere: keep\r\nsteps:\r\n  - write: {region: boot, image: boot}\r\n",
	} {
		if _, err := Parse("t", []byte(head+text+"\n"), flash.Parts(), testRead); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

// TestLimits: input without end is refused before it costs anything.
func TestLimits(t *testing.T) {
	start := time.Now()
	for name, text := range map[string]string{
		"too long":          head + "# " + strings.Repeat("x", yamltext.MaxFile),
		"many mistakes":     strings.Repeat("x", 100) + ": {" + strings.Repeat("a: [b,c], ", 20000) + "}\n",
		"many unknown keys": head + manyKeys(50000),
		"deep":              head + "steps: " + strings.Repeat("[", 100000),
		"UTF-16":            "\xff\xfea\x00",
	} {
		_, err := Parse("t", []byte(text), flash.Parts(), testRead)
		var problems *yamltext.Errors
		if !errors.As(err, &problems) || len(problems.Problems) > yamltext.MaxProblems+1 {
			t.Errorf("%s: %T", name, err)
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}
