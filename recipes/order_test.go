package recipes

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"station/yamltext"
)

// modelChip is a chip on which the steps are tried out, one state for each of two sectors.
type modelChip struct {
	filled, nonvolatile, volatile [2]bool
	frozen                        bool
}

// TestOrderAgainstChip: a sequence of steps is accepted exactly when a chip could carry it out with every check coming
// true, every lock covering verified content, no step repeating what is done, and no region left out.
func TestOrderAgainstChip(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		var steps strings.Builder
		var chip modelChip
		good, used := true, [2]bool{}
		must := func(ok bool) { good = good && ok }
		if rapid.Bool().Draw(t, "filled") { // most random sequences fail for want of this
			steps.WriteString("  - write: {region: r0, image: boot}\n  - erase: {regions: [r1]}\n")
			chip.filled, used = [2]bool{true, true}, [2]bool{true, true}
		}
		for range rapid.IntRange(1, 7).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "region")
			switch kind := rapid.SampledFrom([]string{"write", "write", "erase", "nonvolatile", "volatile", "freeze", "reset", "power_cycle", "locked", "frozen", "not frozen"}).Draw(t, "step"); kind {
			case "write", "erase":
				if kind == "write" {
					fmt.Fprintf(&steps, "  - write: {region: r%d, image: boot}\n", i)
				} else {
					fmt.Fprintf(&steps, "  - erase: {regions: [r%d]}\n", i)
				}
				must(!chip.nonvolatile[i] && !chip.volatile[i] && !chip.filled[i])
				chip.filled[i], used[i] = true, true
			case "nonvolatile", "volatile":
				fmt.Fprintf(&steps, "  - lock: {regions: [r%d], bits: %s}\n", i, kind)
				lock := &chip.volatile
				if kind == "nonvolatile" {
					lock = &chip.nonvolatile
					must(!chip.frozen)
				}
				must(chip.filled[i] && !lock[i])
				lock[i], used[i] = true, true
			case "freeze":
				steps.WriteString("  - freeze\n")
				must(!chip.frozen)
				chip.frozen = true
			case "reset", "power_cycle":
				fmt.Fprintf(&steps, "  - %s\n", kind)
				chip.frozen, chip.volatile = false, [2]bool{}
			case "locked":
				fmt.Fprintf(&steps, "  - check: {locked: [r%d]}\n", i)
				must(chip.nonvolatile[i] || chip.volatile[i])
				used[i] = true
			case "frozen", "not frozen":
				fmt.Fprintf(&steps, "  - check: {frozen: %v}\n", kind == "frozen")
				must(chip.frozen == (kind == "frozen"))
			}
		}
		must(used == [2]bool{true, true})
		text := head +
			"regions: {r0: {at: 0, size: 64KiB}, r1: {at: 64KiB, size: 64KiB}}\nelsewhere: keep\nsteps:\n" + steps.String()
		if !strings.Contains(text, "image: boot}") { // an image has to be used
			text = strings.Replace(text, "images:", "# images:", 1)
		}
		r, err := Parse("t", []byte(text), testRead)
		if (err == nil) != good {
			t.Fatalf("a chip could carry it out: %v\n%s\n%v", good, steps.String(), err)
		}
		if err == nil {
			accepted++
			if strings.Contains(steps.String(), "- freeze") != (len(r.Warnings()) > 0) {
				t.Fatalf("warnings %q\n%s", r.Warnings(), steps.String())
			}
		}
	})
	if accepted == 0 {
		t.Error("no sequence was accepted, so this test says nothing about acceptance")
	}
}

// TestOneMistakeOneMessage: each of these recipes has one mistake, and its author hears of it once.
func TestOneMistakeOneMessage(t *testing.T) {
	good := head + "regions:\n  boot: {at: 0, size: 64KiB}\n  more: {at: 64KiB, size: 64KiB}\nelsewhere: blank\nsteps:\n" +
		"  - write: {region: boot, image: boot}\n  - erase: {regions: [more]}\n  - lock: {regions: [boot, more], bits: nonvolatile}\n" +
		"  - freeze\n  - check: {locked: [boot, more], frozen: true}\n"
	parse(t, good)
	for _, c := range [][2]string{
		{"regions:\n", "region:\n"},
		{"images:", "image:"},
		{"steps:", "step:"},
		{"elsewhere: blank", "elsewhere: blanc"},
		{"elsewhere: blank\n", ""},
		{"schema: 1", "schema: 3"},
		{"{at: 0,", "{at: zero,"},
		{"size: 64KiB}\n  more", "size: 64MiB}\n  more"},
		{"size: 64KiB}\n  more", "size: 128KiB}\n  more"},
		{"size: 64KiB}\n  more", "size: 60KiB}\n  more"},
		{"file: boot.bin", "file: boo.bin"},
		{"file: boot.bin", "fil: boot.bin"},
		{"[MT25QL256ABA, MT25QL128ABA]", "[MT25QL256ABB]"},
		{"image: boot}", "image: bot}"},
		{"region: boot,", "region: bot,"},
		{"region: boot,", "regoin: boot,"},
		{"- write:", "- writ:"},
		{"- write:", "- relay:"},
		{"  - write: {region: boot, image: boot}\n", "  -\n"},
		{"- erase: {regions: [more]}", "- erase: {regions: more}"},
		{"bits: nonvolatile", "bits: permanent"},
		{"  - freeze\n", ""},
		{"  - freeze\n", "  - freeze\n  - reset\n"},
		{"  - freeze\n", "  - freeze: {}\n"},
		{"frozen: true", "frozen: false"},
		{"frozen: true}", "frozen: true}\n  - erase: {regions: [more]}"},
		{"[boot, more], frozen", "[boot, moer], frozen"},
	} {
		text := strings.Replace(good, c[0], c[1], 1)
		if text == good {
			t.Fatalf("%q is not in the recipe", c[0])
		}
		_, err := Parse("t", []byte(text), testRead)
		if problems, is := err.(*yamltext.Errors); !is || len(problems.Problems) != 1 {
			t.Errorf("%q for %q:\n%v", c[1], c[0], err)
		}
	}
}
