package main

import (
	"os"
	"strings"
	"testing"

	"station/kiosk"
	"station/provision"
)

// A board that quick hands cannot put in is said to be of its slot once.
func TestHandsSaySlotOnce(t *testing.T) {
	t.Parallel()
	f := newFloored(t, false)
	f.want("the job", f.do(sup, beginSmall(0)), "accept "+kiosk.WordJobBegun)
	if err := os.WriteFile(f.board("TB-0001"), []byte("no board"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := f.Scan(t.Context(), op, "TB-0001")
	if err != nil || a.Word != provision.WordNoBoard || strings.Count(a.Text, "slot 1: ") != 1 || strings.Contains(a.Facts["why"], "slot") {
		t.Errorf("%+v %v", a, err)
	}
}
