package recipes

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"station/flash"
	"station/yamltext"
)

// signedText has all that the key server signs.
var signedText = strings.Replace(head, "MT25QL256ABA, MT25QL128ABA", "MT25QL128ABB", 1) + `
regions:
  boot: {at: 0x0, size: 64KiB}
  settings: {at: 0x20000, size: 64KiB}
  spare: {at: 0x30000, size: 4KiB}
elsewhere: blank
steps:
  - write: {region: boot, image: boot, verify: measurement}
  - erase: {regions: [spare]}
  - measure: {region: boot}
  - relay: {job: look, access: read-only, commands: [measure, counters]}
  - relay: {job: guard, access: state-changing, commands: [protect], region: settings}
  - relay: {job: settings, access: state-changing, commands: [erase, write], region: settings, image: boot}
  - measure: {region: settings}
  - measure: {region: spare}
  - lock: {regions: [boot, settings], bits: nonvolatile}
permanent: [relay]
`

// TestSignedSteps: what the engine and the key server are told.
func TestSignedSteps(t *testing.T) {
	r := parse(t, signedText)
	// Whatever can still fail stands before what cannot be undone.
	if got := kinds(r); got != "write erase measure relay blank relay relay measure measure lock" {
		t.Error(got)
	}
	boot, settings, spare := Region{"boot", 0, 64 << 10}, Region{"settings", 0x20000, 64 << 10}, Region{"spare", 0x30000, 4 << 10}
	image := &Image{Name: "boot", File: "boot.bin", SHA256: testDigest("boot.bin"), Data: testImages["boot.bin"]}
	want := []Step{
		Write{Region: boot, Image: image, Verify: Measurement}, Erase{[]Region{spare}}, Measure{boot},
		Relay{Job: "look", Access: flash.ReadOnly, Commands: []string{"measure", "counters"}}, Blank{},
		Relay{Job: "guard", Access: flash.StateChanging, Commands: []string{"protect"}, Region: settings, OneWay: true},
		Relay{Job: "settings", Access: flash.StateChanging, Commands: []string{"erase", "write"}, Region: settings, Image: image},
		Measure{settings}, Measure{spare}, Lock{[]Region{boot, settings}, Nonvolatile, false},
	}
	if diff := cmp.Diff(want, r.Steps()); diff != "" {
		t.Error(diff)
	}
	var titles []string
	for _, s := range r.Steps() {
		titles = append(titles, s.Title())
		if s.Permanent() != strings.Contains(s.Title(), "guard") {
			t.Errorf("%s: permanent %t", s.Title(), s.Permanent())
		}
	}
	if diff := cmp.Diff([]string{"write boot to boot, to be measured", "erase spare", "measure boot", "relay look (read-only: measure, counters)", "blank elsewhere",
		"relay guard (state-changing: protect), settings", "relay settings (state-changing: erase, write), boot to settings", "measure settings", "measure spare",
		"lock boot, settings (nonvolatile)"}, titles); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"relay"}, r.Permanent()); diff != "" {
		t.Error(diff)
	}
	if w := r.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "line 15: the map of the authenticated commands of MT25QL128ABB is INVENTED: ") {
		t.Errorf("warnings %q", w)
	}
	// Steps are copies.
	r.Steps()[3].(Relay).Commands[0] = "protect"
	r.Steps()[6].(Relay).Image.Name = "other"
	if diff := cmp.Diff(want, r.Steps()); diff != "" {
		t.Error(diff)
	}
	u, err := r.Bind("GW-000001", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, extents := range map[int][]flash.Extent{3: nil, 2: nil, 5: nil, 6: {{Addr: 0x20000, Size: 64 << 10, Data: image.Data}}} {
		if diff := cmp.Diff(extents, u.Wanted(r.Parts()[0], r.Steps()[i])); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
	for region, content := range map[string][]byte{"boot": image.Data, "settings": image.Data, "spare": nil} {
		if got, ok := r.Content(region); !ok || !bytes.Equal(got, content) {
			t.Errorf("region %s holds %d bytes, %t", region, len(got), ok)
		}
	}
	if _, ok := r.Content("nowhere"); ok {
		t.Error("the content of a region that is not there")
	}
	if _, ok := parse(t, permanentText).Content("identity"); ok {
		t.Error("fields are no content that is known")
	}
}

// TestSignedPlan: the page that an author reads before the key server signs anything.
// TestSignedOverWritten: a job that may change what an earlier step wrote is nothing that the station can judge, and its author is told.
func TestSignedOverWritten(t *testing.T) {
	for commands, want := range map[string]string{
		"[erase]":   "commands of job more may change region boot, which line 15 filled: it is read again at the end, and a unit where it differs FAILs",
		"[protect]": "",
	} {
		text := strings.Replace(signedText, "  - measure: {region: settings}\n", "  - measure: {region: settings}\n  - relay: {job: more, access: state-changing, commands: "+commands+", region: boot}\n", 1)
		warnings := parse(t, text).Warnings()
		at := slices.IndexFunc(warnings, func(w string) bool { return strings.Contains(w, "job more") })
		if (at >= 0) != (want != "") {
			t.Errorf("%s: %q", commands, warnings)
		} else if at >= 0 && !strings.HasSuffix(warnings[at], ": "+want) {
			t.Errorf("%s: %q, want %q", commands, warnings[at], want)
		}
	}
}

func TestSignedPlan(t *testing.T) {
	r := parse(t, signedText)
	plan, err := r.Plan(r.Parts()[0], 267*time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := plan.Print(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/plan/signed.golden"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), got.String()); diff != "" {
		t.Error(diff)
	}
	if plan.ACRTMMap != flash.Invented || !strings.Contains(got.String(), "INVENTED MAP") {
		t.Errorf("map %q", plan.ACRTMMap)
	}
	if diff := cmp.Diff([]SignedKind{{"erase", flash.StateChanging, false}, {"write", flash.StateChanging, false}}, plan.Steps[6].Commands); diff != "" {
		t.Error(diff)
	}
	if w := plan.Steps[0].Work; w.ReadBytes != 0 || w.ProgramBytes != 9500 || plan.Steps[5].Work.ReadBytes != 0 || plan.Steps[6].Work.ReadBytes != r.Parts()[0].Size { // behind the last relay all that stands is read again
		t.Errorf("%+v is read back, %+v is not", w, plan.Steps[6].Work)
	}
	// A recipe without such steps says nothing of it, on the same part.
	r = parse(t, permanentText)
	if plan, err = r.Plan(r.Parts()[0], 0); err != nil || plan.ACRTMMap != "" {
		t.Errorf("%q, %v", plan.ACRTMMap, err)
	}
	// A map of one's own has its name there.
	part := *r.Parts()[0]
	table := *part.ACRTM
	part.ACRTM, table.Map = &table, "mine"
	r = parse(t, signedText)
	if plan, err = r.Plan(&part, 0); err != nil {
		t.Fatal(err)
	}
	got.Reset()
	if err := plan.Print(&got); err != nil || strings.Contains(got.String(), "INVENTED MAP") || !strings.Contains(got.String(), "\nmap of the authenticated commands: mine\n") {
		t.Errorf("%v\n%s", err, got.String())
	}
}

// TestOneSignedMistake: one mistake, one message.
func TestOneSignedMistake(t *testing.T) {
	parse(t, signedText)
	for _, c := range [][2]string{
		{"verify: measurement", "verify: measure"},
		{"  - measure: {region: boot}\n", ""},
		{"measure: {region: boot}", "measure: {region: bot}"},
		{"measure: {region: boot}", "measure: {regoin: boot}"},
		{"- relay: {job: look", "- relai: {job: look"},
		{"job: look", "jop: look"},
		{"job: look", "job: ''"},
		{"access: read-only", "access: readonly"},
		{"access: read-only", "access: state-changing"},
		{"guard, access: state-changing", "guard, access: read-only"},
		{"commands: [measure, counters]", "commands: [measure, measure]"},
		{"commands: [measure, counters]", "commands: [measure, count]"},
		{"commands: [measure, counters]", "commands: []"},
		{"region: settings, image: boot", "image: boot"},
		{"commands: [protect], region: settings", "commands: [protect]"},
		{"region: settings, image: boot", "region: setings, image: boot"},
		{"region: settings, image: boot", "region: settings, image: bot"},
		{"[erase, write], region: settings, image", "[erase, write, protect], region: settings, image"},
		{"permanent: [relay]\n", ""},
		{"permanent: [relay]", "permanent: [relays]"},
		{"commands: [protect]", "commands: [erase]"},   // then permanent names too much
		{"  - erase: {regions: [spare]}", "  - reset"}, // then the measure is of nothing
		{"  - lock:", "  - write: {region: settings, image: boot}\n  - lock:"},
	} {
		text := strings.Replace(signedText, c[0], c[1], 1)
		if text == signedText {
			t.Fatalf("%q is not in the recipe", c[0])
		}
		_, err := Parse("t", []byte(text), flash.Parts(), testRead)
		problems, is := err.(*yamltext.Errors)
		want := 1
		if strings.Contains(c[1], "write: {region: settings") {
			want = 2 // it is filled already, and it was left to signed commands
		}
		if !is || len(problems.Problems) != want {
			t.Errorf("%q for %q:\n%v", c[1], c[0], err)
		}
	}
}

// TestSignedDigestMeaning: everything in a signed step matters to the digest.
func TestSignedDigestMeaning(t *testing.T) {
	seen := map[string]string{parse(t, signedText).Digest(): "the base"}
	for name, c := range map[string][2]string{
		"verify":            {", verify: measurement", ""},
		"job":               {"job: look", "job: peep"},
		"access":            {"job: look, access: read-only, commands: [measure, counters]", "job: look, access: state-changing, commands: [erase, counters], region: spare"},
		"commands":          {"[measure, counters]", "[measure]"},
		"order of commands": {"[erase, write]", "[write, erase]"},
		"region of a relay": {"commands: [protect], region: settings", "commands: [protect], region: boot"},
		"no region":         {"commands: [measure, counters]}", "commands: [measure, counters], region: boot}"},
		"region of measure": {"  - measure: {region: spare}", "  - measure: {region: boot}"},
		"one measure less":  {"  - measure: {region: spare}\n", ""},
		"one relay less":    {"  - relay: {job: look, access: read-only, commands: [measure, counters]}\n", ""},
	} {
		text := strings.Replace(signedText, c[0], c[1], 1)
		d := parse(t, text).Digest()
		if other := seen[d]; other != "" || text == signedText {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}

// TestMeasuredOrder: random sequences are accepted exactly when each region gets one content, by plain or by signed commands, is measured and locked only behind
// it, and a write that is to be measured is, before it is locked.
func TestMeasuredOrder(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		var steps strings.Builder
		good, used := true, [2]bool{}
		var filled, varies, locked, owed, left [2]bool
		for i := range rapid.IntRange(0, 3).Draw(t, "prepared") % 3 { // most random sequences fail for want of this
			fmt.Fprintf(&steps, "  - write: {region: r%d, image: boot}\n", i)
			filled[i], used[i] = true, true
		}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "region")
			used[i] = true
			switch kind := rapid.SampledFrom([]string{"write", "to be measured", "fields", "signed", "left", "look", "measure", "measure", "lock"}).Draw(t, "step"); kind {
			case "write", "to be measured", "fields":
				body := map[string]string{"write": "image: boot", "to be measured": "image: boot, verify: measurement", "fields": "fields: [{text: serial, size: 16}]"}[kind]
				fmt.Fprintf(&steps, "  - write: {region: r%d, %s}\n", i, body)
				good = good && !filled[i] && !locked[i] && !left[i]
				filled[i], varies[i], owed[i] = true, kind == "fields", kind == "to be measured"
			case "signed":
				fmt.Fprintf(&steps, "  - relay: {job: j, access: state-changing, commands: [erase, write], region: r%d, image: boot}\n", i)
				good = good && !filled[i] && !locked[i]
				filled[i] = true
			case "left":
				fmt.Fprintf(&steps, "  - relay: {job: j, access: state-changing, commands: [erase], region: r%d}\n", i)
				left[i] = true
			case "look":
				fmt.Fprintf(&steps, "  - relay: {job: j, access: read-only, commands: [measure], region: r%d}\n", i)
			case "measure":
				fmt.Fprintf(&steps, "  - measure: {region: r%d}\n", i)
				good = good && filled[i] && !varies[i]
				owed[i] = false
			case "lock":
				fmt.Fprintf(&steps, "  - lock: {regions: [r%d], bits: nonvolatile}\n", i)
				good = good && filled[i] && !locked[i] && !owed[i]
				locked[i] = true
			}
		}
		good = good && !owed[0] && !owed[1] && used[0] && used[1] && strings.Contains(steps.String(), "image: boot")
		text := strings.Replace(head, "MT25QL256ABA, MT25QL128ABA", "MT25QL128ABB, MT25QU128ABB", 1) +
			"regions: {r0: {at: 0, size: 64KiB}, r1: {at: 0x30000, size: 64KiB}}\nelsewhere: keep\nsteps:\n" + steps.String()
		_, err := Parse("t", []byte(text), flash.Parts(), testRead)
		if (err == nil) != good {
			t.Fatalf("a chip could carry it out: %v\n%s\n%v", good, steps.String(), err)
		}
		if good {
			accepted++
		}
	})
	if accepted == 0 {
		t.Error("no sequence was accepted")
	}
}

// TestSignedParts: every part of the recipe needs the table and the commands, each of the class that access says.
func TestSignedParts(t *testing.T) {
	own := func(change func(*flash.ACRTM)) []*flash.Part {
		parts := flash.Parts()
		i := slices.IndexFunc(parts, func(p *flash.Part) bool { return p.Name == "MT25QU128ABB" })
		change(parts[i].ACRTM)
		return parts
	}
	text := strings.Replace(signedText, "MT25QL128ABB", "MT25QL128ABB, MT25QU128ABB", 1)
	for want, change := range map[string]func(*flash.ACRTM){
		"": func(*flash.ACRTM) {},
		"the table of MT25QU128ABB has no command \"protect\"": func(a *flash.ACRTM) { a.Commands = a.Commands[:4] },
		"measure may change the chip, and access is read-only": func(a *flash.ACRTM) { a.Commands[1].Class = flash.StateChanging },
	} {
		_, err := Parse("t", []byte(text), own(change), testRead)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	// One-way on one of the parts is one-way.
	r, err := Parse("t", []byte(text), own(func(a *flash.ACRTM) { a.Commands[4].OneWay = false }), testRead)
	if err != nil || !r.Steps()[5].Permanent() {
		t.Errorf("%v", err)
	}
}
