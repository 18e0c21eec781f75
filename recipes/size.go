package recipes

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"station/flash"
)

var (
	sizeForm  = regexp.MustCompile(`^(0x[0-9A-Fa-f]{1,12}|(?:0|[1-9][0-9]{0,11})(KiB|MiB)?)$`)
	sizeLoose = regexp.MustCompile(`^(?i)([0-9]+)[ _]?(k|m)i?b?$`)
)

// ParseSize reads an address or a size in bytes as recipes write them: 65536, 0x10000, 64KiB or 4MiB.
func ParseSize(text string) (int64, error) {
	n, suggestion, err := parseSize(text)
	switch {
	case err != nil && suggestion != "":
		return 0, fmt.Errorf("%q %w: %s", text, err, suggestion)
	case err != nil:
		return 0, fmt.Errorf("%q %w", text, err)
	}
	return n, nil
}

// parseSize reads an address or a size in bytes: 4194304, 0x400000, 64KiB, 4MiB.
// suggestion is set where the intention is plain.
func parseSize(text string) (n int64, suggestion string, err error) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		if l := sizeLoose.FindStringSubmatch(text); l != nil {
			suggestion = fmt.Sprintf("did you mean %s%siB?", l[1], strings.ToUpper(l[2]))
		}
		return 0, suggestion, errors.New("is not a number of bytes such as 65536, 0x10000, 64KiB or 4MiB")
	}
	unit := int64(1)
	switch m[2] {
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	}
	n, err = strconv.ParseInt(strings.TrimSuffix(text, m[2]), 0, 64)
	if err != nil {
		return 0, "", errors.New("is not a number of bytes")
	}
	return n * unit, "", nil // below 2^60: at most 12 digits times 2^20
}

// sizeText writes bytes as people read them: 4 MiB, 64 KiB, else plain bytes.
func sizeText(n int64) string {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n > 0 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	case n == 1:
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// rangeText names the bytes from at on by their first and last address.
func rangeText(at, size int64) string {
	return flash.Range{Addr: at, Size: size}.String()
}
