package recipes

import (
	"regexp"
	"testing"
)

// TestSerialExample: what an example is made of fits its pattern; where a serial would tell too little, there is none.
func TestSerialExample(t *testing.T) {
	for pattern, want := range map[string]string{
		`^GW-[0-9]{6}$`: "GW-123456", `TB-\d{12}`: "TB-123456789012", `^([A-Z]{2})-([0-5]{3})[a-c]{4}$`: "AB-123cabc", `SN[7-9]{4}`: "SN8978",
		`^[A-Z0-9-]{4,32}$`: "", `[0-9]{4,6}`: "", `[0-9]+`: "", `AA|BB`: "", `(?i)gw-[0-9]{2}`: "", `[0-9A-F]{8}`: "", `[0-9]{70}`: "", `.{4}`: "", `GW-[0-9]{3}\b`: "",
	} {
		re := regexp.MustCompile(pattern)
		re.Longest()
		r := &Recipe{serial: re}
		if got := r.SerialExample(); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}
