package flash

import (
	"reflect"
	"strings"
	"testing"
)

// TestProfileRoundTrip: what YAML writes, ParsePart reads as the same profile, for every shipped part and for one with all that a profile can have.
func TestProfileRoundTrip(t *testing.T) {
	parts := Parts()
	own := *parts[0]
	own.Name, own.StackedProtection, own.Assumed = "OWN", true, []string{"dies", "die_erase.max", "erases.0", "stacked_protection"}
	own.OTP, own.NVCR, own.CRC = parts[4].OTP, parts[4].NVCR, parts[4].CRC
	for _, p := range append(parts, &own) {
		text, err := p.YAML()
		must(t, err)
		again, err := ParsePart(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", p.Name, err, text)
		}
		if !reflect.DeepEqual(again, p) {
			t.Errorf("%s reads back as %+v, want %+v", p.Name, again, p)
		}
		// Every assumed fact has its mark, but for what is inside of another one.
		if marks := strings.Count(string(text), "# assumed\n"); marks != len(p.Assumed) {
			t.Errorf("%s: %d of %d facts are marked\n%s", p.Name, marks, len(p.Assumed), text)
		}
	}
	text, err := parts[4].YAML()
	must(t, err)
	for _, want := range []string{"name: MT25QL256ABA\n", "id: \"20BA19104400\"\n", "opcode4: 0x21\n", "opcode: 0x52\n", "typ: 120us\n", "change: 0x01D3", "max: 1.8ms # assumed\n", "# assumed\npassword:\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
