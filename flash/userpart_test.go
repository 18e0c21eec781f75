package flash

import (
	"bytes"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"station/sim/nor"
)

func profileText(t testing.TB, name string) string {
	t.Helper()
	text, err := profiles.ReadFile("parts/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUserParts(t *testing.T) {
	mine := strings.Replace(profileText(t, "MT25QU256ABA"), "name: MT25QU256ABA", "name: OURS", 1)
	other := strings.Replace(mine, "name: OURS", "name: OTHER", 1)
	parts, err := UserParts(fstest.MapFS{
		"b.yaml": {Data: []byte(mine)}, "a.yaml": {Data: []byte(other)}, "readme.txt": {Data: []byte("no part")}, "deeper/c.yaml": {Data: []byte("no part")},
	})
	must(t, err)
	if len(parts) != 2 || parts[0].Name != "OTHER" || parts[1].Name != "OURS" || !parts[0].User || !parts[1].User {
		t.Errorf("%+v", parts)
	}
	// It has the digest of the same profile shipped under that name, and Identify takes it.
	p, err := ParsePart([]byte(mine))
	must(t, err)
	if parts[1].Digest() != p.Digest() || p.User {
		t.Error("that it is a user's is part of the digest")
	}
	c, _ := identified(t, "MT25QU256ABA", nor.Options{}, parts...)
	if c.Part().Name != "OTHER" {
		t.Errorf("identified as %s", c.Part().Name)
	}
	if parts, err = UserParts(fstest.MapFS{}); err != nil || len(parts) != 0 {
		t.Errorf("%v, %v", parts, err)
	}
	for name, x := range map[string]struct {
		files fstest.MapFS
		says  []string
	}{
		"shipped name": {fstest.MapFS{"x.yaml": {Data: []byte(profileText(t, "MT25QU256ABA"))}}, []string{"x.yaml", `"MT25QU256ABA" is shipped`}},
		"same twice":   {fstest.MapFS{"x.yaml": {Data: []byte(mine)}, "y.yaml": {Data: []byte(mine)}}, []string{"y.yaml", `part "OURS"`}},
		"invalid":      {fstest.MapFS{"x.yaml": {Data: []byte(strings.Replace(mine, "page: 256", "page: 257", 1))}}, []string{"x.yaml", "page 257"}},
		"no YAML":      {fstest.MapFS{"x.yaml": {Data: []byte("\x00\xFF")}}, []string{"x.yaml"}},
		"empty":        {fstest.MapFS{"x.yaml": {}}, []string{"x.yaml: part profile: it is empty"}},
		"too long":     {fstest.MapFS{"x.yaml": {Data: append([]byte(mine), bytes.Repeat([]byte("# more\n"), 10000)...)}}, []string{"x.yaml", "longer than 65536"}},
		"a folder":     {fstest.MapFS{"x.yaml/y": {}}, []string{"x.yaml"}},
	} {
		parts, err := UserParts(x.files)
		if err == nil || len(parts) > 0 {
			t.Fatalf("%s: %v", name, parts)
		}
		for _, s := range x.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v lacks %q", name, err, s)
			}
		}
	}
}

// TestBadNeighbours: what is wrong with one file keeps no other from being read, and every line tells whose it is.
func TestBadNeighbours(t *testing.T) {
	text := func(name string) []byte {
		return []byte(strings.Replace(profileText(t, "MT25QU256ABA"), "name: MT25QU256ABA", "name: "+name, 1))
	}
	parts, err := UserParts(fstest.MapFS{
		"a.yaml": {}, "b.yaml": {Data: text("GOOD")}, "c.yaml": {Data: text("TWICE")}, "d.yaml": {Data: text("TWICE")}, "e.yaml": {Data: text("TWICE")},
		"f.yaml": {Data: bytes.Replace(bytes.Replace(text("BAD"), []byte("page: 256"), []byte("page: 257"), 1), []byte("volts: 1.8"), []byte("volts: 18"), 1)},
	})
	if len(parts) != 1 || parts[0].Name != "GOOD" || err == nil {
		t.Fatalf("%v, %v", parts, err)
	}
	var files []string
	for _, line := range strings.Split(err.Error(), "\n") {
		files = append(files, line[:6])
	}
	if got := strings.Join(slices.Compact(files), " "); got != "a.yaml d.yaml e.yaml f.yaml" || strings.Count(err.Error(), "f.yaml: ") < 2 {
		t.Errorf("%v", err)
	}
}

// endless is a file without an end.
type endless struct{ fstest.MapFS }

func (e endless) Open(name string) (fs.File, error) {
	f, err := e.MapFS.Open(name)
	if err == nil && name == "x.yaml" {
		f = endlessFile{f}
	}
	return f, err
}

type endlessFile struct{ fs.File }

func (endlessFile) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte{'a'}, len(p))), nil
}

// hostile are files that are small and want to cost much.
func hostile() map[string]string {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'l'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	merge := "m0: &m0 {name: x}\n"
	for i := 1; i < 1000; i++ {
		merge += fmt.Sprintf("m%d: &m%d {<<: [*m%d, *m%d]}\n", i, i, i-1, i-1)
	}
	most := maxProfile
	return map[string]string{
		"alias bomb":           bomb,
		"merge bomb":           merge,
		"one alias":            "name: &n x\nassumed: [*n]\n",
		"an alias to itself":   "assumed: &a [*a]\n",
		"flow sequences":       "assumed: " + strings.Repeat("[", most-100),
		"closed sequences":     "assumed: " + strings.Repeat("[", most/2-100) + strings.Repeat("]", most/2-100),
		"flow mappings":        "rpmc: " + strings.Repeat("{a: ", most/4-10),
		"explicit keys":        strings.Repeat("? ", most/2),
		"block sequences":      strings.Repeat("- ", most/2),
		"indented mappings":    indented(350),
		"sequences in between": "assumed:\n" + strings.Repeat("- [", most/3-10),
		"keys without end":     strings.Repeat("a: {", most/4),
		"many keys":            numbered(900, "\n"),
		"more keys":            numbered(12000, "\n"),
		"more keys, old lines": numbered(12000, "\r"),
		"keys in a line":       "{" + strings.ReplaceAll(numbered(12000, ","), ":", "") + "}",
		"many documents":       strings.Repeat("---\n", most/4),
		"many anchors":         "assumed: [" + strings.Repeat("&a x,", most/5-10) + "]",
		"many assumed":         "assumed: [" + strings.Repeat("x,", most/2-20) + "]",
		"long scalar":          "name: " + strings.Repeat("x", most-10),
		"long tag":             "name: !" + strings.Repeat("x", most-10),
		"long quoted":          `name: "` + strings.Repeat(`\u0041`, most/6-10) + `"`,
		"many comments":        strings.Repeat("#\n", most/2),
		"tabs":                 strings.Repeat("\t", most),
		"huge number":          "size: " + strings.Repeat("9", most-10),
		"huge exponent":        "volts: 1e" + strings.Repeat("9", 1000),
		"too long":             strings.Repeat("x", most+1),
	}
}

func indented(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return s.String()
}

func numbered(n int, end string) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(strconv.FormatInt(int64(36*36+i), 36) + ":" + end)
	}
	return s.String()
}

// A hostile file is refused within 100 ms and 16 MiB. The time is the best of three tries, because others use the machine too.
func TestHostileProfiles(t *testing.T) {
	for name, text := range hostile() {
		best, most := time.Hour, uint64(0)
		for range 3 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			p, err := ParsePart([]byte(text))
			best = min(best, time.Since(start))
			runtime.ReadMemStats(&after)
			most = max(most, after.TotalAlloc-before.TotalAlloc+after.StackInuse-min(before.StackInuse, after.StackInuse))
			if err == nil || p != nil {
				t.Fatalf("%s was accepted", name)
			}
			if len(err.Error()) > 4000 {
				t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
			}
		}
		if best > 100*time.Millisecond || most > 16<<20 {
			t.Errorf("%s: %v, %d KiB", name, best, most>>10)
		}
		if testing.Verbose() {
			t.Logf("%s: %v, %d KiB", name, best, most>>10)
		}
	}
	if _, err := UserParts(endless{fstest.MapFS{"x.yaml": {}}}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a file without an end: %v", err)
	}
	for name, word := range map[string]string{"one alias": "alias", "closed sequences": "depth", "indented mappings": "depth"} {
		if _, err := ParsePart([]byte(hostile()[name])); !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParsePart: no text makes the parser panic, and what it accepts is a part that works: valid again, and planned on.
func FuzzParsePart(f *testing.F) {
	for _, p := range Parts() {
		f.Add([]byte(profileText(f, p.Name)))
	}
	for _, text := range hostile() {
		if len(text) < 4096 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePart(text)
		if err != nil {
			if p != nil {
				t.Fatal("a part and an error")
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("accepted, and then %v", err)
		}
		if p.Digest() == "" || p.Longest() <= 0 || p.Longest() > 101*longestTime || p.Sectors() < 1 || p.Dies < 1 {
			t.Fatalf("%+v", p)
		}
		cells := p.VolatileCells()
		for _, i := range []int{0, len(cells) / 2, len(cells) - 1} {
			if p.cell(cells[i].Addr) != i || p.cell(cells[i].Addr+cells[i].Size-1) != i {
				t.Fatalf("cell %d of %d is %v", i, len(cells), cells[i])
			}
		}
		_ = p.CheckNVCR(0x1234)
		_ = p.CheckRaw(text)
		_ = p.CanProtect()
		want := []Extent{{p.Size - 5, 5, []byte{1, 2, 3}}}
		if p.Size > p.Sector {
			want = append(want, Extent{0, p.Erases[0].Size, nil})
		}
		plan, err := NewPlan(p, want, nil)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Programs == 0 || plan.Typical(1) <= 0 || plan.Max(1) < plan.Typical(1) {
			t.Fatalf("%+v", plan)
		}
		known := func(int) Knowledge { return Knowledge{Blank: true} }
		if plan, err = NewPlan(p, []Extent{{0, p.Size, nil}}, known); err != nil || len(plan.Ops) != 0 {
			t.Fatalf("%v, %v", plan, err)
		}
	})
}

// SFDP areas are capped, whatever their headers claim: nobody makes the driver read or keep more.
func TestSFDPBudget(t *testing.T) {
	b := bytes.Repeat([]byte{0xFF}, 1<<20)
	copy(b, dump(t))
	b[0x14], b[0x15], b[0x16] = 0xF8, 0x0F, 0 // the second table ends with the 4096th byte
	copy(b[0xFF8:], dump(t)[0x80:0x88])
	s, err := ParseSFDP(b)
	must(t, err)
	if len(s.raw) != maxSFDP {
		t.Errorf("%d bytes are kept", len(s.raw))
	}
	b[0x14] = 0xFC
	if _, err := ParseSFDP(b); err == nil {
		t.Error("a table beyond 4096 bytes was accepted")
	}
	// The most headers that a count of one byte allows.
	many := slices.Concat(dump(t)[:8], bytes.Repeat(dump(t)[8:16], 256), bytes.Repeat([]byte{0xFF}, 4096))
	many[6] = 0xFF
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	_, _ = ParseSFDP(many)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > 100*time.Millisecond || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%v, %d bytes", took, after.TotalAlloc-before.TotalAlloc)
	}
	// And on the wire.
	w := newWire(t, "MT25QU256ABA", nor.Options{})
	w.forge = func(out, in []byte) {
		if out[0] == 0x5A {
			if len(in) > maxSFDP {
				t.Errorf("%d bytes are read", len(in))
			}
			copy(in, b)
		}
	}
	_, err = Identify(t.Context(), w)
	is(t, err, ErrSFDP)
}
