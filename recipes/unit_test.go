package recipes

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"station/flash"
)

// unitText has every kind of field.
const unitText = `
regions:
  identity: {at: 0xFF0000, size: 64KiB}
  boot: {at: 0, size: 64KiB}
elsewhere: keep
values:
  mac: {scan: true, bytes: 6}
  board: {hex: "02AB"}
steps:
  - write: {region: boot, image: boot}
  - write:
      region: identity
      fields:
        - {crc32: [serial], endian: big}
        - {text: serial, size: 12, pad: 0x20}
        - {bytes: mac, size: 6}
        - {bytes: board}
        - {crc32: [serial, mac], endian: little}
  - lock: {regions: [identity], bits: nonvolatile}
`

// TestUnit: the bytes of a unit, which were worked out with Python's zlib.crc32.
func TestUnit(t *testing.T) {
	r := parse(t, head+unitText)
	if diff := cmp.Diff([]Value{{"board", 2, "02ab"}, {"mac", 6, ""}}, r.Values()); diff != "" {
		t.Error(diff)
	}
	for _, mac := range []string{"0123456789AB", "01:23:45:67:89:ab", "01-23-45-67-89-AB"} {
		u, err := r.Bind("GW-000001", map[string]string{"mac": mac})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"board": "02ab", "mac": "0123456789ab"}, u.Values()); diff != "" {
			t.Error(diff)
		}
		if u.Serial() != "GW-000001" || u.Recipe() != r {
			t.Errorf("%s of %p", u.Serial(), u.Recipe())
		}
		part := r.Parts()[0]
		steps := r.Steps()
		const want = "acfc8c4f" + "47572d303030303031202020" + "0123456789ab" + "02ab" + "2be32220"
		content := u.Content(steps[1].(Write))
		if got := hex.EncodeToString(content); got != want {
			t.Errorf("content %s, want %s", got, want)
		}
		wanted := []flash.Extent{{Addr: 0xFF0000, Size: 64 << 10, Data: content}}
		if diff := cmp.Diff(wanted, u.Wanted(part, steps[1])); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]flash.Extent{{Addr: 0, Size: 64 << 10, Data: testImages["boot.bin"]}}, u.Wanted(part, steps[0])); diff != "" {
			t.Error(diff)
		}
		if u.Wanted(part, steps[2]) != nil {
			t.Error("a lock writes")
		}
		// The plan counts the same programs as a unit needs.
		unknown := r.wanted(part, steps[1], unknownUnit)
		if len(unknown) != 1 || len(unknown[0].Data) != len(content) || unknown[0].Addr != 0xFF0000 || unknown[0].Size != 64<<10 {
			t.Errorf("without a unit: %+v", unknown)
		}
	}
}

// TestBindRefuses: every mistake is told, each as a *ValueError of its name, and nothing is bound.
func TestBindRefuses(t *testing.T) {
	r := parse(t, strings.Replace(head, "GW-[0-9]{6}", "GW-[0-9]{6,12}", 1)+unitText)
	mac := map[string]string{"mac": "0123456789ab"}
	for _, c := range []struct {
		serial string
		values map[string]string
		want   []string
	}{
		{"GW-1", mac, []string{`the serial "GW-1" does not match GW-[0-9]{6,12}`}},
		{"", mac, []string{`the serial "" does not match GW-[0-9]{6,12}`}},
		{"GW-0000000001", mac, []string{"the serial has 13 bytes, and its field in region identity only 12"}},
		{"GW-000001", nil, []string{`value "mac" is missing: the recipe wants 6 bytes`}},
		{"GW-000001", map[string]string{"mac": "01234567"}, []string{`value "mac" has 4 bytes, and the recipe wants 6`}},
		{"GW-000001", map[string]string{"mac": "0123456789abcd"}, []string{`value "mac" has 7 bytes, and the recipe wants 6`}},
		{"GW-000001", map[string]string{"mac": "0123456789a"}, []string{`value "mac" is "0123456789a", which is not bytes as hex digits, such as 02AB10 or 02:AB:10`}},
		{"GW-000001", map[string]string{"mac": "01:23:45:67:89-ab"}, []string{`value "mac" is "01:23:45:67:89-ab", which is not bytes as hex digits, such as 02AB10 or 02:AB:10`}},
		{"GW-000001", map[string]string{"mac": ""}, []string{`value "mac" is "", which is not bytes as hex digits, such as 02AB10 or 02:AB:10`}},
		{"GW-000001", map[string]string{"mac": "0123456789ab", "board": "02ab"}, []string{`value "board" is fixed by the recipe and cannot be given`}},
		{"GW-000001", map[string]string{"mac": "0123456789ab", "mca": "00", "serial": "GW-000001"}, []string{`value "mca" is not of this recipe`, "the serial names the unit and cannot be given as a value"}},
		{"x", map[string]string{"a": "1"}, []string{`the serial "x" does not match GW-[0-9]{6,12}`, `value "mac" is missing: the recipe wants 6 bytes`, `value "a" is not of this recipe`}},
	} {
		u, err := r.Bind(c.serial, c.values)
		if u != nil || err == nil {
			t.Errorf("%q %v is bound", c.serial, c.values)
			continue
		}
		var value *ValueError
		if !errors.As(err, &value) {
			t.Errorf("%T", err)
		}
		if diff := cmp.Diff(strings.Join(c.want, "\n"), err.Error()); diff != "" {
			t.Errorf("%q %v: %s", c.serial, c.values, diff)
		}
	}
}

// TestFieldLayout: for any fields, serial and value, the fields stand one behind the other, text is padded, and every checksum
// is that of the bytes as they stand in the region.
func TestFieldLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		serial := rapid.StringMatching(`[A-Z0-9é-]{1,20}`).Draw(t, "serial")
		mac := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "mac")
		size := len(serial) + rapid.IntRange(0, 40).Draw(t, "room")
		pad := rapid.Byte().Draw(t, "pad")
		fields := []string{fmt.Sprintf("{text: serial, size: %d, pad: %d}", size, pad), "{bytes: mac}"}
		over := rapid.Permutation([]string{"serial", "mac"}).Draw(t, "over")[:rapid.IntRange(1, 2).Draw(t, "covers")]
		big := rapid.Bool().Draw(t, "big")
		fields = append(fields, fmt.Sprintf("{crc32: [%s], endian: %s}", strings.Join(over, ", "), map[bool]string{true: "big", false: "little"}[big]))
		order := rapid.Permutation([]int{0, 1, 2}).Draw(t, "order")
		var list []string
		for _, i := range order {
			list = append(list, fields[i])
		}
		text := fmt.Sprintf("schema: 1\nrecipe: t\nversion: 1\ntitle: t\nparts: [MT25QL128ABA]\nserial: '.+'\nregions: {r: {at: 0, size: 4KiB}}\nelsewhere: keep\n"+
			"values: {mac: {scan: true, bytes: %d}}\nsteps:\n  - write: {region: r, fields: [%s]}\n", len(mac), strings.Join(list, ", "))
		r, err := Parse("t", []byte(text), flash.Parts(), testRead)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		u, err := r.Bind(serial, map[string]string{"mac": hex.EncodeToString(mac)})
		if err != nil {
			t.Fatal(err)
		}
		content := u.Content(r.Steps()[0].(Write))
		sizes := []int{size, len(mac), 4}
		pieces := map[int][]byte{}
		rest := content
		for _, i := range order {
			pieces[i], rest = rest[:sizes[i]], rest[sizes[i]:]
		}
		var covered []byte
		for _, name := range over {
			covered = append(covered, pieces[map[string]int{"serial": 0, "mac": 1}[name]]...)
		}
		sum := binary.LittleEndian.Uint32(pieces[2])
		if big {
			sum = binary.BigEndian.Uint32(pieces[2])
		}
		if len(rest) != 0 || !bytes.Equal(pieces[0], append([]byte(serial), bytes.Repeat([]byte{pad}, size-len(serial))...)) ||
			!bytes.Equal(pieces[1], mac) || sum != crc32.ChecksumIEEE(covered) {
			t.Fatalf("%s\n%x", text, content)
		}
	})
}

// TestLongestMatch: no serial of a pattern has more bytes than its text field is compared with.
func TestLongestMatch(t *testing.T) {
	for pattern, want := range map[string]int{
		`^GW-[0-9]{6}$`: 9, `GW-[0-9]{6,12}`: 15, `A|BCD|EF`: 3, `(AB)?C`: 3, `[0-9]+`: 64, `.+`: 192, `Ä{2}`: 4, `(?i)k{2}`: 6,
		`[a-z]*X`: 65, `\w{3}`: 3, `€`: 3, `[^0-9]{2}`: 6, `(a{10}){10}`: 100, `\bA\b`: 1,
	} {
		if got := longestMatch(pattern); got != want {
			t.Errorf("%s: %d bytes, want %d", pattern, got, want)
		}
	}
	short := strings.Replace(head+unitText, "GW-[0-9]{6}", "GW-[0-9]{6,12}", 1)
	if w := parse(t, short).Warnings(); len(w) != 1 || !strings.Contains(w[0], "line 22: the serial pattern accepts up to 15 bytes, and the field has 12") {
		t.Errorf("warnings %q", w)
	}
	if w := parse(t, head+unitText).Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.SampledFrom([]string{`GW-[0-9]{6}`, `A|BCD|EF`, `(AB)?C[é-ü]{2,5}`, `(?i)k{2}straße?`, `[0-9]{1,3}(-[A-Z]+)?`}).Draw(t, "pattern")
		if serial := rapid.StringMatching(pattern).Draw(t, "serial"); len([]rune(serial)) <= longestSerial && len(serial) > longestMatch(pattern) {
			t.Fatalf("%q has more than %d bytes", serial, longestMatch(pattern))
		}
	})
}
