package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

var update = flag.Bool("update", false, "write testdata/v1 anew; the format is settled, so a difference is a mistake")

// TestVectors holds the format to the files in testdata/v1: entries of every kind, leaf hashes, and signed checkpoints.
func TestVectors(t *testing.T) {
	b := newBook(t, allBodies(), 1, 4, 7, 22, 29, 32)
	got := map[string][]byte{}
	var leaves strings.Builder
	for i, leaf := range b.leaves {
		got[fmt.Sprintf("entry-%d.json", i)] = leaf
		h := b.hashes[tlog.StoredHashIndex(0, int64(i))]
		fmt.Fprintf(&leaves, "%d %x\n", i, h[:])
	}
	got["leaves.txt"] = []byte(leaves.String())
	for size, text := range b.checkpoints {
		got[fmt.Sprintf("checkpoint-%d.txt", size)] = text
	}
	files, err := filepath.Glob("testdata/v1/*")
	if err != nil {
		t.Fatal(err)
	}
	if !*update && len(files) != len(got)+1 { // the key
		t.Errorf("%d files in testdata/v1, want %d", len(files), len(got)+1)
	}
	got["verifier-key.txt"] = []byte(testVerifier + "\n")
	for name, content := range got {
		path := filepath.Join("testdata/v1", name)
		if *update {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, want) {
			t.Errorf("%s is now\n%s\nand was\n%s", name, content, want)
		}
	}
}

// TestVectorsByOthers reads testdata/v1 with nothing of this package: an independent RFC 6962 implementation for the tree,
// and the checkpoint's text and signature taken apart by hand (C2SP tlog-checkpoint and signed-note).
func TestVectorsByOthers(t *testing.T) {
	key := strings.SplitN(strings.TrimSpace(string(read(t, "verifier-key.txt"))), "+", 3)
	public, err := base64.StdEncoding.DecodeString(key[2])
	if err != nil || public[0] != 1 {
		t.Fatalf("key %q: %v", key, err)
	}
	var leaves [][]byte
	for i, line := range strings.Split(strings.TrimSpace(string(read(t, "leaves.txt"))), "\n") {
		leaf := rfc6962.DefaultHasher.HashLeaf(read(t, fmt.Sprintf("entry-%d.json", i)))
		if want := fmt.Sprintf("%d %s", i, hex.EncodeToString(leaf)); line != want {
			t.Errorf("leaf %q, independently %q", line, want)
		}
		leaves = append(leaves, leaf)
	}
	for _, size := range []int{1, 4, 7, 22, 29, 32} {
		text, signature, ok := strings.Cut(string(read(t, fmt.Sprintf("checkpoint-%d.txt", size))), "\n\n")
		text += "\n"
		lines := strings.Split(text, "\n")
		if !ok || len(lines) != 4 || lines[0] != key[0] || lines[1] != fmt.Sprint(size) {
			t.Fatalf("checkpoint %q", text)
		}
		if want := base64.StdEncoding.EncodeToString(independentRoot(t, leaves[:size])); lines[2] != want {
			t.Errorf("root of %d is %s, independently %s", size, lines[2], want)
		}
		blob, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(signature, "— "+key[0]+" ")))
		if err != nil || hex.EncodeToString(blob[:4]) != key[1] {
			t.Fatalf("signature line %q: %v", signature, err)
		}
		if !ed25519.Verify(public[1:], []byte(text), blob[4:]) {
			t.Errorf("signature of checkpoint %d does not hold", size)
		}
	}
}

// TestProofsByOthers has the independent implementation accept proofs drawn from the stored hashes.
func TestProofsByOthers(t *testing.T) {
	b := newBook(t, allBodies())
	n := int64(len(b.leaves))
	root, err := tlog.TreeHash(n, b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p, err := tlog.ProveRecord(n, i, b)
		if err != nil {
			t.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(b.leaves[i])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(n), leaf, rawHashes(p), root[:]); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		old, err := tlog.TreeHash(i+1, b)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tlog.ProveTree(n, i+1, b)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(i+1), uint64(n), rawHashes(c), old[:], root[:]); err != nil {
			t.Errorf("size %d: %v", i+1, err)
		}
	}
}

func rawHashes[H ~[]tlog.Hash](hashes H) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/v1", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func independentRoot(t *testing.T, leaves [][]byte) []byte {
	t.Helper()
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r := factory.NewEmptyRange(0)
	for _, leaf := range leaves {
		if err := r.Append(leaf, nil); err != nil {
			t.Fatal(err)
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}
