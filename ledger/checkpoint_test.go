package ledger

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestCheckpoint(t *testing.T) {
	s, err := note.NewSigner(testSigner)
	if err != nil {
		t.Fatal(err)
	}
	c := Checkpoint{Station: "line1", Size: 1 << 40, Root: tlog.RecordHash([]byte("x"))}
	text, err := c.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenCheckpoint(text, verifier(t)); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]Checkpoint{"another station": {Station: "line2"}, "negative": {Station: "line1", Size: -1}} {
		if text, err := c.Sign(s); !errors.Is(err, ErrCheckpoint) || text != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	// Signed by the right key, and still not what a station writes.
	root := strings.Split(string(text), "\n")[2]
	for name, body := range map[string]string{
		"another origin": "station/line2\n1\n" + root + "\n",
		"leading zero":   "station/line1\n01\n" + root + "\n",
		"extension line": "station/line1\n1\n" + root + "\nmore\n",
		"short root":     "station/line1\n1\nAAAA\n",
		"huge size":      "station/line1\n18446744073709551615\n" + root + "\n",
		"no root":        "station/line1\n1\n",
	} {
		signed, err := note.Sign(&note.Note{Text: body}, s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenCheckpoint(signed, verifier(t)); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for i := range text { // every byte counts
		spoiled := append([]byte(nil), text...)
		spoiled[i] ^= 1
		if got, err := OpenCheckpoint(spoiled, verifier(t)); err == nil {
			t.Errorf("byte %d altered: %+v", i, got)
		}
	}
	_, vkey, err := note.GenerateKey(rand.Reader, "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(text, v); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("a key that is no station's: %v", err)
	}
}
