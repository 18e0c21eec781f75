package recipes

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"station/flash"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// permanentText has every permanent step but persistent_protection.
var permanentText = strings.Replace(head, "MT25QL256ABA, MT25QL128ABA", "MT25QL128ABB", 1) + `
regions:
  boot: {at: 0x0, size: 64KiB}
  identity: {at: 0xFF0000, size: 64KiB}
elsewhere: blank
values:
  mac: {scan: true, bytes: 6}
  board: {hex: "02AB"}
steps:
  - write: {region: boot, image: boot}
  - write:
      region: identity
      fields:
        - {text: serial, size: 32, pad: 0x20}
        - {bytes: mac}
        - {bytes: board}
        - {crc32: [serial, mac, board], endian: little}
  - root_key: {index: 3, key: {random: per-unit}, escrow: [owner, audit]}
  - lock: {regions: [boot, identity], bits: nonvolatile}
  - root_key: {index: 0, key: {derive: line/root-2026}, escrow: [audit]}
  - counter: {index: 0, to: 5}
  - password: {generate: per-unit, escrow: [audit, auditors-2], exercise: reset}
  - check: {locked: [boot, identity], frozen: true}
permanent: [password, counter, root_key]
`

// TestPermanentSteps: what the engine is told of permanent steps.
func TestPermanentSteps(t *testing.T) {
	r := parse(t, permanentText)
	// Nothing that can still fail, such as erasing the rest of the chip, comes after the first permanent step without need.
	if got := kinds(r); got != "write write blank root_key lock root_key counter password check" {
		t.Error(got)
	}
	want := []Step{RootKey{3, "", []string{"owner", "audit"}}, RootKey{0, "line/root-2026", []string{"audit"}}, Counter{0, 5},
		Password{[]string{"audit", "auditors-2"}, ExerciseReset}}
	titles := []string{"root key 3, random, sealed to owner, audit", "root key 0, from line/root-2026, sealed to audit", "counter 0 to 5",
		"password, sealed to audit, auditors-2, tried out after a reset"}
	var got []Step
	var gotTitles []string
	for _, s := range r.Steps() {
		if s.Permanent() {
			got, gotTitles = append(got, s), append(gotTitles, s.Title())
		}
	}
	if diff := cmp.Diff(want, got) + cmp.Diff(titles, gotTitles); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"root_key", "counter", "password"}, r.Permanent()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"owner", "audit", "auditors-2"}, r.EscrowGroups()); diff != "" {
		t.Error(diff)
	}
	if len(r.Warnings()) != 0 {
		t.Errorf("warnings %q", r.Warnings())
	}
}

// TestPermanentPlan: the page that an author reads before chips are changed for ever, for every permanent step, and
// for persistent protection.
func TestPermanentPlan(t *testing.T) {
	persistent := head + "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps:\n  - write: {region: boot, image: boot}\n" +
		"  - lock: {regions: [boot], bits: nonvolatile}\n  - persistent_protection\n  - freeze\npermanent: [persistent_protection]\n"
	for name, text := range map[string]string{"permanent": permanentText, "persistent": persistent} {
		r := parse(t, text)
		plan, err := r.Plan(r.Parts()[0], 267*time.Nanosecond)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := plan.Print(&got); err != nil {
			t.Fatal(err)
		}
		golden := "testdata/plan/" + name + ".golden"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Error(diff)
		}
		for _, s := range plan.Steps {
			if s.Permanent != slices.Contains(plan.Permanent, s.Kind) {
				t.Errorf("%s permanent: %v", s.Kind, s.Permanent)
			}
		}
	}
}

// TestCountersAgainstChip: root keys and counts are accepted exactly when a chip takes each of them once, and when the
// station has the key for what it counts.
func TestCountersAgainstChip(t *testing.T) {
	recipe := func(steps string, kinds []string) string {
		return "schema: 1\nrecipe: t\nversion: 1\ntitle: t\nparts: [MT25QL128ABB, MT25QU128ABB]\nserial: x\nregions: {r: {at: 0, size: 4KiB}}\nelsewhere: keep\nsteps:\n" +
			"  - erase: {regions: [r]}\n" + steps + "permanent: [" + strings.Join(kinds, ", ") + "]\n"
	}
	// Random sequences are seldom right, so one that is has to be accepted in any case.
	right := "  - root_key: {index: 1, key: {derive: line/root}, escrow: [audit]}\n  - counter: {index: 1, to: 7}\n"
	if _, err := Parse("t", []byte(recipe(right, []string{"root_key", "counter"})), flash.Parts(), testRead); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var steps strings.Builder
		used := map[string]bool{}
		good := true
		derived, keyed, value := map[int]bool{}, map[int]bool{}, map[int]bool{}
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "index")
			switch kind := rapid.SampledFrom([]string{"derive", "derive", "random", "counter"}).Draw(t, "step"); kind {
			case "counter":
				fmt.Fprintf(&steps, "  - counter: {index: %d, to: %d}\n", i, rapid.IntRange(1, 1000).Draw(t, "to"))
				good = good && keyed[i] && derived[i] && !value[i]
				value[i], used["counter"] = true, true
			default:
				from := map[string]string{"derive": "line/root", "random": "per-unit"}[kind]
				fmt.Fprintf(&steps, "  - root_key: {index: %d, key: {%s: %s}, escrow: [audit]}\n", i, kind, from)
				good = good && !keyed[i]
				keyed[i], derived[i], used["root_key"] = true, kind == "derive", true
			}
		}
		var list []string
		for kind := range used {
			list = append(list, kind)
		}
		_, err := Parse("t", []byte(recipe(steps.String(), list)), flash.Parts(), testRead)
		if (err == nil) != good {
			t.Fatalf("a chip could carry it out: %v\n%s\n%v", good, steps.String(), err)
		}
	})
}

// TestPermanentExactly: of all lists over the permanent kinds, the one that names the used kinds is accepted, in any order, and no other.
func TestPermanentExactly(t *testing.T) {
	base := permanentText[:strings.Index(permanentText, "permanent:")]
	kinds := []string{"password", "root_key", "counter", "persistent_protection", "otp"}
	for set := range 1 << len(kinds) {
		var list []string
		for i, kind := range kinds {
			if set>>i&1 == 1 {
				list = append(list, kind)
			}
		}
		for range 2 {
			_, err := Parse("t", []byte(base+"permanent: ["+strings.Join(list, ", ")+"]\n"), flash.Parts(), testRead)
			if (err == nil) != (set == 0b00111) {
				t.Errorf("%v: %v", list, err)
			}
			slices.Reverse(list)
		}
	}
}

// TestStackedRegisters: a profile of one's own with registers and an OTP area says nothing of the dies by it.
func TestStackedRegisters(t *testing.T) {
	for _, settled := range []bool{false, true} {
		i := slices.IndexFunc(flash.Parts(), func(p *flash.Part) bool { return p.Name == "MT25QL01GBBB" })
		part := flash.Parts()[i]
		part.Name, part.StackedProtection = "OWN", settled
		part.OTP, part.NVCR = &flash.OTP{Size: 64, Program: part.Program}, &flash.NVCR{Write: part.StatusWrite, Change: 1}
		text := strings.Replace(head, "MT25QL256ABA, MT25QL128ABA", "OWN", 1) + "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps:\n" +
			"  - write: {region: boot, image: boot}\n  - config: {nvcr: 0xFFFE}\n  - otp: {fields: [{text: serial, size: 32}], lock: true}\npermanent: [otp]\n"
		_, err := Parse("t", []byte(text), []*flash.Part{part}, testRead)
		if settled {
			if err != nil {
				t.Errorf("%v", err)
			}
			continue
		}
		for _, want := range []string{"config: OWN has 2 dies: protection of stacked parts is not confirmed", "otp: OWN has 2 dies: protection of stacked parts is not confirmed"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
	}
}
