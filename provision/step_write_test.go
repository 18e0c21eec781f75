package provision

import (
	"testing"

	"station/ledger"
	"station/sim/nor"
)

// TestDigestOfTheRegion: the proof quotes what the region holds, also where an image fills it to its last byte.
func TestDigestOfTheRegion(t *testing.T) {
	for size, text := range map[int64]string{20 << 10: "20KiB", 24 << 10: "24KiB"} {
		l := newLine(t, Options{})
		chip := fresh(t, 1, nor.Options{})
		l.socket.put("1", chip)
		r := editedRecipe(t, "MT25QL256ABA", "  - write: {region: boot, image: boot}\n", "size: 128KiB", "size: "+text)
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		run := l.books.all()[0]
		if p := run.End.Proven; len(p) != 1 || p[0].SHA256 != regionDigest(chip.Bytes(0x10000, int(size)), size) {
			t.Errorf("a region of %s is proven as %+v", text, p)
		}
	}
}
