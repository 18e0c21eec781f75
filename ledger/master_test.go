package ledger

import (
	"bytes"
	"os"
	"reflect"
	"testing"
)

// TestMasterVector holds the bytes of an entry with the fingerprint of a master key to testdata/master. Without one it is written as ever: testdata/v1.
func TestMasterVector(t *testing.T) {
	want := RootKeyIntent{secretRun, "GW-000002", "1102030405060708090a0b0c0d0e", 0, "derive:line/root-2026", sealedAs("000000000000000a"), zeros, "87fde0f7fbd8eb20"}
	leaf := newBook(t, []Body{want}).leaves[0]
	const path = "testdata/master/entry.json"
	if *update {
		if err := os.WriteFile(path, leaf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if was, err := os.ReadFile(path); err != nil || !bytes.Equal(leaf, was) {
		t.Errorf("the entry is now\n%s\nand was\n%s (%v)", leaf, was, err)
	}
	e, err := Decode(leaf)
	if err != nil || !reflect.DeepEqual(e.Body, want) {
		t.Errorf("%+v, %v", e.Body, err)
	}
	for key, name := range map[string]string{"derive:line/root-2026": "line/root-2026", "derive:random": "random", "random": ""} {
		if got := (RootKeyIntent{Key: key}).MasterKey(); got != name {
			t.Errorf("%q names the master %q, want %q", key, got, name)
		}
	}
}
