package recipes

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"station/flash"
)

// TestWanted: for any layout of regions, the steps one after the other leave each region's image at its place, FF
// behind it, and FF (blank) or the old bytes (keep) everywhere else, whatever the chip held before.
func TestWanted(t *testing.T) {
	// A case takes 80 ms, since the smallest part has 16 MiB.
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set("10"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Value.Set(before) }()
	rapid.Check(t, func(t *rapid.T) {
		const unit = 4 << 10
		blank := rapid.Bool().Draw(t, "blank")
		var regions, images, steps strings.Builder
		files := map[string][]byte{}
		type placed struct {
			at, size int64
			data     []byte
		}
		var layout []placed
		free := int64(0)
		for i := range rapid.IntRange(1, 5).Draw(t, "regions") {
			at := free + unit*rapid.Int64Range(0, 40).Draw(t, "gap")
			size := unit * rapid.Int64Range(1, 40).Draw(t, "size")
			free = at + size
			if blank { // else regions are whole units
				at += rapid.Int64Range(0, unit-1).Draw(t, "ragged start")
				size = free - at - rapid.Int64Range(0, free-at-1).Draw(t, "ragged end")%unit
			}
			fmt.Fprintf(&regions, "  r%d: {at: %d, size: 0x%X}\n", i, at, size)
			if rapid.Bool().Draw(t, "erase") {
				fmt.Fprintf(&steps, "  - erase: {regions: [r%d]}\n", i)
				layout = append(layout, placed{at, size, nil})
				continue
			}
			data := bytes.Repeat([]byte{byte(i), 0xA5, 0xFF}, int(size/3+1))[:rapid.Int64Range(1, size).Draw(t, "image")]
			name := fmt.Sprintf("i%d", i)
			files[name] = data
			fmt.Fprintf(&images, "  %s: {file: %s, sha256: %x}\n", name, name, sha256.Sum256(data))
			fmt.Fprintf(&steps, "  - write: {region: r%d, image: %s}\n", i, name)
			layout = append(layout, placed{at, size, data})
		}
		elsewhere := map[bool]string{true: "blank", false: "keep"}[blank]
		section := ""
		if images.Len() > 0 {
			section = "images:\n" + images.String()
		}
		text := "schema: 1\nrecipe: t\nversion: 1\ntitle: t\nparts: [MT25QL128ABA]\nserial: x\n" + section +
			"regions:\n" + regions.String() + "elsewhere: " + elsewhere + "\nsteps:\n" + steps.String()
		r, err := Parse("t", []byte(text), flash.Parts(), func(f string) ([]byte, error) { return files[f], nil })
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}

		part := r.Parts()[0]
		bound, err := r.Bind("x", nil)
		if err != nil {
			t.Fatal(err)
		}
		chip := bytes.Repeat([]byte{0x5A}, int(part.Size))
		for _, step := range r.Steps() {
			plan, err := flash.NewPlan(part, bound.Wanted(part, step), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, op := range plan.Ops {
				if op.Data == nil {
					copy(chip[op.Addr:op.Addr+op.Size], bytes.Repeat([]byte{0xFF}, int(op.Size)))
				}
				for i, b := range op.Data {
					chip[op.Addr+int64(i)] &= b
				}
			}
		}
		rest := byte(0x5A)
		if blank {
			rest = 0xFF
		}
		want := bytes.Repeat([]byte{rest}, int(part.Size))
		for _, p := range layout {
			copy(want[p.at:p.at+p.size], bytes.Repeat([]byte{0xFF}, int(p.size)))
			copy(want[p.at:], p.data)
		}
		if !bytes.Equal(chip, want) {
			t.Fatal("the chip does not hold what the recipe says")
		}
	})
}
