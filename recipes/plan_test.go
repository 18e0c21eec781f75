package recipes

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"station/flash"
)

const planText = `
regions:
  boot: {at: 0x0, size: 64KiB}
  cells: {at: 0xFFE800, size: 0x1000}
  keys: {at: 0xFF0000, size: 8KiB}
elsewhere: blank
steps:
  - write: {region: boot, image: boot}
  - erase: {regions: [keys, cells]}
  - lock: {regions: [boot], bits: nonvolatile}
  - lock: {regions: [boot, keys], bits: volatile}
  - freeze
  - reset
  - lock: {regions: [keys], bits: volatile}
  - freeze
  - check: {locked: [boot, keys], frozen: true}
`

func testPlan(t *testing.T) *Plan {
	t.Helper()
	r := parse(t, strings.Replace(head, "MT25QL256ABA, ", "", 1)+planText)
	plan, err := r.Plan(r.Parts()[0], 267*time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestPlanPrint: the page that an author reads.
func TestPlanPrint(t *testing.T) {
	var got bytes.Buffer
	if err := testPlan(t).Print(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/plan/every-step.golden"
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
}

// TestPlan: counts, worked out by hand.
func TestPlan(t *testing.T) {
	p := testPlan(t)
	type row struct {
		Title              string
		Ranges, Rounded    []flash.Range
		Erases             []EraseCount
		Programs, LockBits int
	}
	var got []row
	for _, s := range p.Steps {
		got = append(got, row{s.Title, s.Ranges, s.Rounded, s.Work.Erases, s.Work.Programs, s.Work.LockBits})
		if s.Permanent || s.Work.Max < s.Work.Typical {
			t.Errorf("%+v", s)
		}
	}
	const k = 1 << 10
	none := []flash.Range{}
	want := []row{
		// 9500 bytes of image are 37 whole pages and one of 28 bytes.
		{"write boot to boot", []flash.Range{{Addr: 0, Size: 64 * k}}, none, []EraseCount{{64 * k, 1}}, 38, 0},
		{"erase keys, cells", []flash.Range{{Addr: 0xFF0000, Size: 8 * k}, {Addr: 0xFFE000, Size: 8 * k}},
			[]flash.Range{{Addr: 0xFFE000, Size: 0x800}, {Addr: 0xFFF800, Size: 0x800}}, []EraseCount{{4 * k, 4}}, 0, 0},
		// 254 whole sectors, and of the last one 0xFF2000 to 0xFFDFFF: 24 KiB, then 24 KiB, of which no 32 KiB is whole.
		{"blank elsewhere", []flash.Range{{Addr: 64 * k, Size: 0xFF0000 - 64*k}, {Addr: 0xFF2000, Size: 48 * k}}, none, []EraseCount{{4 * k, 12}, {64 * k, 254}}, 0, 0},
		{"lock boot (nonvolatile)", []flash.Range{{Addr: 0, Size: 64 * k}}, none, []EraseCount{}, 0, 1},
		{"lock boot, keys (volatile)", []flash.Range{{Addr: 0, Size: 64 * k}, {Addr: 0xFF0000, Size: 8 * k}}, none, []EraseCount{}, 0, 18},
		{"freeze lock bits", none, none, []EraseCount{}, 0, 0},
		{"reset", none, none, []EraseCount{}, 0, 0},
		{"lock keys (volatile)", []flash.Range{{Addr: 0xFF0000, Size: 8 * k}}, none, []EraseCount{}, 0, 2},
		{"freeze lock bits", none, none, []EraseCount{}, 0, 0},
		{"check boot, keys locked, frozen", none, none, []EraseCount{}, 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]EraseCount{{4 * k, 16}, {64 * k, 255}}, p.Total.Erases); diff != "" {
		t.Error(diff)
	}
	if p.Total.EraseBytes != 16<<20 || p.Total.ReadBytes != 16<<20 || p.Total.ProgramBytes != 9500 || p.Total.Programs != 38 || p.Total.LockBits != 21 {
		t.Errorf("total %+v", p.Total)
	}
	if diff := cmp.Diff([]PlannedLock{{"boot", flash.Range{Addr: 0, Size: 64 * k}, Nonvolatile}, {"keys", flash.Range{Addr: 0xFF0000, Size: 8 * k}, Volatile}}, p.Locked); diff != "" {
		t.Error(diff)
	}
	if p.Freeze != "until power-off" || len(p.Permanent) != 0 || len(p.Warnings) != 2 {
		t.Errorf("%+v", p)
	}
}

// TestPlanRefuses: a plan is for a part of the recipe.
func TestPlanRefuses(t *testing.T) {
	r := parse(t, head+"regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep\nsteps: [{write: {region: boot, image: boot}}]\n")
	parts := flash.Parts()
	other := parts[slices.IndexFunc(parts, func(p *flash.Part) bool { return p.Name == "MT25QU512ABB" })]
	if p, err := r.Plan(other, 0); err == nil {
		t.Errorf("plan for another part: %+v", p)
	}
	if p, err := r.Plan(r.Parts()[0], -1); err == nil {
		t.Errorf("negative byte time: %+v", p)
	}
}

// TestPlanJSON: empty lists are lists, never null, and keys are snake_case.
func TestPlanJSON(t *testing.T) {
	text, err := json.Marshal(testPlan(t))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("null")) {
		t.Errorf("null in %s", text)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, w := range v {
				if strings.ToLower(key) != key || strings.Contains(key, "-") {
					t.Errorf("key %q", key)
				}
				walk(w)
			}
		case []any:
			for _, w := range v {
				walk(w)
			}
		}
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	walk(v)
}
