package store

import (
	"fmt"
	"testing"

	"station/ledger"
)

// The newest entry that names a master tells its fingerprint, however far back it is, and no other name's, kind's or serial's does.
func TestMaster(t *testing.T) {
	d, _ := create(t, options(t, "line1", 1))
	escrow := 0
	use := func(n int, key, fingerprint string) {
		t.Helper()
		escrow++
		mustAppend(t, d, start(n, fmt.Sprint("S", n)))
		b := ledger.RootKeyIntent{Run: run(n), Serial: fmt.Sprint("S", n), UID: fmt.Sprint("uid-S", n), Key: key, Escrow: sealedAs(escrow), Reply: sealedAs(1).SHA256, Master: fingerprint}
		mustCommit(t, d, ledger.Change{Bodies: []ledger.Body{b}, Escrow: map[string][]byte{escrowID(escrow): ciphertext(escrow)}})
	}
	want := func(name, fingerprint string, used bool) {
		t.Helper()
		if f, u, err := d.Master(name); f != fingerprint || u != used || err != nil {
			t.Errorf("%s: %q, %t, %v; want %q, %t", name, f, u, err, fingerprint, used)
		}
	}
	want("line/root", "", false)
	use(1, "derive:line/root", "")
	want("line/root", "", true) // of an earlier version
	use(2, "derive:line/root", "aa")
	use(3, "derive:line/root-2027", "bb")
	use(4, "random", "")
	mustAppend(t, d, start(5, "derive:line/root"))
	for _, k := range []int{0, chunk, chunk + 1} { // from the first chunk, its edge, and beyond
		for range k {
			mustAppend(t, d, step(5, "derive:line/root", 1))
		}
		want("line/root", "aa", true)
		want("line/root-2027", "bb", true)
		want("line", "", false)
		want("random", "", false)
	}
}
