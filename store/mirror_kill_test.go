package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

// TestKillWithMirror kills a station in the middle of appending to ledger and mirror, again and again: the mirror is a sound ledger, the beginning of the
// other, and has every entry that was acknowledged, since it stood; the next start brings it up.
func TestKillWithMirror(t *testing.T) {
	d, o, _ := mirrored(t)
	v, err := note.NewVerifier(o.VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	behind := 0
	for range 10 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "STORE_TEST_LEDGER="+d.path, "STORE_TEST_MIRROR="+o.Mirror)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		last, lines := int64(-1), bufio.NewScanner(out)
		for lines.Scan() {
			if last < 0 {
				time.AfterFunc(time.Duration(random.IntN(40_000))*time.Microsecond, func() { child.Process.Kill() })
			}
			var n int
			if _, err := fmt.Sscan(lines.Text(), &last, &n); err != nil {
				t.Fatal(err)
			}
		}
		child.Wait() // it was killed

		ours, theirs := d2(t, d.path), d2(t, filepath.Join(o.Mirror, MirrorFile))
		for _, r := range []*DB{ours, theirs} {
			if err := r.Check(ctx); err != nil {
				t.Fatal(err)
			}
			if left, err := ledger.Verify(ctx, r, v); err != nil || len(left.Findings) != 0 {
				t.Fatalf("%+v, %v", left, err)
			}
		}
		a, b, prefix, err := compare(ours, theirs)
		if err != nil || !prefix {
			t.Fatalf("the ledger has %v, the mirror %v; %v", a, b, err)
		}
		if a != b {
			behind++
		}
		if last >= b.size {
			t.Fatalf("entry %d was acknowledged while the mirror stood, and it has %d entries", last, b.size)
		}
		for _, r := range []*DB{ours, theirs} {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if d, err = Open(d.path, o); err != nil {
			t.Fatal(err)
		}
		inStep(t, d, o)
	}
	t.Logf("%d of 10 kills left the mirror behind", behind)
}
