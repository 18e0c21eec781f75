package nor_test

import (
	"testing"

	"station/sim/nor"
)

// TestPartWithID: each part is found by what it answers to 9F, so no two have the same ID; and nobody else's is one.
func TestPartWithID(t *testing.T) {
	for _, name := range nor.Parts() {
		c, err := nor.New(name, [14]byte{}, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var id [6]byte
		c.Select()
		c.Shift([]byte{0x9F}, nil)
		c.Shift(nil, id[:])
		c.Deselect()
		if got := nor.PartWithID(id); got != name {
			t.Errorf("%X is %q, want %s", id, got, name)
		}
	}
	if got := nor.PartWithID([6]byte{0xEF, 0x40, 0x18}); got != "" {
		t.Errorf("a foreign ID is %q", got)
	}
}
