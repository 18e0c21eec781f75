package keyring

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestNoKeyTextInMemory makes and uses signing keys, and looks through the whole heap of this process for the text of one in its file: nothing of it is left, as it would be of a string.
func TestNoKeyTextInMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f, err := CreateFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.CreateSigning("checkpoint"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := f.Sign("checkpoint", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(f.path("checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	key := text[len(text)-45 : len(text)-1] // base64 of 33 bytes
	// Its first 32 characters stand for it, each bit of them turned, so that they are not found themselves.
	masked := make([]byte, 32)
	for i := range masked {
		masked[i] = ^key[i]
	}
	control := append([]byte(nil), key[:32]...) // which is found
	if n := inHeap(t, masked); n == 0 {
		t.Fatal("the search does not find what is there")
	}
	clear(control)
	clear(text)
	if n := inHeap(t, masked); n != 0 {
		t.Errorf("the text of the key is in memory %d times", n)
	}
}

// inHeap counts in the heap of this process what masked is the complement of.
func inHeap(t *testing.T, masked []byte) (found int) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	part := make([]byte, 1<<20)
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var from, to uint64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || mode != "rw-p" {
			continue
		}
		for at := from; at < to; at += uint64(len(part) - len(masked)) {
			n, _ := memory.ReadAt(part[:min(uint64(len(part)), to-at)], int64(at))
			for i := 0; i+len(masked) <= n; i++ {
				if part[i] == ^masked[0] && part[i+1] == ^masked[1] && complement(part[i:i+len(masked)], masked) {
					found++
				}
			}
			clear(part)
		}
	}
	return found
}

func complement(a, b []byte) bool {
	for i := range a {
		if a[i] != ^b[i] {
			return false
		}
	}
	return true
}
